"""The answers about liquidations over time and by price: what takes long runs in a thread."""

import asyncio
from collections.abc import Sequence
from heapq import nlargest
from typing import Literal

from liqtape.cascades.cascade import Cascade
from liqtape.engine.velocity import MARKET
from liqtape.events import LEVELS, Liquidation
from liqtape.web.board import Board
from liqtape.web.chartanswers import CascadesAnswer, EventsAnswer, InstrumentAnswer, LevelsAnswer, PriceAnswer
from liqtape.web.eventmemory import EventColumns
from liqtape.web.nowof import iso
from liqtape.web.pasthistory import HistoryApi
from liqtape.web.pricelevels import line_of, marks_of, price_bins
from liqtape.web.questions import (
    CascadesQuestion,
    EventsQuestion,
    LevelsQuestion,
    PriceQuestion,
    SeriesQuestion,
    Unanswerable,
    moment_of,
)
from liqtape.web.seriesof import LEAD_MS, Span, series_of

__all__ = ["ChartApi"]

_MINUTE_MS = 60_000


class ChartApi:
    """Answers questions of one board from what it remembers."""

    def __init__(self, board: Board, past: HistoryApi) -> None:
        self.board = board
        self._past = past

    def _as_of(self) -> tuple[str, int]:
        self.board.pull()
        now_ms = self.board.source.now_ms()
        return iso(now_ms), now_ms

    async def instrument(self, question: SeriesQuestion, instrument: str) -> InstrumentAnswer:
        """One instrument, or MARKET: its row, its venues, and how it was."""
        as_of, as_of_ms = self._as_of()
        board = self.board
        rows = [board.market()] if instrument == MARKET else board.source.snapshot([instrument])
        if not rows:
            raise _unknown(instrument, "/api/v1/metrics")
        span = Span.ending(as_of_ms, question.seconds, _step(question))
        events, kept_from_ms = await self._events(instrument, span.from_ms - LEAD_MS, as_of_ms)
        recent = events.between(as_of_ms - _MINUTE_MS, as_of_ms)
        source: Literal["memory", "history"] = "history" if kept_from_ms < board.memory.kept_from_ms else "memory"
        series = await asyncio.to_thread(series_of, events, span, kept_from_ms, as_of_ms, source)
        return InstrumentAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            row=rows[0],
            venues=recent.by_venue(),
            series=series,
            levels=[alert for alert in board.alerts if alert.instrument == instrument and alert.at_ms > span.from_ms],
            gaps=[gap for gap in board.source.gaps() if gap.until_ms is None or gap.until_ms > span.from_ms],
        )

    async def events(self, question: EventsQuestion) -> EventsAnswer:
        """Liquidations."""
        as_of, as_of_ms = self._as_of()
        board = self.board
        path = "/api/v1/events"
        since = None if question.since is None else moment_of(question.since, as_of_ms, "since", path)
        until = None if question.until is None else moment_of(question.until, as_of_ms, "until", path)
        if question.instrument is not None and not _is_known(board, question.instrument):
            raise _unknown(question.instrument, path)
        found, matched = await asyncio.to_thread(_chosen, list(board.recent), question, (since, until))
        return EventsAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            events=found,
            matched=matched,
            is_complete=since is None or since >= board.kept_whole_ms,
            kept_from_ms=board.kept_whole_ms,
        )

    async def levels(self, question: LevelsQuestion, instrument: str | None = None) -> LevelsAnswer:
        """Realised USD by price; without an instrument of the one with the most USD."""
        as_of, as_of_ms = self._as_of()
        name, from_ms = self._chosen_instrument(instrument, as_of_ms, question.seconds, "/api/v1/levels")
        events, kept_from_ms = await self._events(name, from_ms, as_of_ms)
        size, bins = await asyncio.to_thread(price_bins, events, question.bins)
        return LevelsAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            instrument=name,
            from_ms=from_ms,
            until_ms=as_of_ms,
            kept_from_ms=kept_from_ms,
            bin_size=size,
            bins=bins,
            partial=kept_from_ms > from_ms or self._has_gap(from_ms),
        )

    async def price(self, question: PriceQuestion, instrument: str | None = None) -> PriceAnswer:
        """The price of an instrument, and its largest liquidations; without an instrument the price of BTC."""
        as_of, as_of_ms = self._as_of()
        name, from_ms = self._chosen_instrument(instrument or MARKET, as_of_ms, question.seconds, "/api/v1/price")
        events, kept_from_ms = await self._events(name, from_ms, as_of_ms)
        step_ms = 1000 * max(1, -(-question.seconds // question.points))
        line = self.board.btc.line(from_ms, as_of_ms, step_ms) if _is_btc(name) else None
        if line is None or not line.times_ms:
            own = (await self._events("BTCUSDT", from_ms, as_of_ms))[0] if name == MARKET else events
            line = await asyncio.to_thread(line_of, own, from_ms, step_ms)
        marks, hidden, hidden_usd = await asyncio.to_thread(marks_of, events, 0 if name == MARKET else question.marks)
        return PriceAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            instrument=name,
            from_ms=from_ms,
            until_ms=as_of_ms,
            kept_from_ms=kept_from_ms,
            line_kind=line.kind,
            times_ms=line.times_ms,
            prices=line.prices,
            marks=marks,
            hidden=hidden,
            hidden_usd=hidden_usd,
            partial=kept_from_ms > from_ms or self._has_gap(from_ms),
        )

    async def cascades(self, question: CascadesQuestion) -> CascadesAnswer:
        """Cascades: those that go on, and the last that ended."""
        as_of, as_of_ms = self._as_of()
        board = self.board
        known, total = board.source.cascades(), board.source.cascades_total()
        found = [one for one in known if _is_asked(one, question)]
        return CascadesAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            cascades=found[: question.limit],
            matched=len(found),
            total=total,
            kept_from_ms=board.started_ms,
        )

    async def _events(self, instrument: str, from_ms: int, until_ms: int) -> tuple[EventColumns, int]:
        """The liquidations of (from, until], the older ones from the history; and from when on they are whole."""
        memory = self.board.memory
        older = await self._past.before_memory(memory, instrument, from_ms)
        own = memory.of(instrument).between(from_ms, until_ms)
        if older is None:
            return own, memory.kept_from_ms
        events = older.of(instrument).between(from_ms, memory.kept_from_ms)
        events.extend(own.as_in(events.names))
        return events, older.kept_from_ms

    def _chosen_instrument(self, instrument: str | None, now_ms: int, seconds: int, path: str) -> tuple[str, int]:
        from_ms = now_ms - 1000 * seconds
        if instrument is None:
            shares = self.board.memory.shares(from_ms, now_ms)
            return (shares[0].name if shares else "BTCUSDT"), from_ms
        if instrument != MARKET and not _is_known(self.board, instrument):
            raise _unknown(instrument, path)
        return instrument, from_ms

    def _has_gap(self, from_ms: int) -> bool:
        return any(
            not gap.backfilled and (gap.until_ms is None or gap.until_ms > from_ms) for gap in self.board.source.gaps()
        )


