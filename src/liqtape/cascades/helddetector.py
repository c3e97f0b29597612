"""What all detectors but the default one have in common: whom they hear, when they are raised, and for how long.

A statistic goes up and down many times within one cascade. Told each time, one cascade would be a dozen signals; so an
event at which the statistic is at its threshold keeps the detector raised for five minutes more, as an episode of the
return periods stays open.

    score
      |      *  *                          *
      |- - -*- -*- *- - - - - - - - - - - -*- - - - threshold
      |  * *     *   *   *                * *
      +-----+------+---------------------+-+------> t
          signal   |<------ 300 s ------>|  signal again: a new one
               last event at the threshold
"""

from abc import ABC, abstractmethod
from math import exp, inf
from typing import ClassVar, Literal

from liqtape.cascades.detector import DetectorStanding, Signal
from liqtape.engine.levels.streamlevel import QUIET_MS
from liqtape.events import Liquidation, Side

__all__ = ["HeldDetector", "Measure", "SideShare"]

Measure = Literal["rate", "usd"]
"""What a statistic counts: liquidations, or liquidations by their size."""

_BEFORE_MS = -(1 << 63)
_SIDE_MS = 60_000.0


class SideShare:
    """Which side most of the last minute closed: sums by side that decay with a time constant of 60 s.

    >>> share = SideShare()
    >>> share.add("long", 5_000.0, 0); share.add("short", 4_000.0, 60_000); share.leading()
    'short'
    """

    __slots__ = ("_at_ms", "_long", "_short")

    def __init__(self) -> None:
        self._long = self._short = 0.0
        self._at_ms = 0

    def add(self, side: Side | None, amount: float, at_ms: int) -> None:
        """Count an event; times never go back."""
        if at_ms > self._at_ms:
            decay = exp((self._at_ms - at_ms) / _SIDE_MS)
            self._long *= decay
            self._short *= decay
            self._at_ms = at_ms
        if side == "long":
            self._long += amount
        elif side == "short":
            self._short += amount

    def leading(self) -> Side | None:
        """Return the side with more; None where there is none."""
        if self._long == self._short:
            return None
        return "long" if self._long > self._short else "short"


class HeldDetector(ABC):
    """A detector whose subclass says a score after each event, in `_score_with`, and between events, in `_score_at`.

    `side`: only the liquidations of that side are heard, and of a stream that names none, nothing.
    """

    name: ClassVar[str]

    def __init__(self, threshold: float, *, by: Measure = "rate", side: Side | None = None) -> None:
        self.threshold = threshold
        self.by: Measure = by
        self._side = side
        self._share = SideShare()
        self._now_ms = _BEFORE_MS
        self._due_ms: float = -inf  # raised until then
        self._is_up = False
        self._down_ms: int | None = None

    def up(self, at_ms: int) -> None:
        """Note that the stream is watched from then on."""
        if self._is_up:
            return
        self._is_up = True
        down_ms, self._down_ms = self._down_ms, None
        if down_ms is None:
            self._begin(at_ms)
        else:
            self._resume(down_ms, max(down_ms, at_ms))

    def down(self, at_ms: int) -> None:
        """Note that nobody watches the stream from then on."""
        if not self._is_up:
            return
        self._is_up = False
        self._down_ms = at_ms
        self._due_ms = min(self._due_ms, at_ms)

    def update(self, event: Liquidation) -> Signal | None:
        """Take in an event; return a signal when it raises a detector that was quiet."""
        side = event.side
        if self._side is not None and side != self._side:
            return None
        now_ms = max(event.event_ms, self._now_ms)
        self._now_ms = now_ms
        if not self._is_up and self._down_ms is None:
            self.up(now_ms)
        self._share.add(side, 1.0 if self.by == "rate" else event.notional_usd or 0.0, now_ms)
        score = self._score_with(event, now_ms)
        if score is None or score < self.threshold:
            return None
        was_raised = now_ms < self._due_ms
        self._due_ms = now_ms + QUIET_MS
        return None if was_raised else Signal(self.name, now_ms, score, self.threshold, self._share.leading())

    def at(self, now_ms: int) -> DetectorStanding:
        """Return how it stands; asking changes nothing."""
        now_ms = max(now_ms, self._now_ms)
        return DetectorStanding(now_ms < self._due_ms, self._score_at(now_ms) if self._is_up else None, self.threshold)

    def _begin(self, at_ms: int) -> None:  # noqa: B027 - what is windowed has nothing to begin
        """Begin to watch."""

    def _resume(self, down_ms: int, up_ms: int) -> None:  # noqa: B027 - nor to resume
        """Go on watching after a span in which nothing was seen."""

    @abstractmethod
    def _score_with(self, event: Liquidation, now_ms: int) -> float | None:
        """Take in an event, and return the score with it."""

    @abstractmethod
    def _score_at(self, now_ms: int) -> float | None:
        """Return the score at a moment."""
