"""What a tracker is built of, from its settings."""

import logging
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from liqtape.alarms.alarmservice import QUEUE_FILE, AlarmService
from liqtape.alarms.delivery.channelfactory import channels_of
from liqtape.alarms.policy.messagepolicy import PolicySettings
from liqtape.alarmsettings import ChannelSettings
from liqtape.embedded import EmbeddedServer
from liqtape.engine.price.selector import PriceSelector
from liqtape.errors import ConfigurationError, EmbeddedUnavailable
from liqtape.events import Event
from liqtape.feeds.pricefeed import PriceFeed
from liqtape.pipeline.pipeline import Pipeline
from liqtape.pipeline.pricesources import price_sources
from liqtape.recording.recorder import Track
from liqtape.runscope import RunScope, parse_symbols
from liqtape.settings import AlertSettings, RedisSettings, Settings, VenueSettings
from liqtape.venues import VENUES, watched

_log = logging.getLogger(__name__)

__all__ = ["alarms_of", "enabled_venues", "policy_of", "price_feed", "scope_of", "start_embedded"]


def enabled_venues(settings: Settings) -> dict[str, VenueSettings]:
    """Return the venues that are to be connected. Raises ConfigurationError for one that cannot be."""
    enabled = {venue: own for venue, own in settings.venues.items() if own.enabled}
    if unknown := sorted(set(enabled) - set(VENUES)):
        raise ConfigurationError(f"venues: unknown venue '{unknown[0]}'; known: {', '.join(VENUES)}")
    for venue, own in enabled.items():
        if own.accounts:
            try:
                watched(venue, own.accounts)
            except ConfigurationError as error:
                raise ConfigurationError(f"venues.{venue}: accounts: {error}") from error
    return enabled


def scope_of(settings: Settings, venues: Mapping[str, VenueSettings]) -> RunScope:
    """Return what a run of these settings watches; what of them nobody will read is said."""
    alerts = settings.alerts
    if alerts.rule != "surprise":
        for key in ("watch", "alert", "critical", "alert_count"):
            if getattr(alerts, key) != getattr(AlertSettings(), key):
                _log.warning("alerts.%s is read only with alerts.rule = surprise; the rule is %s", key, alerts.rule)
    symbols_of = {venue: own.symbols for venue, own in venues.items()}
    return RunScope(settings.symbols, symbols_of, alerts, settings.price.always, settings.cascades)


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


def alarms_of(
    alerts: AlertSettings,
    venues: Collection[str],
    pipeline: Pipeline,
    data_dir: Path | None,
    wrong: Callable[[], Mapping[str, str]],
) -> AlarmService:
    """Return the alarms of a run; raises ConfigurationError for a channel that cannot be had.

    `wrong` says what is wrong with the run beside its venues, subject: reason.
    """
    policy = policy_of(alerts, venues)
    path = None if data_dir is None else data_dir / QUEUE_FILE
    return AlarmService(policy, channels_of(policy.channels), pipeline, path=path, wrong=wrong)


def price_feed(  # noqa: PLR0913 - the settings, and what is put together elsewhere
    settings: Settings,
    venues: Collection[str],
    selector: PriceSelector,
    on_events: Callable[[Sequence[Event], str], None],
    *,
    ssl_context: ssl.SSLContext | None,
    track: Track,
    now: Callable[[], float],
) -> PriceFeed:
    """Return the feed of the price from the venues that are connected anyway.

    Binance's spot host stands in where futures fail. Without any such venue all sources are connected as needed, if
    the settings want that.
    """
    hosts = {venue: own.ws_url for venue, own in settings.venues.items()}
    hosts["binance-spot"] = settings.price.spot_url
    sources = [
        replace(source, host=hosts.get(source.name) or source.host)
        for source in price_sources(venues, always=settings.price.always)
    ]
    return PriceFeed(selector, sources, on_events, brought=venues, ssl_context=ssl_context, track=track, now=now)


async def start_embedded(settings: RedisSettings, data_dir: Path | None) -> EmbeddedServer | None:
    """Start the embedded server of these settings; None, and a warning, where it cannot run."""
    if settings.persist and data_dir is None:
        raise ConfigurationError("redis.persist: the embedded server needs a data_dir to keep its data in")
    kept_in = data_dir if settings.persist else None
    server = EmbeddedServer(kept_in, persist=settings.persist, is_guarded=True, prefix=settings.prefix)
    try:
        await server.start()
    except EmbeddedUnavailable as error:
        _log.warning("no embedded Redis: %s; going on without Redis", error)
        return None
    return server
