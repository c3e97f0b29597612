"""The publisher of one sink: conflating and self-clocked.

Naive: write after every event. One awaited write an event caps at a few thousand a second, and a slow server then
delays the feed. Here events only note what changed; a flush takes all that changed at once, and the next begins when
the last was acknowledged. At low rates that is at once, in a flood the backlog is bounded by the number of instruments.

A flush takes a number of rows at most, those first that waited longest, so that no number of instruments keeps the loop
for long. And in a flood of events the next flush rests for a multiple of what the rows of this one took. Without it
a flood spent a third of its time on writing states that are outdated at once.
"""

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from operator import attrgetter
from time import perf_counter

from liqtape.cascades.cascade import Cascade
from liqtape.engine.velocity import MARKET
from liqtape.errors import SinkError, SinkUnavailable
from liqtape.events import Alert, Level, Liquidation, PriceTick, VelocityMetrics, VenueHealth
from liqtape.histogram import Histogram
from liqtape.pipeline.listener import Listener, Pulse
from liqtape.sinks.sink import Batch, Refusal, Sink

__all__ = ["RECENT_EVENTS", "Publisher"]

RECENT_EVENTS = 1_000
"""Newest events kept for a sink that shows recent ones; alerts are kept as many."""

_FIRST_RETRY = 0.1
_LAST_RETRY = 5.0
_REFUSED_RETRY = 1.0  # the server is there and takes the rest: as often as quiet instruments are republished
_CLOSE_SECONDS = 1.0
_ENDED_CASCADES = 20  # shown beside those that go on
_WAITING_CASCADES = 100  # to be announced; of more the oldest are in the list of those that stand, or over long since
_LEVELS_SECONDS = 60.0  # levels above NONE, and cascades, are written again as often, whether they have rows or not

_ROWS = 50  # of one flush: about a millisecond of the loop
_FLOOD = 50_000  # events/s: taking them in keeps a core busy for a quarter of the time
_REST = 50.0  # times as long as making the rows took; packing and sending them takes about as long again
_LONGEST_REST = 0.5

_WAITED_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

_instrument = attrgetter("instrument")
_log = logging.getLogger(__name__)


