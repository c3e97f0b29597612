"""Correlation against the published vectors, and against sums over every bin, pair and interval."""

import json
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from math import isclose, log, sqrt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from liqtape.engine.correlation.estimators import (
    PATIENCE_MS,
    CountCorrelation,
    LeadLag,
    event_synchronisation,
    ewma_correlation,
    hayashi_yoshida,
    lagged_pearson,
    pearson,
    square_root,
)

_FILE = Path(__file__).resolve().parents[1] / "fixtures" / "metric_vectors_correlation.json"
_VECTORS: list[dict[str, Any]] = json.loads(_FILE.read_bytes())["vectors"]
_T = 1_790_000_000_000
_TEN_YEARS_S = 10 * 365 * 86_400


def _of(metric: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", [pytest.param(v, id=v["id"]) for v in _VECTORS if v["metric"] == metric])


def _agrees(value: float | None, expected: dict[str, str] | None) -> bool:
    if value is None or expected is None:
        return value is None and expected is None
    if "exact" in expected:
        return value == float(Fraction(expected["exact"]))
    return value == pytest.approx(float(expected["digits"]), rel=1e-9, abs=1e-12)


def _fed(x: list[int], y: list[int], streams: CountCorrelation) -> CountCorrelation:
    """One bin a second from _T on, all of them closed."""
    for i, counts in enumerate(zip(x, y, strict=True)):
        for name, count in zip("xy", counts, strict=True):
            if count:
                streams.add(name, _T + 1000 * i + 500, count)
    streams.advance(_T + 1000 * len(x) + PATIENCE_MS)
    return streams


def test_the_file_has_all_vectors() -> None:
    metrics = [vector["metric"] for vector in _VECTORS]

    assert {name: metrics.count(name) for name in metrics} == {
        "count_correlation": 3,
        "hayashi_yoshida": 3,
        "event_synchronisation": 3,
    }


@_of("count_correlation")
def test_count_correlation(vector: dict[str, Any]) -> None:
    x, y = vector["input"]["x"], vector["input"]["y"]
    params, expected = vector["params"], vector["expected"]

    lagged = lagged_pearson(x, y, params["max_lag_bins"])

    assert _agrees(pearson(x, y), expected["pearson"])
    assert _agrees(ewma_correlation(x, y, params["ewma_half_life_bins"]), expected["ewma"])
    assert {str(lag) for lag in lagged.rho} == set(expected["lagged_pearson"])
    assert all(_agrees(rho, expected["lagged_pearson"][str(lag)]) for lag, rho in lagged.rho.items())
    assert lagged.best_lag == expected["best_lag"]


@_of("count_correlation")
def test_count_correlation_online_on_raw_counts(vector: dict[str, Any]) -> None:
    raw = CountCorrelation(vector["params"]["ewma_half_life_bins"], _T, scale=float)

    streams = _fed(vector["input"]["x"], vector["input"]["y"], raw)

    assert _agrees(streams.correlation("x", "y"), vector["expected"]["ewma"])


@_of("hayashi_yoshida")
def test_hayashi_yoshida(vector: dict[str, Any]) -> None:
    a, b = ([(at_ms, float(price)) for at_ms, price in vector["input"][name]] for name in "ab")

    found = hayashi_yoshida(a, b)

    assert found.covariance == pytest.approx(float(vector["expected"]["covariance"]["digits"]), rel=1e-9, abs=1e-21)
    assert _agrees(found.correlation, vector["expected"]["correlation"])


@_of("event_synchronisation")
def test_event_synchronisation(vector: dict[str, Any]) -> None:
    expected = vector["expected"]

    found = event_synchronisation(vector["input"]["x_ms"], vector["input"]["y_ms"], vector["params"]["tau_ms"])

    assert _agrees(found.x_after_y, expected["c_x_after_y"])
    assert _agrees(found.y_after_x, expected["c_y_after_x"])
    assert _agrees(found.q_total, expected["Q"])
    assert _agrees(found.q_x_lags_y, expected["q_x_lags_y"])


def _recount(x: list[int], y: list[int], lag: int, half: float, *, raw: bool) -> float | None:
    """The recursion of the definition in decimals, bin by bin; x leads y by `lag` >= 0."""
    with localcontext(Context(prec=40)):
        s = Decimal(2) ** (-1 / Decimal(half))

        def course(counts: list[int]) -> tuple[list[Decimal], Decimal, Decimal]:
            """(deviation of each bin, variance and mean square after the last)."""
            values = [Decimal(c) if raw else (Decimal(c) + Decimal("0.375")).sqrt() for c in counts]
            mean, variance, deviations = values[0], Decimal(0), []
            for value in values:
                d = value - mean
                variance = s * (variance + (1 - s) * d * d)
                mean += (1 - s) * d
                deviations.append(d)
            silent = Decimal(0) if raw else Decimal("0.375").sqrt()
            return deviations, variance, variance + (mean - silent) ** 2

        if len(x) <= lag:
            return None
        (dx, vx, square_x), (dy, vy, square_y) = course(x[: len(x) - lag]), course(y)
        covariance = Decimal(0)
        for a, b in zip(dx, dy[lag:], strict=True):
            covariance = s * (covariance + (1 - s) * a * b)
        if vx <= Decimal("1e-9") * square_x or vy <= Decimal("1e-9") * square_y:
            return None
        return float(covariance / (vx * vy).sqrt())


def _same(found: float | None, expected: float | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return isclose(found, expected, rel_tol=1e-9, abs_tol=1e-10)


_BINS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 2, 9, 1_000_000]), st.sampled_from([0, 0, 1, 3]), st.sampled_from([0, 0, 7, 200])
    ),
    min_size=1,
    max_size=30,
)


