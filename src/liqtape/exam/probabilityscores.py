"""Scores of probabilities against what came: Brier, its skill, log loss, average precision."""

from collections.abc import Sequence
from math import fsum, log

from msgspec import Struct

__all__ = ["LEAST_PROBABILITY", "ProbabilityScores", "average_precision", "log_score", "probability_scores"]

LEAST_PROBABILITY = 1e-9
"""Log scores take a probability nearer to 0 or 1 for this far from it, so that one sure error is not infinite."""


class ProbabilityScores(Struct, frozen=True):
    """Scores of one forecast. `brier_skill` and `average_precision` are None without both outcomes, all without any."""

    count: int
    positives: int
    base_rate: float | None
    brier: float | None
    brier_skill: float | None
    log_loss: float | None
    average_precision: float | None


def probability_scores(probabilities: Sequence[float], outcomes: Sequence[bool]) -> ProbabilityScores:
    """Return the scores; a forecast of the base rate has skill 0.

    >>> probability_scores([0.25] * 4, [True, False, False, False]).brier_skill
    0.0
    """
    count, positives = len(outcomes), sum(outcomes)
    if not count:
        return ProbabilityScores(0, 0, None, None, None, None, None)
    pairs = list(zip(probabilities, outcomes, strict=True))
    base_rate = positives / count
    brier = fsum((p - y) ** 2 for p, y in pairs) / count
    variance = base_rate * (1 - base_rate)
    return ProbabilityScores(
        count,
        positives,
        base_rate,
        brier,
        1 - brier / variance if variance else None,
        -fsum(log_score(p, is_hit=y) for p, y in pairs) / count,
        average_precision(probabilities, outcomes) if variance else None,
    )


def log_score(probability: float, *, is_hit: bool) -> float:
    """Return the logarithm of the probability that was given to what came."""
    given = probability if is_hit else 1 - probability
    return log(min(1 - LEAST_PROBABILITY, max(LEAST_PROBABILITY, given)))


def average_precision(scores: Sequence[float], outcomes: Sequence[bool]) -> float | None:
    """Return the precision over all thresholds, weighted by what recall each adds; equal scores are one threshold.

    None where nothing was to be found.
    """
    positives = sum(outcomes)
    if not positives:
        return None
    ranked = sorted(zip(scores, outcomes, strict=True), key=lambda pair: -pair[0])
    parts: list[float] = []
    hits = told = 0
    place = 0
    while place < len(ranked):
        score, before = ranked[place][0], hits
        while place < len(ranked) and ranked[place][0] == score:
            hits += ranked[place][1]
            told += 1
            place += 1
        if hits > before:
            parts.append((hits - before) * hits / told)
    return fsum(parts) / positives
