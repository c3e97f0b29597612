"""Surprise and its baseline against the published vectors, sums in decimals, and bins weighted one by one."""

import json
from decimal import Context, Decimal, localcontext
from math import inf, log10
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from liqtape.engine.baseline.surprise import (
    Baseline,
    Expected,
    Score,
    Surprise,
    least_count,
    predictive,
    surprise,
    surprise_fano,
)

_FILE = Path(__file__).resolve().parents[1] / "fixtures" / "metric_vectors_surprise.json"
_VECTORS: list[dict[str, Any]] = json.loads(_FILE.read_bytes())["vectors"]
_T = 1_790_000_040_000  # a whole minute
_TEN_YEARS_MS = 10 * 365 * 86_400_000
_HALF_S = 21_600


def _of(metric: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", [pytest.param(v, id=v["id"]) for v in _VECTORS if v["metric"] == metric])


def _agrees(value: float, expected: dict[str, str]) -> bool:
    return value == pytest.approx(float(expected["digits"]), rel=1e-9, abs=1e-12)


def _by_decimals(k: int, mean: float, excess: float) -> float:
    """-log10 (1 - P(N < k)), with digits enough that nothing cancels."""
    with localcontext(Context(prec=900)):
        m, f = Decimal(mean), Decimal(excess)
        p = 1 / (1 + f)
        term = (-(m / f) * (1 + f).ln()).exp() if f else (-m).exp()
        below = Decimal(0)
        for j in range(k):
            below += term
            term *= (j * f + m) * p / (j + 1)
        return float(-(1 - below).log10()) if 1 - below > Decimal("1e-850") else inf


def test_the_file_has_all_vectors() -> None:
    metrics = [vector["metric"] for vector in _VECTORS]

    assert {name: metrics.count(name) for name in metrics} == {"surprise": 4, "surprise_fano": 5}


@_of("surprise_fano")
def test_fano_form_of_the_vectors(vector: dict[str, Any]) -> None:
    given_, expected = vector["input"], vector["expected"]

    found = surprise_fano(given_["k"], float(given_["mean"]), float(given_["fano"]))

    assert _agrees(found, expected["surprise"])
    assert _agrees(10**-found, expected["p"])


@_of("surprise")
def test_gamma_poisson_form_of_the_vectors(vector: dict[str, Any]) -> None:
    k, a, b = (vector["input"][name] for name in ("k", "a", "b_s"))
    window, expected = vector["params"]["window_s"], vector["expected"]

    form = predictive(a, b, window)
    found, poisson = surprise(k, a, b, window), surprise_fano(k, form.mean, 1)

    assert _agrees(form.mean, expected["mean"])
    assert _agrees(form.fano, expected["fano_of_predictive"])
    assert _agrees(found, expected["gamma_poisson_bits10"])
    assert 10**-found == pytest.approx(float(expected["gamma_poisson_p"]["digits"]), rel=1e-9)
    assert _agrees(poisson, expected["poisson_bits10"])
    assert 10**-poisson == pytest.approx(float(expected["poisson_p"]["digits"]), rel=1e-9)


@settings(max_examples=80)
@given(
    st.integers(1, 250),
    st.floats(-9, 3).map(lambda e: 10**e),
    st.one_of(st.just(0.0), st.floats(-14, 7).map(lambda e: 10**e)),
)
@example(5, 1e-3, 1e8)  # almost always nothing, seldom very much
@example(19, 10.0, 100.0)
@example(200, 1e-9, 1e4)
@example(1, 300.0, 1e-14)
@example(250, 1.0, 0.0)
def test_tail_equals_the_sum_in_decimals(k: int, mean: float, excess: float) -> None:
    excess = (1 + excess) - 1  # what a float Fano factor can say
    expected = _by_decimals(k, mean, excess)
    assume(expected < 800)

    assert surprise_fano(k, mean, 1 + excess) == pytest.approx(expected, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize(
    ("k", "mean", "fano"),
    [(100_000, 99_000.0, 1.0), (100_000, 1e-3, 3.0), (30_000, 20_000.0, 40.0), (20_000, 0.5, 1e3)],
    ids=["near the mean", "far above it", "clustered", "heavy tail"],
)
def test_tail_of_huge_counts_equals_the_sum_of_its_terms(k: int, mean: float, fano: float) -> None:
    with localcontext(Context(prec=40)):
        m, f = Decimal(mean), Decimal(fano) - 1
        p = 1 / (1 + f)
        term = (-(m / f) * (1 + f).ln()).exp() if f else (-m).exp()
        total, j = Decimal(0), 0
        while j <= k or term > total * Decimal("1e-16"):
            total += term if j >= k else 0
            term *= (j * f + m) * p / (j + 1)
            j += 1
        expected = float(-total.log10())

    assert surprise_fano(k, mean, fano) == pytest.approx(expected, rel=1e-12)


@given(st.integers(10, 2_000_000), st.floats(-9, 6).map(lambda e: 10**e), st.floats(1, 1e6))
def test_one_event_more_is_more_surprising(k: int, mean: float, fano: float) -> None:
    less, more = surprise_fano(k, mean, fano), surprise_fano(k + 1 + k // 10, mean, fano)

    assert 0 <= less < more or more < 1e-300  # far below the mean neither is surprising


@given(st.floats(1e-12, 1e3), st.floats(1.001, 1e6))
def test_one_event_is_as_surprising_as_it_is_rare(mean: float, fano: float) -> None:
    with localcontext(Context(prec=50)):
        nothing = (-Decimal(mean) / (Decimal(fano) - 1) * Decimal(fano).ln()).exp()
        expected = float(-(1 - nothing).log10())

    assert surprise_fano(1, mean, fano) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("count", "mean", "fano", "expected"),
    [(0, 3.0, 2.0, 0.0), (0, 0.0, 3.0, 0.0), (1, 0.0, 3.0, inf), (1, 1e-300, 1.0, 300.0)],
    ids=["nothing happened", "nothing expected", "the impossible", "the nearly impossible"],
)
def test_edges(count: int, mean: float, fano: float, expected: float) -> None:
    assert surprise_fano(count, mean, fano) == pytest.approx(expected)


def test_a_fano_factor_below_1_is_taken_as_poisson() -> None:
    assert surprise_fano(9, 2.0, 0.0) == surprise_fano(9, 2.0, 0.7) == surprise_fano(9, 2.0, 1.0)


@given(st.floats(0.1, 12), st.floats(1e-6, 1e3), st.floats(1, 100))
def test_least_count_is_the_first_to_reach_the_level(level: float, mean: float, fano: float) -> None:
    count = least_count(level, mean, fano)

    assert surprise_fano(count, mean, fano) >= level > surprise_fano(count - 1, mean, fano)


def _recount(
    events: list[tuple[int, int]], now_ms: int, window_s: int, unseen: tuple[int, int] = (0, 0)
) -> tuple[float, float]:
    """(mean, Fano factor) from all bins since _T one by one; `events` are (ms, count)."""
    width = 1000 * window_s
    first, end = -(-_T // width), (now_ms - 300_000) // width
    with localcontext(Context(prec=40)):
        fade = Decimal(2) ** (Decimal(-window_s) / _HALF_S)
        prior = Decimal(window_s) / 3600
        bins, total, squares = Decimal(30), 30 * prior, 30 * (3 * prior + prior * prior)
        counts: dict[int, int] = {}
        for at_ms, count in events:
            counts[at_ms // width] = counts.get(at_ms // width, 0) + count
        weight = Decimal(1)
        for number in range(end - 1, first - 1, -1):
            if (number + 1) * width <= unseen[0] or number * width >= unseen[1]:
                bins += weight
                total += weight * counts.get(number, 0)
                squares += weight * counts.get(number, 0) ** 2
            weight *= fade
        mean = total / bins
        return float(mean), float((squares / bins - mean * mean) / mean)


def _close_to(found: Expected, mean: float, fano: float) -> bool:
    return found.mean == pytest.approx(mean, rel=1e-9) and found.fano == pytest.approx(fano, rel=1e-9, abs=1e-9)


_ARRIVALS = st.lists(
    st.tuples(st.sampled_from([0, 1, 4_000, 61_000, 700_000, 7_200_000]), st.integers(0, 299_999), st.integers(1, 40)),
    max_size=40,
)


def _arrive(steps: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """(ms, count) in order of arrival, each up to 300 s behind the newest."""
    newest, events = _T + 300_000, []
    for ahead, late, count in steps:
        newest += ahead
        events.append((newest - (late if not ahead else 0), count))
    return events


@settings(max_examples=60)
@given(_ARRIVALS, st.sampled_from([10, 60, 300]), st.integers(0, 3_000_000))
def test_baseline_equals_the_recount_bin_by_bin(steps: list[tuple[int, int, int]], window: int, wait_ms: int) -> None:
    events, baseline = _arrive(steps), Baseline(_T, window)
    newest = _T
    for at_ms, count in events:
        newest = max(newest, at_ms)
        assert baseline.add(at_ms, count) == (at_ms // 1000 >= -(-_T // (1000 * window)) * window)

    assert _close_to(baseline.expect(newest + wait_ms), *_recount(events, newest + wait_ms, window))


@settings(max_examples=60)
@given(_ARRIVALS, st.lists(st.integers(0, 40), max_size=3), st.integers(0, 3_000_000))
def test_surprise_of_each_window_has_the_baseline_of_its_own_bins(
    steps: list[tuple[int, int, int]], asked: list[int], wait_ms: int
) -> None:
    events, unusual = _arrive(steps), Surprise(_T)
    newest = _T
    for i, (at_ms, count) in enumerate(events):
        newest = max(newest, at_ms)
        assert unusual.add(at_ms, count)
        if i in asked:  # asking must not change what is learned
            unusual.expect(newest, 60)

    for window in (10, 60, 300):
        assert _close_to(unusual.expect(newest + wait_ms, window), *_recount(events, newest + wait_ms, window))


@settings(max_examples=40)
@given(_ARRIVALS, st.integers(0, 5_000), st.integers(0, 5_000), st.booleans())
def test_unseen_bins_are_left_out(
    steps: list[tuple[int, int, int]], start_s: int, length_s: int, told_twice: bool
) -> None:
    events, baseline = _arrive(steps), Baseline(_T)
    newest = max((at_ms for at_ms, _ in events), default=_T)
    unseen = (_T + 1000 * start_s, _T + 1000 * (start_s + length_s))
    if told_twice:
        baseline.unwatched(unseen[0], (unseen[0] + unseen[1]) // 2)
    baseline.unwatched(*unseen)
    assume(length_s)
    for at_ms, count in events:
        baseline.add(at_ms, count)

    assert _close_to(baseline.expect(newest + 500_000), *_recount(events, newest + 500_000, 60, unseen))


def test_an_outage_that_grows_while_time_passes_teaches_nothing() -> None:
    grown, told_at_once = Baseline(_T), Baseline(_T)
    for baseline in (grown, told_at_once):
        for minute in range(60):
            baseline.add(_T + 60_000 * minute, 5)
    for minute in range(60, 600):
        grown.unwatched(_T + 3_600_000, _T + 60_000 * minute)
        grown.expect(_T + 60_000 * minute)
        assert len(grown._gaps) <= 1
    told_at_once.unwatched(_T + 3_600_000, _T + 60_000 * 599)

    now = _T + 60_000 * 599
    expected = told_at_once.expect(now)
    assert _close_to(grown.expect(now), expected.mean, expected.fano)
    assert grown.expect(now).mean > 2


def test_an_outage_told_once_is_left_out_to_its_end_whenever_one_asks() -> None:
    asked, not_asked = Baseline(_T), Baseline(_T)
    for baseline in (asked, not_asked):
        baseline.add(_T, 100)
        baseline.unwatched(_T + 60_000, _T + 36_000_000)
    for minute in range(0, 600, 7):
        asked.expect(_T + 60_000 * minute)

    expected = _recount([(_T, 100)], _T + 40_000_000, 60, (_T + 60_000, _T + 36_000_000))
    assert _close_to(asked.expect(_T + 40_000_000), *expected)
    assert _close_to(not_asked.expect(_T + 40_000_000), *expected)


def test_nothing_seen_is_the_prior_of_one_event_an_hour() -> None:
    found = Baseline(_T).expect(_T)

    assert (found.mean, found.fano) == pytest.approx((1 / 60, 3.0))
    assert Baseline(_T).history(_T) == pytest.approx((0.5, 1800))


@pytest.mark.parametrize("window", [10, 60, 300])
def test_ten_years_of_silence_leave_the_prior_among_a_full_memory_of_nothing(window: int) -> None:
    baseline = Baseline(_T, window)
    for i in range(2_000):
        baseline.add(_T + 977 * i, 1 + i % 7)

    found = baseline.expect(_T + _TEN_YEARS_MS)

    bins, prior = 30 + 1 / (1 - 2 ** (-window / _HALF_S)), window / 3600
    mean = 30 * prior / bins
    assert _close_to(found, mean, 30 * (3 * prior + prior**2) / bins / mean - mean)


def test_an_event_after_ten_years_of_silence_waits_for_its_bin() -> None:
    unusual = Surprise(_T)
    unusual.add(_T)
    unusual.add(_T + _TEN_YEARS_MS)
    before = unusual.expect(_T + _TEN_YEARS_MS + 359_999)

    assert unusual.expect(_T + _TEN_YEARS_MS + 360_000).mean > 2 * before.mean


def test_a_burst_does_not_teach_its_own_baseline() -> None:
    unusual = Surprise(_T)
    now = _T + 86_400_000
    before = unusual.expect(now)
    for second in range(300):
        unusual.add(now + 1000 * second, 50)
    while_it_lasts = unusual.expect(now + 299_999)

    assert while_it_lasts.mean <= before.mean
    assert unusual.expect(now + 660_000).mean > 100 * before.mean


@pytest.mark.parametrize(("late_ms", "counts"), [(300_000, True), (360_000, False)])
def test_late_events_count_until_their_bin_is_fed(late_ms: int, counts: bool) -> None:
    baseline, unusual = Baseline(_T), Surprise(_T)
    newest = _T + 1_200_000
    baseline.add(newest)
    unusual.add(newest)

    assert baseline.add(newest - late_ms) is counts
    assert unusual.add(newest - late_ms) is counts


def test_a_million_events_in_one_millisecond() -> None:
    unusual, at_once = Surprise(_T), Surprise(_T)
    for _ in range(1_000_000):
        unusual.add(_T + 60_000)
    at_once.add(_T + 60_000, 1_000_000)
    now = _T + 86_400_000

    score = unusual.score(1_000_000, now)
    assert score == at_once.score(1_000_000, now)
    assert score is not None
    assert (score.mean, score.fano) == pytest.approx(_recount([(_T + 60_000, 1_000_000)], now, 60))


def test_score_is_the_fano_form_of_what_was_expected() -> None:
    unusual = Surprise(_T)
    for minute in range(300):
        unusual.add(_T + 60_000 * minute, minute % 5)
    now = _T + 60_000 * 300
    found, half = unusual.expect(now), unusual.expect(now, 60, 30.0)

    assert unusual.score(7, now) == Score(surprise_fano(7, found.mean, found.fano), found.mean, found.fano)
    assert (half.mean, half.fano) == (found.mean / 2, found.fano)
    assert unusual.score(7, now, live_s=30.0) == Score(surprise_fano(7, half.mean, half.fano), half.mean, half.fano)


def test_asking_what_is_foreseen_changes_no_later_answer() -> None:
    asked, left = Baseline(0), Baseline(0)
    for number in range(200):
        at_ms = 137_000 * number + (5_000_000 if number > 100 else 0)
        for baseline in (asked, left):
            baseline.unwatched(at_ms + 20_000, at_ms + 50_000)
            baseline.add(at_ms, 1 + number % 3)
        foreseen = [asked.foreseen(at_ms + step) for step in (0, 61_000, 100_000)]
        assert foreseen[0] == left.expect(at_ms)

    assert asked.expect(40_000_000) == left.expect(40_000_000)


def test_without_exposure_there_is_no_surprise() -> None:
    assert Surprise(_T).score(3, _T, 60, 0.0) is None
    assert Surprise(_T).gamma_poisson(3, _T, 60, 0.0) is None


def test_gamma_poisson_form_of_a_short_history() -> None:
    # The prior is half an event in 30 minutes: P(N >= 1) = 1 - (1800/1860)^0.5.
    assert Surprise(_T).gamma_poisson(1, _T) == pytest.approx(-log10(1 - (1800 / 1860) ** 0.5))


def test_a_long_stream_keeps_only_what_is_not_settled() -> None:
    unusual = Surprise(_T)
    for second in range(20_000):
        unusual.add(_T + 1000 * second)

    assert len(unusual._slots) <= 31
    assert all(len(baseline._pending) <= 62 for baseline in unusual._baselines.values())


def test_windows_that_slots_do_not_fit_into_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 10 s"):
        Surprise(_T, (15,))
