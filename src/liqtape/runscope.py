"""What a run watches and by which rules, and what follows from that before anything came."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from liqtape.cascades.choice import CascadeSettings
from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import ReturnPeriods
from liqtape.engine.levels.surpriselevels import LevelRule
from liqtape.engine.levels.threshold import Threshold
from liqtape.pipeline.pipeline import Pipeline
from liqtape.pipeline.pricesources import price_sources
from liqtape.settings import AlertSettings
from liqtape.symbols import spellings
from liqtape.venues import VENUES
from liqtape.venues.base import is_partial

__all__ = ["RunScope", "engine_of", "parse_symbols", "pipeline_of", "rule_of"]

_SPREAD_MS = 6_000  # of the evaluation times of venues: what is held back, and 2 s twice ahead


class RunScope(Struct, frozen=True):
    """What live and a replay are built from.

    `symbols_of` has the enabled venues, and the symbols of each where it does not have those of `symbols`; empty means
    all. `price_always`: the price is looked for where no enabled venue brings it, too.
    """

    symbols: Sequence[str]
    symbols_of: Mapping[str, Sequence[str]]
    alerts: AlertSettings
    price_always: bool = False
    cascades: CascadeSettings = CascadeSettings()


def pipeline_of(scope: RunScope, our_ms: int = 0) -> Pipeline:
    """Return the pipeline of a run, which begins at our time."""
    venues = scope.symbols_of
    targets = {venue: parse_symbols(own or scope.symbols, venues) for venue, own in venues.items()}
    return Pipeline(
        engine_of(scope.alerts, venues),
        targets,
        parse_symbols(scope.symbols, venues),
        price_sources(venues, always=scope.price_always),
        our_ms,
        scope.cascades,
    )


def engine_of(alerts: AlertSettings, venues: Iterable[str]) -> VelocityEngine:
    """Return the engine that knows what each venue hides, and when to raise a level."""
    partly = [name for name, venue in VENUES.items() if is_partial(venue)]
    form = alerts.acceleration_form
    rule = rule_of(alerts, venues)
    return VelocityEngine(rule=rule, partial_venues=partly, acceleration=form, spread_ms=_SPREAD_MS)


def rule_of(alerts: AlertSettings, venues: Iterable[str]) -> ReturnPeriods | LevelRule | Threshold:
    """Return the rule that decides levels by these settings."""
    if alerts.rule == "threshold":
        return Threshold(alerts.velocity_10s, alerts.acceleration)
    floors = {name: floor for key, floor in alerts.floors_usd.items() for name in parse_symbols([key], venues)}
    if alerts.rule == "return_period":
        return ReturnPeriods(alerts.floor_usd, floors)
    return LevelRule(
        alerts.watch, alerts.alert, alerts.critical, alerts.alert_count, alerts.floor_usd, floors_usd=floors
    )


def parse_symbols(symbols: Collection[str], venues: Iterable[str]) -> frozenset[str]:
    """Return the symbols themselves, and the instruments they are at any of the venues, in whatever case they are."""
    known = list(venues)
    return frozenset(symbols).union(
        name
        for symbol in symbols
        for spelled in spellings(symbol)
        for name in (spelled, *(VENUES[venue].parse_symbol(spelled).instrument for venue in known))
    )
