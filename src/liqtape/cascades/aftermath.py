"""What the price did during a cascade, and in the hour after it."""

from collections import deque

from msgspec import Struct
from msgspec.structs import replace

from liqtape.cascades.cascade import Cascade
from liqtape.cascades.pricemoves import PricePoint, PriceTrail, point_of
from liqtape.cascades.runningcascade import Placed, RunningCascade

__all__ = ["BTC", "HOUR_MS", "Aftermath"]

BTC = "BTC"
"""The name of the reference price, which is told of BTC's instruments, venues and the market."""

HOUR_MS = 3_600_000

_MOST_FOLLOWED = 5_000
_OLDEST_MS = 300_000  # a price stands for so long
_REFERRED = frozenset({"BTCUSDT", "BTCUSDC", "BTCUSD"})


class _Followed(Struct):
    """An ended cascade whose hour is not over: from which price, and the newest since."""

    cascade: Cascade
    due_ms: int
    first: PricePoint
    last: PricePoint


class Aftermath:
    """Follows prices: of BTC by its reference where there is one, else by liquidations of the same kind of price.

    After an hour the newest price then stands, if it is no older than five minutes.
    """

    def __init__(self) -> None:
        self.forgotten_total = 0
        self._trail = PriceTrail()
        self._waiting: deque[_Followed] = deque()
        self._of: dict[str, list[_Followed]] = {}

    @property
    def is_following(self) -> bool:
        """Whether prices of liquidations matter now."""
        return bool(self._of)

    def price(self, at_ms: int, price: float) -> None:
        """Take in the reference price."""
        self._trail.note(at_ms, price)
        followed = self._of.get(BTC)
        if followed:
            _note(followed, PricePoint(at_ms, price, "fill"))

    def see(self, placed: Placed) -> None:
        """Take in the price of a liquidation."""
        followed = self._of.get(placed[1].instrument)
        if followed:
            point = point_of(placed[1], placed[0])
            if point is not None:
                _note(followed, point)

    def move(self, cascade: Cascade, running: RunningCascade) -> tuple[str | None, float | None]:
        """Return which price went how far during a cascade."""
        ends = self._ends(cascade, running)
        if ends is None:
            return None, None
        name, first, last = ends
        return name, last.price / first.price - 1.0

    def follow(self, cascade: Cascade, running: RunningCascade) -> None:
        """Follow the price of a cascade that is over."""
        ends = self._ends(cascade, running)
        if ends is None or cascade.end_ms is None:
            return
        name, _, last = ends
        followed = _Followed(cascade, cascade.end_ms + HOUR_MS, last, last)
        self._waiting.append(followed)
        self._of.setdefault(name, []).append(followed)
        if len(self._waiting) > _MOST_FOLLOWED:
            self.forgotten_total += 1
            self._leave(self._waiting.popleft())

    def due(self, now_ms: int) -> list[Cascade]:
        """Return the cascades whose hour is over, with how far the price went in it."""
        over = [one for one in self._waiting if one.due_ms < now_ms]
        if not over:
            return []
        self._waiting = deque(one for one in self._waiting if one.due_ms >= now_ms)
        told = []
        for one in over:
            self._leave(one)
            if one.due_ms - one.last.at_ms <= _OLDEST_MS:
                told.append(replace(one.cascade, move_hour_after=one.last.price / one.first.price - 1.0))
        return told

    def _leave(self, followed: _Followed) -> None:
        name = str(followed.cascade.move_of)
        left = [one for one in self._of.get(name, ()) if one is not followed]
        if left:
            self._of[name] = left
        else:
            self._of.pop(name, None)

    def _ends(self, cascade: Cascade, running: RunningCascade) -> tuple[str, PricePoint, PricePoint] | None:
        if cascade.scope != "instrument" or cascade.name in _REFERRED:
            first, last = self._trail.at(cascade.begin_ms), self._trail.at(cascade.last_ms)
            if first is not None and last is not None:
                return BTC, first, last
        found = running.price_ends()
        if found is None:
            return None
        name, prices = found
        ends = prices.ends()
        return None if ends is None else (name, *ends)


def _note(followed: list[_Followed], point: PricePoint) -> None:
    for one in followed:
        if one.first.kind == point.kind and one.last.at_ms <= point.at_ms <= one.due_ms:
            one.last = point
