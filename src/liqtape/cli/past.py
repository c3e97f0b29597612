"""A history opened for a question: by plain columns, and with the extra `analysis` by all that needs it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from liqtape.cascades.cascade import Cascade
from liqtape.engine import VelocityEngine
from liqtape.errors import ConfigurationError, MissingExtra
from liqtape.events import Gap, Liquidation
from liqtape.history.log.directories import data_directory
from liqtape.history.query.recordedcascades import CascadeFinder
from liqtape.history.query.rowsource import LogRows, RowSource
from liqtape.instruments import Contract
from liqtape.pipeline.pastwatch import cascades_of
from liqtape.pipeline.rerun import FeedMark
from liqtape.runscope import rule_of
from liqtape.settings import Settings, load_settings, settings_file
from liqtape.symbols import Catalogue
from liqtape.venues import VENUES, watched

if TYPE_CHECKING:
    from liqtape.history.query.query import History

__all__ = ["Past", "instrument_of", "known_venue_of", "opened", "opened_by"]

_EVER_MS = 1 << 62


class Past(Struct, frozen=True):
    """An open history: `rows` always, `analysis` where its extra is installed; `cascades` finds them as the settings
    say."""

    rows: RowSource
    analysis: "History | None"
    cascades: CascadeFinder
    directory: Path | None = None  # of the log; a server has none

    def needing(self, feature: str) -> "History":
        """Return what answers with the extra; raises MissingExtra naming the feature."""
        if self.analysis is None:
            raise MissingExtra(feature, "analysis")
        return self.analysis


@contextmanager
def opened(where: str | None) -> Iterator[Past]:
    """The history of `--history`, of the settings, or where `run` keeps it."""
    options = None if where is None else {"history": {"url": where}}
    with opened_by(load_settings(settings_file(None), None, options, frozenset(VENUES), watched)) as past:
        yield past


@contextmanager
def opened_by(settings: Settings) -> Iterator[Past]:
    """The same, of settings that are known."""
    place = _place(settings)
    directory = None if settings.history.is_server else Path(place)

    def new_engine() -> VelocityEngine:
        return VelocityEngine(rule=rule_of(settings.alerts, VENUES))

    def found(events: Sequence[Liquidation], marks: Sequence[FeedMark], gaps: Sequence[Gap] | None) -> list[Cascade]:
        return cascades_of(events, new_engine(), marks, gaps, settings.cascades)

    if find_spec("pyarrow") is None or find_spec("numpy") is None:
        if settings.history.is_server:
            raise MissingExtra("a history on a PostgreSQL server", "analysis")
        rows = LogRows(Path(place))
        try:
            yield Past(rows, None, found, directory)
        finally:
            rows.close()
        return
    import liqtape.history
    from liqtape.history.query.rowsource import ArrowRows

    with liqtape.history.open(place, new_engine) as past:
        yield Past(ArrowRows(past.source), past, found, directory)


def _place(settings: Settings) -> str:
    """Where the settings say, and else where `run` keeps it."""
    url = settings.history.url
    if url == "off":
        raise ConfigurationError("history.url is off; name another with --history DIR or --history postgresql://..")
    return str(data_directory() / "history") if url is None else url


def known_venue_of(past: Past, venue: str | None) -> str | None:
    """Return the venue as its events bear it; raises ConfigurationError for one that is nowhere."""
    if venue is None or venue in VENUES:
        return venue
    there = sorted({*VENUES, *_values(past, "venue", (-_EVER_MS, _EVER_MS), None)})
    found = next((name for name in there if name.lower() == venue.lower()), None)
    if found is None:
        raise ConfigurationError(f"history: --venue {venue} is none of {', '.join(there)}")
    return found


def instrument_of(past: Past, symbol: str | None, venue: str | None, span: tuple[int, int]) -> str | None:
    """Return the instrument of that name, one with events in the span before others.

    Raises ConfigurationError for a name the history never had, with the nearest it has, and for one that means several.
    """
    if symbol is None:
        return None
    everywhere: tuple[tuple[int, int], str | None] = (-_EVER_MS, _EVER_MS), None
    for interval, of_venue in ((span, venue), everywhere):
        catalogue, plain = _catalogue(past, interval, of_venue)
        if symbol in plain:
            return symbol
        spelled = (one.parse_symbol(symbol.upper()).instrument for one in VENUES.values())
        meant = catalogue.meant(symbol) or [name for name in dict.fromkeys(spelled) if name in plain]
        if len(meant) > 1:
            raise ConfigurationError(f"history: --symbol {symbol} means {', '.join(meant)}; name one")
        if meant:
            return meant[0]
    nearest = catalogue.nearest(symbol)
    known = f"nearest: {', '.join(nearest)}" if nearest else f"it has {len(plain)} others"
    raise ConfigurationError(f"history: --symbol {symbol} has never had an event there; {known}")


def _catalogue(past: Past, span: tuple[int, int], venue: str | None) -> tuple[Catalogue, set[str]]:
    """What may be named of the events there, and their instruments."""
    columns = past.rows.events(*span, None, venue, ("venue", "instrument", "symbol"))
    found = set(zip(*columns.values(), strict=True))
    return Catalogue(_contract(*names) for names in found), {instrument for _, instrument, _ in found}


def _contract(venue: str, instrument: str, symbol: str) -> Contract:
    contract = VENUES[venue].parse_symbol(symbol) if venue in VENUES else Contract(venue, symbol, symbol)
    return contract if contract.instrument == instrument else replace(contract, instrument=instrument)


def _values(past: Past, column: str, span: tuple[int, int], venue: str | None) -> set[str]:
    return set(past.rows.events(*span, None, venue, (column,))[column])
