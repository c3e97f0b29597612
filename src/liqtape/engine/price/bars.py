"""Variance per bar from open, high, low and close. Metrics definition section 3.

Sources: Parkinson 1980; Garman and Klass 1980; Rogers and Satchell 1991; Yang and Zhang 2000.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import fsum, log

from msgspec import Struct

__all__ = ["Bar", "garman_klass", "parkinson", "rogers_satchell", "yang_zhang"]


class Bar(Struct, frozen=True):
    """Prices of one bar."""

    open: float
    high: float
    low: float
    close: float


def _mean(terms: Sequence[float]) -> float | None:
    return fsum(terms) / len(terms) if terms else None


def _sample_variance(terms: Sequence[float]) -> float:
    mean = fsum(terms) / len(terms)
    return fsum((term - mean) ** 2 for term in terms) / (len(terms) - 1)


def parkinson(bars: Sequence[Bar]) -> float | None:
    """Return the mean of ln(h/l)^2 / (4 ln 2); None without bars.

    >>> parkinson([Bar(5.0, 5.0, 5.0, 5.0)])
    0.0
    """
    return _mean([log(bar.high / bar.low) ** 2 / (4 * log(2)) for bar in bars])


def garman_klass(bars: Sequence[Bar]) -> float | None:
    """Return the mean of ln(h/l)^2 / 2 - (2 ln 2 - 1) ln(c/o)^2; None without bars."""
    return _mean([log(bar.high / bar.low) ** 2 / 2 - (2 * log(2) - 1) * log(bar.close / bar.open) ** 2 for bar in bars])


def _rogers_satchell(bar: Bar) -> float:
    up = log(bar.high / bar.close) * log(bar.high / bar.open)
    return up + log(bar.low / bar.close) * log(bar.low / bar.open)


def rogers_satchell(bars: Sequence[Bar]) -> float | None:
    """Return the mean of ln(h/c) ln(h/o) + ln(l/c) ln(l/o): free of drift; None without bars."""
    return _mean([_rogers_satchell(bar) for bar in bars])


def yang_zhang(bars: Sequence[Bar]) -> float | None:
    """Return var(open gap) + k var(open to close) + (1 - k) RS, k = 0.34 / (1.34 + (n+1)/(n-1)), over bars 2..n.

    None for fewer than three bars.
    """
    n = len(bars) - 1
    if n < 2:
        return None
    gaps = [log(bar.open / before.close) for before, bar in pairwise(bars)]
    moves = [log(bar.close / bar.open) for bar in bars[1:]]
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    inside = fsum(map(_rogers_satchell, bars[1:])) / n
    return _sample_variance(gaps) + k * _sample_variance(moves) + (1 - k) * inside
