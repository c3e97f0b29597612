"""The composition root: builds the service from settings, and supervises it."""

import asyncio
import logging
import sqlite3
import ssl
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

from msgspec.structs import replace

from liqtape import __version__
from liqtape.embedded import EmbeddedServer
from liqtape.engine.baseline.binstatistics import SLOT_MS
from liqtape.engine.correlation.comovement import Comovement, CorrelatedPair
from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.engine.price.pricevolatility import PriceVolatility
from liqtape.engine.velocity import MARKET, VelocityEngine
from liqtape.errors import ConfigurationError, EmbeddedUnavailable, LiqtapeError
from liqtape.events import (
    Alert,
    Event,
    Gap,
    Liquidation,
    PriceTick,
    RawLiquidation,
    Trouble,
    VelocityMetrics,
    VenueHealth,
)
from liqtape.factory import check_accounts, database_of, engine_of, parse_symbol, parse_symbols, rule_of
from liqtape.feeds.backoff import Timeouts
from liqtape.feeds.pricefeed import PRICE_SOURCES, PriceFeed, is_refused
from liqtape.feeds.venuefeed import VenueFeed
from liqtape.history.log.baselineseed import read_baseline_seed
from liqtape.history.log.levelseed import learn_levels
from liqtape.history.log.levelstates import LevelStateWriter, choose, read_level_states
from liqtape.history.log.logfeed import LogFeed
from liqtape.history.log.opening import event_log
from liqtape.history.log.recall import WINDOW_MS
from liqtape.instruments import Contract, Instruments, Separation
from liqtape.ledger import Ledger
from liqtape.monitor.monitor import Monitor
from liqtape.ourtime import our_ms as _our_ms
from liqtape.pipeline.admission import Intake
from liqtape.pipeline.clock import AHEAD_MS
from liqtape.pipeline.gaps import STARTING, Outages
from liqtape.pipeline.levelalerts import Levels
from liqtape.recording.recorder import Recorder
from liqtape.recording.records import (
    FeedDown,
    FeedMissed,
    FeedUp,
    GapBackfilled,
    Refused,
    RunStarted,
    Tick,
    Unsubscribed,
    level_seed_parts,
    recalled_parts,
    seed_parts,
)
from liqtape.sanitize import percent_encoded
from liqtape.settings import Settings, VenueSettings
from liqtape.shutdown import Deadline, end, end_callbacks, end_history, end_publishers, end_recorder
from liqtape.sinks.callback import CallbackQueue
from liqtape.sinks.publisher import Publisher
from liqtape.sinks.redis.redissink import RedisSink
from liqtape.sinks.sink import Sink
from liqtape.sinks.stream import Subscription
from liqtape.venues import VENUES

__all__ = ["Tracker"]

