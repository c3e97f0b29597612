"""The history over HTTP: the questions of `liqtape history`, asked in a thread, one at a time, page by page."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from liqtape.errors import LiqtapeError, MissingExtra
from liqtape.web.answers import Cell, HistoryAnswer
from liqtape.web.board import Board
from liqtape.web.nowof import iso
from liqtape.web.questions import HistoryQuestion, Unanswerable, moment_of

__all__ = ["HistoryApi", "Past", "PastRows"]

_PATH = "/api/v1/history"
_MOST_WAITING = 8
_MOST_MS = 32 * 86_400_000


class PastRows(Struct, frozen=True):
    """A page of a table."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    total: int


class Past(Protocol):
    """A history that can be asked. Slow: called in a thread, one call at a time. Raises LiqtapeError or ValueError."""

    def ask(self, question: HistoryQuestion, from_ms: int, until_ms: int) -> PastRows: ...


class HistoryApi:
    """Answers from the past; `past` is None where nothing is kept."""

    def __init__(self, board: Board, past: Past | None) -> None:
        self._board = board
        self._past = past
        self._turn = asyncio.Lock()
        self._waiting = 0

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
