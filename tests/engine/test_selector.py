import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.engine.price.selector import QUIET_SECONDS, SILENCE_SECONDS, PriceSelector

ORDER = ["binance", "binance-spot", "bybit", "okx"]


def ticking(selector: PriceSelector, *spells: tuple[str, int, int]) -> None:
    """Ticks of several sources in their order of time, one a second from the first second to before the last."""
    ticks = [(second + 0.1 * i, name) for i, (name, first, end) in enumerate(spells) for second in range(first, end)]
    for at, source in sorted(ticks):
        selector.takes(source, at)


def test_the_first_of_the_order_is_the_price_from_its_first_tick() -> None:
    selector = PriceSelector(ORDER, 0.0)

    assert selector.takes("binance", 0.1)
    assert (selector.current, selector.switches) == ("binance", 0)


def test_what_is_not_in_the_order_is_never_the_price() -> None:
    selector = PriceSelector(["binance"], 0.0)

    assert not selector.takes("hyperliquid", 1_000.0)
    assert not PriceSelector([], 0.0).takes("binance", 1_000.0)


@pytest.mark.parametrize(("at", "taken"), [(SILENCE_SECONDS - 0.01, False), (SILENCE_SECONDS, True)])
def test_another_source_is_taken_after_ten_seconds_of_silence(at: float, *, taken: bool) -> None:
    selector = PriceSelector(ORDER, -1.0)
    selector.takes("binance", 0.0)

    assert selector.takes("bybit", at) == taken
    assert selector.current == ("bybit" if taken else "binance")
    assert selector.switches == int(taken)


def test_the_stand_in_is_the_next_of_the_order_that_lives_not_the_first_to_tick() -> None:
    selector = PriceSelector(ORDER, 0.0)
    for source in ("okx", "bybit", "binance-spot"):
        selector.takes(source, 9.9)

    assert [selector.takes(source, 10.0) for source in ("okx", "bybit", "binance-spot")] == [False, False, True]
    assert (selector.current, selector.switches) == ("binance-spot", 1)


def test_a_better_one_that_has_stopped_is_not_waited_for() -> None:
    selector = PriceSelector(ORDER, 0.0)
    selector.takes("binance-spot", 8.0)

    assert selector.takes("bybit", 10.5)


def test_return_needs_a_minute_without_a_break() -> None:
    selector = PriceSelector(ORDER, 0.0)
    ticking(selector, ("binance", 30, 80), ("binance", 90, 150), ("bybit", 0, 150))  # 50 s, and then not quite a minute

    assert (selector.current, selector.switches) == ("bybit", 1)
    assert selector.takes("binance", 90.1 + QUIET_SECONDS)
    assert (selector.current, selector.switches) == ("binance", 2)


def test_a_worse_source_never_takes_over_from_one_that_lives() -> None:
    selector = PriceSelector(ORDER, 0.0)
    for second in range(1_000):
        selector.takes("binance", float(second))
        selector.takes("okx", second + 0.5)

    assert (selector.current, selector.switches) == ("binance", 0)


def test_a_source_that_comes_back_before_another_took_over_goes_on() -> None:
    selector = PriceSelector(ORDER, 0.0)

    assert selector.takes("binance", 500.0)
    assert not selector.takes("bybit", 500.1)
    assert selector.switches == 0


def test_a_source_that_comes_and_goes_does_not_make_the_price_flap() -> None:
    selector = PriceSelector(ORDER, 0.0)
    for second in range(3_600):
        if second % 40 < 20:  # 20 s there, 20 s away
            selector.takes("binance", float(second))
        selector.takes("bybit", second + 0.5)

    assert (selector.current, selector.switches) == ("bybit", 1)


def test_refusal_leaves_the_next_half_the_time() -> None:
    selector = PriceSelector(ORDER, 0.0)
    selector.takes("binance", 99.0)
    for at in (100.0, 101.0, 102.0):
        selector.refused("binance", at)  # told again and again: the time does not begin anew
        assert selector.needed(at) == ["binance", "binance-spot"]
        assert not selector.takes("binance-spot", at)

    assert not selector.takes("binance-spot", 104.9)
    assert selector.takes("binance-spot", 105.0)


def test_refusal_of_what_is_unknown_or_not_current_changes_nothing() -> None:
    selector = PriceSelector(ORDER, 0.0)
    selector.refused("kraken", 1.0)
    selector.refused("okx", 1.0)

    assert selector.takes("binance", 9.0)
    assert selector.needed(9.0) == ["binance"]


@pytest.mark.parametrize(
    ("silent_for", "reach"), [(0.0, 1), (4.9, 1), (5.0, 2), (14.9, 2), (15.0, 3), (25.0, 4), (10_000.0, 4)]
)
def test_the_next_source_is_connected_before_its_time_and_one_more_each_ten_seconds(
    silent_for: float, reach: int
) -> None:
    selector = PriceSelector(ORDER, 0.0)

    assert selector.needed(silent_for) == ORDER[:reach]


def test_what_stood_by_is_not_needed_when_the_price_goes_on() -> None:
    selector = PriceSelector(ORDER, 0.0)
    assert selector.needed(6.0) == ORDER[:2]
    selector.takes("binance", 7.0)

    assert selector.needed(7.5) == ORDER[:1]


def test_better_sources_stay_needed_so_that_the_price_can_return() -> None:
    selector = PriceSelector(ORDER, 0.0)
    selector.takes("bybit", 12.0)

    assert selector.needed(12.5) == ORDER[:3]


def test_no_source_needs_nothing() -> None:
    assert PriceSelector([], 0.0).needed(100.0) == []
    assert not PriceSelector([], 0.0).is_silent(100.0)


@given(st.lists(st.tuples(st.sampled_from(ORDER), st.floats(0.01, 15.0)), max_size=150))
def test_in_any_sequence_only_the_current_is_the_price_and_switches_are_counted(
    steps: list[tuple[str, float]],
) -> None:
    selector = PriceSelector(ORDER, 0.0)
    now, last_taken, switches = 0.0, 0.0, 0
    runs: dict[str, tuple[float, float]] = {}  # source -> (first, last) of its unbroken ticks
    for source, passed in steps:
        now += passed
        before = selector.current
        first, last = runs.get(source, (now, now))
        runs[source] = (now if now - last >= SILENCE_SECONDS else first, now)
        taken = selector.takes(source, now)

        assert taken == (selector.current == source)
        if selector.current != before:
            switches += 1
            silent = now - last_taken >= SILENCE_SECONDS
            better = ORDER.index(source) < ORDER.index(before)
            assert silent or (better and now - runs[source][0] >= QUIET_SECONDS)
        if taken:
            last_taken = now
    assert selector.switches == switches
