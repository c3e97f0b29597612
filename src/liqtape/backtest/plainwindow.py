"""The plain baselines: how many liquidations in the last 60 s, or how much USD. Nothing is learned."""

from collections import deque
from typing import Literal

from liqtape.cascades.detector import DetectorStanding, Signal
from liqtape.events import Liquidation
from liqtape.money import MICRO, micro_of

__all__ = ["PlainWindow"]

_MINUTE_MS = 60_000


class PlainWindow:
    """A detector that has a score and no threshold of its own: it is never raised.

    >>> window = PlainWindow("count")
    >>> for second in (0, 30, 61):
    ...     _ = window.update(Liquidation("bybit", "B", "B", "long", 1.0, "fill", None, None, 1_000 * second))
    >>> window.at(61_000).score
    2.0
    """

    def __init__(self, of: Literal["count", "usd"]) -> None:
        self.name = "velocity_60" if of == "count" else "usd_60"
        self._is_count = of == "count"
        self._held: deque[tuple[int, int]] = deque()
        self._sum = 0
        self._now_ms = 0

    def up(self, at_ms: int) -> None:
        """Ignore that it is watched."""

    def down(self, at_ms: int) -> None:
        """Ignore that it is not."""

    def update(self, event: Liquidation) -> Signal | None:
        """Take in an event."""
        self._now_ms = max(self._now_ms, event.event_ms)
        usd = event.notional_usd
        amount = 1 if self._is_count else 0 if usd is None else micro_of(usd)
        self._held.append((self._now_ms, amount))
        self._sum += amount
        return None

    def at(self, now_ms: int) -> DetectorStanding:
        """Return the score."""
        edge_ms = max(now_ms, self._now_ms) - _MINUTE_MS
        held = self._held
        while held and held[0][0] <= edge_ms:
            self._sum -= held.popleft()[1]
        return DetectorStanding(
            is_raised=False, score=float(self._sum) if self._is_count else self._sum / MICRO, threshold=None
        )
