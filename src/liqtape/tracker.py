"""The composition root: builds the service from settings, and supervises it."""

import asyncio
import logging
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from liqtape import __version__
from liqtape.alarms.policy.messages import AlarmMessage
from liqtape.cascades.cascade import Cascade
from liqtape.embedded import EmbeddedServer
from liqtape.engine.correlation.comovement import CorrelatedPair
from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import StreamKey
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
from liqtape.factory import alarms_of, enabled_venues, scope_of, start_embedded
from liqtape.feeds.backoff import Timeouts
from liqtape.forecast.forecaster import Forecast
from liqtape.history.log.eventlog import EventLog
from liqtape.ledger import Ledger
from liqtape.livefeeds import LiveFeeds
from liqtape.monitor.monitor import Monitor
from liqtape.ourtime import our_ms as _our_ms
from liqtape.pipeline.listener import Listener, Pulse
from liqtape.pipeline.onevent import OnAlert, OnCascade, OnGap, OnLiquidation, OnTrouble
from liqtape.recording.recorder import Recorder, untracked
from liqtape.recording.recordinglistener import RecordingListener
from liqtape.recording.records import RunStarted
from liqtape.runforecasts import RunForecasts
from liqtape.runhistory import RunHistory
from liqtape.runscope import pipeline_of
from liqtape.settings import Settings
from liqtape.shutdown import Deadline, end, end_callbacks, end_forecasts, end_publishers, end_recorder
from liqtape.sinks.audience import Audience
from liqtape.sinks.callback import CallbackQueue
from liqtape.sinks.postgres.postgressink import PostgresSink
from liqtape.sinks.publisher import Publisher
from liqtape.sinks.redis.redissink import RedisSink
from liqtape.sinks.sink import Sink
from liqtape.sinks.stream import Subscription
from liqtape.supervise import Supervisor
from liqtape.training.hawkesrefit import HawkesRefit

__all__ = ["Tracker"]

_TICK_SECONDS = 1.0
_EMBEDDED_SECONDS = 0.5  # at the end; its guard ends it in any case

_log = logging.getLogger(__name__)


