"""What was really sent: every delivered liquidation and the frames by kind, for each connection."""

from collections import Counter, deque
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from liqtape.simulator.wire import FrameKind, SentRow

__all__ = ["Delivered", "DeliveryLog", "Tally"]

# Of each connection so many of the newest liquidations are known again.
_REMEMBERED = 20_000


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
    snapshot: bool = False
    """Told as something past: in a snapshot on subscribing, or in answer to a REST request (connection 0)."""
    frame: int = 0
    """Which of the connection's messages it came in, counted from 1; 0 for REST."""


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
    snapshots: int = 0
    """Rows among them that were told as something past."""
    garbage_by_name: Counter[str] = msgspec.field(default_factory=Counter)
    peer_port: int = 0
    """The client's end of it, so that a proxy on the way can tell its connections apart."""
    torn_off: bool = False
    """Reset by us: what was sent last may not have arrived."""

    @property
    def frames(self) -> int:
        return self.liquidation + self.other_topic + self.control + self.garbage


class DeliveryLog:
    """The book of one simulator. Tallies are complete; of the records the newest `capacity` are kept."""

    def __init__(self, capacity: int = 1_000_000) -> None:
        self.connections: list[Tally] = []
        self.records: deque[Delivered] = deque(maxlen=capacity)
        self.records_dropped_total = 0
        self.rest: dict[str, Tally] = {}
        """What REST answers told of, by venue."""
        self._had: dict[tuple[int, str], dict[int, None]] = {}

    def opened(self, venue: str) -> Tally:
        """A new connection; they are numbered from 1 over all venues."""
        tally = Tally(connection=len(self.connections) + 1, venue=venue)
        self.connections.append(tally)
        return tally

    def sent(self, tally: Tally, kind: FrameKind, fault: str = "") -> None:
        setattr(tally, kind, getattr(tally, kind) + 1)
        if kind == "garbage":
            tally.garbage_by_name[fault] += 1

    def asked(self, venue: str) -> Tally:
        """The tally of a venue's REST answers."""
        return self.rest.setdefault(venue, Tally(connection=0, venue=venue))

    def delivered(self, tally: Tally, rows: Iterable[SentRow], *, copy: bool, snapshot: bool = False) -> None:
        """Books rows that were sent; those the connection had before are copies, whatever `copy` says."""
        had = self._had.setdefault((tally.connection, tally.venue), {})
        for row in rows:
            if len(self.records) == self.records.maxlen:
                self.records_dropped_total += 1
            again = copy or row.serial in had
            had[row.serial] = None
            if len(had) > _REMEMBERED:
                del had[next(iter(had))]
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
                    copy=again,
                    snapshot=snapshot,
                    frame=tally.frames,
                )
            )
            tally.liquidations += 1
            tally.copies += again
            tally.snapshots += snapshot

    def distinct(self, venue: str | None = None) -> list[Delivered]:
        """Each delivered liquidation once, whoever got it, in the order of the first delivery."""
        first: dict[tuple[str, int], Delivered] = {}  # each market counts its own serials
        for record in self.records:
            if venue in (None, record.venue):
                first.setdefault((record.venue, record.serial), record)
        return list(first.values())
