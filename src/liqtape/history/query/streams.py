"""Events of a question as columns of numbers, with the streams they belong to."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np

from liqtape.batch import SIDES
from liqtape.history.query.observedtime import ObservedTime, Spell
from liqtape.venues import VENUES
from liqtape.venues.base import is_partial

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["By", "Floats", "Ints", "Selection", "Streams"]

By = Literal["instrument", "venue"]
"""What streams are told apart by; otherwise all events asked for are one: an instrument's, a venue's, the market's."""


class Selection(TypedDict):
    """Whose events a question or a stream is about; None for all."""

    instrument: str | None
    venue: str | None


Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
_PARTIAL = frozenset(name for name, venue in VENUES.items() if is_partial(venue))


class Streams:
    """What streams there are, and of each event its time, USD, side and stream (the place in `names`)."""

    def __init__(
        self, table: "pa.Table", selection: Selection, by: By | None, observed: ObservedTime, others: Collection[str]
    ) -> None:
        self.event_ms: Ints = table["event_ms"].to_numpy()
        self.usd: Floats = table["notional_usd"].to_numpy()
        sides, side_names = _codes(table["side"])
        self.sides = np.array([*map(SIDES.index, side_names), SIDES.index(None)], np.int8)[sides]
        self._observed_time = observed
        venues, venue_names = _codes(table["venue"])
        if by is None:
            self.codes: Ints = np.zeros(len(venues), np.int64)
            self.names: Sequence[Selection] = [selection]
            # An instrument depends on the venues that had an event of it, the market on all that were live.
            if selection["venue"] is not None:
                depends: Collection[str] = [selection["venue"]]
            elif selection["instrument"] is not None and venue_names:
                depends = venue_names
            else:
                depends = {*venue_names, *others}
            self._venues = [frozenset(depends)]
            return
        codes, names = (venues, venue_names) if by == "venue" else _codes(table["instrument"])
        order = np.argsort(names) if names else np.zeros(0, np.int64)
        ranks = np.empty_like(order)
        ranks[order] = np.arange(len(order))
        self.codes = ranks[codes] if names else codes
        self.names = [_narrowed(selection, by, names[place]) for place in order]
        pairs = np.unique(self.codes * max(1, len(venue_names)) + venues)
        found: list[set[str]] = [set() for _ in self.names]
        for pair in pairs.tolist():
            found[pair // len(venue_names)].add(venue_names[pair % len(venue_names)])
        self._venues = [frozenset(of_stream) for of_stream in found]

    @property
    def venues(self) -> frozenset[str]:
        """Those the streams depend on: whose feeds have to be live."""
        return frozenset().union(*self._venues)

    def unwatched(self, from_ms: int, until_ms: int) -> list[Spell]:
        """Return when something of the first stream could be missed.

        Where no feed is known that is the time before any event.
        """
        if self._observed_time.venues.isdisjoint(self._venues[0]):
            return [(from_ms, int(self.event_ms.min()))] if len(self.event_ms) else []
        return self._observed_time.dark(self._venues[0], from_ms, until_ms)

    def coverage(self, at_ms: Ints, codes: Ints, seconds: int) -> Floats:
        """Return the least share that its venues' feeds were live in the window of each row; NaN where not known."""
        shares = np.full(len(at_ms), np.nan)
        for code in np.unique(codes).tolist():
            rows = codes == code
            shares[rows] = self._observed_time.shares(self._venues[code], at_ms[rows], seconds)
        return shares

    def partial(self, codes: Ints, coverage: Floats) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """Return whether something may be missing: not covered, or of a venue that never shows all."""
        by_design = np.array([not _PARTIAL.isdisjoint(venues) for venues in self._venues], np.bool_)
        return np.asarray((coverage < 1) | by_design[codes])


def _narrowed(selection: Selection, by: By, name: str) -> Selection:
    if by == "venue":
        return Selection(instrument=selection["instrument"], venue=name)
    return Selection(instrument=name, venue=selection["venue"])


def _codes(column: "pa.ChunkedArray") -> tuple[Ints, list[str]]:
    """Return (place of each text among the different ones, -1 for null; the different ones)."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], column.type)
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    # A file's dictionary also has what none of the chosen rows is.
    is_used = np.bincount(codes[codes >= 0], minlength=len(whole.dictionary)) > 0
    places = np.append(np.cumsum(is_used) - 1, -1)  # null stays null
    return places[codes], [name for name, used in zip(whole.dictionary.to_pylist(), is_used, strict=True) if used]
