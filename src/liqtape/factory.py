"""What a tracker is built of, from its settings."""

import logging
from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from liqtape.alarms.policy.messagepolicy import PolicySettings
from liqtape.alarmsettings import ChannelSettings
from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import ReturnPeriods
from liqtape.engine.levels.surpriselevels import LevelRule
from liqtape.engine.levels.threshold import Threshold
from liqtape.errors import ConfigurationError
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.logreader import LogReader
from liqtape.instruments import Contract
from liqtape.settings import AlertSettings, HistorySettings, VenueSettings
from liqtape.sinks.postgres.postgressink import PostgresSink
from liqtape.venues import VENUES, watched
from liqtape.venues.base import is_partial

_SPREAD_MS = 6_000  # of the evaluation times of venues: what is held back, and 2 s twice ahead

_log = logging.getLogger(__name__)

__all__ = ["check_accounts", "database_of", "engine_of", "parse_symbol", "parse_symbols", "policy_of", "rule_of"]


def engine_of(alerts: AlertSettings, venues: Iterable[str]) -> VelocityEngine:
    """The engine that knows what each venue hides, and when to raise a level."""
    throttled = [name for name, venue in VENUES.items() if venue.slot_seconds is not None]
    partly = [name for name, venue in VENUES.items() if is_partial(venue)]
    form = alerts.acceleration_form
    if alerts.rule != "surprise":
        for key in ("watch", "alert", "critical", "alert_count"):
            if getattr(alerts, key) != getattr(AlertSettings(), key):
                _log.warning("alerts.%s is read only with alerts.rule = surprise; the rule is %s", key, alerts.rule)
    rule = rule_of(alerts, venues)
    return VelocityEngine(throttled, rule, partial_venues=partly, acceleration=form, spread_ms=_SPREAD_MS)


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


def policy_of(alerts: AlertSettings, venues: Iterable[str]) -> PolicySettings:
    """Return what the alarm policy is built from; without a channel messages go to the log."""
    known = list(venues)
    channels = {name: channel for name, channel in alerts.channels.items() if channel.enabled}
    return PolicySettings(
        alerts.budget_per_week,
        parse_symbols(alerts.named, known),
        len(alerts.named),
        parse_symbols(alerts.muted, known),
        alerts.link,
        alerts.follow_up,
        alerts.quiet,
        channels if alerts.channels else {"log": ChannelSettings("log")},
        tuple(
            replace(rule, instruments=tuple(sorted(parse_symbols(rule.instruments, known)))) for rule in alerts.rules
        ),
    )


def check_accounts(venues: Mapping[str, VenueSettings]) -> None:
    """Raises ConfigurationError where a venue cannot watch the accounts of its settings."""
    for venue, own in venues.items():
        if own.accounts:
            try:
                watched(venue, own.accounts)
            except ConfigurationError as error:
                raise ConfigurationError(f"venues.{venue}: accounts: {error}") from error


def parse_symbols(symbols: Collection[str], venues: Iterable[str]) -> frozenset[str]:
    """The symbols themselves, and the instruments they are at any of the venues."""
    return frozenset(symbols).union(
        VENUES[venue].parse_symbol(symbol).instrument for symbol in symbols for venue in venues
    )


def parse_symbol(venue: str, symbol: str) -> Contract:
    """What a symbol's name tells of its contract; of a venue that is not ours it is an instrument of its own."""
    return VENUES[venue].parse_symbol(symbol) if venue in VENUES else Contract(venue, symbol, symbol, unit_value="1")


def database_of(settings: HistorySettings, log: EventLog | None) -> PostgresSink | None:
    """The sink that follows the log where a server is named; it has a reader of its own."""
    if log is None or settings.url is None or not settings.is_server:
        return None
    return PostgresSink(settings.url, LogReader(log.directory), retention_days=settings.retention_days)
