"""Hawkes intensity as a detector, and what else its state says: how self-exciting the stream is, and the trend."""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from bisect import bisect_right
from collections import deque

from msgspec import Struct

from liqtape.cascades.criticality import Criticality, WindowCounts
from liqtape.cascades.earlier import EarlierRate, UsualSize
from liqtape.cascades.hawkesprocess import DECAYS, HawkesParameters, HawkesState
from liqtape.cascades.helddetector import HeldDetector, Measure
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.events import Liquidation, Side

__all__ = ["LARGEST_RATIO", "UNFITTED_CHILDREN", "HawkesDetector", "HawkesPast", "KeptEvents", "StreamFit"]

UNFITTED_CHILDREN = (0.15, 0.55, 0.10, 0.0)
"""Of `DECAYS`, until a fit: what large instruments had (metrics 10)."""

LARGEST_RATIO = 0.99
"""A fit whose branching ratio reaches this is no use: its stationary rate is noise."""

_FLOOR_PER_S = 0.02
_THRESHOLDS: dict[Measure, float] = {"rate": 60.0, "usd": 300.0}
"""At most one false alarm a day on streams whose habits never change (docs/explanation/cascades.md)."""

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_MOST_KEPT = 100_000
_FITS_KEPT = 24
_LEAST_FITS = 3


class HawkesPast(Struct, frozen=True):
    """What a fit is made from: events of a stream watched from `begin_ms` until `end_ms`, with their weights."""

    begin_ms: int
    end_ms: int
    times_ms: tuple[int, ...]
    weights: tuple[float, ...]


class StreamFit(Struct, frozen=True):
    """A fit of a stream, adopted at `at_ms`; `mean_weight` is that of the events it was made from."""

    key: StreamKey
    parameters: HawkesParameters
    mean_weight: float
    at_ms: int


class KeptEvents:
    """Times and weights of the last day, at most 100,000: 16 bytes an event, for the fit alone."""

    __slots__ = ("_begin_ms", "_times", "_weights")

    def __init__(self, begin_ms: int) -> None:
        self._begin_ms = begin_ms
        self._times = array("q")
        self._weights = array("d")

    def add(self, event_ms: int, weight: float) -> None:
        """Keep an event; one that comes late stands in its place."""
        times = self._times
        place = len(times) if not times or times[-1] <= event_ms else bisect_right(times, event_ms)
        times.insert(place, event_ms)
        self._weights.insert(place, weight)
        if len(times) > _MOST_KEPT + _MOST_KEPT // 8:
            self._forget(len(times) - _MOST_KEPT)

    def begin(self, at_ms: int) -> None:
        """Forget all, and begin to watch: a likelihood over a gap would take it for silence."""
        self._forget(len(self._times))
        self._begin_ms = at_ms

    def past(self, now_ms: int) -> HawkesPast:
        """Return the last 24 h of what is kept."""
        self._forget(bisect_right(self._times, now_ms - _DAY_MS))
        begin_ms = max(self._begin_ms, now_ms - _DAY_MS)
        end_ms = max(now_ms, self._times[-1] if self._times else begin_ms)
        return HawkesPast(begin_ms, end_ms, tuple(self._times), tuple(self._weights))

    def _forget(self, count: int) -> None:
        if count:
            self._begin_ms = self._times[count - 1]
            del self._times[:count]
            del self._weights[:count]


