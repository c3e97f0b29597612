"""When somebody watched the venues, for single intervals; `ObservedTime` is the same for whole columns."""

from bisect import bisect_right
from collections.abc import Collection, Iterable
from itertools import accumulate

__all__ = ["Spell", "WatchedTime", "joined_spells"]

Spell = tuple[int, int]
"""(from, until) in ms."""


def joined_spells(spells: Iterable[Spell]) -> list[Spell]:
    """Return the spells in order, those that touch or overlap as one.

    >>> joined_spells([(5, 9), (0, 5), (12, 13)])
    [(0, 9), (12, 13)]
    """
    joined: list[Spell] = []
    for from_ms, until_ms in sorted(spells):
        if joined and from_ms <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(until_ms, joined[-1][1]))
        else:
            joined.append((from_ms, until_ms))
    return joined


class WatchedTime:
    """The spells in which each venue's feed was live; a gap that was wholly backfilled is as good as live.

    >>> time = WatchedTime([("okx", 0, 40_000), ("okx", 40_000, 60_000), ("bybit", 0, 30_000)])
    >>> time.share({"okx", "bybit"}, 0, 60_000), time.share({"okx"}, 0, 120_000), time.share({"binance"}, 0, 1)
    (0.5, 0.5, None)
    """

    def __init__(self, spells: Iterable[tuple[str, int, int]]) -> None:
        found: dict[str, list[Spell]] = {}
        for venue, from_ms, until_ms in spells:
            found.setdefault(venue, []).append((from_ms, until_ms))
        self._spells = {venue: joined_spells(of_venue) for venue, of_venue in found.items()}
        self._before = {
            venue: list(accumulate((end - begin for begin, end in spells), initial=0))
            for venue, spells in self._spells.items()
        }

    def concerned(self, from_ms: int, until_ms: int) -> Collection[str]:
        """Return the venues that were live at some time in the interval; where none was, all that ever were."""
        return {venue for venue in self._spells if self._live_ms(venue, from_ms, until_ms)} or set(self._spells)

    def share(self, venues: Collection[str], from_ms: int, until_ms: int) -> float | None:
        """Return the least live share of these venues; None where no feed of theirs is known."""
        live = [self._live_ms(venue, from_ms, until_ms) for venue in venues if venue in self._spells]
        return min(live) / (until_ms - from_ms) if live else None

    def nobody(self, venues: Collection[str], from_ms: int, until_ms: int) -> bool:
        """Whether feeds of these venues are known, and none was live in the interval."""
        known = [venue for venue in venues if venue in self._spells]
        return bool(known) and not any(self._live_ms(venue, from_ms, until_ms) for venue in known)

    def _live_ms(self, venue: str, from_ms: int, until_ms: int) -> int:
        return self._until(venue, until_ms) - self._until(venue, from_ms)

    def _until(self, venue: str, at_ms: int) -> int:
        """Live time from the beginning of all times."""
        spells = self._spells[venue]
        place = bisect_right(spells, (at_ms, at_ms)) - 1
        if place < 0:
            return 0
        begin, end = spells[place]
        return self._before[venue][place] + min(at_ms, end) - begin
