"""The answers of the API, each from a question: plain functions over the board; what takes long runs in a thread."""

import asyncio
from collections.abc import Sequence
from heapq import nlargest

from liqtape import __version__
from liqtape.engine.velocity import MARKET
from liqtape.events import Liquidation
from liqtape.web.answers import (
    AlertsAnswer,
    CascadesAnswer,
    CorrelationAnswer,
    EventsAnswer,
    GapsAnswer,
    HealthAnswer,
    InstrumentAnswer,
    LedgerAnswer,
    LevelsAnswer,
    LivenessAnswer,
    MarketAnswer,
    MetricsAnswer,
    NowAnswer,
    PriceAnswer,
    ReadinessAnswer,
    VenueMarket,
)
from liqtape.web.board import Board
from liqtape.web.broadcast import Broadcast
from liqtape.web.episodes import LEVEL_ORDER
from liqtape.web.nowof import coverage_of, iso, now_of, trust_of
from liqtape.web.pricelevels import line_of, marks_of, price_bins
from liqtape.web.questions import (
    CascadesQuestion,
    EventsQuestion,
    LevelsQuestion,
    ListQuestion,
    MetricsQuestion,
    NoQuestion,
    PriceQuestion,
    SeriesQuestion,
    Unanswerable,
    moment_of,
)
from liqtape.web.seriesof import LEAD_MS, Span, series_of

__all__ = ["Api"]

_MINUTE_MS = 60_000
_DELIVERING = frozenset({"live", "recorded", "unlisted", "clock off", "no trades", "quiet", "refused", "unbalanced"})


