"""Past levels of one stream by the live code: its events through an engine, with a look after each.

The grid of seconds is not walked through: only where an event came in the span, while the stream is above NONE, and
before the span once a minute, for the mean minute.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import nan
from typing import TYPE_CHECKING, NamedTuple

from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.events import LEVELS, Level, Liquidation
from liqtape.history.query.streams import Selection
from liqtape.pipeline.rerun import Rerun, feed_marks

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PastLevels", "PastRow", "with_highest"]

_MINUTE_MS = 60_000
_HORIZON_MS = 21_000  # in which the rule of thresholds can still see an event


class PastRow(NamedTuple):
    """The level at a moment, the highest since the row before, and what is said beside it; None by other rules."""

    level: Level
    highest_level: Level
    return_days: float | None
    times_usual: float | None
    watched_days: float | None
    is_learning: bool | None


class PastLevels:
    """The stream that is asked for, its events in `table`, of which feeds were up in `spells`; asked once.

    Whether the market was EXTREME is only known where the events are those of all instruments.
    """

    def __init__(
        self, engine: VelocityEngine, asked: Selection, table: "pa.Table", spells: Iterable[tuple[str, int, int]]
    ) -> None:
        self.engine = engine
        self._asked = asked
        self._key = StreamKey(asked["venue"], asked["instrument"])
        self._rerun = Rerun(engine, feed_marks(spells))
        table = table.take(table["event_ms"].to_numpy().argsort(kind="stable"))
        self._times: list[int] = table["event_ms"].to_pylist()
        names = "venue", "instrument", "side", "notional_usd"
        self._columns = [table[name].to_pylist() for name in names]

    def levels(self, from_ms: int, at_ms: Sequence[int]) -> tuple[list[PastRow], list[tuple[int, Level]]]:
        """Return a row for each time, and the seconds from `from_ms` on at which the stream was above NONE."""
        rows: list[PastRow] = []
        raised: list[tuple[int, Level]] = []
        wanted = frozenset(at_ms)
        for second in self._seconds(from_ms, at_ms):
            level = self._level(second)
            if level != "NONE":
                raised.append((second, level))
            if second in wanted:
                rows.append(self._row(second, level))
        return rows, raised

    def extreme_ms(self, seconds: Sequence[int]) -> list[int]:
        """Return at which of these seconds the market is EXTREME."""
        levels, wanted = self.engine.levels, frozenset(seconds)
        if levels is None or not seconds:
            return []
        walked = self._seconds(seconds[0], seconds)
        return [second for second in walked if levels.is_extreme and second in wanted]

    def _seconds(self, from_ms: int, at_ms: Sequence[int]) -> Iterator[int]:
        """Return the seconds since `from_ms` that may bring a change, and those of `at_ms`, each after its events.

        event       | |  |          |                        events before a second are looked at, each at its own time
        seconds   ----+--+-+-+-+-+--+---------60---+-----    then the second: levels come down
                      raised: each one         ^   ^ asked for
                                               the minute is told
        """
        first_ms, last_ms = from_ms // 1000 * 1000, at_ms[-1] if at_ms else from_ms
        times, rerun = self._times, self._rerun
        wanted = iter([*at_ms, last_ms])
        row_ms = next(wanted)
        place = 0
        second = min(first_ms, times[0] if times else first_ms) // _MINUTE_MS * _MINUTE_MS
        while second < last_ms:
            while row_ms <= second:
                row_ms = next(wanted)
            following = [row_ms]
            if second < first_ms:
                following.append(first_ms)
            if self._may_change(second, times[place - 1] if place else 0):
                following.append(second + 1000)
            if place and second < (minute_ms := _up_to(times[place - 1], _MINUTE_MS)):
                following.append(minute_ms)
            if place < len(times):
                following.append(_up_to(times[place], 1000 if second >= first_ms else _MINUTE_MS))
            second = min(following)
            while place < len(times) and times[place] <= second:
                rerun.add(self._event(place))
                if self._is_raised():  # from now on each second counts
                    second = min(second, _up_to(times[place], 1000))
                place += 1
            rerun.tick(second)
            if second >= first_ms:
                yield second

    def _may_change(self, second: int, newest_ms: int) -> bool:
        """Return whether the level may change in the next second though nothing comes."""
        return self._is_raised() or (self.engine.threshold is not None and second - newest_ms < _HORIZON_MS)

    def _is_raised(self) -> bool:
        levels = self.engine.levels
        return levels is not None and (levels.is_extreme or levels.level_of(self._key) != "NONE")

    def _event(self, place: int) -> Liquidation:
        venue, instrument, side, usd = (column[place] for column in self._columns)
        return Liquidation(venue, instrument, instrument, side, nan, "fill", None, usd, self._times[place])

    def _level(self, second: int) -> Level:
        if self.engine.levels is not None:
            return self.engine.levels.level_of(self._key)
        venue, instrument = self._asked["venue"], self._asked["instrument"]
        if instrument is None:
            return self.engine.market(second, venue).level
        row = self.engine.metrics(instrument, second, venue)
        return "NONE" if row is None else row.level

    def _row(self, second: int, level: Level) -> PastRow:
        levels = self.engine.levels
        if levels is None:
            return PastRow(level, level, None, None, None, None)
        told = levels.rarity(self._key, second, self.engine.minute(self._key, second)[0])
        return PastRow(level, level, told.return_days, told.times_usual, told.watched_days, told.is_learning)


def with_highest(
    rows: Sequence[PastRow],
    at_ms: Sequence[int],
    raised: Sequence[tuple[int, Level]],
    extreme_ms: Collection[int] = (),
) -> list[PastRow]:
    """Return the rows with the highest level since the row before; CRITICAL is EXTREME at `extreme_ms`."""
    seconds = deque((at, "EXTREME" if level == "CRITICAL" and at in extreme_ms else level) for at, level in raised)
    told: list[PastRow] = []
    before: Level = "NONE"
    for row, now_ms in zip(rows, at_ms, strict=True):
        highest, level = before, row.level
        while seconds and seconds[0][0] <= now_ms:
            at, of_second = seconds.popleft()
            highest = max(highest, of_second, key=LEVELS.index)
            if at == now_ms:
                level = of_second
        told.append(row._replace(level=level, highest_level=highest))
        before = level
    return told


def _up_to(at_ms: int, step_ms: int) -> int:
    return -(-at_ms // step_ms) * step_ms
