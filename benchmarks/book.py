"""What the book of cascades costs an event, against `engine.add` of the same event."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from benchmarks.measure import Case, Figure, Scale, cpu_rounds, figure, ratio
from benchmarks.stream import Stream, endless
from liqtape.cascades.book import CascadeBook
from liqtape.cascades.runningcascade import Rise
from liqtape.engine.levels.returnperiods import BREADTH_KEY, StreamKey
from liqtape.events import Liquidation

_STEPS = 2_000  # events of a round
_IN_WINDOW = 3_000
_BATCH = 10  # events that come together
_CASES = ("nothing goes on", "a cascade of the instrument", "the market's as well")


class _Fed:
    """A book in one of the cases, which gets a stream of events with a tick for each second."""

    def __init__(self, case: str, size: int) -> None:
        self._book = CascadeBook((frozenset({"okx", "binance"}), frozenset()))
        self._events = endless(size)
        self._second = 0
        self.take(self.next(size))
        newest = next(self._events)
        if case != _CASES[0]:
            self._book.rise(Rise(StreamKey(None, newest.instrument), "made up", newest.event_ms, ""))
        if case == _CASES[2]:
            self._book.rise(Rise(BREADTH_KEY, "made up", newest.event_ms, ""))

    def next(self, count: int) -> list[Liquidation]:
        """Return what comes next."""
        return list(islice(self._events, count))

    def take(self, events: Sequence[Liquidation]) -> None:
        """Take it in."""
        for first in range(0, len(events), _BATCH):
            batch = events[first : first + _BATCH]
            self._book.add(batch)
            second = batch[-1].event_ms // 1000
            if second > self._second:
                self._second = second
                self._book.tick(1000 * second)
                self._book.take_news()


def run(scale: Scale) -> list[Figure]:
    """Return the figures."""
    return list(_figures(scale))


def _figures(scale: Scale) -> Iterator[Figure]:
    count, size = scale.size(_STEPS), scale.size(_IN_WINDOW)
    stream = Stream(size)
    cases = {"add": Case(stream.add, partial(stream.next, count), count)}
    for name in _CASES:
        fed = _Fed(name, size)
        cases[name] = Case(fed.take, partial(fed.next, count), count)
    spent = cpu_rounds(cases, scale.rounds)
    for name in _CASES:
        told = "an event of one instrument in the book, second by second, in engine.add of that event"
        yield figure(f"book of cascades, {name}", ratio(spent[name], spent["add"]), "adds", told)
