"""The running market: true liquidations at their moment, through each venue's publisher, to whoever follows."""

import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from msgspec.structs import replace

from liqtape.simulator.deliverylog import Tally
from liqtape.simulator.dialects import DIALECTS
from liqtape.simulator.faults import Faults
from liqtape.simulator.garbage import garbage
from liqtape.simulator.generator import Generator
from liqtape.simulator.listings import MARKETS, Listing
from liqtape.simulator.scenario import Scenario
from liqtape.simulator.wire import Arrival, Frame, ServerLimits, VenuePublisher

__all__ = ["Market"]


class Receiver(Protocol):
    """A connection as the market sees it."""

    @property
    def tally(self) -> Tally: ...

    def give(self, frame: Frame, *, again: bool = False) -> None: ...

    def hang_up(self, code: int) -> None: ...


class _Part:
    """Venues whose liquidations come from one generator, and what is late there."""

    def __init__(self, generator: Generator, faults: Faults) -> None:
        self.generator = generator
        self.faults = faults
        self.late: list[tuple[int, int, Arrival]] = []


class Market:
    """Turns moments into frames. The timeline begins with `start`; before it there are only trades."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        speed: float,
        faults: Faults,
        limits: ServerLimits,
        skew_ms: Mapping[str, int] | None = None,
    ) -> None:
        self.on_published: Callable[[Frame], None] | None = None
        self._parts: dict[str, _Part] = {}
        for market, listings in MARKETS.items():
            part = _Part(Generator(scenario, seed, listings, market), faults.of(market) if market else faults)
            self._parts |= dict.fromkeys((item.venue for item in listings), part)
        self.publishers: dict[str, VenuePublisher] = {
            name: dialect.publisher(seed, limits, self._parts[name].faults) for name, dialect in DIALECTS.items()
        }
        self._faults = faults
        self._skew_ms = dict.fromkeys(DIALECTS, 0) | dict(skew_ms or {})
        self._overtaken: dict[str, list[Frame]] = {name: [] for name in DIALECTS}
        self._speed = speed
        self._start_ms: int | None = None
        self._ended = False

    def start(self, now_ms: int) -> None:
        """Begins the timeline, once."""
        if self._start_ms is None:
            self._start_ms = now_ms

    def advance(self, now_ms: int, connections: Iterable[Receiver]) -> None:
        """Everything that is due at `now_ms`, handed to the connections."""
        here = list(connections)
        at_ms = self._timeline(now_ms)
        if at_ms is not None and not self._ended:
            self._happen(at_ms, now_ms)
            self._strike(at_ms, now_ms, here)
        for name, publisher in self.publishers.items():
            overtaken, self._overtaken[name] = self._overtaken[name], []
            self._send([*self._in_order(name, publisher.due(self.time_of(name, now_ms))), *overtaken], name, here)
        for name, publisher in self.publishers.items():
            self._send(publisher.trades(self.time_of(name, now_ms), self._price_at(at_ms)), name, here)

    def finish(self, connections: Iterable[Receiver]) -> None:
        """Ends the liquidations and sends what was late, batched or throttled; trades go on."""
        here = list(connections)
        self._ended = True
        for part in self._distinct_parts():
            while part.late:
                self._add(heapq.heappop(part.late)[2])
        for name, publisher in self.publishers.items():
            self._send([*publisher.flush(), *self._overtaken.pop(name)], name, here)
            self._overtaken[name] = []

    def time_of(self, venue: str, now_ms: int) -> int:
        """The venue's own clock."""
        return now_ms + self._skew_ms[venue]

    def step_clock(self, venue: str, by_ms: int, connections: Iterable[Receiver]) -> None:
        """The venue's clock goes on from another time; what waited for a time of the old one is sent before."""
        publisher = self.publishers[venue]
        self._send([*publisher.flush(), *self._overtaken[venue]], venue, list(connections))
        self._overtaken[venue] = []
        self._skew_ms[venue] += by_ms
        publisher.stepped()
        part = self._parts[venue]
        late = [
            (at_ms + by_ms, serial, replace(arrival, arrived_ms=at_ms + by_ms))
            if arrival.liquidation.listing.venue == venue
            else (at_ms, serial, arrival)
            for at_ms, serial, arrival in part.late
        ]
        heapq.heapify(late)
        part.late = late

    def begun_ms(self, now_ms: int) -> float | None:
        """Where the timeline is; None before its start and after its end."""
        return None if self._ended else self._timeline(now_ms)

    def _timeline(self, now_ms: int) -> float | None:
        return None if self._start_ms is None else (now_ms - self._start_ms) * self._speed

    def _distinct_parts(self) -> list[_Part]:
        return list(dict.fromkeys(self._parts[name] for name in self.publishers))

    def _price_at(self, at_ms: float | None) -> Callable[[Listing], float]:
        moment = int(at_ms or 0)
        return lambda item: item.price * self._parts[item.venue].generator.prices.factor(item.coin, moment)

    def _happen(self, at_ms: float, now_ms: int) -> None:
        start_ms = self._start_ms or 0
        for part in self._distinct_parts():
            for liquidation in part.generator.until(at_ms):
                event_ms = self.time_of(liquidation.listing.venue, start_ms + int(liquidation.at_ms / self._speed))
                delay_ms = part.faults.delay_ms()
                arrival = Arrival(liquidation, event_ms, event_ms + delay_ms)
                if delay_ms:
                    heapq.heappush(part.late, (arrival.arrived_ms, liquidation.serial, arrival))
                else:
                    self._add(arrival)
            while part.late and part.late[0][0] <= self.time_of(part.late[0][2].liquidation.listing.venue, now_ms):
                self._add(heapq.heappop(part.late)[2])

    def _in_order(self, venue: str, frames: list[Frame]) -> list[Frame]:
        """Without the frames that others overtake; those go with the next."""
        going: list[Frame] = []
        for frame in frames:
            waits = frame.kind == "liquidation" and self._parts[venue].faults.overtaken()
            (self._overtaken[venue] if waits else going).append(frame)
        return going

    def _add(self, arrival: Arrival) -> None:
        self.publishers[arrival.liquidation.listing.venue].add(arrival)

    def _send(self, frames: list[Frame], venue: str, connections: list[Receiver]) -> None:
        for frame in frames:
            if self.on_published is not None and frame.rows:
                self.on_published(frame)
            again = frame.kind == "liquidation" and self._parts[venue].faults.duplicates()
            for connection in connections:
                if connection.tally.venue != venue:
                    continue
                connection.give(frame)
                if again:
                    connection.give(frame, again=True)

    def _strike(self, at_ms: float, now_ms: int, connections: list[Receiver]) -> None:
        kind = self._faults.garbage(at_ms)
        if kind is not None:
            for name in DIALECTS:
                self._send([garbage(name, kind, now_ms)], name, connections)
        if self._faults.cuts(at_ms):
            for name in DIALECTS:
                following = [item for item in connections if item.tally.venue == name]
                for connection in following[:1]:
                    connection.hang_up(1012)
