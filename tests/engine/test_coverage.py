"""The live intervals of one feed."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.engine.baseline.liveintervals import EVER_MS
from liqtape.engine.windows.coverage import Feed, Feeds
from liqtape.engine.windows.eventcolumn import RETAIN_MS

_CHANGES = st.lists(st.tuples(st.booleans(), st.integers(0, 400_000)), max_size=30)


def _feed(changes: list[tuple[bool, int]]) -> Feed:
    feed = Feed()
    for up, at in changes:
        (feed.up if up else feed.down)(at)
    return feed


def _live_ms(changes: list[tuple[bool, int]], start: int, end: int) -> int:
    """By looking at each stretch between two changes in time order."""
    edges = sorted({start, end, *(at for _, at in changes if start < at < end)})
    live = 0
    for a, b in pairwise(edges):
        last = [up for up, at in changes if at <= a]
        live += (b - a) * (bool(last) and last[-1])
    return live


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=12),
    st.lists(st.tuples(st.booleans(), st.integers(0, 400), st.integers(1, 100)), max_size=6),
)
def test_what_was_missed_or_mended_afterwards_is_exactly_that(
    changes: list[tuple[bool, int]], repairs: list[tuple[bool, int, int]]
) -> None:
    in_order = sorted(changes, key=lambda change: change[1])
    feed = _feed(in_order)
    live = {at for at in range(600) if _live_ms(in_order, at, at + 1)}
    for is_mended, since, length in repairs:
        span = set(range(since, since + length))
        live = live | span if is_mended else live - span
        (feed.backfilled if is_mended else feed.missed)(since, since + length)

    assert {at for at in range(600) if feed.live_ms(at, at + 1)} == live
    assert all(up <= down for up, down in feed.ended)  # equal: it came and went
    assert all(a[1] <= b[0] for a, b in pairwise(feed.ended))


@given(_CHANGES, st.integers(0, 450_000), st.integers(1, 300_000))
@settings(max_examples=300)
def test_exposure_is_the_live_part_of_the_window(changes: list[tuple[bool, int]], now: int, width: int) -> None:
    in_order = sorted(changes, key=lambda change: change[1])

    assert _feed(in_order).live_ms(now - width, now) == _live_ms(in_order, now - width, now)


@given(_CHANGES, st.integers(0, 450_000), st.integers(1, 300_000))
@settings(max_examples=300)
def test_a_clock_that_jumps_never_gives_more_than_the_window(
    changes: list[tuple[bool, int]], now: int, width: int
) -> None:
    feed = _feed(changes)

    assert 0 <= feed.live_ms(now - width, now) <= width
    ended = [moment for interval in feed.ended for moment in interval]
    assert ended == sorted(ended)


def test_repeated_news_changes_nothing() -> None:
    feed = _feed([(True, 1_000), (True, 5_000), (False, 8_000), (False, 9_000)])

    assert feed.live_ms(0, 10_000) == 7_000


def test_down_before_any_up_is_not_known() -> None:
    feed = _feed([(False, 1_000)])

    assert not feed.is_known
    assert feed.live_ms(0, 10_000) == 0


@pytest.mark.parametrize("changes", [[(True, 1)], [(True, 1), (False, 2)]], ids=["live", "was live"])
def test_known_once_up(changes: list[tuple[bool, int]]) -> None:
    assert _feed(changes).is_known


def test_a_feed_that_flaps_for_a_day_stays_small_and_right() -> None:
    feed = Feed()
    for second in range(0, 86_400, 2):
        feed.up(1000 * second)
        feed.down(1000 * second + 1000)

    assert len(feed.ended) <= 2 * RETAIN_MS // 2_000 + 2
    for back in (0, 2_000, RETAIN_MS):
        now = 86_400_000 - back
        assert feed.live_ms(now - 300_000, now) == 150_000


def test_forget_keeps_the_newest() -> None:
    feed = _feed([(True, 0), (False, 1), (True, 2), (False, 3)])

    feed.forget(1_000)

    assert feed.ended == [(2, 3)]


def test_what_was_mended_too_late_is_covered_but_taught_nobody() -> None:
    feeds = Feeds()
    feeds.up("bybit", 0, 0)
    feeds.missed("bybit", 100_000, 200_000)
    feeds.backfilled("bybit", 100_000, 200_000, 150_000)

    assert feeds.live_ms_of(["bybit"], 300, 300_000) == [300_000]
    assert [
        feeds.live_intervals(["bybit"]).covers(at, at + 10_000) for at in (90_000, 100_000, 140_000, 150_000, 190_000)
    ] == [
        True,
        False,
        False,
        True,
        True,
    ]


def test_the_longest_memory_of_a_feed_is_bounded() -> None:
    feeds = Feeds()
    for i in range(3_000):
        feeds.up("bybit", 2_000 * i, 0)
        feeds.down("bybit", 2_000 * i + 1_000)

    assert len(feeds.live_intervals(["bybit"]).intervals) == 1_000


def test_events_before_anything_was_said_of_the_feed_were_watched() -> None:
    feeds = Feeds()
    assert feeds.spoke("bybit", 50_000)
    assert not feeds.spoke("okx", 60_000)
    assert feeds.live_intervals(["bybit"]).intervals == [(50_000, EVER_MS)]
    assert not feeds.live_intervals(["bybit"]).is_known
    for venue in ("bybit", "hyperliquid"):
        feeds.up(venue, 900_000, 300_000)

    assert feeds.live_intervals(["bybit"]).intervals == [(50_000, 300_000), (900_000, EVER_MS)]
    assert feeds.live_intervals(["hyperliquid"]).intervals == [(900_000, EVER_MS)]
    assert feeds.live_intervals(["okx"]).intervals == [(50_000, EVER_MS)]


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_feed_that_is_live_may_be_so_since_another_moment(is_forgotten: bool) -> None:
    feeds = Feeds()
    feeds.up("bybit", 0, 0)
    feeds.down("bybit", 100_000)
    feeds.up("bybit", 150_000, 0)
    if is_forgotten:  # as told by a wrong clock
        feeds.cut(120_000)
        assert feeds.live_ms_of(["bybit"], 300, 300_000) == [100_000]

    feeds.up_again("bybit", 150_000, 170_000)
    assert feeds.live_ms_of(["bybit"], 300, 300_000) == [100_000 + 130_000]
    assert feeds.live_intervals(["bybit"]).intervals == [(0, 100_000), (170_000, EVER_MS)]
    feeds.up_again("bybit", 170_000, 90_000)
    assert feeds.live_ms_of(["bybit"], 300, 300_000) == [300_000]


def test_what_was_missed_since_a_feed_is_live_stays_missed_wherever_that_began() -> None:
    feeds = Feeds()
    feeds.up("bybit", 10_000, 0)
    feeds.missed("bybit", 50_000, 60_000)
    feeds.up_again("bybit", 10_000, 0)
    assert feeds.live_ms_of(["bybit"], 300, 300_000) == [280_000]


def test_a_feed_of_an_earlier_run_is_placed_anew_in_windows_alone() -> None:
    feeds = Feeds()
    feeds.up("bybit", 100_000, 0)
    feeds.down("bybit", 200_000)
    feeds.placed("bybit", [(40_000, 80_000), (90_000, 140_000)])
    assert feeds.live_ms_of(["bybit"], 300, 300_000) == [90_000]
    assert feeds.live_intervals(["bybit"]).intervals == [(100_000, 200_000)]


def test_instrument_is_covered_since_its_own_topic_was_confirmed() -> None:
    feeds = Feeds()
    feeds.up("bybit", 0, 0)
    feeds.unsubscribed("bybit", ["NEWUSDT"], 100_000, is_listed=True)
    assert feeds.coverage(["bybit"], 400_000, "NEWUSDT") == [0.0] * 4
    assert feeds.coverage(["bybit"], 400_000, "BTCUSDT") == (1.0,) * 4

    feeds.unsubscribed("bybit", [], 380_000, is_listed=True)
    assert feeds.coverage(["bybit"], 400_000, "NEWUSDT") == [1.0, 20 / 30, 20 / 60, 20 / 300]
    assert feeds.live_ms_of(["bybit"], 60, 400_000, "NEWUSDT") == [20_000]
    assert feeds.live_intervals(["bybit"], "NEWUSDT").intervals == [(380_000, EVER_MS)]
    assert feeds.live_intervals(["bybit"], "BTCUSDT").intervals == [(0, EVER_MS)]


def test_venue_without_its_list_is_incomplete_until_the_window_has_left_it() -> None:
    feeds = Feeds()
    assert not feeds.is_incomplete(["bybit", "okx"], 0)
    feeds.unsubscribed("bybit", [], 100_000, is_listed=False)
    assert feeds.is_incomplete(["bybit", "okx"], 900_000)
    assert not feeds.is_incomplete(["okx"], 900_000)
    feeds.unsubscribed("bybit", [], 1_000_000, is_listed=True)
    assert feeds.is_incomplete(["bybit"], 999_999)
    assert not feeds.is_incomplete(["bybit"], 1_000_000)
