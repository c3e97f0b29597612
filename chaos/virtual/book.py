"""The book of the world: every liquidation a venue printed, when that was in true time, and whether it reached us."""

from collections.abc import Iterable

from msgspec import Struct

from liqtape.simulator.wire import SentRow

__all__ = ["Book", "Entry", "Key"]

Key = tuple[str, str, str, int]
"""Venue, symbol, side, stamp: what the log and the venue both know of a liquidation."""


class Entry(Struct):
    """One printed liquidation. Moments are true ms; `skew_ms` is what the venue's clock was ahead by then.

    `delivered_ms` is when it reached us first as news; `told_ms` by a snapshot, or in answer to a question.
    """

    row: SentRow
    published_ms: int
    skew_ms: int
    delivered_ms: int | None = None
    told_ms: int | None = None

    @property
    def key(self) -> Key:
        row = self.row
        return row.venue, row.symbol, row.side, row.event_ms

    @property
    def true_ms(self) -> int:
        """When it happened, as nobody but the book can know."""
        return self.row.event_ms - self.skew_ms

    @property
    def is_known(self) -> bool:
        """Whether it reached us in any way."""
        return self.delivered_ms is not None or self.told_ms is not None


class Book:
    """All of them, by venue and serial."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, int], Entry] = {}

    def published(self, rows: Iterable[SentRow], true_ms: int, skew_ms: int) -> None:
        """Note that a venue printed these, whoever hears it."""
        for row in rows:
            self.entries.setdefault((row.venue, row.serial), Entry(row, true_ms, skew_ms))

    def delivered(self, rows: Iterable[SentRow], true_ms: int) -> None:
        """Note that these reached us."""
        for row in rows:
            entry = self.entries.get((row.venue, row.serial))
            if entry is not None and entry.delivered_ms is None:
                entry.delivered_ms = true_ms

    def told(self, rows: Iterable[SentRow], true_ms: int, skew_ms: int = 0) -> None:
        """Note that we were told of these as of something past, some of which nobody ever printed."""
        for row in rows:
            entry = self.entries.setdefault((row.venue, row.serial), Entry(row, true_ms, skew_ms))
            if entry.told_ms is None:
                entry.told_ms = true_ms