def _is_asked(cascade: Cascade, question: CascadesQuestion) -> bool:
    if question.instrument is not None and question.instrument not in {cascade.name, *cascade.raised}:
        return False
    if not question.parts and cascade.part_of is not None:
        return False
    return LEVELS.index(cascade.level or "NONE") >= LEVELS.index(question.level)


def _is_known(board: Board, instrument: str) -> bool:
    return board.memory.knows(instrument) or bool(board.source.snapshot([instrument]))


def _unknown(instrument: str, path: str) -> Unanswerable:
    shown = instrument if len(instrument) <= 60 else instrument[:60] + "..."
    mend = "take a name from /api/v1/metrics; an instrument is known once it had a liquidation"
    return Unanswerable(404, f"no instrument {shown!r} was seen", path, mend)


def _is_btc(instrument: str) -> bool:
    return instrument == MARKET or instrument in {"BTCUSDT", "BTCUSDC", "BTCUSD"}


def _step(question: SeriesQuestion) -> int:
    return max(1, -(-question.seconds // question.points))


def _chosen(
    events: Sequence[Liquidation], question: EventsQuestion, span: tuple[int | None, int | None]
) -> tuple[list[Liquidation], int]:
    """The events asked for, the newest or the largest first, and how many there are."""
    since, until = span
    least = question.min_usd
    found = [
        event
        for event in events
        if (since is None or event.event_ms > since)
        and (until is None or event.event_ms <= until)
        and (question.instrument is None or event.instrument == question.instrument)
        and (question.venue is None or event.venue == question.venue)
        and (question.side is None or event.side == question.side)
        and (not least or (event.notional_usd is not None and event.notional_usd >= least))
    ]
    if question.order == "usd":
        return nlargest(question.limit, found, key=lambda event: event.notional_usd or 0.0), len(found)
    found.sort(key=lambda event: event.event_ms, reverse=True)
    return found[: question.limit], len(found)
