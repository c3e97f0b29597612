"""What happened while the table was shown: the last level changes and the largest liquidations of the hour."""

from collections import deque

from liqtape.engine.velocity import MARKET
from liqtape.events import Alert, Level, Liquidation

__all__ = ["Highlights", "is_worth_saying"]

_MINUTE_MS = 60_000
_HOUR = 60  # minutes
_LARGEST = 20  # of a minute, so that these of the hour are right
_CHANGES = 40
_SAID: frozenset[Level] = frozenset({"ALERT", "CRITICAL", "EXTREME"})  # to or from; WATCH comes and goes all day


def is_worth_saying(alert: Alert) -> bool:
    """Return whether a person wants to be told of a level change."""
    return not _SAID.isdisjoint((alert.level, alert.previous))


class Highlights:
    """Is told every level change and liquidation, and keeps few of them: 40 changes, 20 liquidations a minute."""

    def __init__(self) -> None:
        self.changes_total = 0
        self.market_since_ms: int | None = None  # its level has been what it is
        self._changes: deque[Alert] = deque(maxlen=_CHANGES)
        self._minutes: dict[int, list[Liquidation]] = {}

    async def changed(self, alert: Alert) -> None:
        """Take a level change."""
        self.changes_total += 1
        if alert.instrument == MARKET:
            self.market_since_ms = alert.at_ms
        if is_worth_saying(alert):
            self._changes.appendleft(alert)

    async def liquidated(self, liquidation: Liquidation) -> None:
        """Take a liquidation; one of unknown USD has no size to be compared by."""
        if liquidation.notional_usd is None:
            return
        minute = self._minutes.setdefault(liquidation.event_ms // _MINUTE_MS, [])
        if len(minute) == _LARGEST and _amount(liquidation) <= _amount(minute[-1]):
            return
        minute.append(liquidation)
        minute.sort(key=_amount, reverse=True)
        del minute[_LARGEST:]
        if len(self._minutes) > 2 * _HOUR:  # stamps of a wrong clock
            del self._minutes[min(self._minutes)]

    def changes(self) -> list[Alert]:
        """Return the last level changes worth saying, the newest first."""
        return list(self._changes)

    def largest(self, now_ms: int) -> list[Liquidation]:
        """Return the largest liquidations of the last hour, and forget older ones."""
        first = now_ms // _MINUTE_MS - _HOUR
        self._minutes = {minute: kept for minute, kept in self._minutes.items() if minute > first}
        every = (liquidation for kept in self._minutes.values() for liquidation in kept)
        return sorted(every, key=_amount, reverse=True)[:_LARGEST]


def _amount(liquidation: Liquidation) -> float:
    return liquidation.notional_usd or 0.0
