"""When a venue as a whole was live, from the lives of its connections: what is missed is found, also afterwards."""

import math
from collections.abc import Callable, Hashable, Iterable

from liqtape.venues.base import Endpoint

__all__ = ["Liveness"]

_MOST_SPANS = 100


class _Slot:
    """One endpoint and the lives of the connections that bring it, in the venue's time."""

    __slots__ = ("ended", "known_until_ms", "live")

    def __init__(self) -> None:
        self.live: dict[Hashable, int] = {}
        self.ended: list[tuple[int, int]] = []
        self.known_until_ms: int | None = None  # up to here all is known; None while nobody is live

    def end(self, up_ms: int, down_ms: int) -> None:
        """Note a life that has ended; one that ends before it begins saw its venue's clock set back, as all did."""
        if down_ms < up_ms:
            up_ms, self.ended = down_ms, []
            self.known_until_ms = down_ms
        self.ended = [*self.ended[1 - _MOST_SPANS :], (up_ms, down_ms)]

    def holes(self) -> tuple[list[tuple[int, int]], int | None]:
        """Return what no connection covered since the last look, and the end of it all if none is live."""
        reach: float = math.inf if self.known_until_ms is None else self.known_until_ms
        found: list[tuple[int, int]] = []
        for up, down in sorted([*self.ended, *((up, math.inf) for up in self.live.values())]):
            if up > reach:
                found.append((int(reach), up))
                self.known_until_ms = up
            reach = max(reach, down)
        return found, None if math.isinf(reach) else int(reach)


class Liveness:
    """A venue is live while each of its slots has a live connection: one missing means that something is not seen.

    Several connections may bring one slot, and each is known to have lived only up to its last data, which is learnt
    when it is lost. So a hole may be found when others are live already: that is told by `on_missed`. `on_whole` tells
    at each change that all slots are live, and since when the newest connection is.
    """

    def __init__(
        self,
        on_up: Callable[[int], None],
        on_down: Callable[[int, str], None],
        on_missed: Callable[[int, int, str], None],
        on_whole: Callable[[int], None],
    ) -> None:
        self.is_up = False
        self._up_ms = self._down_ms = 0
        self._on_up = on_up
        self._on_down = on_down
        self._on_missed = on_missed
        self._on_whole = on_whole
        self._required: frozenset[Endpoint] = frozenset()
        self._slots: dict[Endpoint, _Slot] = {}

    def require(self, endpoints: Iterable[Endpoint], at_ms: int | None) -> None:
        """Let these endpoints be the venue from now on; all before is known up to `at_ms`."""
        self._required = frozenset(endpoints)
        for endpoint in [e for e, slot in self._slots.items() if e not in self._required and not slot.live]:
            del self._slots[endpoint]
        if self.is_up and not self._all_live():
            self._down(self._up_ms if at_ms is None else at_ms, "new topics are not live yet")
        else:
            self._look()

    def up(self, connection: Hashable, endpoint: Endpoint, up_ms: int) -> None:
        """Note that a connection is live since `up_ms`; told again, that since then it brings all it is to bring."""
        slot = self._slots.setdefault(endpoint, _Slot())
        if not slot.live:
            slot.ended.clear()
            slot.known_until_ms = up_ms
        slot.live.setdefault(connection, up_ms)
        self._look(up_ms)

    def down(self, connection: Hashable, endpoint: Endpoint, down_ms: int, reason: str) -> None:
        """Take note that a connection is lost, which was last seen live at `down_ms`.

        The loss is noticed later than it happened, `!` below, and meanwhile others came and went:

            a  =====|. . . . . !        at `!` it turns out that b covers only a part: the hole was missed,
            b            =========>     the venue stays up, as it was said to be
                    |hole|

            a  =======|. . !            nobody covers on: the venue is down, from the last end of any connection
            b  ====|. !    down ->
                      |down ->

            slot 1  =====|. . . . . !   slot 2 was noticed first, and the venue said to be down from there on;
            slot 2  =========|. !       slot 1 had ended before that: what lies between was missed as well
                         |mis|down ->
        """
        slot = self._slots.get(endpoint)
        if slot is None or connection not in slot.live:
            return
        slot.end(slot.live.pop(connection), down_ms)
        holes, end_ms = slot.holes()
        if endpoint in self._required:
            for from_ms, until_ms in holes:
                self._on_missed(from_ms, until_ms, reason)
            if end_ms is not None and self.is_up:
                self._down(end_ms, reason)
            elif end_ms is not None and end_ms < self._down_ms:  # it had begun before what was found first
                self._on_missed(end_ms, self._down_ms, reason)
                self._down_ms = end_ms
            elif end_ms is None and self.is_up:  # who lives on may bring less
                self._on_whole(down_ms)
        if not slot.live and endpoint not in self._required:
            del self._slots[endpoint]

    def is_live(self, connection: Hashable, endpoint: Endpoint) -> bool:
        """Return whether this connection is live."""
        slot = self._slots.get(endpoint)
        return slot is not None and connection in slot.live

    def _all_live(self) -> bool:
        return bool(self._required) and all(e in self._slots and self._slots[e].live for e in self._required)

    def _look(self, at_ms: int | None = None) -> None:
        if not self._all_live():
            return
        lives = [self._slots[endpoint].live.values() for endpoint in self._required]
        if not self.is_up:
            self.is_up = True
            self._up_ms = max(map(min, lives))
            self._on_up(self._up_ms)
        newest_ms = max(map(max, lives))
        self._on_whole(newest_ms if at_ms is None else max(newest_ms, at_ms))

    def _down(self, at_ms: int, reason: str) -> None:
        self.is_up = False
        self._down_ms = at_ms
        self._on_down(at_ms, reason)
