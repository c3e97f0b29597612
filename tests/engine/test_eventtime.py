import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.engine.eventtime import EventClock

T = 1_790_000_000_000
HOUR_MS = 3_600_000


def warmed(skew_ms: int = 120, samples: int = 20) -> EventClock:
    """A clock that has seen a second of trades; `skew_ms` is our clock minus the venue's, way included."""
    clock = EventClock()
    for i in range(samples):
        clock.observe("binance", T + 50 * i, T + 50 * i + skew_ms)
    clock.estimate()
    return clock


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("observe"), st.integers(-20_000, 20_000), st.integers(-20_000, 20_000)),
            st.tuples(st.just("reached"), st.integers(-20_000, 20_000), st.just(0)),
            st.tuples(st.just("now"), st.integers(-20_000, 20_000), st.just(0)),
            st.tuples(st.just("estimate"), st.just(0), st.just(0)),
        ),
        max_size=80,
    )
)
def test_never_goes_back_once_an_event_was_accepted(steps: list[tuple[str, int, int]]) -> None:
    clock = EventClock()
    clock.reached(T)
    newest = 0
    for what, a, b in steps:
        if what == "observe":
            clock.observe("bybit", T + a, T + b)
        elif what == "reached":
            clock.reached(T + a)
        elif what == "estimate":
            clock.estimate()
        now = clock.now_ms(T + a)
        assert now >= newest
        newest = now


@pytest.mark.parametrize("absurd_ms", [-10 * HOUR_MS, 10 * HOUR_MS])
@pytest.mark.parametrize("samples", [4, 20], ids=["few", "many"])
def test_single_absurd_stamp_moves_nothing(absurd_ms: int, samples: int) -> None:
    clock = EventClock()
    clock.observe("binance", T + absurd_ms, T)
    for i in range(samples):
        clock.observe("binance", T + 50 * i, T + 50 * i + 120)
    clock.estimate()

    wall = T + 2_000
    assert wall - 120 <= clock.now_ms(wall) <= wall


def test_single_absurd_stamp_of_the_only_sample_moves_nothing() -> None:
    clock = EventClock()
    clock.observe("binance", T + 10 * HOUR_MS, T)
    clock.estimate()

    assert clock.now_ms(T + 1) == T + 1
    assert clock.now_ms(T + 6_000) == T + 6_000


@pytest.mark.parametrize("skew_ms", [-10_000, 10_000, 5 * HOUR_MS], ids=["behind", "ahead", "hours ahead"])
def test_wrong_clock_is_compensated_after_a_few_samples(skew_ms: int) -> None:
    clock = EventClock()
    clock.now_ms(T + skew_ms)
    clock.reached(T)
    clock.now_ms(T + skew_ms)
    for i in range(6):
        clock.observe("bybit", T + 10 * i, T + 10 * i + skew_ms + 30)
    clock.estimate()

    assert clock.now_ms(T + 1_000 + skew_ms) == T + 970


def test_clock_ahead_does_not_freeze_time() -> None:
    clock = warmed(skew_ms=10_000)

    assert clock.now_ms(T + 60_000 + 10_000) == T + 60_000
    assert clock.now_ms(T + 61_000 + 10_000) == T + 61_000


def test_lower_quartile_ignores_queues_on_the_way() -> None:
    clock = EventClock()
    for i in range(40):
        clock.observe("okx", T + i, T + i + (50 if i % 2 else 4_000))

    assert clock.estimate() == {"okx": 50}


def test_quickest_venue_counts() -> None:
    clock = warmed(skew_ms=80)
    for i in range(20):
        clock.observe("okx", T + i, T + i + 5_000)
    clock.estimate()

    assert clock.now_ms(T + 10_000) == T + 10_000 - 80


def test_old_samples_make_room() -> None:
    clock = warmed(skew_ms=500, samples=64)
    for i in range(64):
        clock.observe("binance", T + i, T + i + 100)

    assert clock.estimate() == {"binance": 100}


def test_accepted_event_is_the_time_until_the_skew_is_known() -> None:
    clock = EventClock()
    assert clock.now_ms(T + HOUR_MS) == T + HOUR_MS  # nothing accepted: nothing to compare with, and not kept

    clock.reached(T)
    clock.observe("bybit", T, T + HOUR_MS)

    assert clock.now_ms(T + HOUR_MS) == T
    assert clock.now_ms(T + HOUR_MS + 4_999) == T


def test_few_samples_for_five_seconds_leave_the_wall_clock() -> None:
    clock = EventClock()
    clock.reached(T)
    clock.observe("own", T, T + 100)

    assert clock.now_ms(T + 5_100) == T + 5_100


def test_events_that_are_no_samples_leave_the_wall_clock_after_five_seconds() -> None:
    clock = EventClock()
    clock.reached(T)

    assert clock.now_ms(T + 100) == T
    assert clock.now_ms(T + 5_100) == T + 5_100


def test_event_is_measured_by_the_later_of_event_time_and_our_clock_at_first() -> None:
    clock = EventClock()
    clock.reached(T)
    clock.observe("own", T, T + 100)

    assert clock.plausible_ms(T + 3_000) == T + 3_000
    assert warmed(skew_ms=10_000).plausible_ms(T + 60_000) == T + 50_000


def test_moment_of_our_clock_in_event_time() -> None:
    assert EventClock().at_ms(T) == T
    assert warmed(skew_ms=10_000).at_ms(T + 10_000) == T
