"""Which part of the past was watched: a forecast from half of it would be a guess."""

from collections.abc import Iterable, Sequence

from liqtape.forecast.features import LOOK_BACK_MS

__all__ = ["WatchedSpans"]

_EVER_MS = 1 << 62
_RECENT_MS = 300_000
_HOUR_MS = 3_600_000
_MOST_MISSING_MS = _HOUR_MS // 20
_MOST_SPANS = 1_000  # within six hours; beyond it the oldest are joined


class WatchedSpans:
    """When all of the venues were watched. A venue is unwatched until it is told to be up.

    >>> watched = WatchedSpans(["bybit"])
    >>> watched.up("bybit", 0)
    >>> watched.why_not(1_800_000)
    'watched 30 of the last 60 minutes'
    """

    def __init__(self, venues: Iterable[str]) -> None:
        self._down_since: dict[str, int | None] = dict.fromkeys(venues, -_EVER_MS)
        self._missed: list[tuple[int, int]] = []

    @classmethod
    def between(cls, spans: Sequence[tuple[int, int]]) -> "WatchedSpans":
        """Return what was watched where all of it is known: (begin, end) in ms, sorted and apart."""
        watched = cls(())
        ends = [-_EVER_MS, *(until_ms for _, until_ms in spans)]
        begins = [*(from_ms for from_ms, _ in spans), _EVER_MS]
        watched._missed = [gap for gap in zip(ends, begins, strict=True) if gap[0] < gap[1]]
        return watched

    def up(self, venue: str, at_ms: int) -> None:
        """Hear that a venue is watched since then."""
        since_ms = self._down_since.get(venue)
        if since_ms is not None:
            self._down_since[venue] = None
            self.missed(since_ms, at_ms)

    def down(self, venue: str, at_ms: int) -> None:
        """Hear that a venue is watched no longer."""
        if venue in self._down_since and self._down_since[venue] is None:
            self._down_since[venue] = at_ms

    def missed(self, from_ms: int, until_ms: int) -> None:
        """Hear that a venue was not watched in between."""
        if until_ms <= from_ms:
            return
        kept = sorted(gap for gap in (*self._missed, (from_ms, until_ms)) if gap[1] > until_ms - 2 * LOOK_BACK_MS)
        if len(kept) > _MOST_SPANS:
            kept[:2] = [(kept[0][0], max(kept[0][1], kept[1][1]))]
        self._missed = kept

    def missing_ms(self, from_ms: int, until_ms: int) -> int:
        """Return how much of an interval was not watched."""
        gaps = [(since_ms, _EVER_MS) for since_ms in self._down_since.values() if since_ms is not None]
        missing, reached = 0, from_ms
        for begin_ms, end_ms in sorted(gaps + self._missed) if gaps else self._missed:
            more_ms = min(end_ms, until_ms) - max(begin_ms, reached)
            if more_ms > 0:
                missing += more_ms
                reached = min(end_ms, until_ms)
        return missing

    def why_not(self, now_ms: int) -> str:
        """Return why no forecast can be made at that moment from what was seen; empty where one can.

        The last 300 s have to be watched wholly, and the last hour but for a twentieth. What was missed of the hours
        before that counts as empty: a model learns from past hours that were missed in the same way.
        """
        down = sorted(venue for venue, since_ms in self._down_since.items() if since_ms is not None)
        never = [venue for venue in down if self._down_since[venue] == -_EVER_MS]
        if never:
            return f"not watched: {', '.join(never)}"
        if down:
            return f"not watched now: {', '.join(down)}"
        missing_ms = self.missing_ms(now_ms - _HOUR_MS, now_ms)
        if missing_ms > _MOST_MISSING_MS:
            return f"watched {(_HOUR_MS - missing_ms) // 60_000} of the last 60 minutes"
        return "there is a gap in the last 300 s" if self.missing_ms(now_ms - _RECENT_MS, now_ms) else ""
