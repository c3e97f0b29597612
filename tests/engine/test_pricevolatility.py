"""The price's volatility as it comes in: the same as the batch functions on the same trades."""

import tracemalloc
from math import fsum, inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.engine.price.pricevolatility import HALF_LIVES_S, LONG_S, SHORT_S, PriceVolatility
from liqtape.engine.price.volatility import (
    Realised,
    ewma_variances,
    grid_returns,
    realised_of_spells,
    volatility_factor,
)

_T = 1_790_000_000_000
_TEN_YEARS_MS = 10 * 365 * 86_400_000


def is_close(value: float | None, expected: float | None) -> bool:
    if value is None or expected is None:
        return value is expected
    return value == pytest.approx(expected, rel=1e-9, abs=1e-300)


class Recount:
    """Keeps all trades of each source and asks the batch functions."""

    def __init__(self) -> None:
        self.closed = -1
        self.spells: list[tuple[list[tuple[int, float]], list[int]]] = [([], [])]  # trades, [last second of its price]
        self.late = 0

    def add(self, price: float, event_ms: int) -> None:
        second = (event_ms + 999) // 1000
        if self.closed >= 0 and second <= self.closed:
            self.late += 1
            return
        self.closed = max(self.closed, second - 1)
        self.spells[-1][0].append((event_ms, price))

    def advance(self, now_ms: int) -> None:
        if self.closed >= 0:
            self.closed = max(self.closed, now_ms // 1000)

    def switched(self) -> None:
        self.spells[-1][1].append(self.closed)
        self.spells.append(([], []))

    def returns(self, seconds: int) -> list[list[float]]:
        """Of each source, those in the last `seconds` grid seconds."""
        first, spells = self.closed - seconds, []
        for trades, ends in self.spells:
            end = min([*ends, self.closed])
            if end > first:
                spells.append(grid_returns(sorted(trades, key=lambda t: t[0]), 1000 * end, end - first))
        return spells

    def realised(self) -> Realised:
        return realised_of_spells(self.returns(SHORT_S))


def _compare(price: PriceVolatility, recount: Recount, now: int) -> None:
    recount.advance(now)
    rarity, expected = price.realised(now), recount.realised()
    assert rarity.n_returns == expected.n_returns
    for name in ("rv", "bipower", "tripower", "jump_share", "jump_z"):
        assert is_close(getattr(rarity, name), getattr(expected, name)), name
    assert price.late_total == recount.late


def _compare_day(price: PriceVolatility, recount: Recount, now: int) -> None:
    day = [r for spell in recount.returns(LONG_S) for r in spell]
    rv = fsum(r * r for r in day)
    short = recount.realised()
    expected = volatility_factor(short.rv, short.n_returns, rv, len(day)) if len(day) >= 3_600 else None
    assert is_close(price.volatility_factor(now), expected)
    assert price.long_coverage(now) == len(day) / LONG_S


_PRICES = st.one_of(
    st.integers(1_000_000, 1_100_000).map(lambda tenths: tenths / 10),
    st.sampled_from([100_000.0, 100_000.0, 100_000.00000000001, 1e-300, 1e300]),
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), st.tuples(st.integers(-1_500, 3_000), _PRICES)),
        st.tuples(st.just("trade"), st.tuples(st.sampled_from([-1_000, -1, 0, 1, 1_000]), _PRICES)),
        st.tuples(st.just("pass"), st.sampled_from([1, 999, 1_000, 299_000, 300_000, 301_000, 4_000_000])),
        st.tuples(st.just("pass"), st.sampled_from([1, 1_000, 86_401_000, _TEN_YEARS_MS])),
        st.tuples(st.just("ask"), st.integers(-2_000, 5_000)),
        st.tuples(st.just("switch"), st.just(0)),
    ),
    max_size=40,
)


