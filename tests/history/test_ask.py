"""`liqtape history` and the page about it: every command and block runs against a history of the last hours."""

import io
import json
import re
import shlex
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow.parquet as pq
import pytest

import liqtape.history
from liqtape.cli.app import main
from liqtape.cli.historyrows import HistoryRows
from liqtape.cli.output import write_table
from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation
from liqtape.history.log.journal import AliveEntry, FeedUpEntry, GapEntry, PriceBarEntry
from liqtape.history.log.store import Store
from liqtape.history.query.rowsource import ArrowRows, LogRows
from liqtape.history.query.steps import edges
from liqtape.history.query.times import grid, moment_ms
from liqtape.history.query.totals import PastStreams, highest_of_steps

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
        assert re.search(r"BTCUSDT|per s|minutes|back-filled", told)


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

    assert len(rows) in {60, 61}  # the first and the last are parts of a minute
    assert {row["at_ms"] % 60_000 for row in rows[:-1]} == {0}
    assert rows[-1]["at_ms"] == now_ms
    assert max(row["event_count"] for row in rows) > 50
    assert {row["highest_level"] for row in rows[:-1]} > {"NONE", "CRITICAL"}
    assert any(row["return_days"] for row in rows)
    assert {row["is_learning"] for row in rows[:-1]} == {True}
    assert all(row["btc_price"] for row in rows[:-1])
    assert {row["volatility_factor"] is None for row in rows[:-1]} == {False}


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


def _rows(capfd: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _asked(capfd, *arguments, "--format", "ndjson").splitlines()]


@pytest.mark.parametrize("every", ["7", "60", "300", "3600"])
def test_every_event_of_the_span_is_in_one_row(now_ms: int, capfd: pytest.CaptureFixture[str], every: str) -> None:
    span = ("--from", str(now_ms - 40 * _MINUTE_MS - 333), "--to", str(now_ms - 1_234))
    rows = _rows(capfd, *span, "--every", every)
    events = _rows(capfd, *span, "--events")
    assert sum(row["event_count"] for row in rows) == len(events) > 150
    assert sum(row["total_value_usd"] for row in rows) == pytest.approx(sum(event["notional_usd"] for event in events))
    assert [row["from_ms"] for row in rows[1:]] == [row["at_ms"] for row in rows[:-1]]
    apart = _rows(capfd, *span, "--every", every, "--by", "instrument")
    assert sum(row["event_count"] for row in apart) == len(events)


