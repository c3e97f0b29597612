"""How excited a stream is: decaying sums over its events, at four rates of decay."""

from math import exp

__all__ = ["DECAYS", "HawkesStates"]

DECAYS = (1.0, 0.1, 0.01, 0.001)
"""Rates of decay per second: memories of a second, ten seconds, two minutes and a quarter of an hour."""


class HawkesStates:
    """R_b = the sum of e^(-b (t - t_i)) over the events so far, for each decay b; O(1) an event, nothing is kept.

    >>> states = HawkesStates()
    >>> states.add(1_000)
    >>> states.at(11_000)[1]  # e^-1
    0.36787944117144233
    """

    __slots__ = ("_newest_ms", "_sums")

    def __init__(self) -> None:
        self._sums = [0.0] * len(DECAYS)
        self._newest_ms = 0

    def add(self, event_ms: int) -> None:
        """Take in an event; one that is late counts as if it had come in time."""
        seconds = (event_ms - self._newest_ms) / 1000
        if seconds >= 0:
            self._sums = [value * exp(-b * seconds) + 1.0 for b, value in zip(DECAYS, self._sums, strict=True)]
            self._newest_ms = event_ms
        else:
            self._sums = [value + exp(b * seconds) for b, value in zip(DECAYS, self._sums, strict=True)]

    def at(self, now_ms: int) -> list[float]:
        """Return the sums at a moment that no event is behind."""
        seconds = (now_ms - self._newest_ms) / 1000
        return [value * exp(-b * seconds) for b, value in zip(DECAYS, self._sums, strict=True)]
