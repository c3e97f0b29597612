"""Which venue's BTC price counts: the best ranked that is alive, and never two at once."""

from collections.abc import Sequence

__all__ = ["QUIET_SECONDS", "SILENCE_SECONDS", "PriceSelector"]

SILENCE_SECONDS = 10.0
"""Without a trade for so long a source is given up."""

QUIET_SECONDS = 60.0
"""A better source must have traded without a break for so long before it is returned to."""

_WARM_SECONDS = 5.0  # before a source is given up the next is connected, so that it can prove itself in time
_FRESH_SECONDS = 2.0  # BTC trades several times a second: who did not for so long is not waited for


class PriceSelector:
    """Sources in order of preference, by name; ticks of all of them come in, those of one go out.

    `switches` counts the changes: prices of two sources differ by some basis points, so what compares prices over time
    must not do so across one. Times are monotonic seconds.

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
        """Return whether a tick of `source` is the price; it may make its source the current."""
        rank = self._rank.get(source)
        if rank is None:
            return False
        if source not in self._since or now - self._last[source] >= SILENCE_SECONDS:
            self._since[source] = now
        self._last[source] = now
        if source == self.current:
            return True
        if self.is_silent(now):
            wins = not any(self._is_fresh(name, now) for name, other in self._rank.items() if other < rank)
        else:
            wins = rank < self._rank[self.current] and now - self._since[source] >= QUIET_SECONDS
        if wins:
            self.current = source
            self.switches += 1
        return wins

    def refused(self, source: str, now: float) -> None:
        """Give a source that will not have us no more time than its stand-in needs to connect."""
        if source in self._last:
            self._last[source] = min(self._last[source], now - _WARM_SECONDS)

    def is_silent(self, now: float) -> bool:
        """Return whether the current source is to be given up, for whichever comes next."""
        return bool(self.current) and now - self._last[self.current] >= SILENCE_SECONDS

    def needed(self, now: float) -> list[str]:
        """Return the sources that should be connected.

        They are the current one, those before it, and one more for each spell of silence.
        """
        rank = self._rank.get(self.current, 0)
        silent_for = now - self._last[self.current] if self.current else 0.0
        if silent_for >= _WARM_SECONDS:
            spells = int((silent_for + SILENCE_SECONDS - _WARM_SECONDS) / SILENCE_SECONDS)
            self._reach = max(self._reach, min(rank + spells, len(self._rank) - 1))
        else:
            self._reach = rank
        return [name for name, at in self._rank.items() if at <= self._reach]

    def _is_fresh(self, source: str, now: float) -> bool:
        return source in self._since and now - self._last[source] < _FRESH_SECONDS
