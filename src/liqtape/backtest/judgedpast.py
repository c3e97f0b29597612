"""What a backtest looks at: past liquidations of one scope, in the order of their time, and when they were watched."""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

from liqtape.backtest.pastsources import SourceRead, Span, read_source
from liqtape.engine.levels.returnperiods import MARKET_KEY, StreamKey
from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation
from liqtape.exam.cascadelabels import ALL
from liqtape.exam.markedstream import MarkedStream

__all__ = ["DAY_MS", "JudgedPast", "load_past"]

DAY_MS = 86_400_000


class JudgedPast:
    """The events of a scope: of all instruments together, or of one. `spans` are (begin, end) in ms, apart and sorted.

    `until` gives the same past with the future cut off.
    """

    def __init__(self, source: SourceRead, places: array[int], key: StreamKey, spans: Sequence[Span]) -> None:
        self._source = source
        self._places = places
        self.key = key
        self.spans = spans
        self._begins = [begin for begin, _ in spans]
        times_ms = source.table.times_ms
        self.times_ms = array("q", (times_ms[place] for place in places))

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Liquidation]:
        event = self._source.table.event
        return (event(place) for place in self._places)

    @property
    def scope(self) -> str:
        """What the scope is called in label files."""
        return ALL if self.key.instrument is None else self.key.instrument

    @property
    def is_whole(self) -> bool:
        """Whether these are all events of the source."""
        return len(self._places) == len(self._source.table)

    @property
    def venues(self) -> list[str]:
        """The venues of the events."""
        return self._source.table.venues()

    @property
    def watched_ms(self) -> int:
        """How long somebody watched."""
        return sum(end_ms - begin_ms for begin_ms, end_ms in self.spans)

    def watched_within(self, from_ms: int, until_ms: int) -> int:
        """Return how much of a time was watched, in ms."""
        return sum(max(0, min(end_ms, until_ms) - max(begin_ms, from_ms)) for begin_ms, end_ms in self.spans)

    @property
    def end_ms(self) -> int:
        """When the last event came, or watching ended, whichever is later."""
        return max(self.times_ms[-1], self.spans[-1][1])

    def busiest(self, width_ms: int) -> int:
        """Return the most events within so much time."""
        most = tail = 0
        for place, at_ms in enumerate(self.times_ms):
            while self.times_ms[tail] <= at_ms - width_ms:
                tail += 1
            most = max(most, place + 1 - tail)
        return most

    def moments(self, every_ms: int) -> Iterator[int]:
        """Yield the watched moments from the first event on, at whole multiples of `every_ms`."""
        first_ms = self.times_ms[0]
        for begin_ms, end_ms in self.spans:
            yield from range(-(-max(begin_ms, first_ms) // every_ms) * every_ms, end_ms + 1, every_ms)

    def days(self) -> list[int]:
        """Return the UTC days that were watched, in days since 1970."""
        return sorted({day for begin, end in self.spans for day in range(begin // DAY_MS, -(-end // DAY_MS))})

    def is_watched(self, at_ms: int) -> bool:
        """Return whether somebody watched at that moment; the ends of a span were seen."""
        place = bisect_right(self._begins, at_ms) - 1
        return place >= 0 and at_ms <= self.spans[place][1]

    def until(self, end_ms: int) -> JudgedPast:
        """Return the past as of a moment: the events up to it."""
        places = array("q", (place for place, at in zip(self._places, self.times_ms, strict=True) if at <= end_ms))
        spans = [(begin, min(end, end_ms)) for begin, end in self.spans if begin < end_ms]
        return JudgedPast(self._source, places, self.key, spans)

    def marked(self) -> MarkedStream:
        """Return what label rules look at."""
        usd, is_long = array("d"), bytearray()
        for event in self:
            usd.append(event.notional_usd or 0.0)
            is_long.append(event.side == "long")
        return MarkedStream(self.times_ms, usd, [bool(one) for one in is_long])

    def summary(self) -> dict[str, int | dict[str, int]]:
        """Return where the rows of the source went, by name."""
        return self._source.table.summary()


def load_past(path: Path, coverage: Path | None = None, symbol: str | None = None) -> JudgedPast:
    """Return the past of a recording, a history or event files: one instrument where only one is there, else all.

    `symbol` chooses an instrument. Raises ConfigurationError where nothing is there.
    """
    source = read_source(path, coverage)
    table = source.table
    if not len(table):
        raise ConfigurationError(f"{path}: no liquidation there; nothing can be judged")
    order = table.in_order()
    instruments = sorted({table.event(place).instrument for place in order})
    if symbol is not None:
        if symbol not in instruments:
            raise ConfigurationError(
                f"--symbol {symbol}: not in {path}; there are {', '.join(instruments[:12])}"
                + (" ..." if len(instruments) > 12 else "")
            )
        chosen = array("q", (place for place in order if table.event(place).instrument == symbol))
        return JudgedPast(source, chosen, StreamKey(None, symbol), source.spans)
    key = StreamKey(None, instruments[0]) if len(instruments) == 1 else MARKET_KEY
    return JudgedPast(source, array("q", order), key, source.spans)
