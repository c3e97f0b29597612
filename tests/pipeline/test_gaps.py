import itertools
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from liqtape.engine import VelocityEngine
from liqtape.events import NO_LIST, Gap
from liqtape.pipeline.clock import EventClock
from liqtape.pipeline.gaps import STARTING, Outages

T = 1_790_000_000_000
HOLD = 1_100


def _outages() -> tuple[Outages, list[Gap], VelocityEngine]:
    engine = VelocityEngine()
    told: list[Gap] = []
    return Outages(engine, {"okx": HOLD}, told.append), told, engine


def test_a_gap_is_told_when_it_begins_ends_and_is_filled() -> None:
    outages, told, engine = _outages()
    assert outages.up("okx", T) is None
    outages.down("okx", T + 100_000 + HOLD, "reset")
    assert outages.gaps() == [Gap("okx", T + 100_000, None, "reset")]
    gap = outages.up("okx", T + 130_000)
    assert gap == Gap("okx", T + 100_000, T + 130_000, "reset")
    assert engine.coverage("okx", T + 300_000) == 0.9
    outages.backfilled(gap)

    assert engine.coverage("okx", T + 300_000) == 1.0
    assert outages.gaps() == [Gap("okx", T + 100_000, T + 130_000, "reset", backfilled=True)]
    assert [(g.until_ms, g.backfilled) for g in told] == [(None, False), (T + 130_000, False), (T + 130_000, True)]
    assert outages.total == 1


def test_an_outage_over_which_the_clock_was_set_back_is_filled_by_no_question() -> None:
    """Its stamps say 9 s where it lasted 69: a window said it was whole that lacked a minute."""
    clock, engine = EventClock({"okx": 0}), VelocityEngine()
    told: list[Gap] = []
    outages = Outages(engine, {}, told.append, clock=clock)
    clock.advance(T)
    outages.up("okx", T)
    clock.advance(T + 200_000)
    outages.down("okx", T + 131_000, "frozen")
    gap = outages.up("okx", T + 140_000)
    assert gap is not None
    outages.backfilled(gap)

    assert outages.gaps() == [Gap("okx", T + 131_000, T + 140_000, "frozen")]
    assert not told[-1].backfilled
    assert engine.coverage("okx", T + 300_000) == 231 / 300


def test_what_is_known_only_to_before_it_was_live_was_set_back() -> None:
    outages, _, _ = _outages()
    outages.up("okx", T)
    assert outages.beginning("okx", T + 300) == T
    assert outages.beginning("okx", T - 300) == T - 300
    assert outages.beginning("okx", T - 60_000) == T - 60_000 - HOLD


def test_what_turned_out_to_be_missed_is_a_gap_that_has_ended() -> None:
    outages, told, engine = _outages()
    outages.up("okx", T)
    (gap,) = outages.missed("okx", T + 60_000 + HOLD, T + 90_000, "silent")

    assert told == [gap] == outages.gaps()
    assert engine.coverage("okx", T + 300_000) == 0.9


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
    outages.unsubscribed("okx", T, [], is_listed=False)
    outages.unsubscribed("okx", T + 100, ["NEWUSDT"], is_listed=False)
    assert outages.gaps() == [Gap("okx", T + 1, None, NO_LIST)]
    assert not outages.is_open("okx")
    outages.down("okx", T + 10, "reset")  # begins with the life of the feed, and is told apart all the same
    outages.up("okx", T + 10)
    outages.unsubscribed("okx", T + 60_000, [], is_listed=True)

    assert outages.gaps() == [Gap("okx", T, T + 10, "reset"), Gap("okx", T + 1, T + 60_000, NO_LIST)]
    assert [(gap.from_ms, gap.until_ms) for gap in told if gap.reason == NO_LIST] == [
        (T + 1, None),
        (T + 1, T + 60_000),
    ]
    assert engine.coverage("okx", T + 310_000) == 1.0


def test_a_refusal_is_a_gap_that_an_outage_takes_the_place_of() -> None:
    outages, told, engine = _outages()
    outages.up("okx", T)
    outages.refused("okx", T, "refused: a")
    assert outages.is_open("okx")
    outages.refused("okx", T + 5_000, "refused: a, b")
    outages.down("okx", T + 20_000 + HOLD, "reset")
    for _ in range(2):
        outages.refused("okx", T + 21_000, "refused: a")
    outages.up("okx", T + 30_000)
    outages.refused("okx", T + 30_000, "refused: a")
    outages.refused("okx", T + 40_000, "")
    outages.refused("okx", T + 50_000, "")

    assert not outages.is_open("okx")
    ended = [gap for gap in told if gap.until_ms is not None]
    assert len(told) == 2 * len(ended) + 1  # once more, with what is known of the outage by then
    assert ended == [
        Gap("okx", T, T + 5_000, "refused: a"),
        Gap("okx", T + 5_000, T + 20_000, "refused: a, b"),
        Gap("okx", T + 20_000, T + 30_000, "reset; refused: a"),
        Gap("okx", T + 30_000, T + 40_000, "refused: a"),
    ]
    assert outages.gaps() == ended
    assert outages.total == 4
    assert engine.coverage("okx", T + 300_000) == pytest.approx(290 / 300)  # what comes is whole


