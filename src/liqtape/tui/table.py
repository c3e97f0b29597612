"""The live table of `liqtape run` and `demo`, and its plain lines for a pipe."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from liqtape.events import Alert, Level, VelocityMetrics, VenueHealth
from liqtape.ledger import Ledger
from liqtape.sanitize import sanitize

__all__ = ["alert_line", "live_view", "metric_line", "usd", "venue_line"]

_ROWS = 15
_LEAST_ROWS = 3
_AROUND = 20  # lines beside the instruments
_WIDE = 120
_LEVEL_STYLE: dict[Level, str] = {
    "NONE": "dim",
    "WATCH": "yellow",
    "ALERT": "bold red",
    "CRITICAL": "bold white on red",
    "EXTREME": "bold white on red",
}
_STATE_STYLE = {"live": "green", "stalled": "bold red", "waiting": "yellow", "stopped": "dim"}


def usd(amount: float) -> str:
    """An amount as a trader reads it.

    >>> usd(950.0), usd(12_345.0), usd(3_400_000.0)
    ('950', '12.3k', '3.40M')
    """
    # Each unit begins where the smaller one would round to 1000.
    for first, size, letter, digits in ((999_995_000, 1e9, "B", 2), (999_950, 1e6, "M", 2), (999.5, 1e3, "k", 1)):
        if abs(amount) >= first:
            return f"{amount / size:.{digits}f}{letter}"
    return f"{amount:.0f}"


def live_view(
    rows: Sequence[VelocityMetrics],
    health: Sequence[VenueHealth],
    ledger: Ledger,
    notes: Sequence[str] = (),
    market: VelocityMetrics | None = None,
    size: tuple[int, int] = (_WIDE, _ROWS + _AROUND),
) -> RenderableType:
    """The market, the busiest instruments by the last minute's USD, the venues, and where every event went.

    `size` is the terminal's (columns, lines): where it is small, what says least is left out.
    """
    columns, lines = size
    most = min(_ROWS, max(_LEAST_ROWS, lines - _AROUND))
    shown = sorted(rows, key=lambda row: (-row.usd_velocity_60s, row.symbol))[:most]
    price = next((row.btc_price for row in rows if row.btc_price is not None), None)
    heading = Text("liqtape", style="bold") + Text(f"   BTC {price:,.1f}" if price else "   BTC -", style="cyan")
    if market is not None:
        heading += Text(f"   market {usd(market.usd_velocity_60s * 60)} USD in 60 s, level ")
        heading += Text(market.level, style=_LEVEL_STYLE[market.level])
    hidden = len(rows) - len(shown)
    table = _instruments(shown, len(rows)) if columns >= _WIDE else _narrow_instruments(shown, len(rows))
    parts: list[RenderableType] = [heading, table, _venues(health)]
    if hidden > 0:
        parts.insert(2, Text(f"and {hidden} more instruments with less", style="dim"))
    rejected = ledger.events_rejected_filtered + ledger.events_rejected_invalid + ledger.events_rejected_future
    counts = (
        f"events {ledger.events_accepted:,} accepted, {ledger.events_duplicate:,} repeats, {rejected:,} rejected, "
        f"{ledger.events_pending:,} waiting, {ledger.events_unsized:,} without USD; "
        f"frames {ledger.frames_received:,}, {ledger.frames_undecodable:,} undecodable"
    )
    parts.append(Text(counts, style="dim"))
    if not ledger.balanced():
        parts.append(Text("THE LEDGER DOES NOT BALANCE", style="bold white on red"))
    parts.extend(Text(sanitize(note), style="dim") for note in notes)
    return Group(*parts)


def _instruments(rows: Sequence[VelocityMetrics], count: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("instrument", min_width=14)
    for heading in ("10s/s", "60s/s", "300s/s", "accel/s²", "USD 10s", "USD 60s", "USD 300s", "long%"):
        table.add_column(heading, justify="right", min_width=8)
    table.add_column("level")
    table.add_column("")
    for row in rows:
        table.add_row(
            Text(sanitize(row.symbol)),
            f"{row.velocity_10s:.2f}",
            f"{row.velocity_60s:.2f}",
            f"{row.velocity_300s:.3f}",
            f"{row.acceleration:+.3f}",
            usd(row.usd_velocity_10s * 10),
            usd(row.usd_velocity_60s * 60),
            usd(row.total_value_usd),
            _longs(row),
            Text(row.level, style=_LEVEL_STYLE[row.level]),
            Text(_remarks(row), style="dim"),
        )
    if not count:
        table.add_row("no liquidation yet", *[""] * 10)
    return table


def _narrow_instruments(rows: Sequence[VelocityMetrics], count: int) -> Table:
    """The same in 80 columns: without a window and a remark, the level in front."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("instrument", min_width=14, no_wrap=True)
    table.add_column("level", min_width=8)
    for heading in ("10s/s", "60s/s", "accel/s²", "USD 60s", "USD 300s", "long%"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            Text(sanitize(row.symbol)),
            Text(row.level, style=_LEVEL_STYLE[row.level]),
            f"{row.velocity_10s:.2f}",
            f"{row.velocity_60s:.2f}",
            f"{row.acceleration:+.3f}",
            usd(row.usd_velocity_60s * 60),
            usd(row.total_value_usd),
            _longs(row),
        )
    if not count:
        table.add_row("no liquidation yet")
    return table


def _longs(row: VelocityMetrics) -> str:
    both = row.long_count_60s + row.short_count_60s
    return f"{100 * row.long_count_60s / both:.0f}" if both else "-"


def _venues(health: Sequence[VenueHealth]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("venue", "state", "last data", "coverage 300s", "reconnects", ""):
        table.add_column(heading)
    for venue in health:
        table.add_row(
            Text(sanitize(venue.venue)),
            Text(venue.state, style=_STATE_STYLE.get(venue.state, "yellow")),
            _age(venue.last_data_age_s),
            "-" if venue.coverage is None else f"{100 * venue.coverage:.0f} %",
            str(venue.reconnects),
            Text(sanitize(venue.detail), style="dim"),
        )
    return table


def _age(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s ago"


def _remarks(row: VelocityMetrics) -> str:
    words = []
    if row.partial:
        has_hole = row.coverage_300s is not None and row.coverage_300s < 1
        words.append(f"{100 * (row.coverage_300s or 0):.0f} % of 300 s seen" if has_hole else "partial")
    if row.saturated:
        words.append(f"throttled, est. {row.velocity_est_10s:.1f}/s")
    return ", ".join(words)


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
