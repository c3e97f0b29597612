"""The engine per event: taking it in, the level after it, all metrics after it; against scanning a bounded deque.

The stream goes on in its own rhythm (n events in every 300 s), so that windows stay as full as they were. Times include
the loop around the call, a few dozen nanoseconds.
"""

import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import median

from benchmarks.measure import Case, Figure, Scale, cpu_rounds, figure, ratio
from liqtape.engine import VelocityEngine
from liqtape.engine.cascade import Levels
from liqtape.events import WINDOWS, Liquidation, Side

_SIZES = (300, 30_000, 1_000_000)
_INSTRUMENTS = 1_000
_ONE, _MANY = "1 instrument x 300", "1,000 instruments x 300"
_THROTTLED = "30,000 in 300 s of a throttled venue"
_STEPS = 4_000
_SCANNED = 3_000
_SCANS = 40
_BEGIN_MS = 1_790_000_000_000
_WINDOW_MS = 1000 * WINDOWS[-1]


class _Stream:
    """An engine whose largest window holds `size` events of each instrument, and more to come."""

    def __init__(self, size: int, instruments: int = 1, venue: str = "bybit") -> None:
        self.engine = VelocityEngine()
        self.levels = Levels(self.engine)
        self._events = self._endless(size * instruments, instruments, venue)
        for _ in range(size * instruments):
            self.engine.add(next(self._events))
        for i in range(instruments):
            self.engine.metrics(f"COIN{i}USDT", self.engine.newest_ms)

    def next(self, count: int) -> list[Liquidation]:
        """The events that come next."""
        return [next(self._events) for _ in range(count)]

    @staticmethod
    def _endless(in_window: int, instruments: int, venue: str) -> Iterator[Liquidation]:
        draw = random.Random(1)
        serial = 0
        while True:
            name = f"COIN{draw.randrange(instruments)}USDT"
            at_ms = _BEGIN_MS + serial * _WINDOW_MS // in_window
            side: Side = "long" if draw.random() < 0.7 else "short"
            usd = round(draw.lognormvariate(7.0, 2.0), 6)
            serial += 1
            yield Liquidation(venue, name, name, side, 100.5, "bankruptcy", usd / 100.5, usd, at_ms, at_ms)

    def add(self, events: list[Liquidation]) -> None:
        for event in events:
            self.engine.add(event)

    def add_and_level(self, events: list[Liquidation]) -> None:
        for event in events:
            self.engine.add(event)
            self.levels.check(event.instrument, event.event_ms)

    def add_and_metrics(self, events: list[Liquidation]) -> None:
        for event in events:
            self.engine.add(event)
            self.engine.metrics(event.instrument, event.event_ms)


class _Scan:
    """The plain way: the newest 3,000 events in a deque, all of them looked at for each window after each event."""

    def __init__(self) -> None:
        self.buffer: deque[tuple[int, float]] = deque(maxlen=_SCANNED)

    def add(self, events: list[Liquidation]) -> None:
        for event in events:
            self.buffer.append((event.event_ms, event.notional_usd or 0.0))
            self.counts_and_sums(event.event_ms)

    def counts_and_sums(self, now_ms: int) -> list[tuple[int, float]]:
        """Events and USD of each window."""
        inside = [[usd for at_ms, usd in self.buffer if at_ms > now_ms - 1000 * seconds] for seconds in WINDOWS]
        return [(len(window), sum(window)) for window in inside]


def run(scale: Scale) -> list[Figure]:
    """Cost per event by what the window holds and by the number of instruments, and against the scan."""
    streams = {_filled(size): _Stream(scale.size(size)) for size in _SIZES}
    streams[_THROTTLED] = _Stream(scale.size(_SIZES[1]), venue="binance")
    streams[_ONE] = _Stream(_SIZES[0])
    streams[_MANY] = _Stream(_SIZES[0], instruments=scale.size(_INSTRUMENTS))
    count = scale.size(_STEPS)
    cases: dict[str, Case] = {}
    for label, stream in streams.items():
        works = {"add": stream.add, "add + level": stream.add_and_level, "add + metrics": stream.add_and_metrics}
        for what, work in works.items():
            cases[f"{what}, {label}"] = Case(work, partial(stream.next, count), count)
    busy, scan = _Stream(scale.size(_SIZES[1])), _Scan()
    scan.buffer.extend((event.event_ms, event.notional_usd or 0.0) for event in busy.next(_SCANNED))
    cases["scan"] = Case(scan.add, partial(busy.next, scale.size(_SCANS)), scale.size(_SCANS))
    spent = cpu_rounds(cases, scale.rounds)
    return [*_costs(spent), *_growth(spent), *_against_scan(spent)]


def _filled(size: int) -> str:
    return f"{size:,} in 300 s"


def _costs(spent: Mapping[str, Sequence[float]]) -> list[Figure]:
    return [
        figure(label, took, "ns/event", "one bounded stream, in order")
        for label, took in spent.items()
        if label != "scan"
    ]


def _growth(spent: Mapping[str, Sequence[float]]) -> list[Figure]:
    figures = []
    for what in ("add", "add + level", "add + metrics"):
        for over, under, limit in ((_filled(_SIZES[-1]), _filled(_SIZES[0]), 1.5), (_MANY, _ONE, 2.0)):
            more, less = spent[f"{what}, {over}"], spent[f"{what}, {under}"]
            measured = f"{median(more):.0f} against {median(less):.0f} ns/event"
            figures.append(
                figure(f"{what}: {over} against {under}", ratio(more, less), "x", measured, at_most=limit),
            )
    return figures


def _against_scan(spent: Mapping[str, Sequence[float]]) -> list[Figure]:
    scan = spent["scan"]
    figures = []
    for what in ("add + level", "add + metrics"):
        took = spent[f"{what}, {_filled(_SIZES[1])}"]
        measured = f"{median(took):.0f} ns/event, scan of {_SCANNED:,} events {median(scan):,.0f} ns"
        figures.append(figure(f"{what} against a full scan", ratio(scan, took), "x faster", measured, at_least=300))
    return figures