_TICK_SECONDS = 1.0
_RESTART_SECONDS = 1.0
_EMBEDDED_SECONDS = 0.5  # at the end; its guard ends it in any case

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Tracker:
    """The service inside your own program: `async with Tracker(Settings()) as tracker: ...`.

    It starts no server unless the settings say `redis.url = "embedded"`, and keeps no history unless they name one.

    Everything between a received frame and the changes noted by the publishers is plain calls (`ingest`); what awaits
    are the sockets at one end and the sinks at the other. `is_replaying` tells `taps` that what they get is no news.
    """

    def __init__(  # noqa: PLR0913, PLR0915 - what a program brings, and what a replay and tests replace
        self,
        settings: Settings | None = None,
        *,
        sinks: Iterable[Sink] = (),
        ssl_context: ssl.SSLContext | None = None,
        data_dir: Path | None = None,
        timeouts: Timeouts | None = None,
        recorder: Recorder | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.settings = Settings() if settings is None else settings
        enabled = {venue: own for venue, own in self.settings.venues.items() if own.enabled}
        if unknown := sorted(set(enabled) - set(VENUES)):
            raise ConfigurationError(f"venues: unknown venue '{unknown[0]}'; known: {', '.join(VENUES)}")
        check_accounts(enabled)
        wanted = self.settings.symbols
        self._wanted = {venue: parse_symbols(own.symbols or wanted, enabled) for venue, own in enabled.items()}
        self.engine = engine_of(self.settings.alerts, enabled)
        self.instruments = Instruments(parse_symbol, self._separated)
        max_publish_delay_ms = {venue: VENUES[venue].max_publish_delay_ms for venue in enabled}
        self.intake = Intake(
            self.engine, self.instruments, parse_symbols(wanted, enabled), self._wanted, max_publish_delay_ms
        )
        self._levels = Levels(self.engine)
        self._comovement = Comovement()
        self.volatility = PriceVolatility()
        self._priced_ms = 0
        self.recorder, self._now = recorder, time.monotonic if now is None else now
        self.log = event_log(self.settings.history, data_dir)
        self._log_feed = self._observe()
        self.database = database_of(self.settings.history, self.log)
        self._storing: asyncio.Task[None] | None = None
        self.learned = "levels start from the prior"  # what they began with, for people
        self.embedded: EmbeddedServer | None = None
        self.redis_url: str | None = None
        self.pulses = 0  # grows once a second: the service lives
        self.crashes: Counter[str] = Counter()
        self.taps: list[Callable[[Liquidation], None]] = []
        self.price_taps: list[Callable[[PriceTick], None]] = [] if self._log_feed is None else [self._log_feed.price]
        self.publishers: list[Publisher] = []
        self._callbacks: list[CallbackQueue[Any]] = []
        self.outages = Outages(
            self.engine,
            max_publish_delay_ms,
            () if self.log is None else (self._log_gap,),
            self.intake.clock,
        )
        self.feeds = [self._feed(venue, own, ssl_context, timeouts) for venue, own in enabled.items()]
        self.monitor = Monitor(self.feeds, self.intake.clock, data_dir)
        self._sinks, self._data_dir = list(sinks), data_dir
        self._subscriptions: WeakSet[Subscription[Any]] = WeakSet()
        self.alert_taps: list[Callable[[Alert], None]] = []
        self._active: set[str] = set()
        self._ledgers: list[Ledger] = []  # of streams that are not ours (wrapped, replayed)
        self._tasks: list[asyncio.Task[None]] = []
        self._publishing: list[asyncio.Task[None]] = []
        self.price_feed = self._price_feed(enabled, ssl_context)
        self._started = self._ended = self.is_replaying = False

    def __repr__(self) -> str:
        state = "running" if self._started else "ended" if self._ended else "not started"
        venues = ", ".join(feed.venue.name for feed in self.feeds) or "no venue"
        sinks = "".join(f"; {publisher.sink.name} {publisher.state}" for publisher in self.publishers)
        return f"<Tracker {state}: {venues}; {len(self._active)} instruments active{sinks}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start sinks, then feeds; returns at once, whatever is reachable. A tracker runs once."""
        if self._started:
            return
        if self._ended:
            raise RuntimeError("this tracker has run; make a new one")
        self._started = True
        self.intake.begin()
        try:
            if self.recorder is not None:
                self.recorder.open(self._run_started())
            await self._open_log()
            await self._open_redis()
        except BaseException:
            await self.stop()
            raise
        for sink in self._sinks:
            publisher = Publisher(sink, self.snapshot, lambda: tuple(self._active))
            self.publishers.append(publisher)
            self._publishing.append(self._spawn(f"publisher {sink.name}", publisher.run))
        for queue in self._callbacks:
            queue.start()
        for feed in self.feeds:
            self.outages.begin(Gap(feed.venue.name, self.intake.clock.t_ms(_our_ms()), None, STARTING))
        if self.database is not None:
            self._storing = self._spawn("postgres", self.database.run)
        self._tasks.append(self._spawn("tick", self._tick))
        self._tasks.extend(self._spawn(f"feed {feed.venue.name}", feed.run) for feed in self.feeds)

    async def stop(self, seconds: float = 4.0) -> None:
        """Stop feeds, flush sinks and the history, end callbacks and the embedded server, `seconds` for all of it.

        What could not be written by then, because a server or the disk hangs, is counted and told in one line.
        """
        if not self._started:
            return
        self._started, self._ended = False, True
        deadline = Deadline(seconds)
        try:
            for task in self._tasks:  # first, so that nothing is connected again
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=deadline.left())
            await end(deadline.left(), self.price_feed.stop(), *(feed.stop() for feed in self.feeds))
            self.finish(_our_ms())
            await self._flush(deadline)
        finally:
            for task in (*self._tasks, *self._publishing):
                task.cancel()
            for subscription in list(self._subscriptions):
                subscription.end()
            if self.recorder is not None:
                await end(deadline.left(), asyncio.to_thread(self.recorder.close, 0.0))
            if self.embedded is not None:
                await end(max(_EMBEDDED_SECONDS, deadline.left()), self.embedded.stop())

    async def _flush(self, deadline: Deadline) -> None:
        for publisher in self.publishers:
            publisher.changed(self._active)
            publisher.health([*self.health(), *self._log_health()])
        ending = [
            end_publishers(self.publishers, self._publishing, deadline),
            end_callbacks(self._callbacks, deadline),
        ]
        if self.recorder is not None:
            ending.append(end_recorder(self.recorder, deadline))
        if self.log is not None and self._log_feed is not None:
            if self.engine.levels is not None:
                now = self.now_ms()
                self._log_feed.levels(self.engine.levels.end(now), now)
            self._log_feed.end(self.intake.clock.t_ms(_our_ms()), self.health())
            ending.append(end_history(self.log, self.database, self._storing, deadline))
        watching = end(deadline.left(), self.monitor.stop())
        rests, _ = await asyncio.gather(asyncio.gather(*ending), watching)
        if rest := [text for texts in rests for text in texts]:
            _log.warning("ended in time, but not all was written: %s", "; ".join(rest))

    def ingest(self, events: Sequence[Event], ledger: Ledger) -> None:
        """Take in the events of a frame, or of several that came together: the one way into the engine."""
        first = events[0] if events else None
        received = first.receive_ms if isinstance(first, (RawLiquidation, PriceTick)) else _received_ms(events)
        wall_ms = self._now_or_newest(events) if received is None else received
        accepted = self.intake.take(events, ledger, wall_ms)
        if accepted:
            # What a venue repeats at subscribe is counted where it belongs, but is no news.
            self._fan_out(accepted, is_news=not (isinstance(first, RawLiquidation) and first.replayed))
        if self.intake.is_behind:
            self._reassess(wall_ms)
        if self.intake.ticks:
            ticks, self.intake.ticks = self.intake.ticks, []
            for tick in ticks:
                self.price_feed.offer(tick)

    def _now_or_newest(self, events: Sequence[Event]) -> int:
        """Our time for a frame that bears none: what neither takes time nor is recorded must not move the clock."""
        is_dated = any(isinstance(event, (RawLiquidation, PriceTick)) for event in events)
        return _our_ms() if is_dated else self.intake.clock.our_ms

    def admit(self, liquidation: Liquidation, ledger: Ledger) -> None:
        """Take in a liquidation of a wrapped stream: neither filtered nor compared with earlier ones.

        Control characters and line breaks of its names are percent-encoded, before anything is stored.
        """
        wall_ms = _our_ms()
        ledger.events_decoded += 1
        instrument, symbol = percent_encoded(liquidation.instrument), percent_encoded(liquidation.symbol)
        if instrument != liquidation.instrument or symbol != liquidation.symbol:
            liquidation = replace(liquidation, instrument=instrument, symbol=symbol)
        if self.intake.admit(liquidation, ledger, wall_ms):
            self._fan_out([liquidation])
        if self.intake.is_behind:
            self._reassess(wall_ms)

    def feed_up(self, venue: str, at_ms: int, our_ms: int | None = None) -> Gap | None:
        """A venue is live since `at_ms` of its clock; the gap that ended.

        Here and below `our_ms` is when that was told, by our own time; None is now.
        """
        our_ms = self._told(our_ms)
        if self.recorder is not None:
            self.recorder.record(FeedUp(venue, at_ms, our_ms))
        gap = self.outages.up(venue, at_ms)
        if self._log_feed is not None:
            self._log_feed.feed_up(venue, at_ms)
        return gap

    def feed_down(self, venue: str, known_until_ms: int, reason: str, our_ms: int | None = None) -> None:
        """What a venue sent is known up to `known_until_ms` of its clock."""
        our_ms = self._told(our_ms)
        if self.recorder is not None:
            self.recorder.record(FeedDown(venue, known_until_ms, reason, our_ms))
        at_ms = self.outages.down(venue, known_until_ms, reason)
        if self._log_feed is not None:
            self._log_feed.feed_down(venue, at_ms)

    def feed_missed(
        self, venue: str, from_ms: int, until_ms: int, reason: str, our_ms: int | None = None
    ) -> Sequence[Gap]:
        """It turned out that a venue had not been live between two moments of its clock; what gaps that makes."""
        our_ms = self._told(our_ms)
        if self.recorder is not None:
            self.recorder.record(FeedMissed(venue, from_ms, until_ms, reason, our_ms))
        found = self.outages.missed(venue, from_ms, until_ms, reason)
        if self._log_feed is not None:
            self._log_feed.feed_missed(venue, self.outages.beginning(venue, from_ms), until_ms)
        return found

    def feed_refused(self, venue: str, at_ms: int, reason: str, our_ms: int | None = None) -> None:
        """Since `at_ms` a venue's feed lives but lacks what is refused, for that reason; an empty one: no more.

        The history knows coverage by venue only: as long as that lasts, it has none.
        """
        our_ms = self._told(our_ms)
        if self.recorder is not None:
            self.recorder.record(Refused(venue, at_ms, reason, our_ms))
        self.outages.refused(venue, at_ms, reason)
        if self._log_feed is None:
            return
        if self.outages.is_open(venue):
            self._log_feed.feed_down(venue, at_ms)
        else:
            self._log_feed.feed_up(venue, at_ms)

    def feed_unsubscribed(
        self, venue: str, at_ms: int, instruments: Sequence[str], *, is_listed: bool, our_ms: int | None = None
    ) -> None:
        """Since `at_ms` a venue's connections bring all it lists but these; unless `is_listed` there may be more."""
        our_ms = self._told(our_ms)
        if self.recorder is not None:
            self.recorder.record(Unsubscribed(venue, at_ms, instruments, is_listed, our_ms))
        self.outages.unsubscribed(venue, at_ms, instruments, is_listed=is_listed)

    def gap_backfilled(self, gap: Gap, our_ms: int | None = None) -> None:
        """All of a gap was got afterwards."""
        our_ms = self._told(our_ms)
        if self.recorder is not None:
            self.recorder.record(GapBackfilled(gap, our_ms))
        self.outages.backfilled(gap)

    def _told(self, our_ms: int | None) -> int:
        """Let the clock know what time it is by our own."""
        our_ms = _our_ms() if our_ms is None else our_ms
        self.intake.clock.advance(our_ms)
        return our_ms

    def now_ms(self) -> int:
        """The evaluation time now: event time, not the wall clock (see `EventClock`)."""
        return self.intake.clock.t_ms(_our_ms())

    def venue_times(self) -> Mapping[str, int]:
        """The evaluation time of each venue's windows now, for `at` of the engine; of others it is `now_ms`."""
        return self.intake.clock.at(_our_ms())

    def snapshot(self, instruments: Iterable[str]) -> list[VelocityMetrics]:
        """The metrics of these instruments now; what was never seen is left out."""
        now, at = self._moment()
        rows = (self.engine.metrics(instrument, now, at=at) for instrument in instruments)
        return [row for row in rows if row is not None]

    def market(self, venue: str | None = None) -> VelocityMetrics:
        """The metrics of all instruments together now, of one venue or of all."""
        now, at = self._moment()
        return self.engine.market(now, venue, at=at)

    def _moment(self, our_ms: int | None = None) -> tuple[int, Mapping[str, int]]:
        """The evaluation times, the common one and those of the venues, at one moment."""
        our_ms = _our_ms() if our_ms is None else our_ms
        return self.intake.clock.t_ms(our_ms), self.intake.clock.at(our_ms)

    def correlation(self) -> list[CorrelatedPair]:
        """How the counts of the busiest instruments, and those of the venues, move together."""
        return self._comovement.pairs()

    def active(self) -> list[str]:
        """Instruments with an event in their largest window."""
        return sorted(self._active)

    def health(self) -> list[VenueHealth]:
        """One record a venue, in the order of the settings."""
        return self._health_at(*self._moment())

    def _health_at(self, now_ms: int, at: Mapping[str, int]) -> list[VenueHealth]:
        shifts = self.intake.clock.shifts
        return [feed.health(self.engine, now_ms, at, shifts.get(feed.venue.name, 0)) for feed in self.feeds]

    def gaps(self) -> list[Gap]:
        """Intervals in which liquidations may have been missed, those that last still at the end."""
        return self.outages.gaps()

    def ledger(self) -> Ledger:
        """The sum over all connections, past ones included, and what became of their events in the log."""
        total = sum((ledger for _, ledger in self.ledgers()), Ledger())
        if self.log is not None:
            self.log.count(total)
        return total

    def ledgers(self) -> list[tuple[str, Ledger]]:
        """(name, ledger) of every connection, past ones summed per venue, and of every stream that is not ours."""
        own = [pair for feed in self.feeds for pair in feed.ledgers()] + self.price_feed.ledgers()
        return own + [(f"stream {i}", ledger) for i, ledger in enumerate(self._ledgers)]

    def new_ledger(self) -> Ledger:
        """A ledger for a stream that is not one of the feeds, counted in the total."""
        self._ledgers.append(Ledger())
        return self._ledgers[-1]

    def on_liquidation(self, callback: Callable[[Liquidation], object], name: str = "") -> CallbackQueue[Liquidation]:
        """Call `callback` (sync or async) with every accepted liquidation, behind a queue of its own."""
        queue: CallbackQueue[Liquidation] = CallbackQueue(callback, name)
        self.add_callback(queue)
        self.taps.append(queue.offer)
        return queue

    def on_alert(self, callback: Callable[[Alert], object], name: str = "") -> CallbackQueue[Alert]:
        """Call `callback` with every level change."""
        queue: CallbackQueue[Alert] = CallbackQueue(callback, name)
        self.add_callback(queue)
        self.alert_taps.append(queue.offer)
        return queue

    def on_gap(self, callback: Callable[[Gap], object], name: str = "") -> CallbackQueue[Gap]:
        """Call `callback` with every gap: when it begins (`until_ms` None), when it ends, and when it was filled."""
        queue: CallbackQueue[Gap] = CallbackQueue(callback, name)
        self.add_callback(queue)
        self.outages.taps.append(queue.offer)
        return queue

    def on_trouble(self, callback: Callable[[Trouble], object], name: str = "") -> CallbackQueue[Trouble]:
        """Call `callback` once for each trouble of liqtape itself that a person must look at."""
        queue: CallbackQueue[Trouble] = CallbackQueue(callback, name)
        self.add_callback(queue)
        self.monitor.taps.append(queue.offer)
        return queue

    def liquidations(self) -> Subscription[Liquidation]:
        """Every liquidation from now on; ends with the tracker. Slower than 10,000 behind: the newest are dropped."""
        return self._subscribed(Subscription(self.taps))

    def alerts(self) -> Subscription[Alert]:
        """Every level change from now on; ends with the tracker."""
        return self._subscribed(Subscription(self.alert_taps))

    def _subscribed(self, subscription: Subscription[T]) -> Subscription[T]:
        self._subscriptions.add(subscription)
        if self._ended:
            subscription.end()
        return subscription

    def add_callback(self, queue: CallbackQueue[Any]) -> None:
        """Start, watch and stop this tap with the tracker; the caller connects its `offer`."""
        self._callbacks.append(queue)
        if self._started:
            queue.start()

    def _feed(
        self, name: str, own: VenueSettings, ssl_context: ssl.SSLContext | None, timeouts: Timeouts | None
    ) -> VenueFeed:
        return VenueFeed(
            VENUES[name],
            own,
            self.instruments,
            wanted=self._wanted[name],
            on_events=self.ingest,
            on_up=self.feed_up,
            on_down=self.feed_down,
            on_missed=self.feed_missed,
            on_unsubscribed=self.feed_unsubscribed,
            on_refused=self.feed_refused,
            on_backfilled=self.gap_backfilled,
            on_listed=self._note_listed,
            ssl_context=ssl_context,
            timeouts=timeouts,
            recorder=self.recorder,
        )

    def _observe(self) -> LogFeed | None:
        return None if self.log is None else LogFeed(self.log, LevelStateWriter(self.engine.levels, self._wanted))

    def _log_gap(self, gap: Gap) -> None:
        if self.log is not None:
            self.log.gap(gap, backfilled=gap.backfilled)

    def _price_feed(self, venues: Collection[str], ssl_context: ssl.SSLContext | None) -> PriceFeed:
        """The price from the venues that are connected anyway, Binance's spot host standing in where futures fail.

        Without any such venue all sources are connected as needed, if the settings want that.
        """
        none = self.settings.price.always and not any(source.venue in venues for source in PRICE_SOURCES)
        hosts = {venue: own.ws_url for venue, own in self.settings.venues.items()}
        hosts["binance-spot"] = self.settings.price.spot_url
        sources = [
            replace(source, host=hosts.get(source.name) or source.host)
            for source in PRICE_SOURCES
            if none or source.venue in venues
        ]
        return PriceFeed(
            self._take_price,
            sources,
            brought=venues,
            ssl_context=ssl_context,
            recorder=self.recorder,
            now=self._now,
        )

    def _run_started(self) -> RunStarted:
        own = self.settings
        symbols_of = {name: venue.symbols for name, venue in own.venues.items() if venue.enabled}
        return RunStarted(__version__, own.symbols, symbols_of, own.alerts, own.price.always)

    def _note_listed(self, contracts: Iterable[Contract]) -> None:
        for contract in contracts:
            self.engine.lists_instrument(contract.venue, contract.instrument)

    def _separated(self, told: Separation) -> None:
        """A multiplier contract was found to be another asset than its name says: told once, and kept."""
        self.engine.lists_instrument(told.venue, told.raw)
        self.monitor.tell(Trouble(f"name of {told.venue} {told.symbol}", str(told), told.at_ms))

    def _fan_out(self, accepted: Sequence[Liquidation], *, is_news: bool = True) -> None:
        if self.log is not None:
            self.log.offer(accepted)
        self.is_replaying = not is_news
        for tap in tuple(self.taps):  # a forgotten subscription may leave in between
            for liquidation in accepted:
                tap(liquidation)
        instruments: dict[str, None] = {}  # in their order: which one is the third to be CRITICAL shows
        for liquidation in accepted:
            instruments[liquidation.instrument] = None
            if liquidation.quantity is None:
                self._resize(liquidation.venue, liquidation.symbol)
        self._active |= instruments.keys()
        for publisher in self.publishers:
            publisher.events(accepted)
        now, at = self.intake.clock.now_ms, self.intake.clock.now_at
        if is_news:
            if len(accepted) == 1:
                self.engine.look([(accepted[0].venue, accepted[0].instrument)], now, at)
            else:
                self.engine.look({(event.venue, event.instrument): None for event in accepted}, now, at)
            # By return period a look tells what changed; by the other rules each instrument is asked.
            for instrument in instruments if self.engine.levels is None else self.engine.take_changed():
                self._check_level(instrument, now, at)
        else:
            self.engine.pass_over(instruments, now, at)

    def _resize(self, venue: str, symbol: str) -> None:
        """Let the venue's list of instruments be fetched again, so that events of the symbol have a size."""
        for feed in self.feeds:
            if feed.venue.name == venue:
                feed.unsized(symbol)

    def _check_level(self, instrument: str, now_ms: int, at: Mapping[str, int]) -> None:
        alert = self._levels.check(instrument, now_ms, at)
        if alert is None:
            return
        for publisher in self.publishers:
            publisher.alert(alert)
            if instrument != MARKET:
                publisher.changed([instrument])  # the row says its level too, and may have been the last one
        for tap in tuple(self.alert_taps):
            tap(alert)

    def _take_price(self, tick: PriceTick) -> None:
        if self.engine.btc_source not in {None, tick.venue}:
            self.volatility.switched()  # prices of two sources are not compared
        self.engine.btc_price, self.engine.btc_source = tick.price, tick.venue
        clock = self.intake.clock
        at_ms = tick.event_ms - clock.shift_ms(tick.venue)
        is_known = clock.is_started and tick.receive_ms is not None
        if not is_known or at_ms <= clock.t_ms(tick.receive_ms or 0) + AHEAD_MS:  # else of a clock that just stepped
            self.volatility.add(tick.price, at_ms)
            self._priced_ms = at_ms
        for tap in self.price_taps:
            tap(tick)
        for publisher in self.publishers:
            publisher.price(tick)

    async def _tick(self) -> None:
        """Once a second: what happens by time alone."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.price_feed.pulse([feed.venue.name for feed in self.feeds if any(map(is_refused, feed.connections))])
            self.pulse(_our_ms())
            self.monitor.keep_samples()

    def pulse(self, wall_ms: int) -> None:
        """Release held events, lower levels, let quiet instruments decay and end with a row of zeros."""
        self.pulses += 1
        if self.recorder is not None:
            self.recorder.record(Tick(wall_ms))
        if self.price_feed.is_stale:
            self.engine.btc_price = self.engine.btc_source = None
        clock = self.intake.clock
        clock.advance(wall_ms)
        clock.estimate()
        if self.intake.is_behind:
            self._reassess(wall_ms)
        if self._priced_ms:  # by the trades' own time: a second is closed when a trade lies behind it
            self.engine.volatility_factor = self.volatility.volatility_factor(self._priced_ms)
            self.engine.volatility_coverage = self.volatility.long_coverage(self._priced_ms)
        released = self.intake.release(wall_ms)
        if released:
            self._fan_out(released)
        self.release_sized(wall_ms)
        now, at = clock.now_ms, clock.now_at
        self.engine.tick(now, at)
        self._comovement.tick(self.engine, now)
        for instrument in (*self._levels.raised(), MARKET):
            self._check_level(instrument, now, at)
        self.monitor.look(self._now(), wall_ms, self.ledgers())
        health = self._health_at(now, at)
        if self._log_feed is not None:
            self._note_known_until(self._log_feed)
            if self.engine.levels is not None:
                self._log_feed.levels(self.engine.levels.take_states(now), now)
            # What waits is in no log: a kill now would lose it, and the gap after it has to begin before it.
            since_ms = self.intake.waiting_since_ms()
            self._log_feed.pulse(clock.t_ms(wall_ms if since_ms is None else since_ms), health)
        for publisher in self.publishers:
            publisher.changed(self._active)
            publisher.health([*health, *self._log_health()])
        self._active = {instrument for instrument in self._active if not self.engine.is_empty(instrument, now, at)}

    def finish(self, wall_ms: int) -> None:
        """Take in all that still waits for clocks or sizes."""
        clock = self.intake.clock
        clock.advance(wall_ms)
        clock.start()
        while self.intake.is_behind:
            self._reassess(wall_ms)
        self.release_sized(wall_ms, is_last=True)

    def _reassess(self, wall_ms: int) -> None:
        """A clock has become known, or stepped: move what was placed by it, and take in what waited for it."""
        if self.intake.clock.has_begun:
            self.outages.begun()
        for step in self.intake.clock.steps:
            if not step.venue and (step.by_ms < 0 or not step.has_jumped):
                self._levels.move(step.by_ms)
                self.outages.moved(step.by_venue)
            if not step.venue:
                self._comovement = Comovement(self._comovement.limit)  # its seconds cannot be moved
        reassessed = self.intake.reassess(wall_ms)
        for events, is_news in ((reassessed.repeated, False), (reassessed.news, True)):
            if events:
                self._fan_out(events, is_news=is_news)
        self._know_again(reassessed.recalled)

    def _know_again(self, recalled: Sequence[Liquidation]) -> None:
        """Let the levels know what an earlier run saw, which is no news."""
        instruments = {event.instrument for event in recalled}
        self._active |= instruments
        clock = self.intake.clock
        self.engine.pass_over(instruments, clock.now_ms, clock.now_at)
        for instrument in sorted(instruments):
            self._levels.check(instrument, clock.now_ms, clock.now_at)

    def release_sized(self, wall_ms: int, *, is_last: bool = False) -> None:
        """Take in the events that waited for the size of their contract, and ask for the list for those that wait."""
        news, repeated = self.intake.release_sized(wall_ms, is_last=is_last)
        for venue, symbol in self.intake.sizeless():
            self._resize(venue, symbol)
        for events, is_news in ((repeated, False), (news, True)):
            if events:
                self._fan_out(events, is_news=is_news)

    def _note_known_until(self, log_feed: LogFeed) -> None:
        """Where the gap of each venue would begin after a kill: what waits here is in no log either."""
        waiting = self.intake.waiting_from_ms()
        for feed in self.feeds:
            venue, known_until_ms = feed.venue.name, feed.known_until_ms
            if known_until_ms is not None:
                at_ms = self.outages.beginning(venue, known_until_ms)
                log_feed.known_until(venue, min(at_ms, waiting.get(venue, at_ms + 1) - 1))

    def _log_health(self) -> list[VenueHealth]:
        """The log, and the server that follows it, as lines of what is published about the venues."""
        if self.log is None:
            return []
        log = self.log.health()
        lines = [VenueHealth("history", log.state, log.since_ms, None, 0, None, log.detail)]
        if self.database is not None:
            server = self.database.health()
            said = "; ".join(filter(None, [server.detail, f"{server.events_behind} events behind"]))
            lines.append(VenueHealth("postgres", server.state, server.since_ms, None, server.outages, None, said))
        return lines

    async def _open_log(self) -> None:
        """Lock and open the history, and take back what the last run saw: windows go on, and nothing is news twice."""
        if self.log is None:
            return
        await asyncio.to_thread(self.log.start)
        recalled = self.log.recalled
        if recalled is not None:
            for gap in recalled.gaps:
                self.outages.begin(gap)
            # In a thread, for it may take a second or two; nobody else has the engine before the feeds are started.
            is_seeded = await asyncio.to_thread(self._learn, self.log.directory)
            self.recall(recalled.events, () if is_seeded else recalled.feeds, _our_ms())
            if self.engine.levels is not None:
                self.seed_levels(await asyncio.to_thread(self._learn_levels, self.log.directory))
                if self._log_feed is not None:  # so that nothing is taught twice, however this run ends
                    now = _our_ms()
                    self._log_feed.levels(self.engine.levels.states(now), now)

    def _learn(self, directory: Path) -> bool:
        """Seed the baselines from the history; returns whether it says when feeds were live."""
        try:
            seed = read_baseline_seed(directory, _our_ms())
            if self.feeds:  # else the events are those of wrapped streams, of any venue
                seed = seed.only(self._wanted)
        except (LiqtapeError, OSError, sqlite3.Error) as error:
            self.learned = "levels start from the prior, the history cannot be read"
            _log.warning("%s: %s", self.learned, error)
            return False
        self.seed_baselines(seed.feeds, seed.backfilled, seed.counts)
        hours = seed.hours
        self.learned = f"levels learned from {hours:.1f} h of history" if hours else "levels start from the prior"
        _log.info("%s, %d slots with events", self.learned, len(seed.counts))
        return True

    def _learn_levels(self, directory: Path) -> Mapping[StreamKey, StreamState]:
        """What the streams of the levels begin with: what was kept of them, else what the history's events teach."""
        wanted = self._wanted if self.feeds else None
        try:
            kept = read_level_states(directory)
            if kept:
                return choose(kept, wanted)
            engine = VelocityEngine(rule=rule_of(self.settings.alerts, self._wanted))
            seed = learn_levels(directory, _our_ms(), engine, wanted)
        except (LiqtapeError, OSError, sqlite3.Error) as error:
            _log.warning("levels learn from nothing, the history cannot be read: %s", error)
            return {}
        if seed.events:
            _log.info("levels learned from %d events of the history, %.1f days", seed.events, seed.days)
        return seed.states

    def seed_levels(self, states: Mapping[StreamKey, StreamState]) -> None:
        """What the streams of the levels begin with; after `recall`, whose feeds are of the run before."""
        if self.engine.levels is None:
            return
        if self.recorder is not None and states:
            for record in level_seed_parts([(*key, state) for key, state in states.items()]):
                self.recorder.record(record)
        self.engine.levels.restore(states)

    def seed_baselines(
        self,
        feeds: Sequence[tuple[str, int, int]],
        backfilled: Sequence[tuple[str, int, int]],
        counts: Sequence[tuple[int, str, str, int]],
    ) -> None:
        """What baselines begin with, as `BaselineSeed` has it; before `recall`."""
        if self.recorder is not None:
            for record in seed_parts(feeds, backfilled, counts):
                self.recorder.record(record)
        for venue, up_ms, down_ms in feeds:
            self.engine.feed_up(venue, up_ms)
            self.engine.feed_down(venue, down_ms)
        for venue, from_ms, until_ms in backfilled:
            self.engine.feed_backfilled(venue, from_ms, until_ms)
        self.engine.seed_baselines(counts)

    def begin_with(self, states: Mapping[StreamKey, StreamState], learned: str) -> None:
        """Let the levels of streams that have learned nothing go on from these states; right after `start`.

        `learned` says in words what from.
        """
        levels = self.engine.levels
        if levels is not None:
            streams = {key: stream for key, stream in levels.streams.items() if stream.histogram.days}
            known = {key: stream.histogram.state(stream.largest_usd) for key, stream in streams.items()}
            if not states.keys() <= known.keys():
                self.seed_levels({**states, **known})
                self.learned = learned

    def recall(self, events: Sequence[Liquidation], feeds: Iterable[tuple[str, int, int]], wall_ms: int) -> None:
        """What an earlier run saw: (venue, up, down) of its feeds, and its events, by event time."""
        feeds = list(feeds)
        if self.recorder is not None:
            for record in recalled_parts(events, feeds, wall_ms):
                self.recorder.record(record)
        for venue, up_ms, down_ms in feeds:
            self.engine.feed_up(venue, up_ms)
            self.engine.feed_down(venue, down_ms)
        since_ms = wall_ms - WINDOW_MS - SLOT_MS  # so that no slot is missing between the seed and these
        clock = self.intake.clock
        clock.advance(wall_ms)
        placed = self.intake.recall(events, since_ms, wall_ms)
        self.engine.pass_over({event.instrument for event in placed}, clock.now_ms, clock.now_at)  # as the run before
        self.seed_levels({})
        self._know_again(placed)

    async def _open_redis(self) -> None:
        redis = self.settings.redis
        if redis.url == "off":
            return
        url = redis.url
        if url == "embedded":
            if redis.persist and self._data_dir is None:
                raise ConfigurationError("redis.persist: the embedded server needs a data_dir to keep its data in")
            self.embedded = EmbeddedServer(self._data_dir if redis.persist else None, persist=redis.persist)
            try:
                await self.embedded.start()
            except EmbeddedUnavailable as error:
                _log.warning("no embedded Redis: %s; going on without Redis", error)
                self.embedded = None
                return
            url = self.embedded.url
        self.redis_url = url
        self._sinks.append(RedisSink(url, prefix=redis.prefix))

    def _spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(self._supervised(name, work), name=name)

    async def _supervised(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work`; an error nobody foresaw is logged once per cause and counted, and the part starts again."""
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - the task supervisor
                cause = f"{name}: {type(error).__name__}: {error}"
                if not self.crashes[cause]:
                    _log.exception("%s failed; restarting it", name)
                self.crashes[cause] += 1
                await asyncio.sleep(_RESTART_SECONDS)
            else:
                return


def _received_ms(events: Iterable[Event]) -> int | None:
    """When a frame that begins with something else was received; no clock may say so, or a replay would differ."""
    stamped = (event.receive_ms for event in events if isinstance(event, (RawLiquidation, PriceTick)))
    return next(stamped, None)
