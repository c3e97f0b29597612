"""From a score to a probability that is true: fitted on later time than what gives the score."""

from bisect import bisect_right
from math import exp, isfinite
from typing import Literal

from msgspec import Struct

__all__ = ["Calibration", "logistic"]


class Calibration(Struct, frozen=True):
    """How a score becomes a probability.

    `platt`: 1 / (1 + e^-(offset + slope score)). `isotonic`: between the knots (score, probability) on a straight line,
    beyond them as at the last. Both rise with the score.
    """

    kind: Literal["platt", "isotonic"]
    slope: float = 1.0
    offset: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()

    def probability(self, score: float) -> float:
        """Return the probability that belongs to a score."""
        if self.kind == "platt":
            return logistic(self.offset + self.slope * score)
        knots = self.knots
        place = bisect_right(knots, (score, 1.0))
        if place == 0:
            return knots[0][1]
        if place == len(knots):
            return knots[-1][1]
        (low, p), (high, q) = knots[place - 1], knots[place]
        return p + (q - p) * (score - low) / (high - low)

    def wrong(self) -> str:
        """Return what is wrong with it, empty where nothing is."""
        if not (isfinite(self.slope) and isfinite(self.offset) and self.slope >= 0):
            return "slope and offset must be numbers, the slope at least 0"
        if self.kind == "isotonic" and not self.knots:
            return "there are no knots"
        scores, chances = [score for score, _ in self.knots], [chance for _, chance in self.knots]
        if not all(isfinite(score) and 0 <= chance <= 1 for score, chance in self.knots):
            return "knots are (score, probability)"
        if sorted(set(scores)) != scores or sorted(chances) != chances:
            return "knots must rise"
        return ""


def logistic(x: float) -> float:
    """Return 1 / (1 + e^-x), for any x.

    >>> logistic(0.0), logistic(-1e9)
    (0.5, 0.0)
    """
    if x >= 0:
        return 1.0 / (1.0 + exp(-x))
    grown = exp(x)
    return grown / (1.0 + grown)
