"""A past as what the page shows: played at a speed, paused, and sent to any moment."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import UNSET

from liqtape.cascades.cascade import Cascade
from liqtape.engine.correlation.comovement import CorrelatedPair
from liqtape.events import Alert, Gap, Liquidation, VelocityMetrics, VenueHealth
from liqtape.forecast.forecaster import Forecast
from liqtape.ledger import Ledger
from liqtape.web.answers import Mode, ReplayState
from liqtape.web.questions import ReplayOrder
from liqtape.web.shown import Measured, News

__all__ = ["PastRun", "ReplaySource"]

_STEP_SECONDS = 0.1
_SLICE_MS = 1_000  # of the past, between two turns of the loop
_KEPT_MS = 6 * 3_600_000  # before a moment that was sought
_MOST_KEPT = 100_000
_SEEK_SLICE_MS = 3_600_000


class PastRun(Measured, Protocol):
    """A past that goes forward: `advance`, then ask. Of one thread at a time.

    `now_ms` is the moment played up to, `as_of_ms` the evaluation time then: they differ where frames were on the way.
    """

    @property
    def now_ms(self) -> int: ...

    @property
    def as_of_ms(self) -> int: ...

    def advance(self, until_ms: int) -> None: ...

    def take(self) -> tuple[Sequence[Liquidation], Sequence[Alert]]: ...

    def hides(self) -> Mapping[str, str]: ...


class ReplaySource:
    """Plays the past that `begin` makes, from `from_ms` to `until_ms`; `run` it as a task.

    `begin` is called again to go back, with the moment to be reached. What lies before that moment is played in a
    thread; the last six hours of it are news, so that a chart is not empty.
    """

    mode: Mode = "replay"

    def __init__(
        self, name: str, span: tuple[int, int], begin: Callable[[int], PastRun], speed: float | None = 1.0
    ) -> None:
        self._name, self._begin = name, begin
        self._from_ms, self._until_ms = span
        self._speed = speed
        self._is_paused = self._is_seeking = False
        self._past = begin(self._from_ms)
        self._at_ms = float(self._from_ms)
        self._kept_events: deque[Liquidation] = deque(maxlen=_MOST_KEPT)
        self._kept_alerts: deque[Alert] = deque(maxlen=_MOST_KEPT)
        self._turn = asyncio.Lock()
        self._missed = 0
        self._known_gaps = 0
        self.generation = 0
        self.began_ms = self._from_ms

    @property
    def replay(self) -> ReplayState:
        """Where it stands."""
        at_ms = self._past.now_ms
        return ReplayState(
            self._name,
            self._from_ms,
            self._until_ms,
            at_ms,
            self._speed,
            self._is_paused,
            at_ms >= self._until_ms,
            self._is_seeking,
        )

    def messages(self) -> None:
        """Return nothing: nobody is told of a past."""

    def forecast(self) -> Sequence[Forecast]:
        """Return nothing: what came is known."""
        return ()

    def failing(self) -> Sequence[str]:
        """Return nothing: the page of a past tells of the past."""
        return ()

    async def run(self) -> None:
        """Play until cancelled; at the end it waits there."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(_STEP_SECONDS)
            now = time.monotonic()
            passed, before = now - before, now
            if not self._is_paused:
                async with self._turn:
                    await self._play(passed)

    async def _play(self, passed: float) -> None:
        """Go on by so many seconds of our time; with no speed by as much as fits into them."""
        if self._speed is not None:
            self._at_ms = min(self._until_ms, self._at_ms + 1000 * passed * self._speed)
        began = time.monotonic()
        target_ms = self._until_ms if self._speed is None else int(self._at_ms)
        while self._past.now_ms < target_ms and not self._is_paused and time.monotonic() < began + _STEP_SECONDS:
            self._past.advance(min(target_ms, self._past.now_ms + _SLICE_MS))
            await asyncio.sleep(0)
        self._at_ms = float(self._past.now_ms) if self._speed is None else min(self._at_ms, self._past.now_ms + 1000.0)

    async def obey(self, order: ReplayOrder) -> ReplayState:
        """Pause, speed, seek; returns where it stands then."""
        if order.is_paused is not UNSET:
            self._is_paused = order.is_paused
        if order.speed is not UNSET:
            self._speed = order.speed
        if order.at_ms is not UNSET:
            async with self._turn:
                await self._seek(min(max(order.at_ms, self._from_ms), self._until_ms))
        return self.replay

    async def _seek(self, at_ms: int) -> None:
        self._is_seeking = True
        try:
            past, events, alerts = await asyncio.to_thread(self._played, at_ms)
        finally:
            self._is_seeking = False
        self._past, self._at_ms = past, float(past.now_ms)
        self._kept_events, self._kept_alerts = events, alerts
        self.began_ms = max(self._from_ms, at_ms - _KEPT_MS)
        if len(events) == _MOST_KEPT:
            self.began_ms = max(self.began_ms, events[0].event_ms)
        self._known_gaps = 0
        self.generation += 1

    def _played(self, at_ms: int) -> tuple[PastRun, deque[Liquidation], deque[Alert]]:
        """A past at that moment, with what came shortly before."""
        past = self._begin(at_ms)
        events: deque[Liquidation] = deque(maxlen=_MOST_KEPT)
        alerts: deque[Alert] = deque(maxlen=_MOST_KEPT)
        while past.now_ms < at_ms:
            past.advance(min(at_ms, past.now_ms + _SEEK_SLICE_MS))
            new_events, new_alerts = past.take()
            events.extend(event for event in new_events if event.event_ms > at_ms - _KEPT_MS)
            alerts.extend(new_alerts)
        return past, events, alerts

    def take_news(self) -> News:
        """Return what came since the last call, or of the time before the moment that was sought."""
        events, alerts = self._past.take()
        if self._kept_events or self._kept_alerts:
            events, alerts = [*self._kept_events, *events], [*self._kept_alerts, *alerts]
            self._kept_events.clear()
            self._kept_alerts.clear()
        gaps = self._past.gaps()
        new_gaps, self._known_gaps = gaps[self._known_gaps :], len(gaps)
        return News(events, alerts, new_gaps)

    def now_ms(self) -> int:
        """Return the evaluation time of the past."""
        return self._past.as_of_ms

    def snapshot(self, instruments: Iterable[str]) -> list[VelocityMetrics]:
        return self._past.snapshot(instruments)

    def market(self, venue: str | None = None) -> VelocityMetrics:
        return self._past.market(venue)

    def active(self) -> list[str]:
        return self._past.active()

    def health(self) -> list[VenueHealth]:
        return self._past.health()

    def gaps(self) -> list[Gap]:
        return self._past.gaps()

    def cascades(self) -> list[Cascade]:
        return self._past.cascades()

    def cascades_total(self) -> int:
        return self._past.cascades_total()

    def ledger(self) -> Ledger:
        return self._past.ledger()

    def ledgers(self) -> list[tuple[str, Ledger]]:
        return self._past.ledgers()

    def correlation(self, most: int | None = None) -> list[CorrelatedPair]:
        return self._past.correlation(most)

    def hides(self) -> Mapping[str, str]:
        return self._past.hides()