def test_another_window_is_told_by_the_heads(now_ms: int, capfd: pytest.CaptureFixture[str]) -> None:
    until = str(now_ms // _MINUTE_MS * _MINUTE_MS)
    table = _asked(capfd, "--to", until, "--every", "600", "--window", "10")
    rows = _rows(capfd, "--to", until, "--every", "600", "--window", "10")
    assert "events, 10 s" in table.splitlines()[0]
    assert {"event_count_10s", "velocity_10s", "coverage_10s"} <= rows[0].keys()
    assert "events, " not in _asked(capfd, "--to", until, "--every", "600").splitlines()[0]


@pytest.mark.parametrize("by", [None, "instrument", "venue"])
@pytest.mark.parametrize("window", [None, 10, 60, 300])
def test_rows_are_those_of_the_batch_path(
    now_ms: int, recorded: Path, capfd: pytest.CaptureFixture[str], by: Any, window: int | None
) -> None:
    until = now_ms // 300_000 * 300_000
    begin = until - 3_600_000
    options = [*(["--by", by] if by else []), *(["--window", str(window)] if window else [])]
    rows = _rows(capfd, "--from", str(begin), "--to", str(until), "--every", "300", *options)
    seconds = window or 300
    with liqtape.history.open(recorded) as past:
        table = past.velocity(begin, until, by=by, every=300, seconds=[seconds]).to_pylist()
    expected = {(row["at_ms"], row["instrument"], row["venue"]): row for row in table}
    assert rows
    for row in rows:
        ours = expected.get((row["at_ms"], row["instrument"], row["venue"]))
        if ours is None:  # the batch path leaves out rows whose window is empty
            assert (by is not None, row[f"event_count_{seconds}s"]) == (True, 0)
            continue
        for name in ("event_count", "velocity", "usd_velocity", "long_count", "short_usd", "imbalance_usd", "coverage"):
            got = row[name if window is None else f"{name}_{seconds}s"]
            told = ours[f"{name}_{seconds}s"]
            assert got == (told if told is None else pytest.approx(told, rel=1e-12)), name
        assert row["acceleration"] == pytest.approx(ours["acceleration"], abs=1e-12)
        assert row["partial"] == ours["partial"]


@pytest.mark.parametrize("by", ["instrument", "venue"])
def test_totals_are_those_of_the_batch_path(
    now_ms: int, recorded: Path, capfd: pytest.CaptureFixture[str], by: Any
) -> None:
    begin = now_ms - 3_600_000
    rows = _rows(capfd, "--from", str(begin), "--to", str(now_ms), "--by", by)
    with liqtape.history.open(recorded) as past:
        table = past.summary(begin, now_ms, by=by, seconds=60).to_pylist()
    expected = {row[by]: row for row in table}
    assert {row[by] for row in rows} == expected.keys()
    for row in rows:
        for name, value in expected[row[by]].items():
            assert row[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), name


def test_what_nobody_watched_is_no_zero(now_ms: int, capfd: pytest.CaptureFixture[str]) -> None:
    span = ("--from", str(now_ms - 300 * _MINUTE_MS), "--to", str(now_ms), "--every", "600")
    rows = _rows(capfd, *span)
    dark = [row for row in rows if row["at_ms"] <= now_ms - 180 * _MINUTE_MS]
    assert len(dark) >= 10
    assert {(row["event_count"], row["velocity"], row["total_value_usd"]) for row in dark} == {(None, None, None)}
    assert None not in {row["event_count"] for row in rows[len(dark) + 1 :]}
    line = _asked(capfd, *span).splitlines()[2]
    assert re.split(r"\s{2,}", line)[2:5] == ["-", "-", "-"]
    assert ",,,,,,,,,,,," in _asked(capfd, *span, "--format", "csv").splitlines()[2]


def test_events_and_gaps_are_listed_in_any_zone(now_ms: int, capfd: pytest.CaptureFixture[str]) -> None:
    rows = _rows(capfd, "--to", str(now_ms), "--gaps", "--tz", "Asia/Tokyo")
    assert [(row["venue"], row["until_ms"] - row["from_ms"], row["reason"], row["filled"]) for row in rows] == [
        ("okx", 2 * _MINUTE_MS, "reset", False)
    ]
    assert datetime.fromisoformat(rows[0]["from_iso"]).timestamp() * 1000 == pytest.approx(rows[0]["from_ms"])
    assert rows[0]["from_iso"].endswith("+09:00")
    events = _rows(capfd, "--from", "-10m", "--to", str(now_ms), "--events", "--symbol", "ethusdt", "--venue", "okx")
    assert {(row["instrument"], row["venue"], row["event_iso"][-1]) for row in events} == {("ETHUSDT", "okx", "Z")}
    table = _asked(capfd, "--from", "-10m", "--events", "--tz", "Asia/Tokyo")
    assert table.startswith("time (Asia/Tokyo)")


def test_no_row_of_a_file_is_without_a_name(capfd: pytest.CaptureFixture[str]) -> None:
    assert {row["instrument"] for row in _rows(capfd, "--from", "-4h")} == {"BTCUSDT", "ETHUSDT"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--symbol", "BTCUDST"], "BTCUDST has never had an event there; nearest: BTCUSDT"),
        (["--venue", "okex"], "okex is none of binance, bybit, hyperliquid, okx"),
        (["--events", "--gaps"], "Ask for one"),
    ],
)
def test_an_unknown_name_is_refused(arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["history", *arguments]) == 2
    out, told = capfd.readouterr()
    assert (out, said in told, told.count("\n")) == ("", True, 1)


def test_a_known_name_without_events_there_is_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "--from", "-20d", "--to", "-19d", "--symbol", "btc/usdt:usdt", "--venue", "binance"]) == 0
    assert capfd.readouterr().err == ""