def _spread(bins: list[tuple[int, int, int]]) -> tuple[list[int], list[int]]:
    """Counts of x and y bin by bin; the third number is of silent bins that follow."""
    x, y = [], []
    for a, b, silent in bins:
        x += [a, *[0] * silent]
        y += [b, *[0] * silent]
    return x, y


@settings(max_examples=60)
@given(_BINS, st.sampled_from([3.0, 20.0, 300.0]), st.booleans())
def test_online_equals_the_recursion_over_every_bin_at_every_lag(
    bins: list[tuple[int, int, int]], half: float, raw: bool
) -> None:
    x, y = _spread(bins)
    scale: Callable[[int], float] = float if raw else square_root
    found = _fed(x, y, CountCorrelation(half, _T, scale=scale)).lead_lag("x", "y")

    shown = min(sum(x), sum(y)) >= 10
    for lag in range(6):
        assert _same(found.rho[lag], _recount(x, y, lag, half, raw=raw) if shown else None), lag
        assert _same(found.rho[-lag], _recount(y, x, lag, half, raw=raw) if shown else None), -lag


@settings(max_examples=60)
@given(_BINS)
def test_batch_equals_online(bins: list[tuple[int, int, int]]) -> None:
    x, y = _spread(bins)
    found = _fed(x, y, CountCorrelation(300.0, _T)).correlation("x", "y")

    batch = ewma_correlation([square_root(c) for c in x], [square_root(c) for c in y], 300)

    assert found is None if min(sum(x), sum(y)) < 10 or batch is None else _same(found, batch)


@given(st.permutations([(name, 300 * i, 1 + i % 3) for i in range(12) for name in "xyz"]))
def test_order_within_the_patience_does_not_matter(events: list[tuple[str, int, int]]) -> None:
    streams, in_order = CountCorrelation(start_ms=_T), CountCorrelation(start_ms=_T)
    for name, at_ms, count in events:
        assert streams.add(name, _T + at_ms, count)
    for name, at_ms, count in sorted(events, key=lambda event: event[1]):
        assert in_order.add(name, _T + at_ms, count)
    for both in (streams, in_order):
        both.advance(_T + 60_000)

    for x, y in ("xy", "xz", "yz", "yx", "xx"):
        for lag, rho in streams.lead_lag(x, y).rho.items():
            assert _same(rho, in_order.correlation(x, y, lag))
            assert rho is not None


_ACTIVE_X = [3, 0, 9, 1, 0, 0, 2, 9, 0, 4, 0, 1]
_ACTIVE_Y = [0, 0, 2, 8, 1, 0, 0, 3, 8, 0, 5, 0]


