"""Models fitted to the past: weights, and a calibration by scores that earlier days gave to later ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from liqtape.cascades.hawkesprocess import DECAYS
from liqtape.forecast.calibration import Calibration
from liqtape.forecast.features import FEATURES, LOOK_BACK_MS
from liqtape.forecast.forecaster import TARGETS
from liqtape.forecast.model import TargetModel
from liqtape.forecast.scorers import BaseRate, LogisticScorer, Scorer
from liqtape.forecast.watchedspans import WatchedSpans
from liqtape.training.calibrating import calibrated, log_likelihood, probabilities
from liqtape.training.plainexcitation import ExcitedTimes, expected_counts, fit_hawkes
from liqtape.training.trainingrows import DAY_MS, TrainingRows

__all__ = [
    "BASE",
    "BOOSTING",
    "HAWKES",
    "LEARNERS",
    "MODEL",
    "VELOCITY_60",
    "KnownPast",
    "base_rate",
    "boosted",
    "fitted",
    "said_by",
    "scorers_before",
]

BASE, VELOCITY_60, HAWKES, MODEL, BOOSTING = "base rate", "velocity_60", "plain hawkes", "logistic", "boosting"

LEARNERS = (VELOCITY_60, HAWKES, MODEL)
"""Kinds of models that are fitted, the plainer ones first."""

_FEATURES: Mapping[str, tuple[str, ...]] = {VELOCITY_60: ("ln_count_60",), HAWKES: (), MODEL: FEATURES}
_STRENGTHS: Mapping[str, tuple[float, ...]] = {
    VELOCITY_60: (1.0,),
    HAWKES: (1.0,),
    MODEL: (1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
}
_FREE = 1_000.0  # the excitation is scaled up so far that nothing pulls its weight towards 0
_BLOCKS = 4  # of days: each but the first is scored by those before
_LEARNED_EVERY_MS = 30_000  # the rows between are nearly the same again
_STATES = [FEATURES.index(f"ln_hawkes_{b:g}") for b in DECAYS]

Floats = NDArray[np.float64]


class KnownPast(Struct, frozen=True):
    """What there is to learn from: rows, the moments with events, and what was watched."""

    rows: TrainingRows
    excited: ExcitedTimes
    watched: WatchedSpans

    def before(self, day: int) -> TrainingRows:
        """Return the rows of earlier days, without the six hours before: those of the day look back as far."""
        return self.rows.only(self.rows.at_ms < day * DAY_MS - LOOK_BACK_MS)


def base_rate(past: KnownPast, until_day: int, place: int) -> float:
    """Return how often a target was reached in the rows of earlier days."""
    return float(past.before(until_day).reached[:, place].mean())


def fitted(kind: str, past: KnownPast, until_day: int, place: int) -> TargetModel | None:
    """Return a model of that kind for the target at `place` of `TARGETS`, from the days before `until_day`.

    These are cut into four blocks; each but the first is scored by a model of those before it, and the calibration is
    fitted to these scores. So is the strength of the pull of weights towards 0, where there is a choice. None where the
    days have too little to do so.
    """
    with threadpool_limits(1):  # sums in one order: the number of cores must not change a digit
        blocks = [
            (problem, tested.features, tested.reached[:, place])
            for day, tested in _blocks(past, until_day, place)
            if (problem := _problem(kind, past, day, place)) is not None
        ]
        last = _problem(kind, past, until_day, place)
        if last is None or not any(reached.any() for _, _, reached in blocks):
            return None
        reached = np.concatenate([column for _, _, column in blocks])
        found: list[tuple[float, float, Calibration]] = []
        for strength in _STRENGTHS[kind]:
            scores = np.concatenate([_scores(_solved(problem, strength), rows) for problem, rows, _ in blocks])
            calibration = calibrated(scores, reached)
            worth = float(log_likelihood(probabilities(calibration, scores), reached).sum())
            found.append((worth, strength, calibration))
        _, strength, calibration = max(found, key=lambda one: one[0])
        return replace(_solved(last, strength), calibration=calibration)


def scorers_before(past: KnownPast, until_day: int) -> list[Scorer]:
    """Return the base rate, velocity_60, the plain Hawkes model and the logistic model, as days before taught them.

    A `StreamForecaster` of these says, event by event, what a walk forward says of the day. What the days have too
    little for is left out.
    """
    places = range(len(TARGETS))
    scorers: list[Scorer] = [BaseRate({TARGETS[place]: base_rate(past, until_day, place) for place in places}, BASE)]
    for kind in LEARNERS:
        models = [model for place in places if (model := fitted(kind, past, until_day, place)) is not None]
        if models:
            scorers.append(LogisticScorer(models, kind))
    return scorers


def said_by(model: TargetModel, features: Floats) -> Floats:
    """Return what `LogisticScorer` says of each row, up to rounding."""
    return probabilities(model.calibration, _scores(model, features))


def boosted(past: KnownPast, until_day: int, place: int, features: Floats, seed: int) -> Floats | None:
    """Return what gradient boosting, the challenger, says of each row; made and calibrated as the others are."""
    with threadpool_limits(1):
        scored = [
            (trees.decision_function(tested.features), tested.reached[:, place])
            for day, tested in _blocks(past, until_day, place)
            if (trees := _trees(past, day, place, seed)) is not None
        ]
        trees = _trees(past, until_day, place, seed)
        if trees is None or not any(reached.any() for _, reached in scored):
            return None
        scores, reached = (np.concatenate(columns) for columns in zip(*scored, strict=True))
        return probabilities(calibrated(scores, reached), trees.decision_function(features))


def _blocks(past: KnownPast, until_day: int, place: int) -> Sequence[tuple[int, TrainingRows]]:
    """Return the first day and the rows of each block of days that earlier ones can score."""
    known = past.before(until_day)
    days = np.unique(known.days)
    cuts = [int(days[len(days) * block // _BLOCKS]) for block in range(1, _BLOCKS)]
    ends = [*cuts[1:], until_day]
    blocks = (
        (begin, known.only((known.days >= begin) & (known.days < end))) for begin, end in zip(cuts, ends, strict=True)
    )
    return [
        (begin, rows)
        for begin, rows in blocks
        if begin > days[0] and len(rows) and past.before(begin).reached[:, place].any()
    ]


def _learned(past: KnownPast, day: int, place: int) -> tuple[TrainingRows, NDArray[np.bool_]] | None:
    rows = past.before(day)
    rows = rows.only(rows.at_ms % _LEARNED_EVERY_MS == 0) if _LEARNED_EVERY_MS % rows.every_ms == 0 else rows
    reached = rows.reached[:, place]
    return (rows, reached) if reached.any() and not reached.all() else None


class _Problem(Struct, frozen=True):
    """What weights are to be found for: scaled columns, outcomes, and the model as it is without weights."""

    matrix: Floats
    reached: NDArray[np.bool_]
    model: TargetModel


def _problem(kind: str, past: KnownPast, day: int, place: int) -> _Problem | None:
    """Return what the days before `day` have to say; None where that is too little."""
    found = _learned(past, day, place)
    if found is None:
        return None
    rows, reached = found
    names = _FEATURES[kind]
    columns = rows.features[:, [FEATURES.index(name) for name in names]]
    means, scales = columns.mean(axis=0), columns.std(axis=0)
    scales[scales == 0] = 1.0
    expected, shares = (0.0, ()) if kind == VELOCITY_60 else _excitation(past, rows, place)
    model = TargetModel(
        kind,
        TARGETS[place],
        names,
        tuple(means.tolist()),
        tuple(scales.tolist()),
        (0.0,) * len(names),
        0.0,
        Calibration("platt"),
        base_rate(past, day, place),
        expected,
        shares,
        1.0 if shares else 0.0,
    )
    matrix = (columns - means) / scales
    if names and shares:
        matrix = np.column_stack([matrix, _FREE * _scores(model, rows.features)])
    return _Problem(matrix, reached, model)


def _solved(problem: _Problem, strength: float) -> TargetModel:
    """Return the model with its weights; its score is not calibrated yet."""
    model = problem.model
    if not model.features:
        return model
    regression: Any = LogisticRegression(C=strength, solver="newton-cholesky").fit(problem.matrix, problem.reached)
    weights = regression.coef_[0].tolist()
    return replace(
        model,
        weights=tuple(weights[: len(model.features)]),
        intercept=float(regression.intercept_[0]),
        excitation_weight=_FREE * weights[-1] if model.shares else 0.0,
    )


def _excitation(past: KnownPast, rows: TrainingRows, place: int) -> tuple[float, tuple[float, ...]]:
    """Return what the Hawkes process of these days expects within the target's seconds."""
    first, last = int(rows.at_ms[0]), int(rows.at_ms[-1])
    seconds = (last - first - past.watched.missing_ms(first, last)) / 1000
    return expected_counts(fit_hawkes(past.excited.within(first, last), seconds), TARGETS[place].seconds)


def _scores(model: TargetModel, features: Floats) -> Floats:
    columns = features[:, [FEATURES.index(name) for name in model.features]]
    scores: Floats = model.intercept + (columns - np.array(model.means)) / np.array(model.scales) @ np.array(
        model.weights
    )
    if model.shares:
        expected = model.expected + np.expm1(features[:, _STATES]) @ np.array(model.shares)
        scores = scores + model.excitation_weight * np.log(expected)
    return scores


def _trees(past: KnownPast, day: int, place: int, seed: int) -> Any:
    found = _learned(past, day, place)
    if found is None:
        return None
    trees: Any = HistGradientBoostingClassifier(
        max_iter=100,
        learning_rate=0.05,
        max_leaf_nodes=8,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )
    return trees.fit(found[0].features, found[1])
