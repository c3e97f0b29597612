"""Symbols as people write them, against simulated venues that list their own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

_COMMAND = (sys.executable, "-m", "liqtape")
_VENUES = ("binance", "bybit", "okx", "hyperliquid")


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, str]]:
    """An environment in which the simulated venues are the venues."""
    command = [*_COMMAND, "simulate", "--speed", "10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as simulator:
        assert simulator.stdout is not None
        env = {"LIQTAPE_REDIS_URL": "off", "LIQTAPE_HISTORY_URL": "off"}
        for _ in _VENUES:
            name, ws_url, rest_url = simulator.stdout.readline().split()
            env |= {
                f"LIQTAPE_VENUES_{name.upper()}_{key}": url for key, url in (("WS_URL", ws_url), ("REST_URL", rest_url))
            }
        env["LIQTAPE_PRICE_SPOT_URL"] = env["LIQTAPE_VENUES_BINANCE_WS_URL"]
        yield os.environ | env
        simulator.terminate()


def _asked(symbol: str, env: dict[str, str], folder: Path) -> set[str]:
    """The instruments that `run --symbol` shows within its first rows."""
    command = [*_COMMAND, "run", "--symbol", symbol, "--json"]
    seen: set[str] = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=folder) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said = json.loads(line)
                if said["kind"] == "row":
                    seen.add(said["symbol"])
                    break
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
    return seen


@pytest.mark.parametrize("symbol", ["btcusdt", "BTC/USDT:USDT", "BTC-USDT"])
def test_any_spelling_is_understood(served: dict[str, str], tmp_path: Path, symbol: str) -> None:
    assert _asked(symbol, served, tmp_path) == {"BTCUSDT"}


@pytest.mark.parametrize("command", ["run", "record"])
def test_what_no_venue_lists_is_refused_with_the_nearest(served: dict[str, str], tmp_path: Path, command: str) -> None:
    options = ["--out", str(tmp_path / "recording")] if command == "record" else []
    ended = subprocess.run(
        [*_COMMAND, command, "--symbol", "BTCUDST", *options],
        capture_output=True, env=served, cwd=tmp_path, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert "BTCUDST is listed by none of binance, bybit, okx, hyperliquid; nearest: BTCUSDT" in ended.stderr


def test_without_the_lists_it_is_told_what_a_name_is_taken_for(tmp_path: Path) -> None:
    env = os.environ | {"LIQTAPE_REDIS_URL": "off", "LIQTAPE_HISTORY_URL": "off", "XDG_DATA_HOME": str(tmp_path)}
    for name in _VENUES:
        env |= {
            f"LIQTAPE_VENUES_{name.upper()}_WS_URL": "ws://127.0.0.1:9",
            f"LIQTAPE_VENUES_{name.upper()}_REST_URL": "http://127.0.0.1:9",
        }
    ended = subprocess.run(
        [*_COMMAND, "record", "--symbol", "nosuch", "--out", str(tmp_path / "recording"), "--seconds", "1"],
        capture_output=True, env=env, cwd=tmp_path, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "nosuch is taken for NOSUCHUSDT, NOSUCHUSDC, NOSUCHUSD: the list of binance" in ended.stderr


def test_check_names_a_symbol_that_no_venue_lists(served: dict[str, str], tmp_path: Path) -> None:
    ended = subprocess.run(
        [*_COMMAND, "check"], capture_output=True, cwd=tmp_path, text=True, timeout=60, check=False,
        env=served | {"LIQTAPE_SYMBOLS": "btcusdt,NOSUCHUSDT"},
    )  # fmt: skip
    assert ended.returncode == 1
    failed = [line for line in ended.stdout.splitlines() if line.startswith("FAIL")]
    assert [line.partition(";")[0] for line in failed] == [
        "FAIL symbols: listed: NOSUCHUSDT is listed by none of binance, bybit, okx, hyperliquid"
    ]
