"""Calibrations fitted: isotonic by pooling neighbours, or the two parameters of Platt."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression
from sklearn.linear_model import LogisticRegression

from liqtape.forecast.calibration import Calibration

__all__ = ["calibrated", "isotonic", "log_likelihood", "platt", "probabilities"]

_ISOTONIC_FROM = 1_000  # rows with a target, some hundred episodes; of fewer Platt says all there is

Floats = NDArray[np.float64]


def calibrated(scores: Floats, reached: NDArray[np.bool_]) -> Calibration:
    """Return the calibration that suits the number of targets reached: isotonic from 1,000 on, else Platt."""
    return isotonic(scores, reached) if reached.sum() >= _ISOTONIC_FROM else platt(scores, reached)


def isotonic(scores: Floats, reached: NDArray[np.bool_]) -> Calibration:
    """Return the rising steps nearest to the outcomes, as knots at the mean score of each.

    Each step is drawn towards the share of all by one outcome, so that none says 0 or 1.
    """
    order = np.argsort(scores, kind="stable")
    levels, places = np.unique(scores[order], return_inverse=True)  # equal scores have one probability
    weights = np.bincount(places).astype(float)
    hits = np.bincount(places, weights=reached[order])
    steps = isotonic_regression(hits / weights, sample_weight=weights)
    _, blocks = np.unique(steps, return_inverse=True)
    sizes = np.bincount(blocks, weights=weights)
    centres = np.bincount(blocks, weights=weights * levels) / sizes
    drawn = (np.bincount(blocks, weights=hits) + reached.mean()) / (sizes + 1.0)
    chances = isotonic_regression(drawn, sample_weight=sizes + 1.0)
    return Calibration("isotonic", knots=tuple(zip(centres.tolist(), chances.tolist(), strict=True)))


def platt(scores: Floats, reached: NDArray[np.bool_]) -> Calibration:
    """Return the logistic curve of largest likelihood.

    A slope that would fall says that the score knows nothing: then every score has the share of all.
    """
    if reached.any() and not reached.all() and np.ptp(scores) > 0:
        curve: Any = LogisticRegression(C=1e6, solver="newton-cholesky").fit(scores[:, None], reached)
        slope, offset = float(curve.coef_[0, 0]), float(curve.intercept_[0])
        if slope >= 0:
            return Calibration("platt", slope, offset)
    share = (reached.sum() + 0.5) / (len(reached) + 1.0)
    return Calibration("platt", 0.0, float(np.log(share / (1 - share))))


def probabilities(calibration: Calibration, scores: Floats) -> Floats:
    """Return `calibration.probability` of each score."""
    if calibration.kind == "isotonic":
        knots = np.array(calibration.knots)
        return np.asarray(np.interp(scores, knots[:, 0], knots[:, 1]))
    x = calibration.offset + calibration.slope * scores
    return np.asarray(np.where(x >= 0, 1.0, np.exp(np.minimum(x, 0))) / (1.0 + np.exp(-np.abs(x))))


def log_likelihood(said: Floats, reached: NDArray[np.bool_]) -> Floats:
    """Return the logarithm of the probability given to what happened, for each row."""
    return np.asarray(np.log(np.where(reached, said, 1 - said)))
