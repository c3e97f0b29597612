"""The history as rows for the API: one question at a time, in a thread, at most so much at once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from liqtape.cli.past import Past, opened_by
from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation
from liqtape.history.log.layout import EVENT_COLUMNS
from liqtape.settings import HistorySettings, Settings
from liqtape.web.chartanswers import Cell
from liqtape.web.pasthistory import PastEvents, PastRows
from liqtape.web.questions import HistoryQuestion

if TYPE_CHECKING:
    import pyarrow as pa

    from liqtape.history.query.query import History

__all__ = ["HistoryRows"]

_MOST_ROWS = 1_000_000
_MOST_EVENTS = 300_000  # of a chart
_LIVE_MS = 60_000


class HistoryRows:
    """Answers questions from a directory or a PostgreSQL server.

    Events and gaps need nothing installed as long as no hour there is sealed; steps and the summary need `analysis`.
    """

    def __init__(self, where: str) -> None:
        self._settings = Settings(history=HistorySettings(where))

    def ask(self, question: HistoryQuestion, from_ms: int, until_ms: int) -> PastRows:
        """Return a page of what is asked. Raises ConfigurationError, which says how to mend it."""
        with opened_by(self._settings) as past:
            _check_name(past, question, from_ms, until_ms)
            columns = _columns(past, question, (from_ms, until_ms))
            total = len(next(iter(columns.values()), ()))
            if total > _MOST_ROWS:
                raise ConfigurationError(f"{total:,} rows are too many: ask for a shorter span or longer steps")
            page = slice(question.offset, question.offset + question.limit)
            return PastRows(list(columns), _rows(columns, page), total)

    def liquidations(self, instrument: str | None, from_ms: int, until_ms: int) -> PastEvents:
        """Return the newest liquidations of the interval, at most 300,000."""
        names = Liquidation.__struct_fields__
        with opened_by(self._settings) as past:
            columns = past.rows.events(from_ms, until_ms, instrument, None, names)
            ups = past.rows.coverage(from_ms, until_ms)["up_ms"]
        times = columns["event_ms"]
        watched_ms = min(ups) if ups else _first_live(times, columns["receive_ms"], until_ms)
        begin_ms = max(from_ms, watched_ms)
        if len(times) > _MOST_EVENTS:
            begin_ms = max(begin_ms, times[-_MOST_EVENTS - 1])
        newest = (column[-_MOST_EVENTS:] for column in columns.values())
        return PastEvents([Liquidation(*row) for row in zip(*newest, strict=True)], begin_ms)


def _first_live(event_ms: Sequence[int], receive_ms: Sequence[int], otherwise: int) -> int:
    """Return the time of the first event that came as it happened: one asked for afterwards tells of no watching."""
    arrived = zip(event_ms, receive_ms, strict=True)
    return next((at_ms for at_ms, came_ms in arrived if came_ms - at_ms < _LIVE_MS), otherwise)


def _check_name(past: Past, question: HistoryQuestion, from_ms: int, until_ms: int) -> None:
    if question.symbol is None:
        return
    known = past.rows.events(from_ms - 86_400_000, until_ms, question.symbol, None, ("event_ms",))["event_ms"]
    if not known:
        raise ConfigurationError(f"symbol {question.symbol}: no liquidation of it in the span or the day before it")


def _columns(past: Past, question: HistoryQuestion, span: tuple[int, int]) -> Mapping[str, Sequence[Any]]:
    if question.show == "gaps":
        return past.rows.gaps(*span)
    if question.show == "events":
        return past.rows.events(*span, question.symbol, question.venue, EVENT_COLUMNS)
    table = _table(past.needing(f"show={question.show}"), question, *span)
    return {name: table[name].to_pylist() for name in table.column_names}


def _table(past: "History", question: HistoryQuestion, from_ms: int, until_ms: int) -> "pa.Table":
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


def _rows(columns: Mapping[str, Sequence[Any]], page: slice) -> Sequence[Sequence[Cell]]:
    return [list(row) for row in zip(*(column[page] for column in columns.values()), strict=True)]
