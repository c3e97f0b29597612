"""The history as rows for the API: one question at a time, in a thread, at most so much at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation
from liqtape.web.chartanswers import Cell
from liqtape.web.pasthistory import PastEvents, PastRows
from liqtape.web.questions import HistoryQuestion

if TYPE_CHECKING:
    import pyarrow as pa

    from liqtape.history.query.query import History

__all__ = ["HistoryRows"]

_MOST_ROWS = 1_000_000
_MOST_EVENTS = 300_000  # of a chart


class HistoryRows:
    """Answers questions from a directory or a PostgreSQL server."""

    def __init__(self, where: str) -> None:
        self._where = where

    def ask(self, question: HistoryQuestion, from_ms: int, until_ms: int) -> PastRows:
        """Return a page of what is asked. Raises ConfigurationError, which says how to mend it."""
        import liqtape.history

        with liqtape.history.open(self._where) as past:
            _check_names(past, question, from_ms, until_ms)
            table = _table(past, question, from_ms, until_ms)
            if len(table) > _MOST_ROWS:
                raise ConfigurationError(f"{len(table):,} rows are too many: ask for a shorter span or longer steps")
            page = table.slice(question.offset, question.limit)
            return PastRows(list(table.column_names), _rows(page), len(table))

    def liquidations(self, instrument: str | None, from_ms: int, until_ms: int) -> PastEvents:
        """Return the newest liquidations of the interval, at most 300,000."""
        import liqtape.history

        with liqtape.history.open(self._where) as past:
            table = past.events(from_ms, until_ms, instrument)
            spells = past.coverage(from_ms, until_ms).to_pylist()
        times = table["event_ms"].to_pylist()
        watched_ms = min([spell["up_ms"] for spell in spells] or times[:1] or [until_ms])
        begin_ms = max(from_ms, watched_ms)
        if len(times) > _MOST_EVENTS:
            begin_ms = max(begin_ms, times[-_MOST_EVENTS - 1])
        names = Liquidation.__struct_fields__
        rows = table.select(names).slice(max(0, len(times) - _MOST_EVENTS)).to_pylist()
        return PastEvents([Liquidation(**row) for row in rows], begin_ms)


def _check_names(past: "History", question: HistoryQuestion, from_ms: int, until_ms: int) -> None:
    if question.symbol is None:
        return
    known = past.instruments(from_ms - 86_400_000, until_ms)
    if question.symbol not in known:
        raise ConfigurationError(f"symbol {question.symbol}: no liquidation of it in the span or the day before it")


def _table(past: "History", question: HistoryQuestion, from_ms: int, until_ms: int) -> "pa.Table":
    if question.show == "gaps":
        return past.gaps(from_ms, until_ms)
    if question.show == "events":
        return past.events(from_ms, until_ms, question.symbol, question.venue)
    if question.show == "summary":
        window = question.window or 60
        return past.summary(from_ms, until_ms, instrument=question.symbol, venue=question.venue, seconds=window)
    steps = (until_ms - from_ms) // (1000 * question.every)
    if steps > _MOST_ROWS:
        raise ConfigurationError(f"{steps:,} steps are too many: ask for a shorter span or longer steps")
    window = question.window or question.every
    return past.velocity(
        from_ms, until_ms, instrument=question.symbol, venue=question.venue, every=question.every, seconds=[window]
    )


def _rows(table: "pa.Table") -> Sequence[Sequence[Cell]]:
    columns = [column.to_pylist() for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]
