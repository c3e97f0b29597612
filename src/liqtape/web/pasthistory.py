"""The history over HTTP: the questions of `liqtape history`, asked in a thread, one at a time, page by page."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from liqtape.engine.velocity import MARKET
from liqtape.errors import LiqtapeError, MissingExtra
from liqtape.events import Liquidation
from liqtape.web.board import Board
from liqtape.web.chartanswers import Cell, HistoryAnswer
from liqtape.web.eventmemory import EventMemory
from liqtape.web.nowof import iso
from liqtape.web.questions import HistoryQuestion, Unanswerable, moment_of

__all__ = ["HistoryApi", "PastSource", "PastEvents", "PastRows"]

_PATH = "/api/v1/history"
_MOST_WAITING = 8
_MOST_OLDER = 4
_MOST_MS = 32 * 86_400_000


class PastRows(Struct, frozen=True):
    """A page of a table."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    total: int


class PastEvents(Struct, frozen=True):
    """Liquidations of the past; everything from `from_ms` on is there, as far as it was watched."""

    events: Sequence[Liquidation]
    from_ms: int


class PastSource(Protocol):
    """A history that can be asked. Slow: called in a thread, one call at a time. Raises LiqtapeError or ValueError."""

    def ask(self, question: HistoryQuestion, from_ms: int, until_ms: int) -> PastRows: ...

    def liquidations(self, instrument: str | None, from_ms: int, until_ms: int) -> PastEvents: ...


class HistoryApi:
    """Answers from the past; `past` is None where nothing is kept."""

    def __init__(self, board: Board, past: PastSource | None) -> None:
        self._board = board
        self._past = past
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._is_there = True  # until an extra turns out to be missing
        self._older: dict[str, tuple[int, int, EventMemory]] = {}  # from, to, what lies between

    async def before_memory(self, memory: EventMemory, instrument: str, from_ms: int) -> EventMemory | None:
        """Return what came between a moment and the memory; None where no history can be asked.

        It is asked once: until the memory moves on, later charts of the instrument take the same.
        """
        if self._past is None or not self._is_there or from_ms >= memory.kept_from_ms:
            return None
        until_ms = memory.kept_from_ms
        known = self._older.get(instrument)
        if known is None or known[0] > from_ms or known[1] != until_ms:
            if self._waiting >= _MOST_WAITING:
                return None
            name = None if instrument == MARKET else instrument
            self._waiting += 1
            try:
                async with self._turn:
                    older = await asyncio.to_thread(_remembered, self._past, name, from_ms, until_ms)
            except MissingExtra:
                self._is_there = False
                return None
            except (LiqtapeError, ValueError):
                return None
            finally:
                self._waiting -= 1
            known = (from_ms, until_ms, older)
            self._older.pop(instrument, None)
            self._older[instrument] = known
            while len(self._older) > _MOST_OLDER:
                del self._older[next(iter(self._older))]
        return known[2]

    async def history(self, question: HistoryQuestion) -> HistoryAnswer:
        """Rows of the history."""
        now_ms = self._board.source.now_ms()
        from_ms = moment_of(question.from_, now_ms, "from", _PATH)
        until_ms = now_ms if question.to is None else moment_of(question.to, now_ms, "to", _PATH)
        if from_ms >= until_ms:
            raise Unanswerable(400, "from is not before to", _PATH, "let the span begin before it ends")
        if until_ms - from_ms > _MOST_MS:
            raise Unanswerable(400, "a span of more than 32 days", _PATH, "ask for it in parts, or use liqtape history")
        if self._past is None:
            raise Unanswerable(404, "no history is kept", _PATH, "start liqtape run with --history DIR")
        if self._waiting >= _MOST_WAITING:
            raise Unanswerable(503, "too many questions to the history at once", _PATH, "ask again in some seconds")
        self._waiting += 1
        try:
            async with self._turn:
                found = await asyncio.to_thread(self._past.ask, question, from_ms, until_ms)
        except MissingExtra as error:
            raise Unanswerable(
                501, str(error), _PATH, "install the extra it names, then start liqtape again"
            ) from error
        except (LiqtapeError, ValueError) as error:
            raise Unanswerable(400, str(error), _PATH, "see the parameters in /openapi.json") from error
        finally:
            self._waiting -= 1
        behind = question.offset + len(found.rows)
        partial = None
        if "partial" in found.columns:
            place = list(found.columns).index("partial")
            partial = any(row[place] for row in found.rows)
        return HistoryAnswer(
            as_of=iso(now_ms),
            as_of_ms=now_ms,
            columns=found.columns,
            rows=found.rows,
            total=found.total,
            next=behind if behind < found.total else None,
            partial=partial,
        )


def _remembered(past: PastSource, instrument: str | None, from_ms: int, until_ms: int) -> EventMemory:
    found = past.liquidations(instrument, from_ms, until_ms)
    memory = EventMemory(found.from_ms)
    memory.add(found.events)
    return memory
