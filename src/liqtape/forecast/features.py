"""What a forecast is made from: counts, USD, sides and excitement of one stream, from 5 s to six hours back."""

from math import log, log1p

from liqtape.cascades.hawkesprocess import DECAYS, HawkesState
from liqtape.events import Liquidation
from liqtape.money import MICRO, micro_of

__all__ = ["FEATURES", "ISSUE_MS", "LOOK_BACK_MS", "WINDOWS", "StreamFeatures", "issue_time"]

ISSUE_MS = 10_000
"""Forecasts are made at the whole ten seconds of event time: fixed beforehand, whatever happens."""

WINDOWS = (5, 10, 30, 60, 300, 900, 3_600, 21_600)
"""Lengths in seconds of the windows that are counted."""

LOOK_BACK_MS = 1000 * WINDOWS[-1]
"""How far back a forecast looks."""

_LEANING = (60, 300, 3_600)  # windows whose sides are compared

FEATURES = (
    *(f"ln_count_{w}" for w in WINDOWS),
    *(f"ln_usd_{w}" for w in WINDOWS),
    *(f"imbalance_{w}" for w in _LEANING),
    "one_sided_300",
    "ln_seconds_since",
    *(f"ln_hawkes_{b:g}" for b in DECAYS),
)
"""Names of the features, in their order.

`ln_count` and `ln_usd` are ln(1 + x) of a window, `imbalance` is (long - short) / (long + short) by count and 0 where
neither is, `one_sided` its size, `ln_seconds_since` is ln(1 + seconds since the last event), six hours at most, and
`ln_hawkes` is ln(1 + R) of a decay per second.
"""

_CELL_MS = 5_000
_CELLS = LOOK_BACK_MS // _CELL_MS + 1
_BACK = tuple(1000 * w // _CELL_MS for w in WINDOWS)
_LEANING_BACK = tuple(1000 * w // _CELL_MS for w in _LEANING)


def issue_time(now_ms: int) -> int:
    """Return the newest moment of issue that is not later.

    >>> issue_time(1_790_000_009_999)
    1790000000000
    """
    return now_ms // ISSUE_MS * ISSUE_MS


class StreamFeatures:
    """The features of one stream. Only events up to the moment asked for are in them, whatever was added.

    Moments of issue and lengths of windows are whole cells of 5 s, so running totals at the end of each cell are
    enough: a window is the difference of two. That is exact, takes 4,321 totals however many events come, and an event
    costs O(1); one that is k cells late O(k). Events beyond the last moment asked for wait until it is reached, and are
    then taken in in the order of their time: the order they came in changes nothing.

    >>> features = StreamFeatures()
    >>> features.add_at(12_000, 1_000_000, 1)
    >>> features.row(10_000)[0], features.row(20_000)[1]
    (0.0, 0.6931471805599453)
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, int, int]] = []
        self._counts = [0] * _CELLS
        self._micro = [0] * _CELLS
        self._long = [0] * _CELLS
        self._short = [0] * _CELLS
        self._head: int | None = None  # the newest cell, whose totals are those of now
        self._states = HawkesState()
        self.newest_ms: int | None = None  # of the events taken in
        self.late_dropped = 0  # too old for every window

    def add(self, event: Liquidation) -> None:
        """Take in an event; without USD it counts, and adds nothing to the USD."""
        usd = event.notional_usd
        is_long, is_short = event.side == "long", event.side == "short"
        self._waiting.append((event.event_ms, 0 if usd is None else micro_of(usd), is_long, is_short))

    def add_at(self, event_ms: int, micro: int, side: int) -> None:
        """Take in an event of which no more is known: micro-USD, and 1 for long, -1 for short, 0 for neither."""
        self._waiting.append((event_ms, micro, side > 0, side < 0))

    @property
    def waiting(self) -> int:
        """Events that no moment asked for has reached."""
        return len(self._waiting)

    def forget_waiting(self) -> tuple[int, int]:
        """Leave them out; return when the first and the last of them were."""
        times = [event[0] for event in self._waiting]
        self._waiting = []
        return min(times, default=0), max(times, default=0)

    def row(self, now_ms: int) -> list[float]:
        """Return the features at a moment of issue, in the order of `FEATURES`; moments never go back."""
        head = self._reach(now_ms)
        counts, micro = self._counts, self._micro
        place = head % _CELLS
        count, usd = counts[place], micro[place]
        row = [log1p(count - counts[(head - back) % _CELLS]) for back in _BACK]
        row += [log1p((usd - micro[(head - back) % _CELLS]) / MICRO) for back in _BACK]
        leaning = [self._imbalance(head, back) for back in _LEANING_BACK]
        row += leaning
        row += (abs(leaning[1]), self._since(now_ms))
        row += [log1p(state) for state in self._states.at(now_ms)]
        return row

    def count(self, now_ms: int, seconds: int) -> int:
        """Return the events of a window of whole 5 s, at most six hours, that ends at a moment of issue."""
        head = self._reach(now_ms)
        return self._counts[head % _CELLS] - self._counts[(head - 1000 * seconds // _CELL_MS) % _CELLS]

    def _since(self, now_ms: int) -> float:
        """Return ln(1 + seconds since the last event)."""
        if self.newest_ms is None:
            return log(1 + LOOK_BACK_MS / 1000)
        return log(1 + min(LOOK_BACK_MS, now_ms - self.newest_ms) / 1000)

    def _imbalance(self, head: int, back: int) -> float:
        place, before = head % _CELLS, (head - back) % _CELLS
        long = self._long[place] - self._long[before]
        short = self._short[place] - self._short[before]
        return (long - short) / (long + short) if long + short else 0.0

    def _reach(self, now_ms: int) -> int:
        """Take in what is due at `now_ms`; return its cell."""
        if now_ms % _CELL_MS:
            raise ValueError(f"{now_ms} is no moment of issue: these are multiples of {ISSUE_MS} ms")
        cell = now_ms // _CELL_MS
        head = self._head
        if head is None:
            head = self._head = cell - _CELLS  # everything before is empty
        if cell < head:
            raise ValueError(f"{now_ms} lies before {head * _CELL_MS}, which was asked for")
        if self._waiting:
            due = [event for event in self._waiting if event[0] <= now_ms]
            if due:
                self._waiting = [event for event in self._waiting if event[0] > now_ms]
                due.sort()
                for event in due:
                    self._take(*event)
        self._advance(cell)
        return cell

    def _take(self, event_ms: int, micro: int, is_long: int, is_short: int) -> None:
        cell = -(-event_ms // _CELL_MS)  # cells are open at their beginning, as windows are
        head = self._advance(cell)
        if cell <= head - _CELLS:
            self.late_dropped += 1
            return
        for place in range(cell, head + 1):
            i = place % _CELLS
            self._counts[i] += 1
            self._micro[i] += micro
            self._long[i] += is_long
            self._short[i] += is_short
        self._states.add(event_ms)
        self.newest_ms = event_ms if self.newest_ms is None else max(self.newest_ms, event_ms)

    def _advance(self, cell: int) -> int:
        """Carry the totals on to a cell that is not earlier; return the newest cell."""
        head = cell - _CELLS if self._head is None else self._head
        if cell <= head:
            return head
        last = head % _CELLS
        for totals in (self._counts, self._micro, self._long, self._short):
            total = totals[last]
            if cell - head >= _CELLS:
                totals[:] = [total] * _CELLS
            else:
                for place in range(head + 1, cell + 1):
                    totals[place % _CELLS] = total
        self._head = cell
        return cell