def test_ten_years_of_silence_cost_nothing_and_leave_what_was() -> None:
    asked: list[int] = []

    def scale(count: int) -> float:
        asked.append(count)
        return square_root(count)

    streams = _fed(_ACTIVE_X, _ACTIVE_Y, CountCorrelation(20.0, _T, scale=scale))
    asked.clear()
    streams.advance(_T + 1000 * _TEN_YEARS_S)

    # Long before, the means have decayed beside the products: 100 half-lives are as good as ten years.
    silence = [0] * 2_000
    for lag in range(6):
        expected = _recount(_ACTIVE_X + silence, _ACTIVE_Y + silence, lag, 20.0, raw=False)
        assert _same(streams.correlation("x", "y", lag), expected)
    assert asked == []


def test_after_ten_years_of_silence_streams_are_as_new() -> None:
    streams = _fed(_ACTIVE_X, _ACTIVE_Y, CountCorrelation(20.0, _T))
    new = CountCorrelation(20.0, _T + 1000 * (_TEN_YEARS_S - 1))
    for both in (streams, new):
        for i, counts in enumerate(zip(_ACTIVE_Y, _ACTIVE_X, strict=True)):
            for name, count in zip("xy", counts, strict=True):
                both.add(name, _T + 1000 * (_TEN_YEARS_S + i), count)
        both.advance(_T + 1000 * (_TEN_YEARS_S + 60))

    for lag, rho in new.lead_lag("x", "y").rho.items():
        assert rho is not None
        assert _same(streams.correlation("x", "y", lag), rho)


def test_weights_start_anew_without_a_trace() -> None:
    # A half-life of 1 s: the weights of 700 bins would differ by 2^700.
    x, y = [1 + i % 4 for i in range(700)], [1 + i % 3 for i in range(700)]
    found = _fed(x, y, CountCorrelation(1.0, _T)).lead_lag("x", "y")

    for lag in range(6):
        assert _same(found.rho[lag], _recount(x, y, lag, 1.0, raw=False))


def test_a_million_events_in_one_millisecond() -> None:
    one_by_one, at_once = CountCorrelation(start_ms=_T), CountCorrelation(start_ms=_T)
    for _ in range(1_000_000):
        one_by_one.add("x", _T + 4_000)
    at_once.add("x", _T + 4_000, 1_000_000)
    for both in (one_by_one, at_once):
        for second in range(0, 60, 7):
            both.add("y", _T + 1000 * second, 2)
        both.advance(_T + 65_000)

    x, y = [1_000_000 * (i == 4) for i in range(60)], [2 * (i % 7 == 0) for i in range(60)]
    assert one_by_one.lead_lag("x", "y") == at_once.lead_lag("x", "y")
    for lag in range(6):
        assert _same(at_once.correlation("x", "y", lag), _recount(x, y, lag, 300.0, raw=False))


def test_a_steady_stream_has_no_correlation() -> None:
    streams = _fed([1_000] * 900, [i % 3 for i in range(900)], CountCorrelation(300.0, _T))

    assert set(streams.lead_lag("x", "y").rho.values()) == {None}
    assert streams.correlation("y", "y") == 1.0


def test_positive_lag_means_x_leads() -> None:
    x = [9 * (i % 11 == 0) + (i % 7 == 3) for i in range(400)]
    streams = _fed(x, [0, 0, 0, *x[:-3]], CountCorrelation())

    assert streams.lead_lag("x", "y").best_lag == 3
    assert streams.lead_lag("y", "x").best_lag == -3
    assert lagged_pearson(x, [0, 0, 0, *x[:-3]], 5).best_lag == 3


@pytest.mark.parametrize(("events", "is_shown"), [(9, False), (10, True)])
def test_shown_from_ten_events_of_each_on(events: int, is_shown: bool) -> None:
    streams = _fed([i % 2 for i in range(40)], [1] * events + [0] * (40 - events), CountCorrelation())

    assert (streams.correlation("x", "y") is not None) is is_shown
    assert (streams.correlation("y", "x", -2) is not None) is is_shown
    assert streams.correlation("x", "nobody") is None


def test_too_late_is_counted_and_left_out() -> None:
    streams = _fed(_ACTIVE_X, _ACTIVE_Y, CountCorrelation(start_ms=_T))
    before = streams.lead_lag("x", "y")

    assert not streams.add("x", _T + 11_999, 4)
    assert streams.add("x", _T + 12_000, 4)
    assert (streams.late_total, streams.lead_lag("x", "y")) == (4, before)