class HawkesDetector(HeldDetector):
    """`score` is the intensity as a multiple of the usual rate, which is taken for 0.02/s where it is less.

    Four kernels with fixed decays. Until `adopt` brings a fit, children are those of large instruments and the
    background is what the usual rate leaves for it. By USD an event excites as its size tells (`UsualSize`).

    >>> detector = HawkesDetector(threshold=50.0)
    >>> def of(at_ms: int) -> Liquidation:
    ...     return Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 80_000.0, "fill", None, 8.0, at_ms)
    >>> [detector.update(of(100 * i)) is not None for i in range(30)].index(True)
    5
    """

    name = "hawkes"

    def __init__(
        self,
        threshold: float | None = None,
        *,
        by: Measure = "rate",
        side: Side | None = None,
        parameters: HawkesParameters | None = None,
        keeps_past: bool = False,
    ) -> None:
        super().__init__(_THRESHOLDS[by] if threshold is None else threshold, by=by, side=side)
        self.fitted = parameters
        self.state = HawkesState(DECAYS if parameters is None else parameters.decays)
        self._children = UNFITTED_CHILDREN if parameters is None else parameters.children
        self._decays = DECAYS if parameters is None else parameters.decays
        self._rate: EarlierRate | None = None
        self._windows: WindowCounts | None = None
        self._sizes = UsualSize() if by == "usd" else None
        self._past = KeptEvents(0) if keeps_past else None
        self._ratios: deque[tuple[int, float]] = deque(maxlen=_FITS_KEPT)

    def adopt(self, parameters: HawkesParameters, at_ms: int, mean_weight: float = 1.0) -> bool:
        """Go on with a fit; the state stays. Returns False, and changes nothing, where its branching ratio is 0.99."""
        ratio = parameters.branching_ratio * mean_weight
        if ratio >= LARGEST_RATIO or parameters.decays != self._decays:
            return False
        self.fitted = parameters
        self._children = parameters.children
        self._ratios.append((at_ms, ratio))
        return True

    def past(self, now_ms: int) -> HawkesPast | None:
        """Return what a fit is made from, up to where the stream was watched; None unless it is kept."""
        if self._past is None:
            return None
        return self._past.past(now_ms if self._down_ms is None else min(now_ms, self._down_ms))

    def criticality(self, now_ms: int) -> Criticality | None:
        """Return the branching ratio by moments, which needs no fit; None before an hour was watched."""
        return None if self._windows is None else self._windows.at(now_ms)

    @property
    def branching_ratio(self) -> float | None:
        """Return that of the newest fit; None before there is one."""
        return self._ratios[-1][1] if self._ratios else None if self.fitted is None else self.fitted.branching_ratio

    @property
    def trend_per_hour(self) -> float | None:
        """Return by how much the branching ratio changes per hour: least squares over the fits of a day, three or more.

        >>> detector = HawkesDetector()
        >>> fits = [HawkesParameters(0.1, (0.1 * hour, 0.0, 0.0, 0.0)) for hour in range(4)]
        >>> for hour, fit in enumerate(fits): _ = detector.adopt(fit, 3_600_000 * hour)
        >>> round(detector.trend_per_hour, 9)
        0.1
        """
        if len(self._ratios) < _LEAST_FITS:
            return None
        mean_ms = sum(at_ms for at_ms, _ in self._ratios) / len(self._ratios)
        spread = sum((at_ms - mean_ms) ** 2 for at_ms, _ in self._ratios)
        together = sum((at_ms - mean_ms) * ratio for at_ms, ratio in self._ratios)
        return together / spread * _HOUR_MS if spread else None

    def intensity(self, now_ms: int) -> float:
        """Return lambda at that time, events of it included; liquidations/s."""
        return self._intensity(self.state.at(now_ms), self._usual(now_ms))

    def _begin(self, at_ms: int) -> None:
        self._rate = EarlierRate(at_ms, _FLOOR_PER_S)
        self._windows = WindowCounts(at_ms)
        if self._past is not None:
            self._past.begin(at_ms)

    def _resume(self, down_ms: int, up_ms: int) -> None:
        if self._rate is not None:
            self._rate.unwatched(down_ms, up_ms)
        if self._windows is not None:
            self._windows.unwatched(down_ms, up_ms)
        if self._past is not None:
            self._past.begin(up_ms)

    def _score_with(self, event: Liquidation, now_ms: int) -> float | None:
        event_ms = event.event_ms
        weight = 1.0 if self._sizes is None else self._sizes.weight(event.notional_usd, now_ms)
        self.state.add(event_ms, weight)
        if self._rate is not None:
            self._rate.add(event_ms)
        if self._windows is not None:
            self._windows.add(event_ms)
        if self._past is not None:
            self._past.add(event_ms, weight)
        return self._score_at(now_ms)

    def _score_at(self, now_ms: int) -> float | None:
        usual = self._usual(now_ms)
        return self._intensity(self.state.at(now_ms), usual) / usual

    def _usual(self, now_ms: int) -> float:
        return _FLOOR_PER_S if self._rate is None else self._rate.at(now_ms)

    def _intensity(self, sums: tuple[float, ...], usual: float) -> float:
        children, decays = self._children, self._decays
        total = self.fitted.mu if self.fitted is not None else usual * (1.0 - sum(children))
        for share, decay, one in zip(children, decays, sums, strict=True):
            total += share * decay * one
        return total
