"""Which of two forecasts is better: information gain per target, with a paired T-test and a Wilcoxon test over days."""

from collections.abc import Sequence
from math import erfc, fsum, inf, sqrt

from msgspec import Struct

from liqtape.exam.distributions import student_quantile, student_tail

__all__ = ["InformationGain", "information_gain", "signed_rank"]

_MOST_EXACT = 60
_SIDE = 0.025


class InformationGain(Struct, frozen=True):
    """Nats per target by which one forecast beats another; `low` to `high` is the 95 % interval over days.

    `t_test` and `wilcoxon` are the two-sided probabilities of a difference so large by chance. None where there are
    too few days, or no target.
    """

    gain: float | None
    error: float | None
    low: float | None
    high: float | None
    t_test: float | None
    wilcoxon: float | None
    days: int
    targets: int


def information_gain(gains_of_days: Sequence[float], targets: int) -> InformationGain:
    """Return the gain from the differences of the log scores of each day, and the number of targets in all.

    >>> found = information_gain([3.0, 1.0, 2.0], 2)
    >>> found.gain, round(found.t_test or 0, 4), found.wilcoxon
    (3.0, 0.0742, 0.25)
    """
    days = len(gains_of_days)
    if not targets:
        return InformationGain(None, None, None, None, None, None, days, targets)
    gain = fsum(gains_of_days) / targets
    if days < 2:
        return InformationGain(gain, None, None, None, None, None, days, targets)
    mean = fsum(gains_of_days) / days
    variance = fsum((one - mean) ** 2 for one in gains_of_days) / (days - 1)
    error = sqrt(days * variance) / targets
    reach = student_quantile(_SIDE, days - 1) * error
    t = gain / error if error else (inf if gain else 0.0)
    t_test = 2 * student_tail(abs(t), days - 1)
    return InformationGain(gain, error, gain - reach, gain + reach, t_test, signed_rank(gains_of_days), days, targets)


def signed_rank(differences: Sequence[float]) -> float | None:
    """Return the two-sided probability of Wilcoxon's signed rank sum, exact for up to 60 differences, ties included.

    Differences of zero are left out; None where no other is there.
    """
    left = sorted((value for value in differences if value), key=abs)
    if not left:
        return None
    doubled = _doubled_ranks([abs(value) for value in left])
    positive = sum(rank for rank, value in zip(doubled, left, strict=True) if value > 0)
    total = sum(doubled)
    if len(left) > _MOST_EXACT:
        spread = sqrt(fsum(rank * rank for rank in doubled) / 4)
        return min(1.0, erfc(abs(positive - total / 2) / spread / sqrt(2)))
    ways = [0] * (total + 1)
    ways[0] = 1
    for rank in doubled:
        for sum_ in range(total, rank - 1, -1):
            ways[sum_] += ways[sum_ - rank]
    fewer = min(positive, total - positive)
    return float(min(1.0, 2 * sum(ways[: fewer + 1]) / 2 ** len(left)))


def _doubled_ranks(sizes: Sequence[float]) -> list[int]:
    """Twice the ranks of values in order; equal values share the middle of their ranks."""
    found: list[int] = []
    place = 0
    while place < len(sizes):
        until = place
        while until < len(sizes) and sizes[until] == sizes[place]:
            until += 1
        found += [place + 1 + until] * (until - place)
        place = until
    return found