def test_a_gap_of_a_venue_behind_our_time_ends_when_it_is_live_again() -> None:
    outages, told, _ = _outages()
    outages.begin(Gap("okx", T + 3_600_000, None, STARTING))  # by our time
    outages.up("okx", T)

    begin_ms = outages.down("okx", T + 60_000, "reset")
    outages.up("okx", T + 90_000)

    (start, outage) = outages.gaps()
    assert (start.from_ms, start.until_ms) == (T + 3_600_000, T + 3_600_000)
    assert (outage.from_ms, outage.until_ms, outage.reason) == (begin_ms, T + 90_000, "reset")
    assert len(told) == 4


@pytest.mark.parametrize("off_ms", [-3_600_000, -60_000, 0, 60_000, 3_600_000])
def test_the_gap_of_a_start_is_as_long_as_the_start_took_whatever_our_clock_says(off_ms: int) -> None:
    """Seen in virtual time: with ours an hour slow it lay over all that the run before had seen."""
    clock, told = EventClock({"okx": HOLD}), list[Gap]()
    outages = Outages(VelocityEngine(), {"okx": HOLD}, told.append, clock)
    outages.begin(Gap("okx", T, None, STARTING))
    clock.advance(T + 2_000)
    gap = outages.up("okx", T + off_ms + 2_000)

    assert gap == Gap("okx", T + off_ms, T + off_ms + 2_000, STARTING)
    assert told[-1] == gap
    empty = [] if off_ms == 0 else [Gap("okx", T, T, STARTING)]
    assert outages.gaps() == [*empty, gap]


@pytest.mark.parametrize("off_ms", [-3_600_000, -60_000, 60_000, 3_600_000])
def test_where_a_wrong_clock_began_the_common_time_a_venue_is_covered_since_it_was_live(off_ms: int) -> None:
    """Seen in virtual time: its windows were said to be whole over the minute before, in which nobody ran."""
    venues = ("binance", "bybit", "okx")
    clock, engine = EventClock(dict.fromkeys(venues, 0)), VelocityEngine()
    outages = Outages(engine, {}, clock=clock)
    clock.wait()
    for ms in range(5):
        clock.observe("bybit", [T + off_ms + ms], T + ms)
    clock.advance(T + 1_000)
    outages.up("okx", T + 1_000)
    clock.advance(T + 5_000)
    clock.estimate()
    outages.begun()
    assert clock.offset_ms(T + 5_000) == off_ms
    for ms in range(5):
        for venue in ("binance", "okx"):
            clock.observe(venue, [T + 6_000 + ms], T + 6_000 + ms)
    clock.estimate()
    for step in [step for step in clock.steps if not step.venue]:
        outages.moved(step.by_ms, step.by_venue)
        engine.move(step.by_ms, step.by_venue)
        if step.by_ms < 0:
            engine.rewind(clock.now_ms)
    outages.reassess()

    assert clock.offset_ms(clock.our_ms) == 0
    assert engine.coverage("okx", T + 61_000) == 60 / 300


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("down"), st.integers(0, 3_000)),
            st.tuples(st.just("up"), st.integers(0, 3_000)),
            st.tuples(st.just("refused"), st.sampled_from(["", "x", "y"])),
            st.tuples(st.just("missed"), st.integers(0, 20_000), st.integers(0, 9_000)),
        ),
        max_size=40,
    )
)
@example([("refused", "x"), ("missed", 0, 0), ("down", 900)])
def test_gaps_of_a_venue_never_overlap_and_have_all_that_was_missed(steps: list[tuple[Any, ...]]) -> None:
    outages, told, _ = _outages()
    outages.up("okx", T)
    at, known, lost, missed = T + 30_000, T, None, set[int]()
    for kind, *args in steps:
        at += 1_000
        if kind == "down" and lost is None:
            lost = outages.down("okx", at - args[0], "reset")
        elif kind == "up" and lost is not None:
            until = max(at - args[0], known)  # no feed is live again before what is known of it
            missed.update(range(lost, until, 100))
            outages.up("okx", until)
            lost = None
        elif kind == "refused":
            outages.refused("okx", at, args[0])
        elif kind == "missed":
            from_ms = at - args[0]
            known = max(known, until := min(at, from_ms + args[1]))
            missed.update(range(outages.beginning("okx", from_ms), until, 100))
            outages.missed("okx", from_ms, until, "silent")

    spans = sorted((gap.from_ms, 1 << 60 if gap.until_ms is None else gap.until_ms) for gap in outages.gaps())
    solid = [span for span in spans if span[0] < span[1]]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(solid))
    assert len({begin for begin, _ in solid}) == len(solid)
    assert all(any(begin <= ms < end for begin, end in solid) for ms in missed)
    begun = {(gap.venue, gap.from_ms) for gap in told}
    assert begun == {(gap.venue, gap.from_ms) for gap in outages.gaps()}
    assert outages.total == len(outages.gaps())