class Tracker:
    """The service inside your own program: `async with Tracker(Settings()) as tracker: ...`.

    It starts no server unless the settings say `redis.url = "embedded"`, and keeps no history unless they name one.

    Everything between a received frame and the changes noted by the publishers is plain calls, those of its `pipeline`,
    which gets the time from here; what awaits are the sockets at one end and the sinks at the other.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        sinks: Iterable[Sink] = (),
        ssl_context: ssl.SSLContext | None = None,
        data_dir: Path | None = None,
        timeouts: Timeouts | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.settings = Settings() if settings is None else settings
        enabled = enabled_venues(self.settings)
        self.pipeline = pipeline = pipeline_of(scope_of(self.settings, enabled), _our_ms())
        self.engine, self.instruments = pipeline.engine, pipeline.instruments
        self.embedded: EmbeddedServer | None = None
        self.redis_url: str | None = None
        self.pulses = 0  # grows once a second: the service lives
        self.publishers: list[Publisher] = []
        self.recorders = [] if recorder is None else [recorder]
        for one in self.recorders:
            pipeline.listeners.add(RecordingListener(one))
        self._history = RunHistory(self.settings.history, self.settings.alerts, pipeline, data_dir)
        self._forecasts = RunForecasts(self.settings.forecast, pipeline, data_dir)
        self.live = LiveFeeds(
            self.settings,
            pipeline,
            lambda: _our_ms(),  # noqa: PLW0108 - tests put another clock there
            track=untracked if recorder is None else recorder.track,
            ssl_context=ssl_context,
            timeouts=timeouts,
        )
        self.feeds, self.price_feed = self.live.venues, self.live.price
        self.monitor = Monitor(self.feeds, pipeline.clock, pipeline.listeners, data_dir)
        self.alarms = alarms_of(self.settings.alerts, enabled, pipeline, data_dir, self._wrong)
        for listener in (*self.feeds, self.monitor, self.alarms):
            self.listen(listener)
        self.refit = HawkesRefit(pipeline, self.now_ms)
        self._audience = Audience(pipeline.listeners)
        self._sinks, self._data_dir = list(sinks), data_dir
        self._ledgers: list[Ledger] = []  # of streams that are not ours
        self._supervisor = Supervisor()
        self._tasks: list[asyncio.Task[None]] = []
        self._publishing: list[asyncio.Task[None]] = []
        self._storing: asyncio.Task[None] | None = None
        self._started = self._ended = False

    def __repr__(self) -> str:
        state = "running" if self._started else "ended" if self._ended else "not started"
        venues = ", ".join(feed.venue.name for feed in self.feeds) or "no venue"
        sinks = "".join(f"; {publisher.sink.name} {publisher.state}" for publisher in self.publishers)
        return f"<Tracker {state}: {venues}; {len(self.pipeline.active)} instruments active{sinks}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # Its life.

    async def start(self) -> None:
        """Start sinks, then feeds; returns at once, whatever is reachable. A tracker runs once."""
        if self._started:
            return
        if self._ended:
            raise RuntimeError("this tracker has run; make a new one")
        self._started = True
        self.pipeline.begin()
        try:
            for recorder in self.recorders:
                recorder.open(self._run_started())
            await self._forecasts.open(_our_ms())
            await self._history.open(_our_ms)
            await self.alarms.start()
            await self._open_redis()
        except BaseException:
            await self.stop()
            raise
        for sink in self._sinks:
            publisher = Publisher(sink, self.snapshot, lambda: tuple(self.pipeline.active))
            self.publishers.append(publisher)
            self.listen(publisher)
            self._publishing.append(self._supervisor.spawn(f"publisher {sink.name}", publisher.run))
        self._audience.start()
        self.live.begin()
        if self._forecasts.writer is not None:
            self._tasks.append(self._supervisor.spawn("forecast log", self._forecasts.writer.run))
        if self.database is not None:
            self._storing = self._supervisor.spawn("postgres", self.database.run)
        self._tasks.append(self._supervisor.spawn("tick", self._tick))
        if self.settings.cascades.refit and "hawkes" in self.settings.cascades.detectors:
            self._tasks.append(self._supervisor.spawn("hawkes", self.refit.run))
        self._tasks.extend(self._supervisor.spawn(f"feed {feed.venue.name}", feed.run) for feed in self.feeds)

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
            await self.live.stop(deadline)
            self.pipeline.finish(_our_ms())
            await self._flush(deadline)
        finally:
            for task in (*self._tasks, *self._publishing):
                task.cancel()
            self._audience.stop()
            for recorder in self.recorders:
                await end(deadline.left(), asyncio.to_thread(recorder.close, 0.0))
            if self.embedded is not None:
                await end(max(_EMBEDDED_SECONDS, deadline.left()), self.embedded.stop())

    async def _flush(self, deadline: Deadline) -> None:
        health = self.health()
        for publisher in self.publishers:
            publisher.changed(self.pipeline.active)
            publisher.health([*health, *self._services()])
        ending = [
            end_publishers(self.publishers, self._publishing, deadline),
            end_callbacks(self._audience.callbacks, deadline),
            *(end_recorder(recorder, deadline) for recorder in self.recorders),
            self._history.end(self.now_ms(), health, self._storing, deadline),
            end_forecasts(self._forecasts.writer, deadline),
        ]
        watching = end(deadline.left(), self.monitor.stop(), self.alarms.stop(deadline.left() / 2))
        rests, _ = await asyncio.gather(asyncio.gather(*ending), watching)
        if rest := [text for texts in rests for text in texts]:
            _log.warning("ended in time, but not all was written: %s", "; ".join(rest))

    async def _open_redis(self) -> None:
        redis = self.settings.redis
        if redis.url == "embedded":
            self.embedded = await start_embedded(redis, self._data_dir)
            self.redis_url = None if self.embedded is None else self.embedded.url
            if self.embedded is not None:
                self._sinks.append(RedisSink(self.embedded.writer_url, prefix=redis.prefix))
        elif redis.url != "off":
            self.redis_url = redis.url
            self._sinks.append(RedisSink(redis.url, prefix=redis.prefix))

    async def _tick(self) -> None:
        """Once a second: what happens by time alone."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.live.pulse()
            self.pulse(_our_ms())
            self.monitor.keep_samples()

    def pulse(self, our_ms: int) -> None:
        """Let a second pass, and tell the listeners how everything stands then."""
        self.pulses += 1
        active = self.pipeline.pulse(our_ms)
        self.monitor.look(time.monotonic(), our_ms, self.ledgers())
        clock = self.pipeline.clock
        pulse = Pulse(
            our_ms,
            clock.now_ms,
            self.pipeline.alive_ms(our_ms),
            active,
            self.live.health(clock.now_ms, clock.now_at),
            self._services(),
            self.pipeline.feeds.gaps_ahead(self.live.known_until_ms()),
        )
        for listener in self.pipeline.listeners:
            listener.pulse(pulse)

    def begin_with(
        self, states: Mapping[StreamKey, StreamState], learned: str, messages: StreamState | None = None
    ) -> None:
        """Let the levels of streams that have learned nothing go on from these states; right after `start`.

        `learned` says in words what from; `messages` is what the budget of messages learned there.
        """
        if self.pipeline.seeding.begin_with(states):
            self._history.learned = learned
        if messages is not None:
            self.alarms.begin_with(messages)

    def _wrong(self) -> dict[str, str]:
        """Return what is wrong beside venues and services, subject: reason."""
        failing = {one.sink.name: one.detail for one in self.publishers if one.state == "failing"}
        return {**self.monitor.lasting, **failing}

    def _services(self) -> list[VenueHealth]:
        """Return the health of what is no venue."""
        return [*self._history.health(), *self._forecasts.health(self.now_ms())]

    def _run_started(self) -> RunStarted:
        own = self.settings
        symbols_of = {name: venue.symbols for name, venue in own.venues.items() if venue.enabled}
        return RunStarted(__version__, own.symbols, symbols_of, own.alerts.of_levels(), own.price.always, own.cascades)

    # What a program brings.

    def ingest(self, events: Sequence[Event], ledger: Ledger) -> None:
        """Take in the events of a frame, or of several that came together; where they do not say when, it is now."""
        first = events[0] if events else None
        is_stamped = isinstance(first, (RawLiquidation, PriceTick)) and first.receive_ms is not None
        self.pipeline.ingest(events, ledger, None if is_stamped else _our_ms())

    def admit(self, liquidation: Liquidation, ledger: Ledger) -> None:
        """Take in a liquidation of a wrapped stream: neither filtered nor compared with earlier ones."""
        self.pipeline.admit(liquidation, ledger, _our_ms())

    # How it stands.

    @property
    def log(self) -> EventLog | None:
        """The log of the history; None where none is kept."""
        return self._history.log

    @property
    def database(self) -> PostgresSink | None:
        """The server that follows the log, if the settings name one."""
        return self._history.database

    @property
    def callbacks(self) -> Sequence[CallbackQueue[Any]]:
        """The queues before the functions of the user's, with their counts."""
        return self._audience.callbacks

    @property
    def learned(self) -> str:
        """What levels began with, for people."""
        return self._history.learned

    @property
    def crashes(self) -> Counter[str]:
        """Errors nobody foresaw, by part and cause; the part went on."""
        return self._supervisor.crashes

    def now_ms(self) -> int:
        """The evaluation time now: event time, not the wall clock (see `EventClock`)."""
        return self.pipeline.clock.t_ms(_our_ms())

    def venue_times(self) -> Mapping[str, int]:
        """The evaluation time of each venue's windows now, for `at` of the engine; of others it is `now_ms`."""
        return self.pipeline.clock.at(_our_ms())

    def snapshot(self, instruments: Iterable[str]) -> list[VelocityMetrics]:
        """The metrics of these instruments now; what was never seen is left out."""
        now, at = self._moment()
        rows = (self.engine.metrics(instrument, now, at=at) for instrument in instruments)
        return [row for row in rows if row is not None]

    def market(self, venue: str | None = None) -> VelocityMetrics:
        """The metrics of all instruments together now, of one venue or of all."""
        now, at = self._moment()
        return self.engine.market(now, venue, at=at)

    def _moment(self) -> tuple[int, Mapping[str, int]]:
        """Return the evaluation times, the common one and those of the venues, at one moment."""
        our_ms = _our_ms()
        return self.pipeline.clock.t_ms(our_ms), self.pipeline.clock.at(our_ms)

    def correlation(self, most: int | None = None) -> list[CorrelatedPair]:
        """How the counts of the busiest instruments, 50 or `most`, and those of the venues, move together."""
        return self.pipeline.comovement.pairs(most)

    def forecast(self) -> tuple[Forecast, ...]:
        """The newest forecast of each target, with the reason where there is no probability. None is ever "safe"."""
        return self._forecasts.now(self.now_ms())

    def active(self) -> list[str]:
        """Instruments with an event in their largest window."""
        return sorted(self.pipeline.active)

    def health(self) -> list[VenueHealth]:
        """One record a venue, in the order of the settings."""
        return self.live.health(*self._moment())

    def failing(self) -> list[str]:
        """Names of the sinks, and of the parts of the history, that cannot be written now."""
        services = [one.venue for one in self._services() if one.state in {"failing", "stuck"}]
        return [one.sink.name for one in self.publishers if one.state == "failing"] + services

    def cascades(self) -> list[Cascade]:
        """The cascades that go on, the newest first, and behind them the last 500 that ended."""
        return self.pipeline.cascades.book.known()

    def cascades_total(self) -> int:
        """How many cascades began."""
        return self.pipeline.cascades.book.total

    def gaps(self) -> list[Gap]:
        """Intervals in which liquidations may have been missed, those that last still at the end."""
        return self.pipeline.feeds.outages.gaps()

    def ledger(self) -> Ledger:
        """The sum over all connections, past ones included, and what became of their events in the log."""
        total = sum((ledger for _, ledger in self.ledgers()), Ledger())
        self._history.count(total)
        return total

    def ledgers(self) -> list[tuple[str, Ledger]]:
        """(name, ledger) of every connection, past ones summed per venue, and of every stream that is not ours."""
        return self.live.ledgers() + [(f"stream {i}", ledger) for i, ledger in enumerate(self._ledgers)]

    def new_ledger(self) -> Ledger:
        """A ledger for a stream that is not one of the feeds, counted in the total."""
        self._ledgers.append(Ledger())
        return self._ledgers[-1]

    # Who hears of it.

    def listen(self, listener: Listener) -> None:
        """Let it hear everything from now on, in plain calls that must neither wait nor raise."""
        self.pipeline.listeners.add(listener)

    def on_liquidation(self, callback: Callable[[Liquidation], object], name: str = "") -> CallbackQueue[Liquidation]:
        """Call `callback` (sync or async) with every accepted liquidation, behind a queue of its own."""
        return self._audience.call(callback, name, OnLiquidation)

    def on_alert(self, callback: Callable[[Alert], object], name: str = "") -> CallbackQueue[Alert]:
        """Call `callback` with every level change."""
        return self._audience.call(callback, name, OnAlert)

    def on_gap(self, callback: Callable[[Gap], object], name: str = "") -> CallbackQueue[Gap]:
        """Call `callback` with every gap: when it begins (`until_ms` None), when it ends, and when it was filled."""
        return self._audience.call(callback, name, OnGap)

    def on_cascade(self, callback: Callable[[Cascade], object], name: str = "") -> CallbackQueue[Cascade]:
        """Call `callback` with every cascade: when it opens, grows and ends, and an hour after."""
        return self._audience.call(callback, name, OnCascade)

    def on_trouble(self, callback: Callable[[Trouble], object], name: str = "") -> CallbackQueue[Trouble]:
        """Call `callback` once for each trouble of liqtape itself that a person must look at."""
        return self._audience.call(callback, name, OnTrouble)

    def on_message(self, callback: Callable[[AlarmMessage], object], name: str = "") -> CallbackQueue[AlarmMessage]:
        """Call `callback` with every message of the alarm policy, whether or not a channel gets it."""
        queue: CallbackQueue[AlarmMessage] = CallbackQueue(callback, name)
        self.add_callback(queue)
        self.alarms.taps.append(queue.offer)
        return queue

    def add_callback(self, queue: CallbackQueue[Any]) -> None:
        """Start, watch and stop this queue with the tracker; the caller connects its `offer`."""
        self._audience.add(queue)

    def liquidations(self) -> Subscription[Liquidation]:
        """Every liquidation from now on; ends with the tracker. Slower than 10,000 behind: the newest are dropped."""
        return self._audience.subscribe(OnLiquidation)

    def alerts(self) -> Subscription[Alert]:
        """Every level change from now on; ends with the tracker."""
        return self._audience.subscribe(OnAlert)
