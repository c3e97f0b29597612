"""A row of the table of instruments, made here from metrics or read from the API of a running instance."""

from collections.abc import Sequence

from msgspec import Struct

from liqtape.events import Level, VelocityMetrics

__all__ = ["TableRow", "table_row"]


class TableRow(Struct, frozen=True, kw_only=True):
    """An instrument in the table; names and units as in the API. `watched_days` is there for rows made here only."""

    symbol: str
    level: Level
    velocity_10s: float
    velocity_60s: float
    velocity_300s: float
    velocity_est_10s: float
    acceleration: float
    event_count_300s: int
    usd_60s: float
    long_usd_60s: float
    short_usd_60s: float
    total_value_usd: float
    times_usual: float | None
    return_days: float | None
    is_learning: bool | None
    coverage_300s: float | None
    partial: bool
    saturated: bool
    watched_days: float | None = None
    venues: Sequence[str] = ()
    spark: Sequence[int] = ()


def table_row(metrics: VelocityMetrics) -> TableRow:
    """Return what the table shows of a metric row."""
    return TableRow(
        symbol=metrics.symbol,
        level=metrics.level,
        velocity_10s=metrics.velocity_10s,
        velocity_60s=metrics.velocity_60s,
        velocity_300s=metrics.velocity_300s,
        velocity_est_10s=metrics.velocity_est_10s,
        acceleration=metrics.acceleration,
        event_count_300s=metrics.event_count_300s,
        usd_60s=metrics.usd_velocity_60s * 60,
        long_usd_60s=metrics.long_usd_60s,
        short_usd_60s=metrics.short_usd_60s,
        total_value_usd=metrics.total_value_usd,
        times_usual=metrics.times_usual,
        return_days=metrics.return_days,
        is_learning=metrics.is_learning,
        coverage_300s=metrics.coverage_300s,
        partial=metrics.partial,
        saturated=metrics.saturated,
        watched_days=metrics.watched_days,
    )
