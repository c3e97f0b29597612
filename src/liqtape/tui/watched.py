"""What a reader of the stream knows: messages in, the newest state out. No I/O, no clock."""

from collections import deque
from collections.abc import Collection
from typing import Self

from liqtape.events import Alert, Liquidation, Trouble, VenueHealth
from liqtape.tui.apirecords import SeenHealth, SeenMessage, SeenNow
from liqtape.tui.highlights import is_worth_saying
from liqtape.tui.tablerow import TableRow

__all__ = ["Watched"]

_EVENTS = 2_000
_ALERTS = 200
_TROUBLES = 5


class Watched:
    """The state of a running instance as its stream tells it; `at` is our steady time in seconds."""

    def __init__(self) -> None:
        self.now: SeenNow | None = None
        self.as_of_ms = 0
        self.rows: dict[str, TableRow] = {}
        self.events: deque[Liquidation] = deque(maxlen=_EVENTS)  # the newest first, as the next two
        self.changes: deque[Alert] = deque(maxlen=_ALERTS)
        self.troubles: deque[Trouble] = deque(maxlen=_TROUBLES)
        self.health: list[VenueHealth] = []
        self.more: SeenHealth | None = None
        self.missed_total = 0
        self.lost = ""  # why no message comes
        self.heard_at: float | None = None

    def take(self, message: SeenMessage, at: float) -> None:
        """Take a message of the stream."""
        if message.kind == "snapshot":
            self.rows.clear()
            self.events.clear()
            self.changes.clear()
            self.missed_total += message.missed or 0
        self.missed_total += message.events_left_out
        self.now, self.as_of_ms = message.now, message.as_of_ms
        for row in message.rows:
            if row.event_count_300s:
                self.rows[row.symbol] = row
            else:  # the last one of its instrument
                self.rows.pop(row.symbol, None)
        self.events.extendleft(message.events)
        self.changes.extendleft(sorted(filter(is_worth_saying, message.alerts), key=lambda alert: alert.at_ms))
        self.troubles.extendleft(message.troubles)
        self.health = list(message.health) or self.health
        self.lost, self.heard_at = "", at

    def lose(self, reason: str) -> None:
        """Note that the stream ended, and why."""
        self.lost = reason

    def silence(self, at: float) -> float:
        """Return for how many seconds no message came."""
        return 0.0 if self.heard_at is None else max(0.0, at - self.heard_at)

    def frozen(self) -> Self:
        """Return what is known now, which later messages do not change."""
        other = type(self)()
        other.__dict__.update(self.__dict__)
        other.rows = dict(self.rows)
        for name in ("events", "changes", "troubles"):
            setattr(other, name, deque(getattr(self, name), getattr(self, name).maxlen))
        return other

    def tape(self, instrument: str | None, side: str | None, least_usd: float) -> list[Liquidation]:
        """Return the events of an instrument and a side, of any where it is None, that are not smaller."""
        return [
            event
            for event in self.events
            if instrument in {None, event.instrument}
            and side in {None, event.side}
            and (event.notional_usd is None or event.notional_usd >= least_usd)
        ]

    def leaders(self, count: int = 12) -> list[str]:
        """Return the instruments with the most USD of the last minute, the most first."""
        rows = sorted(self.rows.values(), key=lambda row: row.usd_60s, reverse=True)
        return [row.symbol for row in rows[:count] if row.usd_60s > 0]

    def matching(self, text: str) -> Collection[TableRow]:
        """Return the rows whose name has that text in it."""
        wanted = text.casefold()
        return [row for row in self.rows.values() if wanted in row.symbol.casefold()]
