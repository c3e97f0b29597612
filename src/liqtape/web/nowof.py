"""The one sentence: is a cascade going on, who, how big, since when, and can it be trusted."""

from datetime import UTC, datetime

from liqtape.cascades.cascade import Share, side_of
from liqtape.events import VelocityMetrics, VenueHealth
from liqtape.web.answers import Coverage, NowAnswer, Trust
from liqtape.web.board import Board, is_throttled

__all__ = ["coverage_of", "iso", "now_of", "trust_of"]

_MINUTE_MS = 60_000
_LARGEST_MS = 300_000
_NAMED = 3
_CLOSE = 8  # of them the exact ones may be others than the first three
_LIVE = frozenset({"live", "recorded"})


def iso(at_ms: int) -> str:
    """Return a moment as ISO 8601 in UTC.

    >>> iso(1_790_000_000_123)
    '2026-09-21T14:13:20.123Z'
    """
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def now_of(board: Board) -> NowAnswer:
    """Return the state of the market now."""
    source = board.source
    row = board.market()
    now_ms = round(1000 * row.timestamp)
    level, since_ms = board.market_level()
    shares = board.memory.shares(now_ms - _MINUTE_MS, now_ms)
    return NowAnswer(
        as_of=iso(now_ms),
        as_of_ms=now_ms,
        mode=source.mode,
        level=level,
        since_ms=since_ms,
        side=side_of(row.long_usd_60s, row.short_usd_60s),
        instruments=_exact(board, shares[:_CLOSE])[:_NAMED],
        venues=board.memory.venue_shares(now_ms - _MINUTE_MS, now_ms),
        lead=board.lead(),
        count_60s=row.event_count_60s,
        usd_60s=row.usd_velocity_60s * 60,
        long_usd_60s=row.long_usd_60s,
        short_usd_60s=row.short_usd_60s,
        velocity_10s=row.velocity_10s,
        velocity_60s=row.velocity_60s,
        velocity_est_10s=row.velocity_est_10s,
        acceleration=row.acceleration,
        times_usual=row.times_usual,
        return_days=row.return_days,
        instruments_active=len(source.active()),
        instruments_raised=board.levels.counts(),
        btc_price=row.btc_price,
        trust=trust_of(board, row, source.health()),
        events_total=board.events_total,
        replay=source.replay,
        messages=source.messages(),
        forecast=source.forecast(),
    )


def trust_of(board: Board, row: VelocityMetrics, health: list[VenueHealth]) -> Trust:
    """Return whether the numbers can be trusted; `row` is the market's."""
    ages = [venue.last_data_age_s for venue in health if venue.last_data_age_s is not None]
    watched_ms = round(1000 * row.timestamp) - board.started_ms
    if row.coverage_300s is not None and row.coverage_300s >= 1:
        watched_ms = _LARGEST_MS
    return Trust(
        venues_live=sum(venue.state in _LIVE for venue in health),
        venues_total=len(health),
        troubled=[venue for venue in health if venue.state not in _LIVE],
        throttled=[venue.venue for venue in health if is_throttled(venue.venue)],
        coverage=coverage_of(row),
        age_seconds=min(ages, default=None),
        is_balanced=board.source.ledger().balanced(),
        is_learning=row.is_learning,
        watched_days=row.watched_days,
        warmup_ms=max(0, min(_LARGEST_MS, watched_ms)),
        failing=board.source.failing(),
    )


def coverage_of(row: VelocityMetrics) -> Coverage:
    """Return what a row says of the share that was watched."""
    return Coverage(row.coverage_10s, row.coverage_30s, row.coverage_60s, row.coverage_300s, row.partial)


def _exact(board: Board, shares: list[Share]) -> list[Share]:
    """Return the shares, most USD first, as the rows have them: those know the own time of each venue."""
    rows = {row.symbol: row for row in board.source.snapshot([share.name for share in shares])}
    exact = [
        Share(share.name, rows[share.name].event_count_60s, 60 * rows[share.name].usd_velocity_60s)
        if share.name in rows
        else share
        for share in shares
    ]
    return sorted(exact, key=lambda share: -share.usd)
