"""The command `history`: questions to what was recorded, as a table, a file or a picture."""

import sys
import time
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from liqtape.errors import ConfigurationError

if TYPE_CHECKING:
    from liqtape.cli.output import Columns
    from liqtape.cli.past import Past

__all__ = ["history"]

_STEPS_S = (1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 21_600, 86_400)
_HOUR_MS = 3_600_000
_ROWS = 60  # of a table whose step nobody named
_PEAK_S = 60  # the window of highest rates where none is named
_EVENT_COLUMNS = "event_ms venue instrument symbol side price price_kind quantity notional_usd receive_ms id".split()

By = Literal["instrument", "venue"]


def history(
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="T", help="-2h, 2026-11-25T08:00, 20261125, Unix s or ms [default: 1 h before]"),
    ] = None,
    end: Annotated[str, typer.Option("--to", metavar="T", help="As --from.")] = "now",
    symbol: Annotated[
        str | None, typer.Option(metavar="SYMBOL", help="An instrument, in any spelling. [default: all]")
    ] = None,
    venue: Annotated[str | None, typer.Option(metavar="VENUE", help="One venue. [default: all]")] = None,
    every: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", min=1, help="A row for each so many; without a symbol, of the market."),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", min=1, help="Rates over so many at a row's end. [default: its whole step]"),
    ] = None,
    by: Annotated[By | None, typer.Option(help="Rows apart by these; without --every, totals of each.")] = None,
    events: Annotated[bool, typer.Option("--events", help="The liquidations themselves.")] = False,
    gaps: Annotated[bool, typer.Option("--gaps", help="When liquidations of a venue may be missing.")] = False,
    cascades: Annotated[
        bool, typer.Option("--cascades", help="The cascades, as runs recorded them; else computed from liquidations.")
    ] = False,
    unusual: Annotated[
        bool, typer.Option("--unusual", help="The minute that ends at --to against those of the days before.")
    ] = False,
    days: Annotated[int, typer.Option(metavar="N", min=1, help="With --unusual: so many days.")] = 30,
    tz: Annotated[str, typer.Option(metavar="ZONE", help="Of times without one, and of what is shown.")] = "UTC",
    form: Annotated[
        Literal["table", "csv", "ndjson", "parquet"], typer.Option("--format", help="parquet needs --out.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="There instead of to standard output.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="F.png", help="A picture; its name decides the format.")] = None,
    where: Annotated[
        str | None, typer.Option("--history", metavar="DIR|URL", help="[default: where `run` keeps it]")
    ] = None,
) -> int:
    """Past velocity, USD, acceleration and levels; works while the service is writing."""
    from liqtape.cli.output import write
    from liqtape.cli.past import instrument_of, known_venue_of, opened
    from liqtape.history.query.times import check_span, moment_ms

    if form == "parquet" and out is None:
        raise typer.BadParameter("parquet needs a file.", param_hint="'--out'")
    _check_one(events, gaps, cascades, unusual)
    zone = _zone(tz)
    now_ms = time.time_ns() // 1_000_000
    until_ms = moment_ms(end, now_ms, zone)
    span = (until_ms - _HOUR_MS if begin is None else moment_ms(begin, now_ms, zone), until_ms)
    check_span(*span)
    with opened(where) as past:
        venue = known_venue_of(past, venue)
        selection = (instrument_of(past, symbol, venue, span), venue)
        if plot is not None:
            _draw(past, plot, span, selection, window or _PEAK_S, zone)
            if out is None:
                return 0
        if events:
            columns: Columns = past.rows.events(*span, *selection, _EVENT_COLUMNS)
        elif gaps:
            columns = _gaps(past, span, selection)
        elif cascades:
            columns = _cascades(past, span, selection, as_table=form == "table")
        elif unusual:
            columns = _unusual(past, span[1], selection, days)
        elif every is None and symbol is None:
            columns = _totals(past, span, selection, (by or "instrument", window or _PEAK_S), with_all=form == "table")
        else:
            columns = _series(past, span, selection, (by, window, every or _step(*span)))
    write(columns, form, out, zone)
    if not any(map(len, columns.values())):
        print(f"liqtape history: no {_sought(gaps, cascades)} there", file=sys.stderr)
    return 0


