"""Levels of the past: those a run would have had at that moment, by the rule that is set."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

import liqtape.history
from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import MARKET_KEY, Raise, ReturnPeriods, StreamKey
from liqtape.engine.levels.surpriselevels import LevelRule
from liqtape.engine.levels.threshold import Threshold
from liqtape.eventfiles.eventtable import EventRow, EventTable
from liqtape.eventfiles.replay import steps
from liqtape.events import Level, Liquidation
from liqtape.history.archive.archiver import CLOSED_AFTER_MS, Archiver
from liqtape.history.log.journal import AliveEntry, FeedDownEntry, FeedUpEntry
from liqtape.history.log.store import Store
from liqtape.pipeline.levelalerts import Levels

_HOUR_MS = 3_600_000
_BEGIN_MS = 1_790_000_000_000 // _HOUR_MS * _HOUR_MS
_HOURS = 9
_SPAN = (_BEGIN_MS + 6 * _HOUR_MS, _BEGIN_MS + _HOURS * _HOUR_MS)
_UP = [(_BEGIN_MS, _BEGIN_MS + 3 * _HOUR_MS), (_BEGIN_MS + 3 * _HOUR_MS + 777_000, _SPAN[1] + 1)]
_VENUES = ("bybit", "okx")
_INSTRUMENTS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")


def _market(seed: int) -> list[Liquidation]:
    """Nine hours: single ones, bursts, ties, unsized ones, and a crash of all instruments in the last three."""
    random = Random(seed)
    drawn: list[tuple[int, str, str, float | None]] = []
    while len(drawn) < 700:
        at_ms = _BEGIN_MS + random.randrange(_HOURS * _HOUR_MS)
        instrument, many = random.choice(_INSTRUMENTS), random.choice([1, 1, 1, 2, 6])
        for _ in range(many):
            at_ms += random.choice([0, 0, 7, 1_000, 20_000])
            usd = None if random.random() < 0.05 else round(10 ** random.uniform(1, 6), 6)
            drawn.append((at_ms, random.choice(_VENUES), instrument, usd))
    crash_ms = _BEGIN_MS + 7 * _HOUR_MS + random.randrange(_HOUR_MS)
    drawn += [(crash_ms + 300 * i, _VENUES[i % 2], _INSTRUMENTS[i % 4], 60e6) for i in range(24)]
    watched = [one for one in drawn if any(up <= one[0] <= down for up, down in _UP)]
    return [
        Liquidation(venue, name, name, "long", 1.0, "fill", 1.0, usd, at_ms, at_ms, str(serial))
        for serial, (at_ms, venue, name, usd) in enumerate(sorted(watched, key=lambda one: one[0]))
    ]


_Said = tuple[Level, float | None, float | None, float, bool]


def _live(events: Sequence[Liquidation], names: Sequence[StreamKey]) -> tuple[dict[int, list[_Said]], list[Raise]]:
    """The engine as a run uses it: every event looked at, every second a tick; what it says in the span."""
    engine = VelocityEngine()
    assert engine.levels is not None
    marks = sorted((at_ms, is_up) for span in _UP for at_ms, is_up in zip(span, (True, False), strict=True))
    waiting = list(reversed(events))
    said: dict[int, list[_Said]] = {}
    for second in range(_BEGIN_MS, _SPAN[1] + 1, 1000):
        while marks and marks[0][0] <= second:
            at_ms, is_up = marks.pop(0)
            while waiting and waiting[-1].event_ms <= at_ms - is_up:
                _add(engine, waiting.pop())
            for venue in _VENUES:
                (engine.feed_up if is_up else engine.feed_down)(venue, at_ms)
        while waiting and waiting[-1].event_ms <= second:
            _add(engine, waiting.pop())
        engine.tick(second)
        if second > _SPAN[0]:
            said[second] = [_say(engine, name, second) for name in names]
    return said, engine.levels.take_raises()


def _add(engine: VelocityEngine, event: Liquidation) -> None:
    engine.add(event)
    engine.look([(event.venue, event.instrument)], event.event_ms)


def _say(engine: VelocityEngine, key: StreamKey, second: int) -> _Said:
    levels = engine.levels
    assert levels is not None
    told = levels.rarity(key, second, engine.minute(key, second)[0])
    return levels.level_of(key), told.return_days, told.times_usual, told.watched_days, told.is_learning


def _logged(directory: Path, events: Sequence[Liquidation]) -> None:
    """The history of such a run, its first hours in files."""
    store = Store(directory)
    for hour in range(_HOURS):
        from_ms = _BEGIN_MS + hour * _HOUR_MS
        store.write([event for event in events if from_ms <= event.event_ms < from_ms + _HOUR_MS])
        store.mark_hour(from_ms)
    for venue in _VENUES:
        for up_ms, down_ms in _UP:
            store.write([], [FeedUpEntry(venue, up_ms), FeedDownEntry(venue, down_ms)])
    store.write([], [AliveEntry(_SPAN[1])])
    store.close()
    archiver = Archiver(directory)
    archiver.seal(_BEGIN_MS + 5 * _HOUR_MS + CLOSED_AFTER_MS)
    archiver.close()


def _taped(events: Sequence[Liquidation]) -> EventTable:
    tape = EventTable()
    for event in events:
        names = event.venue, event.instrument, event.symbol, event.side
        tape.take(EventRow(event.event_ms, *names, 1.0, 1.0, event.notional_usd, None, event.id))
    return tape


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_history_and_a_replay_have_the_levels_of_the_run(seed: int, tmp_path: Path) -> None:
    events = _market(seed)
    keys = [StreamKey(None, "BTCUSDT"), MARKET_KEY, StreamKey("okx", None), StreamKey("bybit", "ETHUSDT")]
    live, raises = _live(events, keys)
    assert {said[0][0] for said in live.values()} == {"NONE", "WATCH", "ALERT", "CRITICAL", "EXTREME"}

    engine = VelocityEngine()
    alerts = [alert for step in steps(_taped(events), 1, _UP, engine) for alert in step.alerts]
    assert engine.levels is not None
    assert engine.levels.take_raises() == raises
    for place, name in enumerate(("BTCUSDT", "MARKET")):
        changes = {alert.at_ms: alert.level for alert in alerts if alert.instrument == name}
        level: Level = "NONE"
        for second in range(_BEGIN_MS, _SPAN[1] + 1, 1000):
            level = changes.get(second, level)
            if second in live:
                assert level == live[second][place][0]

    _logged(tmp_path, events)
    with liqtape.history.open(tmp_path) as past:
        for place, key in enumerate(keys):
            rows = past.levels(*_SPAN, instrument=key.instrument, venue=key.venue, every=1).to_pylist()
            assert len(rows) == 10_800
            before: Level = "NONE"
            for row in rows:
                level, *said = live[row["at_ms"]][place]
                assert row["level"] == level, row
                assert row["highest_level"] in {level, before}
                assert [row["return_days"], row["watched_days"], row["is_learning"]] == [said[0], *said[2:]], row
                # (The mean minute decays with the end of episodes, which a run notices at another moment.)
                assert row["times_usual"] == (None if said[1] is None else pytest.approx(said[1], rel=1e-4))
                before = level
            steps_of_600 = past.levels(*_SPAN, instrument=key.instrument, venue=key.venue, every=600).to_pylist()
            order = ["NONE", "WATCH", "ALERT", "CRITICAL", "EXTREME"]
            for row in steps_of_600:
                seconds = range(row["at_ms"] - 599_000, row["at_ms"] + 1, 1000)
                highest = max((live[second][place][0] for second in seconds), key=order.index)
                assert order.index(row["highest_level"]) >= order.index(highest)
                assert row["level"] == live[row["at_ms"]][place][0]


def test_nothing_later_changes_a_level(tmp_path: Path) -> None:
    events = _market(4)
    until_ms = _SPAN[0] + 5_400_000
    told = []
    for name, known in (("all", events), ("half", [event for event in events if event.event_ms <= until_ms])):
        (tmp_path / name).mkdir()
        _logged(tmp_path / name, known)
        with liqtape.history.open(tmp_path / name) as past:
            told.append(past.levels(_SPAN[0], until_ms, instrument="BTCUSDT", every=10))
    assert told[0].equals(told[1])


def test_the_rule_that_is_set_decides(tmp_path: Path) -> None:
    events = _market(5)
    _logged(tmp_path, events)
    found: dict[str, set[object]] = {}
    rules = {
        "default": VelocityEngine,
        "floor": lambda: VelocityEngine(rule=ReturnPeriods(critical_usd=1e9)),
        "threshold": lambda: VelocityEngine(rule=Threshold(0.3, 1e9)),
        "surprise": lambda: VelocityEngine(rule=LevelRule(1.1, 2.0, 3.0, 1, 1e12)),
    }
    for name, new_engine in rules.items():
        with liqtape.history.open(tmp_path, new_engine) as past:
            rows = past.levels(*_SPAN, instrument="BTCUSDT", every=60).to_pylist()
        found[name] = {row["highest_level"] for row in rows}
        assert all((row["watched_days"] is None) == (name in {"threshold", "surprise"}) for row in rows)

    assert found["default"] >= {"WATCH", "CRITICAL"}
    assert not found["floor"] & {"CRITICAL", "EXTREME"}
    assert found["threshold"] == {"NONE", "ALERT"}
    assert found["surprise"] >= {"NONE", "WATCH"}
    assert not found["surprise"] & {"CRITICAL", "EXTREME"}


def test_levels_by_threshold_are_those_of_the_run_each_second(tmp_path: Path) -> None:
    events = _market(6)
    _logged(tmp_path, events)
    engine = VelocityEngine(rule=Threshold(0.3, 1e9))
    levels, waiting = Levels(engine), list(reversed(events))
    expected = []
    for second in range(_BEGIN_MS, _SPAN[1] + 1, 1000):
        while waiting and waiting[-1].event_ms <= second:
            engine.add(waiting.pop())
        levels.check("BTCUSDT", second)
        expected.append((second, levels.current("BTCUSDT")))
    with liqtape.history.open(tmp_path, lambda: VelocityEngine(rule=Threshold(0.3, 1e9))) as past:
        rows = past.levels(*_SPAN, instrument="BTCUSDT", every=1).to_pylist()

    assert [(row["at_ms"], row["level"]) for row in rows] == [one for one in expected if one[0] > _SPAN[0]]
