"""When feeds were live, for whole columns of evaluation times: coverage of past windows."""

from collections.abc import Collection, Iterable, Mapping, Set
from typing import Any

import numpy as np

from liqtape.history.query.watchedtime import Spell, joined_spells

__all__ = ["ObservedTime", "Spell"]

Ints = np.ndarray[Any, np.dtype[np.int64]]


class ObservedTime:
    """The spells in which each venue's feed was live; a gap that was wholly backfilled is as good as live."""

    def __init__(self, spells: Iterable[tuple[str, int, int]]) -> None:
        found: dict[str, list[Spell]] = {}
        for venue, from_ms, until_ms in spells:
            found.setdefault(venue, []).append((from_ms, until_ms))
        self._venues: Mapping[str, tuple[Ints, Ints, Ints]] = {
            venue: _columns(joined_spells(of_venue)) for venue, of_venue in found.items()
        }

    @property
    def venues(self) -> Set[str]:
        """Those whose feeds are known."""
        return self._venues.keys()

    def concerned(self, from_ms: int, until_ms: int) -> Collection[str]:
        """Return venues that were live at some time in the interval; where none was, all that ever were."""
        ends = np.array([from_ms, until_ms])
        live = {venue for venue in self._venues if np.diff(self._live_ms(venue, ends))[0] > 0}
        return live or set(self._venues)

    def dark(self, venues: Collection[str], from_ms: int, until_ms: int) -> list[Spell]:
        """Return when a feed of one of these venues was not live within the interval; none where no feed is known."""
        spells: list[Spell] = []
        for venue in venues:
            if venue in self._venues:
                ups, downs, _ = self._venues[venue]
                edges = np.clip([from_ms, *np.column_stack([ups, downs]).ravel().tolist(), until_ms], from_ms, until_ms)
                spells += [(begin, end) for begin, end in edges.reshape(-1, 2).tolist() if begin < end]
        return joined_spells(spells)

    def shares(self, venues: Collection[str], at_ms: Ints, seconds: int) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Return the least live share of these venues for each window (t - W, t].

        It is NaN where no feed of theirs is known.
        """
        known = [venue for venue in venues if venue in self._venues]
        if not known:
            return np.full(len(at_ms), np.nan)
        live = [self._live_ms(venue, at_ms) - self._live_ms(venue, at_ms - 1000 * seconds) for venue in known]
        return np.asarray(np.min(live, axis=0) / (1000 * seconds))

    def _live_ms(self, venue: str, until_ms: Ints) -> Ints:
        """Return live time from the beginning of all times."""
        ups, downs, before = self._venues[venue]
        place = np.searchsorted(ups, until_ms, "right") - 1
        inside = np.minimum(until_ms, downs[place]) - ups[place]
        return np.where(place < 0, 0, before[place] + inside)


def _columns(spells: list[Spell]) -> tuple[Ints, Ints, Ints]:
    """Return begins, ends, and the live time before each begin."""
    ups, downs = (np.array(column, np.int64) for column in zip(*spells, strict=True))
    return ups, downs, np.cumsum(downs - ups) - (downs - ups)
