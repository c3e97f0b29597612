from liqtape.engine import VelocityEngine
from liqtape.engine.eventtime import EventClock
from liqtape.events import NO_LIST, Gap
from liqtape.feeds.outages import Outages

T = 1_790_000_000_000
HOLD = 1_100


def _outages() -> tuple[Outages, list[Gap], VelocityEngine]:
    engine = VelocityEngine()
    told: list[Gap] = []
    return Outages(engine, EventClock(), {"okx": HOLD}, [told.append]), told, engine


def test_a_gap_is_told_when_it_begins_ends_and_is_filled() -> None:
    outages, told, engine = _outages()
    assert outages.up("okx", T) is None
    outages.down("okx", T + 100_000 + HOLD, "reset")
    assert outages.gaps() == [Gap("okx", T + 100_000, None, "reset")]
    gap = outages.up("okx", T + 130_000)
    assert gap == Gap("okx", T + 100_000, T + 130_000, "reset")
    assert engine.coverage("okx", T + 300_000) == 0.9
    outages.filled(gap)

    assert engine.coverage("okx", T + 300_000) == 1.0
    assert outages.gaps() == [Gap("okx", T + 100_000, T + 130_000, "reset", filled=True)]
    assert [(g.until_ms, g.filled) for g in told] == [(None, False), (T + 130_000, False), (T + 130_000, True)]
    assert outages.total == 1


def test_what_turned_out_to_be_missed_is_a_gap_that_has_ended() -> None:
    outages, told, engine = _outages()
    outages.up("okx", T)
    gap = outages.missed("okx", T + 60_000 + HOLD, T + 90_000, "silent")

    assert told == [gap] == outages.gaps()
    assert engine.coverage("okx", T + 300_000) == 0.9


def test_gaps_are_in_the_time_of_the_venues() -> None:
    engine, clock = VelocityEngine(), EventClock()
    for i in range(8):
        clock.observe("okx", T + i, T + i + 3_600_000)
    clock.estimate()
    outages = Outages(engine, clock, {})
    outages.up("okx", T + 3_600_000)
    outages.down("okx", T + 3_700_000, "reset")

    assert outages.gaps()[0].from_ms == T + 100_000


def test_a_gap_of_an_earlier_run_is_not_begun_twice() -> None:
    outages, told, _ = _outages()
    outages.begin(Gap("okx", T, None, "not running"))
    outages.begin(Gap("okx", T + 500, None, "not live yet"))
    outages.up("okx", T + 900)

    assert outages.gaps() == [Gap("okx", T, T + 900, "not running")]
    assert len(told) == 2


def test_an_end_before_the_beginning_is_an_empty_gap() -> None:
    outages, _, _ = _outages()
    outages.down("okx", T, "reset")
    gap = outages.up("okx", T - 400)
    assert gap is not None
    assert gap.until_ms == T


def test_a_gap_does_not_begin_before_the_feed_did() -> None:
    outages, _, _ = _outages()
    outages.up("okx", T)
    outages.down("okx", T + 300, "reset")
    assert outages.gaps()[0].from_ms == T


def test_a_missing_list_is_a_gap_that_takes_nothing_from_what_is_subscribed() -> None:
    outages, told, engine = _outages()
    outages.up("okx", T)
    outages.unseen("okx", T, [], is_listed=False)
    outages.unseen("okx", T + 100, ["NEWUSDT"], is_listed=False)
    assert outages.gaps() == [Gap("okx", T + 1, None, NO_LIST)]
    assert not outages.is_open("okx")
    outages.down("okx", T + 10, "reset")  # begins with the life of the feed, and is told apart all the same
    outages.up("okx", T + 10)
    outages.unseen("okx", T + 60_000, [], is_listed=True)

    assert outages.gaps() == [Gap("okx", T, T + 10, "reset"), Gap("okx", T + 1, T + 60_000, NO_LIST)]
    assert [(gap.from_ms, gap.until_ms) for gap in told if gap.reason == NO_LIST] == [
        (T + 1, None),
        (T + 1, T + 60_000),
    ]
    assert engine.coverage("okx", T + 310_000) == 1.0