class Api:
    """Answers questions of one board. Times are evaluation times of the source."""

    def __init__(self, board: Board, broadcast: Broadcast) -> None:
        self.board = board
        self._broadcast = broadcast

    def _as_of(self) -> tuple[str, int]:
        self.board.pull()
        now_ms = self.board.source.now_ms()
        return iso(now_ms), now_ms

    async def alive(self, _question: NoQuestion) -> LivenessAnswer:
        """The process lives."""
        as_of, as_of_ms = self._as_of()
        return LivenessAnswer(as_of=as_of, as_of_ms=as_of_ms, version=__version__)

    async def ready(self, _question: NoQuestion) -> ReadinessAnswer:
        """Whether a venue delivers data."""
        as_of, as_of_ms = self._as_of()
        health = self.board.source.health()
        live = sum(venue.state in _DELIVERING for venue in health)
        return ReadinessAnswer(
            as_of=as_of, as_of_ms=as_of_ms, is_ready=live > 0, venues_live=live, venues_total=len(health)
        )

    async def now(self, _question: NoQuestion) -> NowAnswer:
        """The state of the market in one sentence, as fields."""
        self.board.pull()
        return now_of(self.board)

    async def metrics(self, question: MetricsQuestion) -> MetricsAnswer:
        """The metrics of the active instruments."""
        as_of, as_of_ms = self._as_of()
        rows = self.board.source.snapshot(self.board.source.active())
        least = LEVEL_ORDER.index(question.level)
        wanted = [row for row in rows if row.event_count_300s and LEVEL_ORDER.index(row.level) >= least]
        wanted.sort(key=lambda row: (-row.usd_velocity_60s, -row.event_count_60s, row.symbol))
        return MetricsAnswer(as_of=as_of, as_of_ms=as_of_ms, rows=wanted[: question.limit], total=len(wanted))

    async def instrument(self, question: SeriesQuestion, instrument: str) -> InstrumentAnswer:
        """One instrument, or MARKET: its row, its venues, and how it was."""
        as_of, as_of_ms = self._as_of()
        board = self.board
        rows = [board.market()] if instrument == MARKET else board.source.snapshot([instrument])
        if not rows:
            raise _unknown(instrument, "/api/v1/metrics")
        span = Span.ending(as_of_ms, question.seconds, _step(question))
        events = board.memory.of(instrument).between(span.from_ms - LEAD_MS, as_of_ms)
        recent = events.between(as_of_ms - _MINUTE_MS, as_of_ms)
        series = await asyncio.to_thread(series_of, events, span, board.memory.kept_from_ms, as_of_ms)
        return InstrumentAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            row=rows[0],
            venues=recent.by_venue(),
            series=series,
            levels=[alert for alert in board.alerts if alert.instrument == instrument and alert.at_ms > span.from_ms],
            gaps=[gap for gap in board.source.gaps() if gap.until_ms is None or gap.until_ms > span.from_ms],
        )

    async def market(self, _question: NoQuestion) -> MarketAnswer:
        """All instruments together."""
        as_of, as_of_ms = self._as_of()
        source = self.board.source
        venues = [VenueMarket(health.venue, source.market(health.venue)) for health in source.health()]
        return MarketAnswer(as_of=as_of, as_of_ms=as_of_ms, row=source.market(), venues=venues)

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
        memory = self.board.memory
        events = memory.of(name).between(from_ms, as_of_ms)
        size, bins = await asyncio.to_thread(price_bins, events, question.bins)
        return LevelsAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            instrument=name,
            from_ms=from_ms,
            until_ms=as_of_ms,
            kept_from_ms=memory.kept_from_ms,
            bin_size=size,
            bins=bins,
            partial=memory.kept_from_ms > from_ms or self._has_gap(from_ms),
        )

    async def price(self, question: PriceQuestion, instrument: str | None = None) -> PriceAnswer:
        """The price of an instrument, and its largest liquidations; without an instrument the price of BTC."""
        as_of, as_of_ms = self._as_of()
        name, from_ms = self._chosen_instrument(instrument or MARKET, as_of_ms, question.seconds, "/api/v1/price")
        memory = self.board.memory
        events = memory.of(name).between(from_ms, as_of_ms)
        step_ms = 1000 * max(1, -(-question.seconds // question.points))
        line = self.board.btc.line(from_ms, as_of_ms, step_ms) if _is_btc(name) else None
        if line is None or not line.times_ms:
            line = await asyncio.to_thread(line_of, events, from_ms, step_ms)
        marks, hidden, hidden_usd = await asyncio.to_thread(marks_of, events, question.marks)
        return PriceAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            instrument=name,
            from_ms=from_ms,
            until_ms=as_of_ms,
            kept_from_ms=memory.kept_from_ms,
            line_kind=line.kind,
            times_ms=line.times_ms,
            prices=line.prices,
            marks=[] if name == MARKET else marks,
            hidden=hidden,
            hidden_usd=hidden_usd,
            partial=memory.kept_from_ms > from_ms or self._has_gap(from_ms),
        )

    async def cascades(self, question: CascadesQuestion) -> CascadesAnswer:
        """Level episodes."""
        as_of, as_of_ms = self._as_of()
        board = self.board
        episodes, matched = board.episodes.newest(as_of_ms, question.instrument, question.level, question.limit)
        return CascadesAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            episodes=episodes,
            matched=matched,
            kept_from_ms=board.started_ms,
            partial=any(episode.partial for episode in episodes),
        )

    async def alerts(self, question: ListQuestion) -> AlertsAnswer:
        """Level changes."""
        as_of, as_of_ms = self._as_of()
        alerts = list(self.board.alerts)
        return AlertsAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            alerts=alerts[: -question.limit - 1 : -1],
            matched=len(alerts),
            kept_from_ms=self.board.started_ms,
        )

    async def correlation(self, _question: NoQuestion) -> CorrelationAnswer:
        """How venues and instruments move together."""
        as_of, as_of_ms = self._as_of()
        board = self.board
        row = board.market()
        venues = {health.venue for health in board.source.health()}
        pairs = board.pairs()
        return CorrelationAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            venues=[pair for pair in pairs if {pair.x, pair.y} <= venues],
            instruments=[pair for pair in pairs if not {pair.x, pair.y} <= venues],
            lead=board.lead(),
            volatility_factor=row.volatility_factor,
            volatility_coverage=row.volatility_coverage,
            realised_volatility=board.btc.realised_volatility(as_of_ms),
            partial=row.partial,
        )

    async def health(self, _question: NoQuestion) -> HealthAnswer:
        """Each venue, and liqtape itself."""
        as_of, as_of_ms = self._as_of()
        board, source = self.board, self.board.source
        ledger = source.ledger()
        health = source.health()
        return HealthAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            mode=source.mode,
            version=__version__,
            started_ms=board.started_ms,
            venues=health,
            coverage={venue.venue: coverage_of(source.market(venue.venue)) for venue in health},
            hides=source.hides(),
            trust=trust_of(board, board.market(), health),
            ledger=ledger.as_dict(),
            is_balanced=ledger.balanced(),
            clients=len(self._broadcast.readers),
            events_missed=board.missed_total,
        )

    async def gaps(self, question: ListQuestion) -> GapsAnswer:
        """Intervals in which liquidations may have been missed."""
        as_of, as_of_ms = self._as_of()
        gaps = self.board.source.gaps()
        return GapsAnswer(as_of=as_of, as_of_ms=as_of_ms, gaps=gaps[: -question.limit - 1 : -1], matched=len(gaps))

    async def ledger(self, _question: NoQuestion) -> LedgerAnswer:
        """Where every frame and every event went."""
        as_of, as_of_ms = self._as_of()
        total = self.board.source.ledger()
        return LedgerAnswer(
            as_of=as_of,
            as_of_ms=as_of_ms,
            total=total.as_dict(),
            is_balanced=total.balanced(),
            connections={name: ledger.as_dict() for name, ledger in self.board.source.ledgers()},
        )

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
