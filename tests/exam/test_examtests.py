"""The statistical tests of the exam against SciPy, against sums over all cases, and on forecasts known to be true."""

import random
from itertools import product
from math import fsum, log, prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.exam.distributions import poisson_binomial, student_quantile, student_tail, wilson_interval
from liqtape.exam.informationgain import information_gain, signed_rank
from liqtape.exam.likelihoodtest import likelihood_test
from liqtape.exam.molchan import miss_rate_at, molchan
from liqtape.exam.numbertest import number_test, number_tests
from liqtape.exam.reliability import reliability

_P = st.floats(0.0, 1.0)


@settings(max_examples=15)
@given(st.floats(-60, 60), st.integers(1, 400))
def test_the_tail_of_students_t_is_that_of_scipy(t: float, freedom: int) -> None:
    stats = pytest.importorskip("scipy.stats")

    assert student_tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-9, abs=1e-300)


def test_the_quantile_of_students_t_is_where_the_tail_is() -> None:
    for freedom in (1, 2, 7, 30, 300):
        assert student_tail(student_quantile(0.025, freedom), freedom) == pytest.approx(0.025, rel=1e-9)


@given(st.lists(st.integers(-6, 6).map(float), min_size=1, max_size=12))
def test_the_signed_rank_sum_is_counted_over_all_signs(values: list[float]) -> None:
    left = [value for value in values if value]
    if not left:
        assert signed_rank(values) is None
        return
    sizes = sorted(map(abs, left))
    ranks = [
        fsum(place + 1 for place, size in enumerate(sizes) if size == abs(one)) / sizes.count(abs(one)) for one in left
    ]
    half = sum(ranks) / 2
    far = abs(sum(rank for rank, one in zip(ranks, left, strict=True) if one > 0) - half)
    sums = (
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in product((0, 1), repeat=len(left))
    )
    expected = sum(abs(one - half) >= far - 1e-9 for one in sums) / 2 ** len(left)

    assert signed_rank(values) == pytest.approx(expected)


def test_the_signed_rank_of_many_days_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    draw = random.Random(3)
    for count in (20, 90):
        values = [draw.gauss(0.2, 1.0) for _ in range(count)]
        method = "exact" if count < 60 else "approx"
        expected = stats.wilcoxon(values, method=method, correction=False).pvalue

        assert signed_rank(values) == pytest.approx(expected, rel=1e-9)


def test_the_paired_test_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    draw = random.Random(5)
    gains = [draw.gauss(0.5, 2.0) for _ in range(17)]
    expected = stats.ttest_1samp(gains, 0.0)
    low, high = expected.confidence_interval(0.95)

    found = information_gain(gains, 34)

    assert found.t_test == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.low == pytest.approx(low * 17 / 34)
    assert found.high == pytest.approx(high * 17 / 34)


def test_too_few_days_have_a_gain_and_no_error() -> None:
    assert (information_gain([2.0], 4).gain, information_gain([2.0], 4).error) == (0.5, None)
    assert information_gain([2.0, 1.0], 0).gain is None


@given(st.lists(_P, max_size=8))
def test_numbers_of_successes_are_counted_over_all_cases(probabilities: list[float]) -> None:
    expected = [0.0] * (len(probabilities) + 1)
    for signs in product((0, 1), repeat=len(probabilities)):
        expected[sum(signs)] += prod(p if sign else 1 - p for p, sign in zip(probabilities, signs, strict=True))

    found = poisson_binomial(probabilities)

    assert found == pytest.approx(expected[: len(found)], abs=1e-12)
    assert fsum(found) == pytest.approx(1.0)


def test_the_number_of_all_days_is_that_of_one_long_day() -> None:
    draw = random.Random(1)
    days = [([draw.random() / 10 for _ in range(200)], [draw.random() < 0.05 for _ in range(200)]) for _ in range(5)]

    each, whole = number_tests(days)

    assert whole.observed == sum(one.observed for one in each)
    alone = number_test([p for given_, _ in days for p in given_], [y for _, came in days for y in came])
    assert whole.at_least == pytest.approx(alone.at_least)


def test_a_true_forecast_passes_and_a_tripled_one_does_not() -> None:
    draw = random.Random(11)
    true = [draw.random() ** 4 / 5 for _ in range(4_000)]
    came = [draw.random() < p for p in true]

    assert number_test(true, came).is_consistent
    assert not number_test([3 * p / 2 for p in true], came).is_consistent
    assert likelihood_test(true, came).is_consistent


def test_a_forecast_that_puts_targets_in_the_wrong_places_fails_the_likelihood_test() -> None:
    draw = random.Random(11)
    true = [draw.random() ** 4 / 5 for _ in range(4_000)]
    came = [draw.random() < p for p in true]

    assert not likelihood_test(true[::-1], came).is_consistent


def test_the_likelihood_test_is_that_of_draws_with_the_same_number() -> None:
    draw = random.Random(7)
    given_ = [draw.random() ** 3 / 3 for _ in range(60)]
    logs = [log(p / (1 - p)) for p in given_]
    came = [draw.random() < p for p in given_]
    while sum(came) != 8:
        came = [draw.random() < p for p in given_]
    observed = fsum(value for value, hit in zip(logs, came, strict=True) if hit)
    drawn: list[float] = []
    while len(drawn) < 1_500:
        case = [draw.random() < p for p in given_]
        if sum(case) == 8:
            drawn.append(fsum(value for value, hit in zip(logs, case, strict=True) if hit))

    found = likelihood_test(given_, came)

    assert found.share_below == pytest.approx(sum(one <= observed for one in drawn) / len(drawn), abs=0.05)


def test_a_forecast_that_is_the_same_everywhere_says_nothing_of_places() -> None:
    assert likelihood_test([0.1] * 100, [True] * 9 + [False] * 91).is_consistent is None


@settings(max_examples=30)
@given(st.lists(st.tuples(_P, st.booleans()), min_size=1, max_size=40))
def test_every_forecast_is_in_one_bin(pairs: list[tuple[float, bool]]) -> None:
    bins = reliability([p for p, _ in pairs], [y for _, y in pairs])

    assert sum(one.count for one in bins) == len(pairs)
    assert sum(one.hits for one in bins) == sum(y for _, y in pairs)
    assert all(one.from_probability <= one.mean_probability <= one.until_probability for one in bins)
    assert all(one.low <= one.share <= one.high for one in bins)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_each_point_of_the_diagram_is_a_threshold(pairs: list[tuple[int, bool]]) -> None:
    scores, came = [float(s) for s, _ in pairs], [y for _, y in pairs]
    curve = molchan(scores, came)
    if not any(came):
        assert curve == ()
        return
    for point, least in zip(curve[1:], sorted(set(scores), reverse=True), strict=True):
        assert point.in_alarm == sum(score >= least for score in scores) / len(scores)
        missed = sum(y for score, y in zip(scores, came, strict=True) if score < least)
        assert point.missed == pytest.approx(missed / sum(came))
        assert miss_rate_at(curve, point.in_alarm) is not None


def test_the_interval_of_a_proportion_is_that_of_the_score_test() -> None:
    for part, whole in ((0, 9), (3, 9), (49, 76), (76, 76)):
        for end in wilson_interval(part, whole):
            error = (end * (1 - end) / whole) ** 0.5
            assert abs(part / whole - end) == pytest.approx(1.959964 * error, abs=1e-6)
