"""The screen of `liqtape run` and `demo`: what is shown of a tracker, laid out for any size of a terminal."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace
from rich.text import Text

from liqtape.events import LEVELS, Alert, Liquidation, VelocityMetrics, VenueHealth
from liqtape.ledger import Ledger
from liqtape.sanitize import sanitize
from liqtape.tui.flow import flowed
from liqtape.tui.instrumentcolumns import columns_within, heading_line, return_period, row_line, times
from liqtape.tui.lines import venue_line
from liqtape.tui.strips import strip_lines
from liqtape.tui.tablerow import table_row
from liqtape.tui.venuelines import compact_venues, venue_table
from liqtape.tui.wording import ALARM_STYLE, LEVEL_STYLES, NOTHING, clock, days, duration, usd

__all__ = ["LiveView", "last_words", "live_screen"]

_LEAST_ROWS = 3  # instruments, before anything else is shown
_GOOD_ROWS = 8  # before what can be looked up elsewhere is shown
_MANY_ROWS = 16  # before venues have a line each
_STRIP = 4  # lines, its title included
_LONGEST_STRIP = 13
_UNBALANCED = "THE LEDGER DOES NOT BALANCE"


class LiveView(Struct, frozen=True):
    """What a screen shows of one moment; `now_ms` is our wall clock, `since_ms` when the market got its level.

    `message_days` is the return period from which the market makes a message now.
    """

    title: str
    now_ms: int
    up_seconds: float
    market: VelocityMetrics
    since_ms: int | None
    rows: Sequence[VelocityMetrics]
    health: Sequence[VenueHealth]
    ledger: Ledger
    changes: Sequence[Alert] = ()
    largest: Sequence[Liquidation] = ()
    notes: Sequence[str] = ()
    troubles: Sequence[str] = ()
    logged: Sequence[str] = ()
    message_days: float | None = None


class _Room:
    """Lines that are not given away yet."""

    def __init__(self, lines: int) -> None:
        self.lines = lines

    def take(self, wanted: int, leaving: int) -> int:
        """Return how many of `wanted` lines there are, if `leaving` must be left."""
        taken = max(0, min(wanted, self.lines - leaving))
        self.lines -= taken
        return taken

    def take_all(self, wanted: int, leaving: int) -> bool:
        """Return whether there are `wanted` lines, if `leaving` must be left; else none is taken."""
        has_room = self.lines - wanted >= leaving
        self.lines -= wanted if has_room else 0
        return has_room


def live_screen(view: LiveView, width: int, height: int) -> list[Text]:
    """Return the lines of a screen: as many as it has, none wider than it is.

    Levels and the states of the venues are always there; columns and lines of the rest as there is room. How many
    instruments there are decides nothing, so that nothing jumps.
    """
    venues, table = compact_venues(view.health, width), venue_table(view.health, width)
    foot = _foot(view.ledger, width)
    room = _Room(height - 2 - len(venues) - len(foot))
    troubles = room.take(len(view.troubles), 1 + _LEAST_ROWS)
    logged = room.take(min(1, len(view.logged)), _GOOD_ROWS)
    strip = _STRIP if room.take_all(_STRIP, 1 + _GOOD_ROWS) else 0
    notes = room.take(len(view.notes), 1 + _GOOD_ROWS)
    if room.take_all(len(table) - len(venues), _MANY_ROWS):
        venues = table
    blank = [Text()] if room.take_all(3, _MANY_ROWS) else []
    if strip:
        strip += room.take(min(_LONGEST_STRIP - _STRIP, room.lines // 3), _MANY_ROWS)
    logged += room.take(min(3, len(view.logged) - logged), _MANY_ROWS)
    lines = [
        _title(view, width),
        *flowed(_market(view), width),
        *blank,
        *_instruments(view.rows, width, max(0, room.lines)),
        *blank,
        *venues,
        *blank,
        *strip_lines(view.changes, view.largest, width, strip),
        *(Text(sanitize(note), style="dim") for note in view.notes[:notes]),
        *(Text(sanitize(line), style="yellow") for line in view.logged[len(view.logged) - logged :]),
        *(Text(sanitize(trouble), style=ALARM_STYLE) for trouble in view.troubles[:troubles]),
        *foot,
    ]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def last_words(view: LiveView) -> list[str]:
    """Return what stays on the normal screen: the market, the venues and where every event went."""
    market = ", ".join(part.plain for part in _market(view))
    unbalanced = [] if view.ledger.balanced() else [_UNBALANCED]
    return [
        f"{clock(view.now_ms)} UTC, after {duration(view.up_seconds)}: {market}",
        *map(venue_line, view.health),
        ", ".join(_counts(view.ledger)),
        *unbalanced,
    ]


def _title(view: LiveView, width: int) -> Text:
    left = Text("liqtape", style="bold") + Text(f"  {sanitize(view.title)}")
    right = Text(f"{clock(view.now_ms)} UTC   up {duration(view.up_seconds)}")
    live = sum(venue.state == "live" for venue in view.health)
    if live < len(view.health):
        right = Text(f"{live} of {len(view.health)} venues live", style="bold red") + Text("   ") + right
    left.truncate(max(0, width - right.cell_len - 2), overflow="ellipsis", pad=True)
    return left + Text("  ") + right


def _market(view: LiveView) -> list[Text]:
    row = view.market
    level = Text("market ") + Text(row.level, style=LEVEL_STYLES[row.level])
    if view.since_ms is not None:
        level += Text(f" since {clock(view.since_ms)}")
    usual = "" if row.times_usual is None else f", {times(row.times_usual)} the usual minute"
    price = NOTHING if row.btc_price is None else f"{row.btc_price:,.1f}"
    parts = [
        level,
        Text(f"{usd(row.usd_velocity_60s * 60)} USD in 60 s{usual}"),
        Text(f"BTC {price}"),
        Text(f"{row.velocity_10s:.1f}/s"),
    ]
    if row.return_days is not None:
        is_rough = bool(row.is_learning) or row.return_days > (row.watched_days or 0.0)
        parts.append(Text(f"once in {return_period(row.return_days, is_rough=is_rough)}"))
    if view.message_days is not None:
        parts.append(Text(f"a message from once in {days(view.message_days)}"))
    return parts


def _instruments(rows: Sequence[VelocityMetrics], width: int, lines: int) -> list[Text]:
    """Return the raised instruments first, then those with most USD in a minute; the title says how many are hidden."""
    if lines < 2:
        return [Text()] * lines
    shown = sorted(rows, key=_prominence)[: lines - 1]
    columns = columns_within(width)
    if hidden := len(rows) - len(shown):
        title = f"{columns[0].title} +{hidden:,}"
        columns[0] = replace(columns[0], title=title)
    found = [heading_line(columns), *(row_line(columns, table_row(row)) for row in shown)]
    if not rows:
        found.append(Text("no liquidation in the last five minutes", style="dim"))
    return found + [Text()] * (lines - len(found))


def _prominence(row: VelocityMetrics) -> tuple[int, float, str]:
    return -LEVELS.index(row.level), -row.usd_velocity_60s, row.symbol


def _foot(ledger: Ledger, width: int) -> list[Text]:
    counts = flowed([Text(count, style="dim") for count in _counts(ledger)], width)
    return counts if ledger.balanced() else [Text(_UNBALANCED, style=ALARM_STYLE), *counts]


def _counts(ledger: Ledger) -> list[str]:
    rejected = ledger.events_rejected_filtered + ledger.events_rejected_invalid + ledger.events_rejected_future
    return [
        f"{ledger.events_accepted:,} events",
        f"{ledger.events_duplicate:,} repeats",
        f"{rejected:,} rejected",
        f"{ledger.events_pending:,} waiting",
        f"{ledger.events_unsized:,} without USD",
        f"{ledger.frames_undecodable:,} undecodable",
        f"of {ledger.frames_received:,} frames",
    ]
