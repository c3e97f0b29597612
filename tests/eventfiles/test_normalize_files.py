"""Every file of real and constructed frames through the command, against events that were worked by hand."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_FIXTURES = Path(__file__).parents[1] / "fixtures"
_FRAMES = sorted(_FIXTURES.glob("*/*.jsonl"))
_WIRE = {
    "okx": ("control", "liquidation_orders", "trades"),
    "hyperliquid": ("control", "rest_fill_objects", "trades", "user_fills"),
    "binance-usdm": ("agg_trade", "control", "force_order", "testnet_force_order"),
    "binance-coinm": ("agg_trade", "force_order_2020"),
    "bybit": ("all_liquidation", "control", "legacy_liquidation", "public_trade"),
}
_RENAMED = {("binance-coinm", "force_order_2020"): "coin_m_force_order_2020"}


def normalized(venue: str, frames: Path, *options: str | Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The events of the command and its summary."""
    command = [sys.executable, "-m", "liqtape", "normalize", "--venue", venue, "--json", *options, frames]
    ended = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert ended.returncode == 0, ended.stderr
    return _lines(ended.stdout.decode()), json.loads(ended.stderr.splitlines()[-1])


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def expected_of(venue: str, stem: str) -> list[dict[str, Any]]:
    """What was worked by hand; nothing where the frames tell of no liquidation."""
    path = _FIXTURES / venue / f"{stem}.expected.ndjson"
    return _lines(path.read_text(encoding="utf-8")) if path.exists() else []


@pytest.mark.parametrize("frames", _FRAMES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_frames_give_the_events_worked_by_hand(frames: Path, refused_frames: Callable[[Path], int]) -> None:
    venue = frames.parent.name
    expected = expected_of(venue, frames.stem)

    events, summary = normalized(venue, frames)

    assert events == expected
    assert [list(event) for event in events] == [list(event) for event in expected]  # the documented order of fields
    assert summary["events"] == len(expected)
    assert summary["unsized"] == sum(event["notional_usd"] is None for event in expected)
    assert summary["frames"]["undecodable"] == refused_frames(frames)
    assert sum(summary["frames"].values()) == len([line for line in frames.read_text("utf-8").splitlines() if line])


@pytest.mark.parametrize(("folder", "stem"), [(folder, stem) for folder, stems in _WIRE.items() for stem in stems])
def test_every_file_of_captured_frames_gives_the_events_worked_by_hand(
    folder: str, stem: str, wire_file: Callable[[str], Path]
) -> None:
    venue = folder.partition("-")[0]

    events, summary = normalized(venue, wire_file(f"{folder}/{stem}.jsonl"))

    assert events == expected_of(venue, _RENAMED.get((folder, stem), stem))
    assert summary["frames"]["undecodable"] == summary["invalid"] == 0


def test_no_file_of_captured_frames_is_left_out(wire_file: Callable[[str], Path]) -> None:
    there = {folder: tuple(sorted(path.stem for path in wire_file(folder).glob("*.jsonl"))) for folder in _WIRE}

    assert there == _WIRE


def test_every_hand_worked_file_has_its_frames() -> None:
    worked = {path.with_name(path.name.replace(".expected.ndjson", ".jsonl")) for path in _FIXTURES.glob("*/*.ndjson")}

    assert worked
    assert worked <= set(_FRAMES)


def test_the_venues_own_list_sizes_what_was_unsized(tmp_path: Path) -> None:
    frames = tmp_path / "frames.jsonl"
    first = (_FIXTURES / "okx" / "liquidation_orders.jsonl").read_text("utf-8").splitlines()[0]
    frames.write_text(first.replace("CELO-USDT", "BTC-USDT"), encoding="utf-8")
    listed = '{"code":"0","data":[{"instId":"BTC-USDT-SWAP","ctVal":"0.05","ctMult":"1","ctValCcy":"BTC",%s}],"msg":""}'
    rest = '"instType":"SWAP","ctType":"linear","settleCcy":"USDT","state":"live","expTime":"","uly":"BTC-USDT"'
    (tmp_path / "list.json").write_text(listed % rest, encoding="utf-8")

    ((event,), summary) = normalized("okx", frames, "--instruments", tmp_path / "list.json")

    # 19979 x 0.05 BTC = 998.95 BTC; x 0.09583 = 95.7293785, a tie, to the even neighbour
    assert (event["quantity"], event["notional_usd"]) == (998.95, 95.729378)
    assert summary["unsized"] == 0
