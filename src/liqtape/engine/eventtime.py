"""The evaluation time of a live run: the newest event, or the wall clock less what the venues lag behind it."""

from collections import deque

__all__ = ["EventClock"]

_SAMPLES = 64
_ENOUGH = 5


class EventClock:
    """Evaluation time t = max(newest accepted event, wall clock - skew); it never goes back.

    The skew of a venue is the lower quartile of its last receive times minus event times: what is left when the queues
    on the way were empty. It is negative when our clock is behind. Of several venues the quickest counts.

    >>> clock = EventClock()
    >>> for i in range(8): clock.observe("bybit", 1_000 + i, 1_300 + i)
    >>> clock.estimate()
    {'bybit': 300}
    >>> clock.now_ms(2_000)
    1700
    """

    def __init__(self) -> None:
        self._lags: dict[str, deque[int]] = {}
        self._skew_ms = 0
        self._latest_ms = 0

    def observe(self, venue: str, event_ms: int, receive_ms: int) -> None:
        """A frame's first event, as a sample of its venue's lag."""
        lags = self._lags.get(venue)
        if lags is None:
            lags = self._lags[venue] = deque(maxlen=_SAMPLES)
        lags.append(receive_ms - event_ms)

    def estimate(self) -> dict[str, int]:
        """Skew of each venue in ms, re-estimated; call about once a second."""
        skews = {venue: sorted(lags)[len(lags) // 4] for venue, lags in self._lags.items() if len(lags) >= _ENOUGH}
        self._skew_ms = min(skews.values(), default=0)
        return skews

    def reached(self, event_ms: int) -> None:
        """An event of that time was accepted."""
        self._latest_ms = max(self._latest_ms, event_ms)

    def now_ms(self, wall_ms: int) -> int:
        """The evaluation time at wall clock `wall_ms`."""
        now = wall_ms - self._skew_ms
        self._latest_ms = max(self._latest_ms, now)
        return self._latest_ms
