"""The evaluation time of a live run: the newest event, or the wall clock less what the venues lag behind it."""

from collections import deque

__all__ = ["EventClock"]

_SAMPLES = 64
_ENOUGH = 5
_PATIENCE_MS = 5_000


class EventClock:
    """Evaluation time t = max(newest accepted event, wall clock - skew); it never goes back.

    The skew of a venue is the lower quartile of its last receive times minus event times: what is left when the queues
    on the way were empty. It is negative when our clock is behind. Of several venues the quickest counts.

    Until it is known our clock may be wrong by hours, and a time once reached cannot be taken back; so the newest event
    is the time then, and the bare wall clock only where nothing was accepted yet. Streams that bring too few samples
    for an estimate get the wall clock 5 s after their first.

    `skews` are those of the last estimate, by venue; `latest_ms` is the newest evaluation time, and 0 before any.

    >>> clock = EventClock()
    >>> for i in range(8): clock.observe("bybit", 1_000 + i, 1_300 + i)
    >>> clock.estimate()
    {'bybit': 300}
    >>> clock.now_ms(2_000)
    1700
    """

    def __init__(self) -> None:
        self._lags: dict[str, deque[int]] = {}
        self._skew_ms: int | None = None
        self._first_ms: int | None = None
        self.latest_ms = 0
        self.skews: dict[str, int] = {}

    def observe(self, venue: str, event_ms: int, receive_ms: int) -> None:
        """A frame's first event, as a sample of its venue's lag."""
        lags = self._lags.get(venue)
        if lags is None:
            lags = self._lags[venue] = deque(maxlen=_SAMPLES)
            if self._first_ms is None:
                self._first_ms = receive_ms
        lags.append(receive_ms - event_ms)

    def estimate(self) -> dict[str, int]:
        """Skew of each venue in ms, re-estimated; call about once a second."""
        known = {venue: sorted(lags) for venue, lags in self._lags.items() if len(lags) >= _ENOUGH}
        self.skews = {venue: lags[len(lags) // 4] for venue, lags in known.items()}
        if self.skews:
            self._skew_ms = min(self.skews.values())
        return self.skews

    def reached(self, event_ms: int) -> None:
        """An event of that time was accepted."""
        if event_ms > self.latest_ms:  # noqa: PLR1730 - max() takes 100 ns longer, for every event
            self.latest_ms = event_ms

    def at_ms(self, wall_ms: int) -> int:
        """A moment of our clock in the time of the venues."""
        return wall_ms - (self._skew_ms or 0)

    def plausible_ms(self, wall_ms: int) -> int:
        """What an event's stamp is measured by: while the evaluation time waits for an estimate, our clock counts."""
        return max(self.now_ms(wall_ms), self.at_ms(wall_ms))

    def now_ms(self, wall_ms: int) -> int:
        """The evaluation time at wall clock `wall_ms`."""
        if self._skew_ms is None:
            if self._first_ms is None and self.latest_ms:  # accepted without ever being a sample, as wrapped events
                self._first_ms = wall_ms
            if self._first_ms is None or wall_ms - self._first_ms < _PATIENCE_MS:
                return self.latest_ms or wall_ms
        at_ms = self.at_ms(wall_ms)
        if at_ms > self.latest_ms:  # noqa: PLR1730 - as above
            self.latest_ms = at_ms
        return self.latest_ms
