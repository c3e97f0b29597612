"""Whether a venue's liquidations fail to come while others are busy: a suspicion, never a gap."""

import math
from collections import deque
from collections.abc import Mapping

__all__ = ["Rates"]

_SLOT_SECONDS = 10.0
_HISTORY = 3_600.0  # time constant of what is usual
_OLD_ENOUGH = 600.0
_SHORTEST = 60.0
_KEPT = 360  # slots: an hour
_MISSING = 12.0  # by chance once in 160,000, were slots independent
_MISSING_ALONE = 40.0  # where no other venue says how busy the market is


class _Rate:
    """One venue: the share of slots in which a liquidation came, the last hour counting most, up to the last one."""

    __slots__ = ("_busy", "_slots", "last", "since", "total")

    def __init__(self, now: float, total: int) -> None:
        self.since = self.last = now
        self.total = total
        self._busy = self._slots = 0.0

    @property
    def usual(self) -> float:
        return self._busy / self._slots if self._slots else 0.0

    @property
    def is_known(self) -> bool:
        return self.last - self.since >= _OLD_ENOUGH

    def look(self, now: float, total: int) -> bool:
        came = total > self.total
        self.total = total
        if came:  # what is missing must not become usual: while nothing comes, the share stands
            slots = max(1.0, (now - self.last) / _SLOT_SECONDS)
            kept = math.exp(-slots * _SLOT_SECONDS / _HISTORY)
            self._busy = self._busy * kept + 1.0
            self._slots = self._slots * kept + slots
            self.last = now
        return came


class Rates:
    """Compares what comes from each venue with what usually does, and with how busy the others are just now.

    `look` takes the total of liquidation frames of each venue that is live; call it about once a second. `suspects`
    says of which venues nothing came for at least a minute in which liquidations were to be expected in at least 12
    slots of 10 s: as often as usual, less often where the others are quieter as well, more where they are busier.
    Slots, because liquidations come in clusters, and one missing cluster proves nothing.
    """

    def __init__(self) -> None:
        self.suspects: dict[str, str] = {}
        self._rates: dict[str, _Rate] = {}
        self._slots: deque[tuple[float, frozenset[str]]] = deque(maxlen=_KEPT)  # end, venues with a liquidation

    def look(self, now: float, totals: Mapping[str, int]) -> None:
        """Take in the totals at a moment of a monotonic clock; what lies within a slot already is passed over."""
        if self._slots and now - self._slots[-1][0] < _SLOT_SECONDS:
            return
        came = []
        for venue in self._rates.keys() - totals.keys():
            self._rates[venue].last = now  # an outage is known already, and is no silence
        for venue, total in totals.items():
            rate = self._rates.get(venue)
            if rate is None:
                self._rates[venue] = _Rate(now, total)
            elif rate.look(now, total):
                came.append(venue)
        self._slots.append((now, frozenset(came)))
        self.suspects = {venue: reason for venue in totals if (reason := self._suspicion(venue, now))}

    def _suspicion(self, venue: str, now: float) -> str:
        rate = self._rates[venue]
        silent = now - rate.last
        if silent < _SHORTEST or not rate.is_known:
            return ""
        busy = self._busy(venue, rate.last)
        expected = rate.usual * (1.0 if busy is None else busy) * silent / _SLOT_SECONDS
        if expected < (_MISSING_ALONE if busy is None else _MISSING):
            return ""
        others = "" if busy is None else f", the others being {busy:.1f} times as busy as usual"
        return f"no liquidation for {silent:.0f} s{others}"

    def _busy(self, venue: str, since: float) -> float | None:
        """How busy the others were after that, by what is usual there; None without another one."""
        others = [name for name, rate in self._rates.items() if name != venue and rate.is_known]
        slots = [came for at, came in self._slots if at > since]
        usual = len(slots) * sum(self._rates[name].usual for name in others)
        return sum(name in came for came in slots for name in others) / usual if usual else None