def test_streams_beyond_the_limit_are_counted_and_left_out() -> None:
    streams = CountCorrelation(limit=2)

    assert [streams.add(name, _T, 3) for name in "abca"] == [True, True, False, True]
    assert streams.ignored_total == 3


@pytest.mark.parametrize("active", [2, 8])
def test_only_pairs_of_active_streams_are_touched(active: int) -> None:
    names = [f"s{i}" for i in range(40)]
    streams = CountCorrelation(max_lag=0, limit=40)
    for i, name in enumerate(names):
        streams.add(name, _T + 1000 * i)  # each alone in its bin
    for i in range(50):
        for name in names[:active]:
            streams.add(name, _T + 60_000 + 1000 * i, 1 + i % 3)
    streams.advance(_T + 200_000)

    assert sum(len(stream.after) for stream in streams._streams.values()) == active * (active - 1) // 2
    assert len(streams._open) == 0
    assert len(streams._recent) == 1
    assert all(len(stream.marks) <= 2 for stream in streams._streams.values())


@pytest.mark.parametrize(
    ("rho", "expected"),
    [
        ({-1: 0.5, 0: 0.2, 1: 0.4}, -1),
        ({-1: 0.5, 0: 0.5, 1: 0.5}, 0),
        ({-1: None, 0: -0.9, 1: 0.1}, 1),
        ({0: None}, None),
    ],
)
def test_best_lag_is_that_of_the_greatest_correlation(rho: dict[int, float | None], expected: int | None) -> None:
    assert LeadLag(rho).best_lag == expected


def test_sequences_shorter_than_the_lag_have_none() -> None:
    assert lagged_pearson([1, 2], [2, 1], 3).rho == {-3: None, -2: None, -1: None, 0: -1.0, 1: None, 2: None, 3: None}
    assert pearson([], []) is None
    assert ewma_correlation([], [], 10) is None


_PRICES = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from([1e-8, 99.0, 100.0, 100.01, 101.0, 1e9])), max_size=25
).map(sorted)


@given(_PRICES, _PRICES)
@example([(0, 1e9), (9, 1e-8), (20, 1e9)], [(0, 1e-8), (10, 1e9)])
def test_hayashi_yoshida_equals_the_sum_over_all_pairs(a: list[tuple[int, float]], b: list[tuple[int, float]]) -> None:
    paths = [sorted(dict(path).items()) for path in (a, b)]
    left, right = ([(s, t, log(q) - log(p)) for (s, p), (t, q) in pairwise(path)] for path in paths)
    total = sum(r * q for s, t, r in left for u, v, q in right if max(s, u) < min(t, v))
    spread = sqrt(sum(r * r for *_, r in left) * sum(q * q for *_, q in right))

    found = hayashi_yoshida(a, b)

    if not left or not right:
        assert (found.covariance, found.correlation) == (None, None)
        return
    assert found.covariance == pytest.approx(total, rel=1e-9, abs=1e-9)
    assert (found.correlation is None) is (spread == 0)
    if found.correlation is not None:
        assert found.correlation == pytest.approx(total / spread, rel=1e-6, abs=1e-9)


_TIMES = st.lists(st.integers(0, 5_000), max_size=40).map(sorted)


@given(_TIMES, _TIMES, st.sampled_from([0, 1, 500, 1000]))
def test_synchronisation_equals_the_count_of_pairs(x: list[int], y: list[int], tau: int) -> None:
    def after(first: list[int], second: list[int]) -> Fraction:
        pairs = [t - u for t in first for u in second]
        return sum(0 < d <= tau for d in pairs) + Fraction(sum(d == 0 for d in pairs), 2)

    found = event_synchronisation(x, y, tau)

    assert [found.x_after_y, found.y_after_x] == [float(after(x, y)), float(after(y, x))]
    if not x or not y:
        assert (found.q_total, found.q_x_lags_y) == (None, None)
        return
    assert found.q_total == pytest.approx(float(after(x, y) + after(y, x)) / sqrt(len(x) * len(y)))
    assert found.q_x_lags_y == pytest.approx(float(after(x, y) - after(y, x)) / sqrt(len(x) * len(y)))


def test_a_million_ties() -> None:
    found = event_synchronisation([5] * 1_000, [5] * 1_000)

    assert (found.x_after_y, found.q_total, found.q_x_lags_y) == (500_000.0, 1_000.0, 0.0)
