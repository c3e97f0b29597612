"""The exam a model takes while it is trained: each block of days is forecast by what earlier days taught."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from liqtape.forecast.forecaster import TARGETS
from liqtape.forecast.model import ModelScore
from liqtape.training.calibrating import log_likelihood
from liqtape.training.fitting import (
    BASE,
    BOOSTING,
    LEARNERS,
    KnownPast,
    base_rate,
    boosted,
    fitted,
    said_by,
)
from liqtape.training.trainingrows import TrainingRows

__all__ = ["Fold", "WalkForward", "folds_of", "joined", "walk_forward"]

_FIRST_SHARE = 0.4  # of the days are learned from before the first is forecast
_MOST_FOLDS = 12

Floats = NDArray[np.float64]


class Fold(Struct, frozen=True):
    """A block of days, [`from_day`, `until_day`), that is forecast from those before."""

    from_day: int
    until_day: int


class WalkForward(Struct, frozen=True):
    """What each model said of the rows of all folds, a column for each target; nothing of it was seen in training."""

    rows: TrainingRows
    said: Mapping[str, Floats]

    def score(self, model: str, place: int) -> ModelScore:
        """Return how a model did with the target at `place` of `TARGETS`."""
        said, reached = self.said[model][:, place], self.rows.reached[:, place]
        share, days = float(reached.mean()), self.rows.days
        targets = int(reached.sum())
        brier = float(np.mean((said - reached) ** 2))
        gains = log_likelihood(said, reached) - log_likelihood(self.said[BASE][:, place], reached)
        of_days = np.array([gains[days == day].sum() for day in np.unique(days)])
        is_scored = 0 < targets < len(reached)
        return ModelScore(
            model,
            TARGETS[place],
            len(of_days),
            len(reached),
            targets,
            1 - brier / (share * (1 - share)) if is_scored else None,
            float(average_precision_score(reached, said)) if is_scored else None,
            float(gains.sum() / targets) if targets else None,
            float(np.sqrt(len(of_days)) * of_days.std(ddof=1) / targets) if targets and len(of_days) > 1 else None,
        )

    def scores(self) -> tuple[ModelScore, ...]:
        """Return the scores of all models."""
        return tuple(self.score(model, place) for place in range(len(TARGETS)) for model in self.said)


def folds_of(rows: TrainingRows) -> list[Fold]:
    """Return the blocks of whole days to be forecast, in order: at most twelve, after the first two fifths."""
    days = np.unique(rows.days).tolist()
    tested = days[max(2, round(_FIRST_SHARE * len(days))) :]
    size = max(1, -(-len(tested) // _MOST_FOLDS))
    blocks = [tested[start : start + size] for start in range(0, len(tested), size)]
    return [Fold(block[0], block[-1] + 1) for block in blocks]


def walk_forward(past: KnownPast, seed: int, *, with_boosting: bool) -> Iterator[WalkForward]:
    """Yield what the models say of each fold, one fold at a time, those left out that earlier days cannot forecast."""
    rows = past.rows
    for fold in folds_of(rows):
        tested = rows.only((rows.days >= fold.from_day) & (rows.days < fold.until_day))
        said: dict[str, list[Floats | None]] = {}
        for place in range(len(TARGETS)):
            share = base_rate(past, fold.from_day, place)
            said.setdefault(BASE, []).append(np.full(len(tested), share) if share else None)
            for kind in LEARNERS:
                model = fitted(kind, past, fold.from_day, place)
                said.setdefault(kind, []).append(None if model is None else said_by(model, tested.features))
            if with_boosting:
                said.setdefault(BOOSTING, []).append(boosted(past, fold.from_day, place, tested.features, seed))
        columns = {model: [column for column in own if column is not None] for model, own in said.items()}
        if all(len(own) == len(TARGETS) for own in columns.values()):
            yield WalkForward(tested, {model: np.stack(own, axis=1) for model, own in columns.items()})


def joined(parts: Sequence[WalkForward]) -> WalkForward:
    """Return the folds as one."""
    rows = TrainingRows(
        np.concatenate([part.rows.at_ms for part in parts]),
        np.concatenate([part.rows.features for part in parts]),
        np.concatenate([part.rows.reached for part in parts]),
        parts[0].rows.every_ms,
    )
    return WalkForward(rows, {model: np.concatenate([part.said[model] for part in parts]) for model in parts[0].said})
