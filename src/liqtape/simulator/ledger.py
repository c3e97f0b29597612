"""What was really sent: every delivered liquidation and the frames by kind, for each connection."""

from collections import Counter, deque
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from liqtape.simulator.wire import FrameKind, Row

__all__ = ["Delivered", "Ledger", "Tally"]


class Delivered(Struct, frozen=True):
    """One liquidation handed to one connection; `price` and `size` are the decimal strings of the wire."""

    serial: int
    venue: str
    symbol: str
    side: str
    """The position that was closed, `long` or `short`."""
    price: str
    size: str
    event_ms: int
    connection: int
    copy: bool
    """This connection had it before: a fault sent it again, or the client follows it on two streams."""


class Tally(Struct):
    """Frames sent over one connection, by kind."""

    connection: int
    venue: str
    liquidation: int = 0
    other_topic: int = 0
    control: int = 0
    garbage: int = 0
    liquidations: int = 0
    """Rows in the liquidation frames, copies included."""
    copies: int = 0
    garbage_by_name: Counter[str] = msgspec.field(default_factory=Counter)
    torn_off: bool = False
    """Reset by us: what was sent last may not have arrived."""

    @property
    def frames(self) -> int:
        return self.liquidation + self.other_topic + self.control + self.garbage


class Ledger:
    """The book of one simulator. Tallies are complete; of the records the newest `capacity` are kept."""

    def __init__(self, capacity: int = 1_000_000) -> None:
        self.connections: list[Tally] = []
        self.records: deque[Delivered] = deque(maxlen=capacity)
        self.records_dropped_total = 0

    def opened(self, venue: str) -> Tally:
        """A new connection; they are numbered from 1 over all venues."""
        tally = Tally(connection=len(self.connections) + 1, venue=venue)
        self.connections.append(tally)
        return tally

    def sent(self, tally: Tally, kind: FrameKind, fault: str = "") -> None:
        setattr(tally, kind, getattr(tally, kind) + 1)
        if kind == "garbage":
            tally.garbage_by_name[fault] += 1

    def delivered(self, tally: Tally, rows: Iterable[Row], *, copy: bool) -> None:
        for row in rows:
            if len(self.records) == self.records.maxlen:
                self.records_dropped_total += 1
            self.records.append(
                Delivered(
                    serial=row.serial,
                    venue=row.venue,
                    symbol=row.symbol,
                    side=row.side,
                    price=row.price,
                    size=row.size,
                    event_ms=row.event_ms,
                    connection=tally.connection,
                    copy=copy,
                )
            )
            tally.liquidations += 1
            tally.copies += copy

    def distinct(self, venue: str | None = None) -> list[Delivered]:
        """Each delivered liquidation once, whoever got it, in the order of the first delivery."""
        first: dict[int, Delivered] = {}
        for record in self.records:
            if venue in (None, record.venue):
                first.setdefault(record.serial, record)
        return list(first.values())
