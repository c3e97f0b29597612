"""The answers about the market and the service as they are now."""

from liqtape import __version__
from liqtape.events import LEVELS
from liqtape.web.answers import LivenessAnswer, MarketAnswer, MetricsAnswer, NowAnswer, ReadinessAnswer, VenueMarket
from liqtape.web.board import Board
from liqtape.web.broadcast import Broadcast
from liqtape.web.nowof import coverage_of, iso, now_of, trust_of
from liqtape.web.questions import (
    ListQuestion,
    MetricsQuestion,
    NoQuestion,
)
from liqtape.web.stateanswers import AlertsAnswer, CorrelationAnswer, GapsAnswer, HealthAnswer, LedgerAnswer

__all__ = ["Api"]

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
        least = LEVELS.index(question.level)
        wanted = [row for row in rows if row.event_count_300s and LEVELS.index(row.level) >= least]
        wanted.sort(key=lambda row: (-row.usd_velocity_60s, -row.event_count_60s, row.symbol))
        return MetricsAnswer(as_of=as_of, as_of_ms=as_of_ms, rows=wanted[: question.limit], total=len(wanted))

    async def market(self, _question: NoQuestion) -> MarketAnswer:
        """All instruments together."""
        as_of, as_of_ms = self._as_of()
        source = self.board.source
        venues = [VenueMarket(health.venue, source.market(health.venue)) for health in source.health()]
        return MarketAnswer(as_of=as_of, as_of_ms=as_of_ms, row=source.market(), venues=venues)

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
