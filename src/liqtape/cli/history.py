"""The command `history`: questions to what was recorded, as a table, a file or a picture."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from liqtape.engine import VelocityEngine
from liqtape.errors import ConfigurationError
from liqtape.history.log.directories import data_directory
from liqtape.runscope import rule_of
from liqtape.settings import Settings, load_settings, settings_file
from liqtape.venues import VENUES, watched

if TYPE_CHECKING:
    from liqtape.history.query.query import History

__all__ = ["history"]

_STEPS_S = (1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 21_600, 86_400)
_HOUR_MS = 3_600_000
_ROWS = 60  # of a table whose step nobody named


def history(
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="T", help="-2h, ISO time (UTC), Unix s or ms. Default: 1 h before --to."),
    ] = None,
    end: Annotated[str, typer.Option("--to", metavar="T", help="As --from.")] = "now",
    symbol: Annotated[str | None, typer.Option(help="An instrument, in either spelling. Default: all.")] = None,
    venue: Annotated[str | None, typer.Option(help=f"One of {', '.join(VENUES)}. Default: all.")] = None,
    window: Annotated[int, typer.Option(metavar="SECONDS", min=1, help="Length of the windows.")] = 60,
    every: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", min=1, help="A row for each so many; without a symbol, of the market."),
    ] = None,
    by: Annotated[
        Literal["instrument", "venue"] | None,
        typer.Option(help="Rows apart by these; without --every, totals of each."),
    ] = None,
    form: Annotated[
        Literal["table", "csv", "ndjson", "parquet"], typer.Option("--format", help="parquet needs --out.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="There instead of to standard output.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="F.png", help="A picture; its name decides the format.")] = None,
    unusual: Annotated[
        bool, typer.Option("--unusual", help="The minute that ends at --to against those of the days before.")
    ] = False,
    days: Annotated[int, typer.Option(metavar="N", min=1, help="With --unusual: so many days.")] = 30,
    where: Annotated[
        str | None, typer.Option("--history", metavar="DIR|URL", help="Default: where `run` keeps it.")
    ] = None,
) -> int:
    """Past velocity, USD, acceleration and levels; works while the service is writing."""
    import liqtape.history
    from liqtape.cli.output import write
    from liqtape.history.query.streams import Selection
    from liqtape.history.query.times import check_span, moment_ms

    if form == "parquet" and out is None:
        raise typer.BadParameter("parquet needs a file.", param_hint="'--out'")
    now_ms = time.time_ns() // 1_000_000
    until_ms = moment_ms(end, now_ms)
    span = (until_ms - _HOUR_MS if begin is None else moment_ms(begin, now_ms), until_ms)
    check_span(*span)
    settings = _settings(where)
    with liqtape.history.open(_place(settings), lambda: VelocityEngine(rule=rule_of(settings.alerts, VENUES))) as past:
        selection = Selection(
            instrument=None if symbol is None else _instrument(past, symbol, venue, span), venue=venue
        )
        if plot is not None:
            from liqtape.cli.plot import save_plot

            save_plot(past, plot, span, selection, window)
            if out is None:
                return 0
        if unusual:
            from liqtape.cli.views import unusual_view

            table = unusual_view(past, span[1], selection, days)
        elif every is None and symbol is None:
            from liqtape.cli.views import summary_view

            table = summary_view(past, span, selection, "instrument" if by is None else by, window)
        else:
            from liqtape.cli.views import series_view

            table = series_view(past, span, selection, by, window, every or _step(*span))
    write(table, form, out)
    if not table.num_rows:
        print("liqtape history: no events there", file=sys.stderr)
    return 0


def _settings(where: str | None) -> Settings:
    """Option, environment, file."""
    options = None if where is None else {"history": {"url": where}}
    return load_settings(settings_file(None), None, options, frozenset(VENUES), watched)


def _place(settings: Settings) -> str:
    """Where the settings say, and else where `run` keeps it."""
    url = settings.history.url
    if url == "off":
        raise ConfigurationError("history.url is off; name another with --history DIR or --history postgresql://..")
    return str(data_directory() / "history") if url is None else url


def _instrument(past: "History", symbol: str, venue: str | None, span: tuple[int, int]) -> str:
    """The instrument of that name; of several that a venue's spelling may mean, the one that has events."""
    venues = VENUES if venue not in VENUES else [venue]
    meant = [symbol, *(VENUES[name].parse_symbol(symbol).instrument for name in venues)]
    there = set(past.instruments(*span, venue=venue))
    return next((name for name in meant if name in there), symbol)


def _step(from_ms: int, until_ms: int) -> int:
    """The smallest round step with which the span is a readable table."""
    return next((step for step in _STEPS_S if (until_ms - from_ms) // (1000 * step) <= _ROWS), _STEPS_S[-1])
