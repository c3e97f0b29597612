"""The rate rule of labels: USD of a minute against those of the hour before."""

from msgspec import Struct

from liqtape.exam.markedstream import MarkedStream, merged

__all__ = ["RATE_TIMES", "LabelBar", "rate_stretches"]

RATE_TIMES = 5.0
"""A cascade opens at so many times the mean minute of the hour before."""

_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000
_LEAST_SEEN_MS = 1_200_000


class LabelBar(Struct, frozen=True):
    """What a minute needs at least: `floor_usd` is the smallest mean minute, the others are of the minute itself."""

    floor_usd: float
    least_usd: float
    least_count: int


def rate_stretches(stream: MarkedStream, bar: LabelBar) -> list[tuple[int, int]]:
    """Return the cascades as places of their first and last event.

    One opens where a minute has `RATE_TIMES` the USD of the mean minute of the hour before; it closes at the last event
    with half of that, before a minute without one. The hour before is that of the opening, so that a long cascade does
    not raise its own bar.
    """
    found: list[tuple[int, int]] = []
    for begin, end in stream.segments():
        found += _Segment(stream, begin, end).stretches(bar)
    return merged(stream, found)


class _Segment:
    """The events from `begin` to before `end`, between which the recorder ran."""

    def __init__(self, stream: MarkedStream, begin: int, end: int) -> None:
        self._stream, self._begin, self._end = stream, begin, end
        self._tails = stream.tails(_MINUTE_MS, begin, end)

    def stretches(self, bar: LabelBar) -> list[tuple[int, int]]:
        """Return the stretches that the rule finds here."""
        hours = self._stream.tails(_MINUTE_MS + _HOUR_MS, self._begin, self._end)
        found: list[tuple[int, int]] = []
        place = self._begin
        while place < self._end:
            opening = self._opening(place, hours[place - self._begin], bar)
            if opening is None:
                place += 1
                continue
            last = self._last(place, 0.5 * opening)
            found.append((self._tails[place - self._begin], last))
            place = last + 1
        return found

    def _usd(self, place: int) -> float:
        return self._stream.within(self._tails[place - self._begin], place + 1)

    def _opening(self, place: int, hour: int, bar: LabelBar) -> float | None:
        """The USD that open a cascade at this place, where its minute reaches them."""
        usd, tail = self._usd(place), self._tails[place - self._begin]
        if usd < max(bar.least_usd, RATE_TIMES * bar.floor_usd) or place + 1 - tail < bar.least_count:
            return None
        times_ms = self._stream.times_ms
        seen_ms = min(_HOUR_MS, max(0, times_ms[place] - _MINUTE_MS - times_ms[self._begin]))
        mean_usd = bar.floor_usd
        if seen_ms >= _LEAST_SEEN_MS:
            mean_usd = max(mean_usd, self._stream.within(hour, tail) / (seen_ms / _MINUTE_MS))
        return RATE_TIMES * mean_usd if usd >= RATE_TIMES * mean_usd else None

    def _last(self, place: int, least_usd: float) -> int:
        """The last place with so much in its minute, before 60 s without one."""
        times_ms = self._stream.times_ms
        last = at = place
        while at + 1 < self._end and times_ms[at + 1] - times_ms[last] <= _MINUTE_MS:
            at += 1
            if self._usd(at) >= least_usd:
                last = at
        return last