def test_a_table_fits_a_narrow_screen_and_says_what_it_leaves_out(capfd: pytest.CaptureFixture[str]) -> None:
    columns: dict[str, list[Any]] = {
        "from_ms": [0], "at_ms": [60_000], "instrument": ["BTCUSDT"], "event_count": [5], "velocity": [0.1],
        "velocity_se": [0.1], "total_value_usd": [1e6], "usd_velocity": [1.0], "long_usd": [1e6], "short_usd": [1e6],
    }  # fmt: skip
    file = io.BytesIO()
    write_table(columns, file, UTC, 70)
    lines = file.getvalue().decode().splitlines()
    assert max(map(len, lines)) <= 70
    assert {"until (UTC)", "instrument", "events"} <= set(re.split(r"\s{2,}", lines[0]))
    assert capfd.readouterr().err == "not shown for want of width: from (UTC), +-, long USD, short USD\n"


def test_a_picture_has_the_highest_of_each_step(recorded: Path, now_ms: int) -> None:
    burst_ms = (now_ms // _MINUTE_MS - 30) * _MINUTE_MS + 1_000
    span = (burst_ms - 3_600_000, burst_ms + 1_200_000)
    with closing(LogRows(recorded)) as rows:
        past = PastStreams(rows, span, (None, None), None, 10)
        for every in (7, 60, 2_160):
            peaks = highest_of_steps(past, edges(*span, every), 10)
            assert 80 <= max(peak.count or 0 for peak in peaks) <= 83


def test_the_log_alone_gives_what_the_archive_gives(recorded: Path, now_ms: int) -> None:
    span = (now_ms - 3_600_000, now_ms)
    with closing(LogRows(recorded)) as plain, liqtape.history.open(recorded) as past:
        arrow = ArrowRows(past.source)
        for instrument, venue in ((None, None), ("BTCUSDT", None), (None, "okx"), ("ETHUSDT", "bybit")):
            columns = ("event_ms", "venue", "instrument", "side", "notional_usd", "id")
            ours, theirs = (one.events(*span, instrument, venue, columns) for one in (plain, arrow))
            assert ours == theirs
            assert ours["id"]
        assert plain.gaps(*span) == arrow.gaps(*span)
        assert plain.coverage(*span) == arrow.coverage(*span)


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
    "text",
    [
        "2026-11-25T08:00:00",
        "2026-11-25T09:00+01:00",
        "2026-11-25 08:00Z",
        "20261125T0800",
        "202611250800",
        "20261125080000",
        "1795593600",
        "1795593600.0",
        "1795593600000",
    ],
)
def test_absolute_times(text: str) -> None:
    assert moment_ms(text, 0) == 1_795_593_600_000


def test_eight_digits_are_a_day_and_no_seconds_of_1970() -> None:
    begin, end = (moment_ms(text, 0) for text in ("20261128", "20261129"))
    assert (begin, end - begin) == (1_795_824_000_000, 86_400_000)


def test_a_time_without_a_zone_is_in_the_zone_that_was_asked_for() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert moment_ms("2026-11-25T09:00", 0, berlin) == moment_ms("20261125 09:00", 0, berlin) == 1_795_593_600_000
    assert moment_ms("2026-11-25T08:00Z", 0, berlin) == moment_ms("1795593600", 0, berlin) == 1_795_593_600_000


@pytest.mark.parametrize(
    "text", ["", "soon", "-5x", "2026-13-01", "20261301", "20260230", "2026", "1e9", "-5", "now now"]
)
def test_no_times(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no time"):
        moment_ms(text, 0)


def test_a_grid_is_at_the_same_moments_whenever_it_is_asked() -> None:
    assert grid(10_001, 30_000, 10).tolist() == grid(19_999, 30_999, 10).tolist() == [20_000, 30_000]
    assert grid(10_000, 19_999, 10).tolist() == []


def test_a_chart_begins_where_somebody_watched_not_where_the_past_was_asked_for(tmp_path: Path) -> None:
    began_ms = 1_790_000_000_000
    old = Liquidation("okx", "BTCUSDT", "B", "long", 10.0, "fill", 1.0, 10.0, began_ms - 600_000, began_ms + 50, "1")
    new = Liquidation("okx", "BTCUSDT", "B", "long", 10.0, "fill", 1.0, 10.0, began_ms + 400, began_ms + 450, "2")
    with closing(Store(tmp_path)) as store:
        store.write([old, new])
    rows = HistoryRows(str(tmp_path))

    before = rows.liquidations(None, began_ms - 900_000, began_ms)
    all_of_it = rows.liquidations(None, began_ms - 900_000, began_ms + 1_000)

    assert (len(before.events), before.from_ms) == (1, began_ms)
    assert (len(all_of_it.events), all_of_it.from_ms) == (2, new.event_ms)
