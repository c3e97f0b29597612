"""`liqtape history` and the page about it: every command and block runs against a history of the last hours."""

import json
import re
import shlex
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from liqtape.cli.app import main
from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation
from liqtape.history.log.journal import AliveEntry, FeedUpEntry, GapEntry, PriceBarEntry
from liqtape.history.log.store import Store
from liqtape.history.query.times import grid, moment_ms

_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "howto" / "ask-the-history.md").read_text()
_MINUTE_MS = 60_000
_PICTURE = b"\x89PNG\r\n\x1a\n"


def _commands() -> list[str]:
    return [line for block in _blocks("") for line in block.splitlines()]


def _blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL)
    return [block for named, block in fenced if named == language]


@pytest.fixture(name="now_ms", scope="module")
def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(name="recorded", scope="module")
def _recorded(tmp_path_factory: pytest.TempPathFactory, now_ms: int) -> Path:
    """Three hours until now: BTC and ETH at two venues, a burst, a gap, prices."""
    directory = tmp_path_factory.mktemp("data") / "liqtape" / "history"
    directory.mkdir(parents=True)
    begin_ms = now_ms - 180 * _MINUTE_MS
    burst_ms = (now_ms // _MINUTE_MS - 30) * _MINUTE_MS + 1_000
    times = [begin_ms + 20_000 * i for i in range(540)] + [burst_ms + 100 * i for i in range(80)]
    events = [
        Liquidation(
            ("bybit", "okx")[i % 2],
            ("BTCUSDT", "ETHUSDT")[i % 3 == 0],
            "X",
            "long" if i % 4 else "short",
            60_000.0 + i,
            "fill",
            0.1,
            (6_000.0 if i < 540 else 1e6) + i,
            event_ms,
            event_ms + 9,
            str(i),
        )
        for i, event_ms in enumerate(times)
    ]
    bars = [
        PriceBarEntry(
            begin_ms // 1000 * 1000 + 1000 * i, 60_000.0, 60_010.0, 59_990.0, 60_000.0 + i % 7, 1.0, 3, "binance"
        )
        for i in range(180 * 60)
    ]
    gap = GapEntry("okx", now_ms - 50 * _MINUTE_MS, now_ms - 48 * _MINUTE_MS, "reset")
    store = Store(directory)
    store.write(events, [FeedUpEntry("bybit", begin_ms), FeedUpEntry("okx", begin_ms), gap, *bars, AliveEntry(now_ms)])
    store.close()
    return directory


@pytest.fixture(autouse=True)
def _at_home(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`liqtape history` finds it where `run` would keep it, and leaves its files in the test's directory."""
    monkeypatch.setenv("XDG_DATA_HOME", str(recorded.parents[1]))
    monkeypatch.chdir(tmp_path)


def _asked(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["history", *arguments]) == 0
    return capfd.readouterr().out


@pytest.mark.parametrize("command", _commands())
def test_every_command_of_the_page_runs(command: str, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = shlex.split(command)
    assert words[:2] == ["liqtape", "history"]

    told = _asked(capfd, *words[2:])

    if "--plot" in words:
        assert (tmp_path / "cascade.png").read_bytes().startswith(_PICTURE)
    elif "--out" in words:
        assert pq.read_table(tmp_path / "minutes.parquet").num_rows > 60
    else:
        assert re.search(r"BTCUSDT|per s|minutes", told)


def test_every_block_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in _blocks("python"):
        exec(block, names)
    told = capsys.readouterr().out
    assert "'event_count_10s'" in told
    assert "ETHUSDT" in told
    assert names["table"].num_rows == 120  # type: ignore[attr-defined]
    assert names["totals"].num_rows == 2  # type: ignore[attr-defined]


def test_the_summary_has_all_first_and_then_most_usd(capfd: pytest.CaptureFixture[str]) -> None:
    lines = _asked(capfd, "--from", "-4h").splitlines()

    assert [line.split()[0] for line in lines] == ["instrument", "all", "BTCUSDT", "ETHUSDT"]
    assert [int(line.split()[1].replace(",", "")) for line in lines[2:]] == [413, 207]
    assert lines[1].split()[1] == "620"


def test_a_series_of_an_instrument(now_ms: int, capfd: pytest.CaptureFixture[str]) -> None:
    told = _asked(capfd, "--to", str(now_ms), "--symbol", "BTCUSDT", "--format", "ndjson")
    rows = [json.loads(line) for line in told.splitlines()]

    assert len(rows) == 60
    assert {row["at_ms"] % 60_000 for row in rows} == {0}
    assert max(row["event_count_60s"] for row in rows) > 50
    assert {row["highest_level"] for row in rows} > {"NONE", "CRITICAL"}
    assert any(row["return_days"] for row in rows)
    assert {row["is_learning"] for row in rows} == {True}
    assert all(row["btc_price"] for row in rows)
    assert {row["volatility_factor"] is None for row in rows} == {False}


def test_the_other_spelling_of_an_instrument(now_ms: int, capfd: pytest.CaptureFixture[str]) -> None:
    ours, theirs = (_asked(capfd, "--to", str(now_ms), "--symbol", name) for name in ("BTCUSDT", "BTC-USDT-SWAP"))

    assert ours == theirs


def test_csv_is_read_back_as_it_was(now_ms: int, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for form in ("csv", "parquet"):
        _asked(capfd, "--to", str(now_ms), *("--by", "venue", "--every", "60", "--format", form, "--out", f"a.{form}"))

    different = duckdb.execute("FROM read_csv('a.csv') EXCEPT FROM 'a.parquet'").fetchall()

    assert different == []
    assert pq.read_table(tmp_path / "a.parquet").num_rows > 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "yesterdayish"], "is no time"),
        (["--from", "-1h", "--to", "-2h"], "is no interval"),
        (["--format", "xlsx"], "xlsx"),
        (["--format", "parquet"], "--out"),
        (["--by", "colour"], "colour"),
        (["--window", "0"], "--window"),
        (["--history", "off"], "history.url is off"),
        (["--history", "nowhere"], "there is no nowhere"),
        (["--plot", "a.xyz"], "end the name in"),
        (["--every", "1", "--from", "1970-01-02"], "ask for longer ones"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_asked_is_refused_in_a_line(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["history", *arguments]) == 2

    out, told = capfd.readouterr()
    assert out == ""
    assert said in told
    assert told.count("\n") == 1


def test_nothing_there_is_said_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "--from", "-20d", "--to", "-19d"]) == 0

    out, told = capfd.readouterr()
    assert out.split()[0] == "instrument"
    assert out.count("\n") == 1
    assert told == "liqtape history: no events there\n"


@pytest.mark.parametrize(
    "arguments", [[], ["--symbol", "ETHUSDT"], ["--venue", "okx", "--from", "-10m"], ["--from", "-20d", "--to", "-19d"]]
)
def test_pictures(arguments: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert _asked(capfd, *arguments, "--plot", "a.svg") == ""

    drawn = (tmp_path / "a.svg").read_text()
    assert drawn.startswith("<?xml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", 0),
        ("-90s", -90_000),
        ("-1.5h", -5_400_000),
        ("now-2d", -172_800_000),
        ("+1w", 604_800_000),
    ],
)
def test_relative_times(text: str, expected: int) -> None:
    assert moment_ms(text, 5_000_000_000_000) - 5_000_000_000_000 == expected


@pytest.mark.parametrize(
    "text", ["2026-11-25T08:00:00", "2026-11-25T09:00+01:00", "2026-11-25 08:00Z", "1795593600", "1795593600000"]
)
def test_absolute_times(text: str) -> None:
    assert moment_ms(text, 0) == 1_795_593_600_000


@pytest.mark.parametrize("text", ["", "soon", "-5x", "2026-13-01", "now now"])
def test_no_times(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no time"):
        moment_ms(text, 0)


def test_a_grid_is_at_the_same_moments_whenever_it_is_asked() -> None:
    assert grid(10_001, 30_000, 10).tolist() == grid(19_999, 30_999, 10).tolist() == [20_000, 30_000]
    assert grid(10_000, 19_999, 10).tolist() == []
