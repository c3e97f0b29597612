"""How much of a cascade was seen at all: what throttled venues print against what they must have hidden."""

from collections.abc import Collection

from liqtape.engine.windows.slotrate import corrected_rate

__all__ = ["ObservedShare"]

_BLOCK_MS = 60_000
_SLOTS = 60  # of a block
_KEPT_BLOCKS = 8  # late events go into these


class ObservedShare:
    """Counts by minute, throttled venue and instrument; each count is corrected as the velocity of such a venue is.

    `throttled` venues print at most one liquidation of an instrument and second, `partly` are those that show some
    accounts only: with one of them nobody knows.

    Minutes are counted from `begin_ms`.

    >>> seen = ObservedShare(0, {"okx"}, ())
    >>> for second in range(30):
    ...     seen.add(1_000 * second, "okx", "BTCUSDT")
    ...     seen.add(1_000 * second, "bybit", "BTCUSDT")
    >>> round(seen.share(), 3)
    0.838
    """

    def __init__(self, begin_ms: int, throttled: Collection[str], partly: Collection[str]) -> None:
        self._begin_ms = begin_ms
        self._throttled = throttled
        self._partly = partly
        self._seen = 0
        self._folded = 0.0
        self._is_unknown = False
        self._blocks: dict[int, dict[tuple[str, str], int]] = {}

    def add(self, at_ms: int, venue: str, instrument: str) -> None:
        """Count an event."""
        self._seen += 1
        if venue in self._partly:
            self._is_unknown = True
        if venue not in self._throttled:
            self._folded += 1.0
            return
        block = (at_ms - self._begin_ms) // _BLOCK_MS
        counts = self._blocks.get(block)
        if counts is None:
            counts = self._blocks[block] = {}
            if len(self._blocks) > _KEPT_BLOCKS:
                oldest = self._blocks.pop(min(self._blocks))
                self._folded += self._behind(oldest)
        counts[venue, instrument] = counts.get((venue, instrument), 0) + 1

    def share(self) -> float | None:
        """Return seen / estimated, 1.0 where nothing was throttled; None of nothing, and where nobody knows."""
        estimated = self._folded + sum(self._behind(counts) for counts in self._blocks.values())
        if self._is_unknown or not self._seen:
            return None
        return min(1.0, round(self._seen / estimated, 6))

    def _behind(self, counts: dict[tuple[str, str], int]) -> float:
        """Return how many events there were behind these counts of one block; a full block makes all unknown."""
        total = 0.0
        for count in counts.values():
            rate = corrected_rate(_SLOTS, min(count, _SLOTS))
            self._is_unknown |= rate.saturated
            total += _SLOTS * rate.rate
        return total
