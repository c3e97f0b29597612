"""Which venue's BTC price counts: the best ranked that is alive, and never two at once."""

from collections.abc import Sequence

__all__ = ["QUIET_SECONDS", "SILENCE_SECONDS", "PriceSelector"]

SILENCE_SECONDS = 10.0
"""Without a trade for so long a source is given up: a refused feed and a silent one look the same from here."""

QUIET_SECONDS = 60.0
"""A better source must have traded without a break for so long before it is returned to."""


class PriceSelector:
    """Sources in order of preference, by name; ticks of all of them come in, those of one go out.

    `switches` counts the changes: prices of two sources differ by some basis points, so what compares prices over time
    must not do so across one.

    >>> selector = PriceSelector(["binance", "bybit"], now=0.0)
    >>> selector.takes("bybit", 5.0), selector.takes("bybit", 11.0), selector.current
    (False, True, 'bybit')
    """

    def __init__(self, order: Sequence[str], now: float) -> None:
        self.current = order[0] if order else ""
        self.switches = 0
        self._rank = {name: rank for rank, name in enumerate(order)}
        self._last = dict.fromkeys(order, now)
        self._since: dict[str, float] = {}  # beginning of the unbroken run of ticks
        self._reach = 0

    def takes(self, source: str, now: float) -> bool:
        """Whether a tick of `source` at `now` (monotonic seconds) is the price; it may make its source the current."""
        rank = self._rank.get(source)
        if rank is None:
            return False
        if source not in self._since or now - self._last[source] >= SILENCE_SECONDS:
            self._since[source] = now
        self._last[source] = now
        if source == self.current:
            return True
        better = rank < self._rank[self.current]
        if (better and now - self._since[source] >= QUIET_SECONDS) or self._is_silent(now):
            self.current = source
            self.switches += 1
            return True
        return False

    def needed(self, now: float) -> list[str]:
        """Sources that should be connected: the current, those before it, and one more for each spell of silence."""
        rank = self._rank.get(self.current, 0)
        if self._is_silent(now):
            silent_for = now - self._last[self.current]
            self._reach = max(self._reach, min(rank + int(silent_for / SILENCE_SECONDS), len(self._rank) - 1))
        else:
            self._reach = rank
        return [name for name, at in self._rank.items() if at <= self._reach]

    def _is_silent(self, now: float) -> bool:
        return bool(self.current) and now - self._last[self.current] >= SILENCE_SECONDS
