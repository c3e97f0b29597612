"""A model from past events: enough of them, examined on days it had not seen, with all that is to be known of it."""

from collections.abc import Callable

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from liqtape import __version__
from liqtape.errors import ConfigurationError
from liqtape.forecast.forecaster import TARGETS, Target
from liqtape.forecast.model import MODEL_VERSION, CascadeModel, TargetModel
from liqtape.forecast.watchedspans import WatchedSpans
from liqtape.training.fitting import BASE, HAWKES, MODEL, VELOCITY_60, KnownPast, fitted
from liqtape.training.plainexcitation import excited_times
from liqtape.training.trainingrows import DAY_MS, PastStream, TrainingRows, rows_of
from liqtape.training.walkforward import WalkForward, folds_of, joined, walk_forward

__all__ = ["LEAST_DAYS", "LEAST_EPISODES", "LEAST_TESTED", "TrainedOn", "episodes", "train"]

LEAST_DAYS = 7
"""Days' worth of watched time that a model is made from, and different UTC days."""

LEAST_EPISODES = 30
"""Separate times at which a target was reached, over all days."""

LEAST_TESTED = 10
"""Of these, in the days the model is examined on."""


_SIMPLER = {MODEL: (BASE, VELOCITY_60, HAWKES), HAWKES: (BASE, VELOCITY_60)}


class TrainedOn(Struct, frozen=True):
    """Whose events these are, and by which number chance is fixed."""

    venues: tuple[str, ...]
    instrument: str = ""
    seed: int = 1


def train(
    stream: PastStream,
    on: TrainedOn,
    advance: Callable[[float], object] = lambda _: None,
    *,
    with_boosting: bool = True,
    every_ms: int | None = None,
) -> CascadeModel:
    """Return a model of the stream. The same stream and seed give the same model, byte for byte.

    Each target's `verdict` says whether it may be shown. `advance` hears what part of it is done; `every_ms` is the
    step from row to row. Raises ConfigurationError where there is too little to learn from or to be examined on.
    """
    rows = rows_of(stream, every_ms)
    _check_enough(rows)
    past = KnownPast(rows, excited_times(stream.times_ms), WatchedSpans.between(stream.spans))
    exam = _examined(past, on.seed, advance, with_boosting=with_boosting)
    targets = tuple(_chosen(past, exam, place) for place in range(len(TARGETS)))
    days = np.unique(rows.days)
    return CascadeModel(
        MODEL_VERSION,
        f"liqtape {__version__}",
        on.venues,
        on.instrument,
        int(rows.at_ms[0]),
        int(days[len(days) // 4]) * DAY_MS,
        int(rows.at_ms[-1]) + rows.every_ms,
        len(days),
        len(stream.times_ms),
        rows.every_ms,
        on.seed,
        targets,
        exam.scores(),
    )


def episodes(rows: TrainingRows, place: int) -> int:
    """Return how many separate times the target was reached: rows that follow one another are one."""
    at_ms = rows.at_ms[rows.reached[:, place]]
    return int(len(at_ms) and 1 + np.count_nonzero(np.diff(at_ms) > 1000 * TARGETS[place].seconds))


def _examined(past: KnownPast, seed: int, advance: Callable[[float], object], *, with_boosting: bool) -> WalkForward:
    parts: list[WalkForward] = []
    folds = len(folds_of(past.rows))
    for part in walk_forward(past, seed, with_boosting=with_boosting):
        parts.append(part)
        advance(len(parts) / folds)
    if not parts:
        raise ConfigurationError(
            "train: no day can be forecast from those before: targets come too late; record longer"
        )
    exam = joined(parts)
    for place, target in enumerate(TARGETS):
        if (found := episodes(exam.rows, place)) < LEAST_TESTED:
            raise ConfigurationError(
                f"train: too little to be examined on: {_named(target)} happened {found} times on the "
                f"{len(np.unique(exam.rows.days))} later days, {LEAST_TESTED} are needed; record longer"
            )
    return exam


def _chosen(past: KnownPast, exam: WalkForward, place: int) -> TargetModel:
    """Return the model of all days that may be shown: the logistic one, else the plain Hawkes model.

    Each must be worth something on days it had not seen, and more than what is simpler. Where neither is, the logistic
    one is returned with its verdict, which keeps it from being shown.
    """
    until_day = int(past.rows.days[-1]) + 1
    verdicts = {kind: _verdict(exam, kind, place) for kind in (MODEL, HAWKES)}
    kind = next((kind for kind, verdict in verdicts.items() if not verdict), MODEL)
    model = fitted(kind, past, until_day, place)
    if model is None:
        raise ConfigurationError(f"train: {_named(TARGETS[place])} cannot be learned from these days; record longer")
    return replace(model, verdict=verdicts[kind])


def _check_enough(rows: TrainingRows) -> None:
    watched = len(rows) * rows.every_ms / DAY_MS
    days = len(np.unique(rows.days)) if len(rows) else 0
    if watched < LEAST_DAYS or days < LEAST_DAYS:
        raise ConfigurationError(
            f"train: too little: {watched:.1f} days of watched time on {days} days, {LEAST_DAYS} are needed; "
            "record longer, and name when it was watched with --coverage where the files do not say"
        )
    for place, target in enumerate(TARGETS):
        if (found := episodes(rows, place)) < LEAST_EPISODES:
            raise ConfigurationError(
                f"train: too little: {_named(target)} happened {found} times, {LEAST_EPISODES} are needed: "
                "record longer"
            )


def _verdict(exam: WalkForward, kind: str, place: int) -> str:
    """Return why a model is not to be shown; empty where it is better than all that is simpler."""
    own = exam.score(kind, place)
    reasons = []
    if own.brier_skill is None or own.brier_skill <= 0:
        reasons.append(f"Brier skill {_figure(own.brier_skill)}")
    for simpler in _SIMPLER[kind]:
        other = exam.score(simpler, place)
        if own.gain is None or other.gain is None or own.gain <= other.gain:
            reasons.append(f"{_figure(own.gain)} nats a target, {simpler} {_figure(other.gain)}")
    return f"no better than what is simpler on {own.days} days it had not seen: {reasons[0]}" if reasons else ""


def _named(target: Target) -> str:
    return f"{target.count} liquidations in {target.seconds} s"


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