class Publisher(Listener):
    """Changes in, batches out. Nothing here waits for the sink but `run` itself.

    `snapshot` turns instruments into their newest metrics at flush time; `everything` names all live instruments, for
    the catch-up after the sink was away. `state` is starting, ok, failing or closed, `detail` the last error of that,
    each cause of which is logged once until the sink is back; failing lasts until the sink took all it refused.
    `alerts_dropped_total` counts alerts that were refused, or too old when their turn came. `errors` counts by cause
    what no sink should raise.
    """

    def __init__(
        self,
        sink: Sink,
        snapshot: Callable[[Iterable[str]], Sequence[VelocityMetrics]],
        everything: Callable[[], Iterable[str]],
    ) -> None:
        self.sink = sink
        self.state = "starting"
        self.detail = ""
        self.failures_total = 0
        self.batches_total = 0
        self.alerts_dropped_total = 0
        self.errors: Counter[str] = Counter()
        self._snapshot = snapshot
        self._everything = everything
        self._dirty: dict[str, None] = {}  # in the order they changed in
        self._recent: deque[Liquidation] = deque(maxlen=RECENT_EVENTS)
        self._new = 0  # events since the last flush; the newest of them are at the end of `_recent`
        self._alerts: deque[Alert] = deque()
        self._levels: dict[str, Level] = {}  # above NONE
        self._levels_due: dict[str, Level] = {}  # changed since the last flush
        self._levels_at = perf_counter()
        self._cascades: dict[str, Cascade] = {}  # of which there is something new
        self._running: dict[str, Cascade] = {}
        self._ended: deque[Cascade] = deque(maxlen=_ENDED_CASCADES)  # the newest first
        self._price: PriceTick | None = None
        self._health: Sequence[VenueHealth] = ()
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._urgent = asyncio.Event()  # ends a rest
        self._resync = True
        self._said: set[str] = set()  # causes since it was last well
        self._dropped = 0
        self._alerts_said = 0  # of the dropped ones
        self._flushed_at = perf_counter()
        self.waited = Histogram(_WAITED_SECONDS)  # from the oldest change to the acknowledgement of each write
        self._changed_at: float | None = None  # since when the oldest change waits
        self._taken_at: float | None = None  # the same of what is being written

    def __repr__(self) -> str:
        return f"<Publisher {self.sink.name}: {self.state}{f', {self.detail}' if self.detail else ''}>"

    @property
    def events_dropped_total(self) -> int:
        """Events that were older than the newest `RECENT_EVENTS` when their turn came."""
        return self._dropped + max(0, self._new - RECENT_EVENTS)

    def changed(self, instruments: Iterable[str]) -> None:
        """Note that these instruments changed."""
        self._dirty.update(dict.fromkeys(instruments))
        if self._changed_at is None and self._dirty:
            self._changed_at = perf_counter()
        self._wake.set()

    def lag_seconds(self) -> float:
        """Return for how long the oldest change has waited to be written; 0 when nothing waits."""
        waiting = [at for at in (self._changed_at, self._taken_at) if at is not None]
        return perf_counter() - min(waiting) if waiting else 0.0

    def accepted(self, events: Sequence[Liquidation], *, is_news: bool = True) -> None:  # noqa: ARG002 - repeats, too
        """Take note of liquidations, oldest first; only the newest `RECENT_EVENTS` survive until the flush."""
        self._recent.extend(events)
        self._new += len(events)
        self.changed(map(_instrument, events))

    def pulse(self, pulse: Pulse) -> None:
        """Take note of what a second left behind: rows age, whether events come or not."""
        self.changed(pulse.active)
        self.health([*pulse.health, *pulse.services])

    def alert(self, alert: Alert) -> None:
        """Take a change of level."""
        self.announce(alert)
        if alert.instrument != MARKET:
            self.changed([alert.instrument])

    def announce(self, alert: Alert) -> None:
        """Take note of a level that changed, and of nothing else."""
        self._note_level(alert.instrument, alert.level)
        self._alerts.append(alert)
        self._bound_alerts()
        self._urgent.set()
        self._wake.set()

    def forgotten(self, instruments: Collection[str]) -> None:
        """Leave out what has no row any more: with a sink that is away, names of strangers would pile up."""
        for instrument in instruments:
            for known in (self._dirty, self._levels, self._levels_due):
                known.pop(instrument, None)

    def cascade(self, cascade: Cascade) -> None:
        """Take in a cascade as it is known now."""
        self._cascades.pop(cascade.id, None)
        self._cascades[cascade.id] = cascade
        if len(self._cascades) > _WAITING_CASCADES:
            del self._cascades[next(iter(self._cascades))]
        if cascade.end_ms is None:
            self._running[cascade.id] = cascade
        elif self._running.pop(cascade.id, None) is not None:
            self._ended.appendleft(cascade)
        else:  # more of one that is over
            known = [cascade if one.id == cascade.id else one for one in self._ended]
            self._ended = deque(known, maxlen=_ENDED_CASCADES)
        self._urgent.set()
        self._wake.set()

    def price(self, tick: PriceTick) -> None:
        """Take a change of the reference price."""
        self._price = tick
        self._wake.set()

    def health(self, health: Sequence[VenueHealth]) -> None:
        """Take the venues' newest health."""
        self._health = health
        self._wake.set()

    async def run(self) -> None:
        """Flush until `stop`; reopen a sink that went away, with capped back-off and jitter."""
        retry, longest = _FIRST_RETRY, _LAST_RETRY
        is_open = False
        try:
            while not self._stop.is_set() or self._pending():
                try:
                    if not is_open:
                        await self.sink.open()
                        is_open = True
                        self.changed(self._everything())
                    elif self._pending():
                        await self._flush()
                        retry = _FIRST_RETRY
                    else:
                        self._wake.clear()
                        await self._wake.wait()
                    continue
                except SinkUnavailable as error:
                    is_open, longest = False, _LAST_RETRY
                    self._failed(error)
                except SinkError as error:
                    longest = _REFUSED_RETRY
                    self._failed(error)
                except Exception as error:  # noqa: BLE001 - the sink guard: what state it is in nobody knows
                    is_open, longest = False, _LAST_RETRY
                    self._surprised(error)
                    await self._close()
                if self._stop.is_set():
                    return
                await self._pause(min(retry, longest))
                retry = min(2 * retry, longest)
        finally:
            self.state = "closed"
            if lost := self._alerts_lost():
                _log.warning("%s: %s", self.sink.name, lost)
            await self._close()

    def stop(self) -> None:
        """Ask `run` to flush what is pending, once, and end."""
        self._stop.set()
        self._urgent.set()
        self._wake.set()

    def stats(self) -> dict[str, str | int]:
        """Return its state in words, and what was counted so far."""
        return {
            "state": self.state,
            "detail": self.detail,
            "batches": self.batches_total,
            "failures": self.failures_total,
            "alerts_lost": self.alerts_dropped_total,
            "events_dropped": self.events_dropped_total,
        }

    def unwritten(self) -> str:
        """Return what it still has to write, in words; empty when nothing but the state of health."""
        events = len(self._recent) if self._resync else min(self._new, RECENT_EVENTS)
        counts = {"instruments": len(self._dirty), "events": events, "alerts": len(self._alerts)}
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)

    def _pending(self) -> bool:
        return bool(
            self._dirty
            or self._new
            or self._alerts
            or self._cascades
            or self._levels_due
            or self._price is not None
            or self._health
        )

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds * random.uniform(0.5, 1.0))

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.sink.close()
        except Exception as error:  # noqa: BLE001 - the sink guard: a sink that cannot even close is left to itself
            self._count("close", error)

    async def _flush(self) -> None:
        events, began = self._new, perf_counter()
        is_flood = events > _FLOOD * (began - self._flushed_at)
        self._flushed_at = began
        self._taken_at, self._changed_at = self._changed_at, None
        batch = self._take()
        if self._dirty:  # more rows than one flush takes: the rest waits on
            self._changed_at = self._taken_at
        took = perf_counter() - began
        try:
            refusal = await self.sink.publish(batch)
        except SinkUnavailable as error:
            known = error.unannounced
            self._give_back(batch, [alert for alert in batch.alerts if known is None or alert in known])
            raise
        except SinkError as error:
            # Refused in part: the rest was done. Refused alerts are lost, late ones would be taken for new.
            self.alerts_dropped_total += len(error.unannounced or ())
            self._give_back(batch, ())
            raise
        except BaseException:  # also where it is cancelled: what is left at the end is counted
            self._give_back(batch, batch.alerts)
            raise
        self.batches_total += 1
        if self._taken_at is not None:
            self.waited.observe(perf_counter() - self._taken_at)
            self._taken_at = None
        self._resync = False
        if refusal is not None:
            self._refused(refusal)
        else:
            self._recovered()
        if is_flood:
            await self._rest(min(_REST * took, _LONGEST_REST))

    def _refused(self, refusal: Refusal) -> None:
        """Note a refusal: all else was done, so the next flush need not wait."""
        self.alerts_dropped_total += refusal.alerts_lost
        self.failures_total += bool(refusal.alerts_lost)
        self._failing(refusal.text, refusal.cause)

    def _recovered(self) -> None:
        if self.state == "failing":
            lost = self._alerts_lost()
            _log.info("%s: back, caught up%s", self.sink.name, f"; {lost}" if lost else "")
            self._said.clear()
            self._alerts_said = self.alerts_dropped_total
        self.state, self.detail = "ok", ""

    def _alerts_lost(self) -> str:
        """Return how many alerts were lost since that was told last, in words; empty for none."""
        lost = self.alerts_dropped_total - self._alerts_said
        return f"{lost} alert{'s' * (lost > 1)} could not be published" if lost else ""

    async def _rest(self, seconds: float) -> None:
        """Let changes come together; alerts and the end are not kept waiting."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._urgent.wait()

    def _take(self) -> Batch:
        chosen = list(islice(self._dirty, _ROWS))
        metrics = self._snapshot(sorted(chosen))
        newest = islice(reversed(self._recent), None if self._resync else self._new)
        events = tuple(newest)[::-1]
        self._dropped, self._new = self.events_dropped_total, 0
        is_due = bool(self._cascades) or self._is_due()
        levels = self._take_levels(metrics)
        batch = Batch(
            metrics,
            events,
            tuple(self._alerts),
            self._price,
            self._health,
            self._dropped,
            self._resync,
            levels,
            tuple(self._cascades.values()),
            (*reversed(self._running.values()), *self._ended) if is_due else None,
        )
        self._cascades = {}
        for instrument in chosen:
            del self._dirty[instrument]
        self._alerts.clear()
        self._urgent.clear()
        self._price, self._health = None, ()
        return batch

    def _take_levels(self, metrics: Sequence[VelocityMetrics]) -> dict[str, Level]:
        """Return levels that changed; from time to time, and after a failure, all above NONE, which would expire."""
        for row in metrics:
            if row.level != self._levels.get(row.symbol, "NONE"):  # of what was raised before anybody listened
                self._note_level(row.symbol, row.level)
        levels = self._levels_due
        if self._is_due():
            levels, self._levels_at = {**self._levels, **levels}, perf_counter()
        self._levels_due = {}
        return levels

    def _is_due(self) -> bool:
        """Return whether what would expire is to be written again."""
        return self._resync or perf_counter() - self._levels_at >= _LEVELS_SECONDS

    def _note_level(self, instrument: str, level: Level) -> None:
        self._levels_due[instrument] = level
        if level == "NONE":
            self._levels.pop(instrument, None)
        else:
            self._levels[instrument] = level

    def _give_back(self, batch: Batch, alerts: Sequence[Alert]) -> None:
        """Put a failed batch back; nothing of it is lost but what is newer anyway."""
        self._dirty.update((metrics.symbol, None) for metrics in batch.metrics)
        self._changed_at, self._taken_at = self._taken_at or self._changed_at, None
        # The list of recent events is written as a whole after the sink is back.
        self._resync = True
        self._alerts.extendleft(reversed(alerts))
        self._bound_alerts()
        self._levels_due = {**batch.levels, **self._levels_due}
        self._cascades = {**{cascade.id: cascade for cascade in batch.cascades}, **self._cascades}
        self._price = self._price or batch.price
        self._health = self._health or batch.health

    def _bound_alerts(self) -> None:
        while len(self._alerts) > RECENT_EVENTS:
            self._alerts.popleft()
            self.alerts_dropped_total += 1

    def _failed(self, error: SinkError) -> None:
        self.failures_total += 1
        self._resync = True
        self._failing(str(error), error.cause)

    def _failing(self, text: str, cause: str) -> None:
        if cause not in self._said:
            self._said.add(cause)
            _log.warning("%s: %s; feeds and callbacks go on, retrying", self.sink.name, text)
        lost = self._alerts_lost()
        self.state, self.detail = "failing", f"{text}; {lost}" if lost else text

    def _surprised(self, error: Exception) -> None:
        self.failures_total += 1
        self._resync = True
        self._count("write", error)
        self.state, self.detail = "failing", f"{type(error).__name__}: {error}"

    def _count(self, what: str, error: Exception) -> None:
        cause = f"{what}: {type(error).__name__}"
        if not self.errors[cause]:
            _log.error("%s: %s failed; feeds and callbacks go on, retrying", self.sink.name, what, exc_info=error)
        self.errors[cause] += 1