def _check_one(*asked: bool) -> None:
    if sum(asked) > 1:
        raise typer.BadParameter("Ask for one of --events, --gaps, --cascades, --unusual.", param_hint="'--events'")


def _sought(gaps: bool, cascades: bool) -> str:
    return "gaps" if gaps else "cascades" if cascades else "events"


def _zone(name: str) -> tzinfo:
    if name.upper() in {"UTC", "Z"}:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(f"--tz {name}: no time zone; write one as Europe/Berlin or UTC") from None


def _step(from_ms: int, until_ms: int) -> int:
    """The smallest round step with which the span is a readable table."""
    return next((step for step in _STEPS_S if (until_ms - from_ms) // (1000 * step) <= _ROWS), _STEPS_S[-1])


def _draw(
    past: "Past", file: Path, span: tuple[int, int], selection: tuple[str | None, str | None], window: int, zone: tzinfo
) -> None:
    analysis = past.needing(f"{file}: a picture")
    from liqtape.cli.plot import save_plot
    from liqtape.history.query.streams import Selection

    save_plot(analysis, file, span, Selection(instrument=selection[0], venue=selection[1]), window, zone)


def _gaps(past: "Past", span: tuple[int, int], selection: tuple[str | None, str | None]) -> "Columns":
    """The gaps of the venue, or of all."""
    columns = past.rows.gaps(*span)
    chosen = [place for place, name in enumerate(columns["venue"]) if selection[1] in {None, name}]
    return {name: [column[place] for place in chosen] for name, column in columns.items()}


def _cascades(
    past: "Past", span: tuple[int, int], selection: tuple[str | None, str | None], *, as_table: bool
) -> "Columns":
    """The cascades of an instrument, at a venue, or all; says on standard error where they had to be computed."""
    from liqtape.cli.cascadeview import cascade_view
    from liqtape.history.query.recordedcascades import cascade_columns, past_cascades

    found, computed_ms = past_cascades(past.directory, past.rows, past.cascades, *span)
    if computed_ms is not None:
        until = "" if computed_ms == span[1] else f" before {datetime.fromtimestamp(computed_ms / 1000, UTC):%F %T} UTC"
        print(f"liqtape history: no run recorded cascades{until}: computed from liquidations", file=sys.stderr)
    instrument, venue = selection
    chosen = [
        one
        for one in found
        if (instrument is None or instrument in {one.name, *one.raised, *(part.name for part in one.instruments)})
        and (venue is None or any(part.name == venue for part in one.venues))
    ]
    return cascade_view(chosen) if as_table else cascade_columns(chosen)


def _unusual(past: "Past", until_ms: int, selection: tuple[str | None, str | None], days: int) -> "Columns":
    analysis = past.needing("--unusual")
    from liqtape.cli.views import unusual_view
    from liqtape.history.query.streams import Selection

    return unusual_view(analysis, until_ms, Selection(instrument=selection[0], venue=selection[1]), days)


def _totals(
    past: "Past",
    span: tuple[int, int],
    selection: tuple[str | None, str | None],
    asked: tuple[By, int],
    *,
    with_all: bool,
) -> "Columns":
    """Each stream, the one with most USD first; before them all together, which is no row of a file."""
    from liqtape.history.query.totals import PastStreams, totals

    by, window = asked
    each = totals(PastStreams(past.rows, span, selection, by, window), span, window)
    if not with_all:
        return each
    whole = totals(PastStreams(past.rows, span, selection, None, window), span, window)
    return {name: [*whole[name], *each[name]] for name in whole}


def _series(
    past: "Past",
    span: tuple[int, int],
    selection: tuple[str | None, str | None],
    asked: tuple[By | None, int | None, int],
) -> "Columns":
    """A row for each step; of one stream also its level and surprise, and the volatility of BTC, where known."""
    from liqtape.history.query.steps import edges
    from liqtape.history.query.totals import PastStreams, series

    by, window, every = asked
    columns = series(PastStreams(past.rows, span, selection, by, window or 0), edges(*span, every), window)
    if by is not None:
        return columns
    if past.analysis is None:
        print("liqtape history: levels and volatility need the extra 'analysis': not shown", file=sys.stderr)
        return columns
    from liqtape.cli.views import with_levels
    from liqtape.history.query.streams import Selection

    return with_levels(past.analysis, columns, span, Selection(instrument=selection[0], venue=selection[1]), every)
