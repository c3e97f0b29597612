"""An instrument over time, from its liquidations: counts, USD, velocities and acceleration in steps."""

from collections.abc import Sequence
from math import isnan
from typing import Literal, TypeVar

from msgspec import Struct

from liqtape.engine.windows.acceleration import slope
from liqtape.web.chartanswers import Series
from liqtape.web.eventmemory import EventColumns

__all__ = ["LEAD_MS", "Span", "series_of"]

LEAD_MS = 300_000
"""How far before a span its first windows reach."""

_Number = TypeVar("_Number", int, float)
_WINDOWS = (10, 60, 300)
_HORIZON = 20  # seconds of the acceleration


class Span(Struct, frozen=True):
    """(from, until] in ms, in steps of whole seconds: both are multiples of `step_ms`."""

    from_ms: int
    until_ms: int
    step_ms: int

    @classmethod
    def ending(cls, now_ms: int, seconds: int, step_s: int) -> "Span":
        """Return the span of so many seconds whose last step has just begun or lies behind."""
        step_ms = 1000 * step_s
        until_ms = -(-now_ms // step_ms) * step_ms
        steps = -(-1000 * seconds // step_ms)
        return cls(until_ms - steps * step_ms, until_ms, step_ms)

    def __len__(self) -> int:
        return (self.until_ms - self.from_ms) // self.step_ms


def series_of(
    events: EventColumns, span: Span, kept_from_ms: int, now_ms: int, source: Literal["memory", "history"] = "memory"
) -> Series:
    """Return the series of the events, which begin `LEAD_MS` before the span. Slow for long ones: not on the loop."""
    first = span.from_ms // 1000 - LEAD_MS // 1000
    seconds = span.until_ms // 1000 - first
    counts, sums = _by_second(events, first, seconds)
    steps = len(span)
    long_count, short_count = [0] * steps, [0] * steps
    long_usd, short_usd = [0.0] * steps, [0.0] * steps
    for place, at_ms in enumerate(events.times_ms):
        step = (at_ms - span.from_ms - 1) // span.step_ms
        if 0 <= step < steps and (side := events.sides[place]):
            of_side, usd_of_side = (long_count, long_usd) if side == 1 else (short_count, short_usd)
            of_side[step] += 1
            usd = events.usd[place]
            usd_of_side[step] += 0.0 if isnan(usd) else usd
    until = min(span.until_ms, now_ms)
    velocities = [_highest(counts, seconds, window, span) for window in _WINDOWS]
    slopes = _farthest_slopes(counts, sums, first, span, until)
    unseen = max(0, (kept_from_ms - span.from_ms) // span.step_ms)  # steps of which nothing was kept
    ahead = max(0, (span.until_ms - now_ms) // span.step_ms)

    def known(column: Sequence[_Number]) -> list[_Number | None]:
        return _known(column, unseen, ahead)

    return Series(
        from_ms=span.from_ms,
        step_ms=span.step_ms,
        kept_from_ms=kept_from_ms,
        source=source,
        long_count=known(long_count),
        short_count=known(short_count),
        long_usd=known(long_usd),
        short_usd=known(short_usd),
        velocity_10s=known(velocities[0]),
        velocity_60s=known(velocities[1]),
        velocity_300s=known(velocities[2]),
        acceleration=known(slopes),
    )


def _known(column: Sequence[_Number], unseen: int, ahead: int) -> list[_Number | None]:
    """Return the column with nothing where nothing was kept, and where it is still to come."""
    shown: list[_Number | None] = list(column)
    steps = len(shown)
    shown[: min(unseen, steps)] = [None] * min(unseen, steps)
    if ahead:
        shown[steps - ahead :] = [None] * min(ahead, steps)
    return shown


def _by_second(events: EventColumns, first: int, seconds: int) -> tuple[list[int], list[int]]:
    """Return counts, and sums of times in ms, of each second (g - 1, g]; entry 0 is that of g = first + 1."""
    counts, sums = [0] * seconds, [0] * seconds
    for at_ms in events.times_ms:
        place = -(-at_ms // 1000) - first - 1
        if 0 <= place < seconds:
            counts[place] += 1
            sums[place] += at_ms
    return counts, sums


def _highest(counts: Sequence[int], seconds: int, window: int, span: Span) -> list[float]:
    """Return the most of each step's whole seconds, a second."""
    lead, step = LEAD_MS // 1000, span.step_ms // 1000
    highest = [0.0] * len(span)
    running = sum(counts[lead - window : lead])
    for place in range(lead, seconds):
        running += counts[place] - counts[place - window]
        step_place = (place - lead) // step
        highest[step_place] = max(highest[step_place], running / window)
    return highest


def _farthest_slopes(counts: Sequence[int], sums: Sequence[int], first: int, span: Span, until_ms: int) -> list[float]:
    lead, step = LEAD_MS // 1000, span.step_ms // 1000
    slopes = [0.0] * len(span)
    count, total = sum(counts[lead - _HORIZON : lead]), sum(sums[lead - _HORIZON : lead])
    for place in range(lead, min(len(counts), until_ms // 1000 - first)):
        count += counts[place] - counts[place - _HORIZON]
        total += sums[place] - sums[place - _HORIZON]
        if count:
            here = slope(count, total, 1000 * (first + place + 1), _HORIZON)
            step_place = (place - lead) // step
            if abs(here) > abs(slopes[step_place]):
                slopes[step_place] = here
    return slopes
