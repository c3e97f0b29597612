"""Pasts from recordings, histories and event files, and what is refused."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.backtest.pasts import BEGIN_MS, rows, write
from tests.polling import until, wait_until

from liqtape.backtest.examsettings import ExamSettings
from liqtape.backtest.judgedpast import load_past
from liqtape.backtest.labelfile import labelled_onsets
from liqtape.backtest.pastsources import read_source, spans_joined
from liqtape.cli.demo import _settings
from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation
from liqtape.exam.alarmscores import Onset
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.journal import AliveEntry, FeedDownEntry, FeedUpEntry
from liqtape.pipeline.onevent import OnLiquidation
from liqtape.recording.recorder import Recorder
from liqtape.settings import HistorySettings, RedisSettings
from liqtape.simulator import Simulator
from liqtape.tracker import Tracker

_EXAM = ExamSettings()
_COVERAGE = "start_ms,end_ms\n{},{}\n{},{}\n"


def _events(count: int) -> list[Liquidation]:
    return [
        Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 5e4, "fill", 1.0, 5e4, BEGIN_MS + 1_000 * i, None, f"id{i}")
        for i in range(count)
    ]


def test_an_event_file_is_watched_from_first_to_last_event(tmp_path: Path) -> None:
    past = load_past(write(tmp_path / "events.csv", rows(1)))

    assert past.spans == [(past.times_ms[0], past.times_ms[-1])]
    assert past.scope == "BTCUSDT"
    assert list(past.times_ms) == sorted(past.times_ms)


def test_coverage_says_when_it_was_watched(tmp_path: Path) -> None:
    (tmp_path / "coverage.csv").write_text(_COVERAGE.format(BEGIN_MS, BEGIN_MS + 9, BEGIN_MS + 5, BEGIN_MS + 60_000))

    past = load_past(write(tmp_path / "events.csv", rows(1)), tmp_path / "coverage.csv")

    assert past.spans == [(BEGIN_MS, BEGIN_MS + 60_000)]
    assert past.is_watched(BEGIN_MS + 60_000)
    assert not past.is_watched(BEGIN_MS + 60_001)
    assert past.watched_within(BEGIN_MS + 59_000, BEGIN_MS + 90_000) == 1_000


def test_several_instruments_are_judged_together_or_one_by_its_name(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", rows(1), "BTCUSDT")
    write(tmp_path / "b.csv", rows(1)[:10], "ETHUSDT")

    assert load_past(tmp_path).scope == "ALL"
    assert len(load_past(tmp_path, None, "ETHUSDT")) == 10
    with pytest.raises(ConfigurationError, match=r"--symbol DOGEUSDT: not in .*; there are BTCUSDT, ETHUSDT"):
        load_past(tmp_path, None, "DOGEUSDT")


def test_the_future_can_be_cut_off(tmp_path: Path) -> None:
    past = load_past(write(tmp_path / "events.csv", rows(1)))

    left = past.until(past.times_ms[99])

    assert list(left.times_ms) == list(past.times_ms[:100])
    assert left.spans == [(past.times_ms[0], past.times_ms[99])]


def test_a_history_is_read_with_its_coverage(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.start()
    try:
        log.note(FeedUpEntry("bybit", BEGIN_MS - 5_000))
        log.offer(_events(50))
        log.note(FeedDownEntry("bybit", BEGIN_MS + 60_000))
        log.note(AliveEntry(BEGIN_MS + 60_000))
        wait_until(lambda: log.events_pending == 0)
    finally:
        log.stop()

    past = load_past(tmp_path)

    assert [event.event_ms for event in past] == [event.event_ms for event in _events(50)]
    assert past.spans == [(BEGIN_MS - 5_000, BEGIN_MS + 60_000)]
    with pytest.raises(ConfigurationError, match="a history says itself when its feeds were up"):
        read_source(tmp_path, tmp_path / "coverage.csv")


async def test_a_recording_is_what_live_accepted(tmp_path: Path) -> None:
    live: list[Liquidation] = []
    async with Simulator("cascade", 3, 4.0) as simulator:
        settings = replace(
            _settings(simulator, tmp_path), history=HistorySettings(url="off"), redis=RedisSettings("off")
        )
        tracker = Tracker(settings, recorder=Recorder(tmp_path / "recording", flush_seconds=0.05))
        tracker.listen(OnLiquidation(live.append))
        async with tracker:
            await until(lambda: len(live) >= 400)

    past = load_past(tmp_path / "recording")

    assert sorted((one.event_ms, one.instrument, one.notional_usd) for one in past) == sorted(
        (one.event_ms, one.instrument, one.notional_usd) for one in live
    )
    assert past.scope == "ALL"
    assert 0 < past.watched_ms <= past.end_ms - past.spans[0][0]
    watched = [past.is_watched(at_ms) for at_ms in past.times_ms]
    assert 0 < sum(watched) < len(past)  # a venue tells of its past when it is subscribed
    with pytest.raises(ConfigurationError, match="a recording says itself when its feeds were up"):
        read_source(tmp_path / "recording", tmp_path / "coverage.csv")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no liquidation there"):
        load_past(write(tmp_path / "events.csv", []))


def test_spans_are_joined() -> None:
    assert spans_joined([(7, 7), (5, 9), (0, 5), (12, 13)]) == [(0, 9), (12, 13)]


def test_labels_are_those_of_the_scope_rule_and_severity(tmp_path: Path) -> None:
    past = load_past(write(tmp_path / "events.csv", rows(1)))
    head = "scope,rule,start_ms,end_ms,severity,agree\n"
    lines = [
        f"ALL,rate,{BEGIN_MS + 5},{BEGIN_MS + 9},2,1",
        f"ALL,burst,{BEGIN_MS + 15},{BEGIN_MS + 19},2,1",
        f"ETHUSDT,rate,{BEGIN_MS + 25},{BEGIN_MS + 29},3,1",
        f"ALL,rate,{BEGIN_MS + 35},{BEGIN_MS + 39},1,1",
        f"ALL,rate,{BEGIN_MS + 45},{BEGIN_MS + 49},2,0",
        f"BTCUSDT,rate,{BEGIN_MS + 55},{BEGIN_MS + 59},3,1",
    ]
    (tmp_path / "labels.csv").write_text(head + "\n".join(lines))

    found = labelled_onsets(tmp_path / "labels.csv", past, _EXAM)

    assert found == [Onset(BEGIN_MS + 5, BEGIN_MS + 9, 2), Onset(BEGIN_MS + 55, BEGIN_MS + 59, 3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start_ms\n1\n", "no column end_ms; its first line has to name them"),
        ("start_ms,end_ms\nsoon,later\n", "line 2: start_ms is 'soon'; give a whole number"),
        (f"start_ms,end_ms\n{BEGIN_MS},{BEGIN_MS - 1}\n", r"line 2: .* is no time"),
        ("start_ms,end_ms\n", "no cascade of BTCUSDT of severity 2 or more among 0 rows"),
    ],
)
def test_labels_that_cannot_be_read_say_where(tmp_path: Path, text: str, message: str) -> None:
    past = load_past(write(tmp_path / "events.csv", rows(1)))
    (tmp_path / "labels.csv").write_text(text)

    with pytest.raises(ConfigurationError, match=message):
        labelled_onsets(tmp_path / "labels.csv", past, _EXAM)
