"""How far a price went: of BTC where a reference is known, else from the prices of liquidations."""

from collections import deque
from math import isfinite

from msgspec import Struct

from liqtape.events import Liquidation, PriceKind

__all__ = ["PriceEnds", "PricePoint", "PriceTrail", "point_of"]

_KEPT_MS = 900_000
_OLDEST_MS = 300_000  # a price stands for so long


class PricePoint(Struct, frozen=True, gc=False):
    """A price and when it was; two of different kinds are not compared."""

    at_ms: int
    price: float
    kind: PriceKind


def point_of(event: Liquidation, at_ms: int) -> PricePoint | None:
    """Return the price of a liquidation, None where it tells none."""
    price = event.price
    return PricePoint(at_ms, price, event.price_kind) if isfinite(price) and price > 0.0 else None


class PriceEnds:
    """First and last price of each kind in a cascade."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: dict[PriceKind, tuple[PricePoint, PricePoint]] = {}

    def add(self, event: Liquidation, at_ms: int) -> None:
        """Take in the price of a liquidation, late ones where they belong."""
        point = point_of(event, at_ms)
        if point is None:
            return
        first, last = self._ends.get(point.kind, (point, point))
        if at_ms < first.at_ms:
            first = point
        if at_ms >= last.at_ms:
            last = point
        self._ends[point.kind] = first, last

    def ends(self) -> tuple[PricePoint, PricePoint] | None:
        """Return first and last: of fills if there were two, else of bankruptcy prices; None of fewer."""
        kinds: tuple[PriceKind, ...] = ("fill", "bankruptcy")
        found = (self._ends[kind] for kind in kinds if kind in self._ends)
        return next((ends for ends in found if ends[0] is not ends[1]), None)


class PriceTrail:
    """The reference price of BTC, a second each, of the last quarter of an hour."""

    def __init__(self) -> None:
        self._points: deque[PricePoint] = deque()

    def note(self, at_ms: int, price: float) -> None:
        """Note the price at a moment."""
        points = self._points
        if points and at_ms // 1000 <= points[-1].at_ms // 1000:
            return
        points.append(PricePoint(at_ms, price, "fill"))
        while points[0].at_ms < at_ms - _KEPT_MS:
            points.popleft()

    def at(self, at_ms: int) -> PricePoint | None:
        """Return the last price up to a moment, None where it is too old."""
        point = next((one for one in reversed(self._points) if one.at_ms <= at_ms), None)
        return None if point is None or at_ms - point.at_ms > _OLDEST_MS else point
