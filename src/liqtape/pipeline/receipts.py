"""When earlier runs received what they did, by our time of now: the wall clock may have been set between runs."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from liqtape.events import Liquidation
from liqtape.pipeline.clock import AHEAD_MS, LATE_MS, EventClock

__all__ = ["Receipts"]

_NEVER_MS = 1 << 62
_NEAR_MS = LATE_MS + AHEAD_MS


class Receipts:
    """Knows what our time of earlier runs lacks of that of now.

    At least two venues have to say so: less its shift, each stamp is as far from its receipt. There may be several such
    differences, for the clock may have been set more than once::

        stamps less receipts, in s    -3661, -3660, -3660    -3601, -3600    set by a minute, and then by an hour
    """

    def __init__(self, clock: EventClock) -> None:
        self._clock = clock
        self._offs: list[int] = []
        self._looked_at: dict[str, int] = {}  # skews, in s

    def learn(self, events: Iterable[Liquidation]) -> None:
        """Look at what earlier runs received of the venues whose clocks are known by now, if there are others."""
        seen = {venue: round(skew_ms / 1_000) for venue, skew_ms in self._clock.skews.items()}
        if seen == self._looked_at:
            return
        self._looked_at = seen
        # The offset of now: a receipt may lie hours ahead, and the common time does not follow the venues that long.
        offset_ms = self._clock.offset_ms(self._clock.our_ms)
        by_venue: dict[str, list[int]] = {}
        for event in events:
            if event.receive_ms is not None and event.venue in seen:
                own_ms = event.event_ms - self._clock.shift_ms(event.venue) - event.receive_ms - offset_ms
                by_venue.setdefault(event.venue, []).append(own_ms)
        said = sorted((off_ms, venue) for venue, found in by_venue.items() for off_ms in _groups(found))
        for (off_ms, venue), (next_ms, another) in pairwise(said):
            is_agreed = venue != another and next_ms - off_ms <= _NEAR_MS
            if is_agreed and all(abs(off_ms - known_ms) > _NEAR_MS for known_ms in (0, *self._offs)):
                self._offs.append(off_ms)

    def of(self, event: Liquidation) -> int | None:
        """Return when it was received: where that is nearest to its time, be its venue's clock right or off as now.

        Both may fit, where our clock was set by just what the venue's is off; then that was so before as well.
        """
        if event.receive_ms is None:
            return None
        if not self._offs:  # as nearly always
            return event.receive_ms
        received_ms, shift_ms = event.receive_ms, self._clock.shift_ms(event.venue)

        def distance_ms(off_ms: int) -> int:
            own_ms = event.event_ms - self._clock.t_ms(received_ms + off_ms)
            readings = [(own_ms - shift_ms, 0), (own_ms, 2 * _NEAR_MS if shift_ms else 0)]
            # Nobody tells of the future.
            return min((abs(ms) + added for ms, added in readings if ms <= AHEAD_MS), default=_NEVER_MS)

        nearest = min(self._offs, key=distance_ms)
        return received_ms + (0 if distance_ms(0) + _NEAR_MS < distance_ms(nearest) else nearest)


def _groups(differences: Sequence[int]) -> list[int]:
    """Return one value of each group of differences that lie near each other.

    What a venue told late, from its archive, may be more than half of a group and says nothing; the upper quarter does.
    """
    groups: list[list[int]] = []
    for one_ms in sorted(differences):
        if groups and one_ms - groups[-1][-1] <= _NEAR_MS:
            groups[-1].append(one_ms)
        else:
            groups.append([one_ms])
    return [group[3 * len(group) // 4] for group in groups]
