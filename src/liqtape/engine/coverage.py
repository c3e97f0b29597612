"""When a venue's feed was live: the intervals coverage is computed from."""

from liqtape.engine.lane import RETAIN_MS

__all__ = ["Feed"]

_OPEN = 1 << 63
_KEPT_MS = 2 * RETAIN_MS  # the feed's clock and the evaluation's need not be the same


class Feed:
    """Live intervals of one venue's feed, oldest first; only what the largest window can see is kept.

    >>> feed = Feed(); feed.up(0); feed.down(5_000); feed.up(8_000)
    >>> feed.exposure_ms(0, 10_000)
    7000
    """

    __slots__ = ("ended", "since")

    def __init__(self) -> None:
        self.since: int | None = None
        self.ended: list[tuple[int, int]] = []  # (up, down)

    @property
    def is_known(self) -> bool:
        """Whether the feed was ever live; before, its coverage is unknown."""
        return self.since is not None or bool(self.ended)

    def up(self, at_ms: int) -> None:
        """The feed is live from `at_ms`; a second `up` changes nothing."""
        if self.since is None:
            # Never overlap what was already counted, whatever the caller's clock did.
            self.since = max(at_ms, self.ended[-1][1]) if self.ended else at_ms

    def down(self, at_ms: int) -> None:
        """The feed was last seen live at `at_ms`; a second `down` changes nothing."""
        if self.since is not None:
            self.ended.append((self.since, max(at_ms, self.since)))
            self.since = None
            self.forget(at_ms - _KEPT_MS)

    def missed(self, from_ms: int, until_ms: int) -> None:
        """It turned out that the feed was not live in between."""
        kept: list[tuple[int, int]] = []
        for up, down in self._spans():
            kept += [(up, min(down, from_ms)), (max(up, until_ms), down)]
        self._take([(up, down) for up, down in kept if up < down])

    def mended(self, from_ms: int, until_ms: int) -> None:
        """What was missed in between is known now, as if the feed had been live.

        >>> feed = Feed(); feed.up(0); feed.down(5_000); feed.up(8_000); feed.mended(5_000, 8_000)
        >>> feed.exposure_ms(0, 10_000)
        10000
        """
        merged: list[tuple[int, int]] = []
        for up, down in sorted([*self._spans(), (from_ms, until_ms)]):
            if merged and up <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(down, merged[-1][1]))
            else:
                merged.append((up, down))
        self._take(merged)

    def _spans(self) -> list[tuple[int, int]]:
        return [*self.ended, *([] if self.since is None else [(self.since, _OPEN)])]

    def _take(self, spans: list[tuple[int, int]]) -> None:
        self.ended = [span for span in spans if span[1] != _OPEN]
        self.since = next((up for up, down in spans if down == _OPEN), None)

    def covers(self, from_ms: int) -> bool:
        """Whether the feed is live now and was without a break since `from_ms`."""
        return self.since is not None and self.since <= from_ms

    def exposure_ms(self, from_ms: int, until_ms: int) -> int:
        """Milliseconds of (from, until] in which the feed was live."""
        live = 0 if self.since is None else max(0, until_ms - max(self.since, from_ms))
        for up, down in self.ended:
            live += max(0, min(down, until_ms) - max(up, from_ms))
        return live

    def forget(self, before_ms: int) -> None:
        """Drop intervals that ended before `before_ms`."""
        while len(self.ended) > 1 and self.ended[0][1] < before_ms:
            del self.ended[0]
