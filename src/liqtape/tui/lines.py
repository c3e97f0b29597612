"""The plain lines of `liqtape run` and `demo` for a pipe."""

from liqtape.events import Alert, VelocityMetrics, VenueHealth
from liqtape.sanitize import sanitize
from liqtape.tui.wording import usd

__all__ = ["alert_line", "metric_line", "venue_line"]


def metric_line(row: VelocityMetrics) -> str:
    """One instrument as a line of key=value pairs."""
    return (
        f"{sanitize(row.symbol)} v10={row.velocity_10s:.2f}/s v60={row.velocity_60s:.2f}/s "
        f"v300={row.velocity_300s:.3f}/s a={row.acceleration:+.3f}/s2 "
        f"usd60={usd(row.usd_velocity_60s * 60)} usd300={usd(row.total_value_usd)} "
        f"level={row.level}" + (" partial" if row.partial else "")
    )


def venue_line(venue: VenueHealth) -> str:
    """One venue as a line."""
    return f"{sanitize(venue.venue)} {venue.state}, last data {_age(venue.last_data_age_s)}" + (
        f", {sanitize(venue.detail)}" if venue.detail else ""
    )


def alert_line(alert: Alert) -> str:
    """A level change as a line."""
    return (
        f"{sanitize(alert.instrument)} {alert.previous} -> {alert.level}: {alert.velocity_10s:.2f} liquidations/s, "
        f"{alert.acceleration:+.2f}/s2, {usd(alert.usd_60s)} USD in 60 s"
    )


def _age(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s ago"
