"""The founding document's tracker: exact windows per symbol, fed with plain (symbol, USD, time)."""

import math
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, overload

from liqtape.engine.windows.acceleration import least_squares, slope
from liqtape.engine.windows.eventcolumn import MOMENT, RETAIN_MS, EventColumn
from liqtape.events import WINDOWS
from liqtape.money import MICRO, micro_usd

__all__ = ["EventBuffer", "VelocityMetrics", "VelocityTracker"]

_HORIZON_S = 20
_HISTORY = 10


@dataclass
class VelocityMetrics:
    """One evaluation of one symbol; velocities in events/s, acceleration in events/s^2, USD of the last 300 s."""

    symbol: str
    timestamp: float
    event_count_10s: int
    event_count_30s: int
    event_count_60s: int
    event_count_300s: int
    velocity_10s: float
    velocity_30s: float
    velocity_60s: float
    velocity_300s: float
    acceleration: float
    total_value_usd: float
    btc_price: float | None = None
    volatility_factor: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name; None stays None."""
        return asdict(self)


class EventBuffer(Sequence[tuple[float, float]]):
    """The (Unix seconds, USD) pairs of the 300 s up to the newest, in time order, 16 bytes each and without a cap.

    Times are kept to the millisecond, USD to the micro-USD. An event without a USD value (nan) counts, with 0 USD.

    >>> buffer = EventBuffer(); buffer.append((1_000.0, 5.0)); buffer.append((999.5, 2.5)); list(buffer)
    [(999.5, 2.5), (1000.0, 5.0)]
    """

    def __init__(self) -> None:
        self.column = EventColumn()
        self.newest_ms = 0

    def append(self, pair: tuple[float, float]) -> None:
        """Add one pair, in any order of time."""
        timestamp, value = pair
        event_ms = round(timestamp * 1000)
        self.newest_ms = max(self.newest_ms, event_ms)
        if event_ms <= self.newest_ms - RETAIN_MS:
            return
        self.column.add(event_ms, micro_usd(value) if math.isfinite(value) else 0)
        if len(self.column) >= self.column.trim_at or self.column.is_mostly_dead():
            self.column.trim(self.newest_ms - RETAIN_MS)

    def _first(self) -> int:
        self.column.advance(self.newest_ms)
        return len(self.column) - self.column.count(len(WINDOWS))

    def __len__(self) -> int:
        return len(self.column) - self._first()

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return map(self._pair, range(self._first(), len(self.column)))

    def _pair(self, place: int) -> tuple[float, float]:
        sums = self.column.micro_sums
        return self.column.times[place] / 1000, (sums[place + 1] - sums[place]) / MICRO

    @overload
    def __getitem__(self, index: int) -> tuple[float, float]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[float, float]]: ...
    def __getitem__(self, index: int | slice) -> tuple[float, float] | list[tuple[float, float]]:
        if isinstance(index, slice):
            return list(self)[index]
        first, end = self._first(), len(self.column)
        place = index + (first if index >= 0 else end)
        if not first <= place < end:
            raise IndexError("buffer index out of range")
        return self._pair(place)


class VelocityTracker:
    """Velocity and acceleration per symbol; always true, also when empty.

    `event_buffers` and `velocity_history` are filled by `_get_buffer`, which a subclass may override: a sequence that
    it puts there (a bounded deque, say) is obeyed, and counts are then counts of that sequence. Threads may share it:
    callbacks that are no coroutines have one of their own.

    >>> tracker = VelocityTracker()
    >>> tracker.add_event("BTCUSDT", 1_000.0)
    >>> metrics = tracker.calculate_velocity("BTCUSDT")
    >>> metrics.event_count_10s, metrics.total_value_usd, tracker.calculate_velocity("ETHUSDT")
    (1, 1000.0, None)
    """

    def __init__(self, redis_client: Any = None) -> None:
        self.redis = redis_client
        self.event_buffers: dict[str, Any] = {}
        self.velocity_history: dict[str, Any] = {}
        self.btc_price: float | None = None
        self.volatility_factor: float | None = None
        self.events_processed = 0
        self.velocity_calculations = 0
        self._lock = threading.RLock()

    def _get_buffer(self, symbol: str) -> Any:
        if symbol not in self.event_buffers:
            self.event_buffers[symbol] = EventBuffer()
            self.velocity_history[symbol] = deque(maxlen=_HISTORY)
        return self.event_buffers[symbol]

    def add_event(self, symbol: str, value_usd: float, timestamp: float | None = None) -> None:
        """Count one liquidation; `timestamp` in Unix seconds, default now."""
        pair = (time.time() if timestamp is None else float(timestamp), float(value_usd))
        with self._lock:
            self._get_buffer(symbol).append(pair)
            self.events_processed += 1

    def calculate_velocity(self, symbol: str) -> VelocityMetrics | None:
        """The metrics now, or at the newest event if that lies ahead; None only for a symbol never seen."""
        with self._lock:
            if symbol not in self.event_buffers:
                return None
            buffer = self._get_buffer(symbol)
            wall_ms = int(time.time() * 1000)
            measure = _column_of if isinstance(buffer, EventBuffer) else _sequence
            now_ms, counts, micro, acceleration = measure(buffer, wall_ms)
            velocities = [count / seconds for count, seconds in zip(counts, WINDOWS, strict=True)]
            self.velocity_history.setdefault(symbol, deque(maxlen=_HISTORY)).append(velocities[0])
            self.velocity_calculations += 1
        measured: list[Any] = [symbol, now_ms / 1000, *counts, *velocities, acceleration, micro / MICRO]
        metrics = VelocityMetrics(*measured)
        metrics.btc_price, metrics.volatility_factor = self.btc_price, self.volatility_factor
        return metrics

    async def store_metrics(self, metrics: VelocityMetrics) -> None:
        """Write one evaluation with the client given at construction; the manager publishes by itself."""
        if self.redis is None:
            return
        key = f"velocity:{metrics.symbol}:current"
        fields = {
            name: repr(value) if isinstance(value, float) else str(value) for name, value in asdict(metrics).items()
        }
        await self.redis.hset(key, mapping={name: text for name, text in fields.items() if text != "None"})
        await self.redis.expire(key, 600)

    def update_btc_price(self, price: float) -> None:
        """Take over the newest BTC price."""
        self.btc_price = price

    def get_stats(self) -> dict[str, Any]:
        """What was counted so far."""
        return {
            "events_processed": self.events_processed,
            "velocity_calculations": self.velocity_calculations,
            "tracked_symbols": list(self.event_buffers),
            "buffer_sizes": {symbol: len(buffer) for symbol, buffer in self.event_buffers.items()},
        }


_Measured = tuple[int, list[int], int, float]
"""Evaluation time in ms, counts per window, micro-USD of the largest, acceleration."""


def _column_of(buffer: EventBuffer, wall_ms: int) -> _Measured:
    column = buffer.column
    now_ms = max(wall_ms, buffer.newest_ms)
    column.advance(now_ms)
    counts = [column.count(k) for k in range(1, len(WINDOWS) + 1)]
    return now_ms, counts, column.micro(len(WINDOWS)), slope(column.count(MOMENT), column.moment, now_ms, _HORIZON_S)


def _sequence(pairs: Sequence[tuple[float, float]], wall_ms: int) -> _Measured:
    """The same of any sequence of (timestamp, value)."""
    ordered = sorted((round(timestamp * 1000), value) for timestamp, value in pairs)
    times = [at_ms for at_ms, _ in ordered]
    now_ms = max(wall_ms, times[-1]) if times else wall_ms
    counts = [len(times) - bisect_right(times, now_ms - 1000 * seconds) for seconds in WINDOWS]
    recent = (value for _, value in ordered[len(times) - counts[-1] :])
    micro = sum(micro_usd(value) for value in recent if math.isfinite(value))
    return now_ms, counts, micro, least_squares(times, now_ms, _HORIZON_S // 2)[0]