@given(_STEPS)
@settings(max_examples=50)
def test_equals_the_batch_functions_on_the_same_trades(steps: list[tuple[str, Any]]) -> None:
    price, recount, clock = PriceVolatility(), Recount(), _T
    for what, value in steps:
        if what == "trade":
            clock += max(0, value[0])
            price.add(value[1], clock + min(0, value[0]))
            recount.add(value[1], clock + min(0, value[0]))
        elif what == "pass":
            clock += value
        elif what == "ask":
            _compare(price, recount, clock + value)
        else:
            price.switched()
            recount.switched()
    _compare(price, recount, clock)
    _compare_day(price, recount, clock)


@pytest.mark.parametrize("half_life_s", HALF_LIVES_S)
@given(st.lists(st.tuples(st.integers(1, 90_000), st.integers(990_000, 1_010_000)), min_size=1, max_size=30))
@settings(max_examples=40)
def test_ewma_equals_the_batch_function_on_the_grid(half_life_s: int, steps: list[tuple[int, int]]) -> None:
    price, trades, clock = PriceVolatility(), list[tuple[int, float]](), _T
    for passed, tenths in steps:
        clock += passed
        trades.append((clock, tenths / 10))
        price.add(tenths / 10, clock)
    first, last = -(-trades[0][0] // 1000), clock // 1000
    grid: list[tuple[int, float]] = []
    i = 0
    for second in range(first, last + 1):
        while i < len(trades) and trades[i][0] <= 1000 * second:
            i += 1
        grid.append((1000 * second, trades[i - 1][1]))

    variances = ewma_variances(grid, half_life_s)

    assert is_close(price.ewma(half_life_s, clock), variances[-1] if variances else None)


def _ticking(price: PriceVolatility, seconds: int, first_ms: int = _T) -> int:
    """A price that goes up and down once a second; returns the time of the last trade."""
    for i in range(seconds):
        price.add(100.0 + i % 2, first_ms + 1_000 * i)
    return first_ms + 1_000 * (seconds - 1)


def test_the_factor_is_none_until_an_hour_is_covered() -> None:
    price = PriceVolatility()
    now = _ticking(price, 3_600)

    assert price.volatility_factor(now) is None
    price.add(100.0, now + 1_000)
    assert price.volatility_factor(now + 1_000) == pytest.approx(1.0)
    assert price.long_coverage(now + 1_000) == 3_600 / LONG_S


def test_twice_the_returns_are_twice_the_factor() -> None:
    price = PriceVolatility()
    now = _ticking(price, LONG_S)
    for i in range(SHORT_S):
        price.add(100.0 * 1.01 ** (2 * (i % 2)), now + 1_000 * (i + 1))
    factor = price.volatility_factor(now + 1_000 * SHORT_S)

    burst = 4 * (SHORT_S - 1) + 1
    day = (burst + LONG_S - SHORT_S) / LONG_S
    assert factor == pytest.approx((burst / SHORT_S / day) ** 0.5, rel=1e-12)


def test_nothing_is_known_before_the_first_trade() -> None:
    price = PriceVolatility()

    assert price.volatility_factor(_T) is None
    assert price.long_coverage(_T) == 0.0
    assert price.realised(_T).n_returns == 0
    assert price.ewma(60, _T) is None
    price.add(1.0, 5)  # the question did not set a clock
    assert price.late_total == 0


@pytest.mark.parametrize("seconds", [1, LONG_S - 1, LONG_S, 5 * LONG_S])
def test_a_flat_day_leaves_nothing_behind(seconds: int) -> None:
    price = PriceVolatility()
    now = _T
    for i in range(4_000):
        now += 700
        price.add(100_000.0 + (i * 7919) % 1_013 / 10, now)
    price.volatility_factor(now + 1_000 * seconds)
    after = now + 1_000 * seconds + 1_000 * LONG_S

    assert price.realised(after).rv == 0.0
    assert price.volatility_factor(after) is None
    assert price.long_coverage(after) == 1.0
    price.add(99.0, after + 1_000)
    assert price.volatility_factor(after + 1_000) == pytest.approx((LONG_S / SHORT_S) ** 0.5, rel=1e-12)


def test_ten_years_of_silence_are_a_flat_day() -> None:
    price = PriceVolatility()
    now = _ticking(price, 10) + _TEN_YEARS_MS

    assert price.long_coverage(now) == 1.0
    assert (price.realised(now).rv, price.ewma(60, now)) == (0.0, 0.0)


def test_ten_years_without_any_source_are_no_flat_day() -> None:
    price = PriceVolatility()
    now = _ticking(price, 5_000)
    before = price.ewma(60, now)
    price.switched()

    assert price.long_coverage(now + _TEN_YEARS_MS) == 0.0
    assert price.realised(now + _TEN_YEARS_MS).n_returns == 0
    assert price.ewma(60, now + _TEN_YEARS_MS) == before


def test_no_return_across_a_switch() -> None:
    price = PriceVolatility()
    for i in range(10):
        price.add(100.0, 1_000 * i)
    price.switched()
    for i in range(10, 20):
        price.add(101.0, 1_000 * i)

    result = price.realised(19_000)
    assert (result.n_returns, result.rv) == (8 + 9, 0.0)  # second 9 was not over: its price is gone with its source


def test_no_return_across_a_switch_within_a_second() -> None:
    price = PriceVolatility()
    price.add(100.0, 1_000)
    price.add(100.0, 1_300)
    price.switched()
    price.add(101.0, 1_600)

    assert price.realised(2_000).n_returns == 0
    assert price.realised(3_000).n_returns == 1


@pytest.mark.parametrize(
    ("event_ms", "late"), [(3_000, 1), (3_001, 0), (4_000, 0)], ids=["closed second", "open second", "its end"]
)
def test_a_trade_of_a_closed_second_is_counted_not_added(event_ms: int, late: int) -> None:
    price = PriceVolatility()
    price.add(100.0, 2_000)
    price.add(100.0, 3_500)
    price.add(200.0, event_ms)

    assert price.late_total == late
    assert price.realised(4_000).rv == pytest.approx(0.48045301391820144 if event_ms == 4_000 else 0.0)


def test_of_one_millisecond_the_last_to_come_counts() -> None:
    price = PriceVolatility()
    for value, event_ms in ((100.0, 1_000), (300.0, 1_500), (200.0, 1_500), (400.0, 1_400)):
        price.add(value, event_ms)

    assert price.realised(2_000).rv == pytest.approx(0.48045301391820144)


def test_an_earlier_evaluation_is_answered_as_of_the_last_closed_second() -> None:
    price = PriceVolatility()
    now = _ticking(price, 4_000)
    before = price.volatility_factor(now)
    for i in range(1, 61):
        price.add(100.0 + 5 * (i % 2), now + 1_000 * i)
    after = price.volatility_factor(now + 60_000)

    assert after is not None
    assert before is not None
    assert after > 2 * before
    assert price.volatility_factor(now) == after


@pytest.mark.parametrize("bad", [0.0, -1.0, nan, inf, -inf])
def test_a_bad_price_is_refused_and_changes_nothing(bad: float) -> None:
    price = PriceVolatility()
    price.add(100.0, 1_000)

    with pytest.raises(ValueError, match="a price is a positive number"):
        price.add(bad, 90_000)
    price.add(100.0, 2_000)
    assert (price.late_total, price.realised(2_000).n_returns) == (0, 1)


def test_another_half_life_is_refused() -> None:
    with pytest.raises(ValueError, match="not in"):
        PriceVolatility().ewma(61, _T)


def test_a_day_fits_in_seven_hundred_kilobytes() -> None:
    tracemalloc.start()
    try:
        price = PriceVolatility()
        _ticking(price, 5_000)
        price.volatility_factor(_T + 1_000 * LONG_S)
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert 8 * LONG_S <= used < 8 * LONG_S + 20_000
