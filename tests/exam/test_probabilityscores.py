"""Scores of probabilities against scikit-learn, and at their edges."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.exam.probabilityscores import average_precision, log_score, probability_scores

_PAIRS = st.lists(
    st.tuples(st.sampled_from([0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 0.999]), st.booleans()), min_size=2, max_size=60
)


@settings(max_examples=8)
@given(_PAIRS)
def test_scores_equal_those_of_scikit_learn(pairs: list[tuple[float, bool]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    given_, came = [p for p, _ in pairs], [y for _, y in pairs]

    found = probability_scores(given_, came)

    assert found.brier == pytest.approx(metrics.brier_score_loss(came, given_, pos_label=True), abs=1e-12)
    assert found.log_loss == pytest.approx(metrics.log_loss(came, given_, labels=[False, True]), rel=1e-9)
    if any(came):
        expected = metrics.average_precision_score(came, given_)
        assert average_precision(given_, came) == pytest.approx(expected, rel=1e-9)


def test_without_forecasts_nothing_is_said() -> None:
    found = probability_scores([], [])

    assert (found.base_rate, found.brier, found.log_loss, found.average_precision) == (None,) * 4


def test_without_both_outcomes_there_is_no_skill() -> None:
    assert probability_scores([0.1, 0.2], [False, False]).brier_skill is None
    assert probability_scores([0.1, 0.2], [True, True]).brier_skill is None


def test_one_sure_error_is_not_infinite() -> None:
    assert log_score(0.0, is_hit=True) == pytest.approx(math.log(1e-9))
    assert log_score(1.0, is_hit=False) == pytest.approx(math.log(1e-9))
