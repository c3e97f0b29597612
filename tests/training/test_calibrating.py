import numpy as np
import pytest
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression

from liqtape.forecast.calibration import logistic
from liqtape.training.calibrating import calibrated, isotonic, platt, probabilities


def _sample(size: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=size)
    return scores, rng.random(size) < 1 / (1 + np.exp(3.0 - 1.5 * scores))


@pytest.mark.parametrize("fit", [isotonic, platt])
def test_all_at_once_is_one_by_one(fit: object) -> None:
    assert callable(fit)
    scores, reached = _sample(4_000)
    calibration = fit(scores, reached)
    extremes = np.concatenate([scores[:200], [-60.0, 60.0, 0.0]])

    assert calibration.wrong() == ""
    assert probabilities(calibration, extremes) == pytest.approx(
        [calibration.probability(score) for score in extremes.tolist()], rel=1e-12
    )


def test_platt_finds_the_curve_the_outcomes_were_drawn_from() -> None:
    calibration = platt(*_sample(200_000))
    assert (calibration.slope, calibration.offset) == pytest.approx((1.5, -3.0), abs=0.05)


def test_platt_is_the_curve_another_library_finds() -> None:
    scores, reached = _sample(50_000)
    other = _SigmoidCalibration().fit(scores, reached)
    own = platt(scores, reached)
    assert probabilities(own, scores[:100]) == pytest.approx(other.predict(scores[:100]), rel=0.01)


def test_isotonic_is_near_the_steps_and_says_neither_0_nor_1() -> None:
    scores, reached = _sample(20_000)
    plain = IsotonicRegression(out_of_bounds="clip").fit(scores, reached)
    own = isotonic(scores, reached)
    chances = [chance for _, chance in own.knots]

    assert 0 < min(chances) <= max(chances) < 1
    assert np.abs(probabilities(own, scores) - plain.predict(scores)).mean() < 0.01


def test_equal_scores_have_one_probability() -> None:
    scores = np.array([1.0, 1.0, 1.0, 2.0])
    reached = np.array([True, False, False, True])
    assert [score for score, _ in isotonic(scores, reached).knots] == [1.0, 2.0]


def test_a_score_that_knows_nothing_says_the_share_of_all() -> None:
    scores, reached = _sample(5_000)
    for own in (platt(-scores, reached), platt(np.zeros(5_000), reached)):
        assert own.slope == 0.0
        assert logistic(own.offset) == pytest.approx(reached.mean(), rel=0.01)


def test_few_targets_are_calibrated_by_two_parameters_many_by_steps() -> None:
    assert calibrated(*_sample(2_000)).kind == "platt"
    assert calibrated(*_sample(20_000)).kind == "isotonic"
