"""The engine per event: taking it in, then nothing, all windows, the level or a row; against scanning a bounded deque.

The stream goes on in its own rhythm (n events in every 300 s), so that windows stay as full as they were. Times include
the loop around the call, a few dozen nanoseconds.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median

from benchmarks.measure import Case, Figure, Scale, cpu_rounds, figure, ratio
from benchmarks.stream import Stream
from liqtape.events import WINDOWS, Liquidation

_SIZES = (300, 30_000, 1_000_000)
_INSTRUMENTS = 1_000
_ONE, _MANY = "1 instrument x 300", "1,000 instruments x 300"
_THROTTLED = "30,000 in 300 s of a throttled venue"
_STEPS = 4_000
_SCANNED = 3_000
_SCANS = 40
_WINDOWS = "add + windows"  # all counts, sums and the acceleration: what the targets are for
_WORKS = {
    "add": Stream.add,
    _WINDOWS: Stream.add_and_totals,
    "add + level": Stream.add_and_level,
    "add + metrics": Stream.add_and_metrics,
}


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
    streams = {_filled(size): Stream(scale.size(size)) for size in _SIZES}
    streams[_THROTTLED] = Stream(scale.size(_SIZES[1]), venue="binance")
    streams[_ONE] = Stream(_SIZES[0])
    streams[_MANY] = Stream(_SIZES[0], instruments=scale.size(_INSTRUMENTS))
    count = scale.size(_STEPS)
    cases: dict[str, Case] = {}
    for label, stream in streams.items():
        for what, work in _WORKS.items():
            cases[f"{what}, {label}"] = Case(partial(work, stream), partial(stream.next, count), count)
    busy, scan = Stream(scale.size(_SIZES[1])), _Scan()
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
    for what in _WORKS:
        for over, under, limit in ((_filled(_SIZES[-1]), _filled(_SIZES[0]), 1.5), (_MANY, _ONE, 2.0)):
            more, less = spent[f"{what}, {over}"], spent[f"{what}, {under}"]
            measured = f"{median(more):.0f} against {median(less):.0f} ns/event"
            name = f"{what}: {over} against {under}"
            goal = "growth" if what == _WINDOWS else ""
            figures.append(figure(name, ratio(more, less), "x", measured, at_most=limit, goal=goal))
    return figures


def _against_scan(spent: Mapping[str, Sequence[float]]) -> list[Figure]:
    scan = spent["scan"]
    figures = []
    for what in (_WINDOWS, "add + level", "add + metrics"):
        took = spent[f"{what}, {_filled(_SIZES[1])}"]
        measured = f"{median(took):.0f} ns/event, scan of {_SCANNED:,} events {median(scan):,.0f} ns"
        has_target = what == _WINDOWS
        least, goal = (300, "scan") if has_target else (None, "")
        name = f"{what} against a full scan"
        figures.append(figure(name, ratio(scan, took), "x faster", measured, at_least=least, goal=goal))
    return figures
