"""What `/api/v1/stream` sends: the name of the event, and its data."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from liqtape.events import Alert, Gap, Liquidation, Trouble, VenueHealth
from liqtape.web.answers import InstrumentRow, NowAnswer

__all__ = ["EVENT_NAMES", "Snapshot", "Update"]

EVENT_NAMES = ("snapshot", "update")


class Update(Struct, frozen=True, omit_defaults=True):
    """What changed since the message before, at most four times a second.

    `rows` replace those of the same symbol; one with `event_count_300s` 0 is the last of its instrument. `events` are
    the new liquidations, the oldest first; of more than 500 those with the most USD, `events_left_out` counts the
    others. `health` is there once a second. What is empty is left out.
    """

    kind: Literal["update"]
    as_of_ms: int
    now: NowAnswer
    rows: Sequence[InstrumentRow] = ()
    events: Sequence[Liquidation] = ()
    events_left_out: int = 0
    alerts: Sequence[Alert] = ()
    gaps: Sequence[Gap] = ()
    troubles: Sequence[Trouble] = ()
    health: Sequence[VenueHealth] = ()


class Snapshot(Struct, frozen=True):
    """All there is: sent first, after a time away that the ring does not reach back to, and after a seek.

    It replaces everything. `events` are the newest, the oldest first. `missed` liquidations came while the reader was
    away and are not in `events` (`/api/v1/events` may have them); null where that cannot be known.
    """

    kind: Literal["snapshot"]
    as_of_ms: int
    now: NowAnswer
    rows: Sequence[InstrumentRow]
    events: Sequence[Liquidation]
    alerts: Sequence[Alert]
    gaps: Sequence[Gap]
    health: Sequence[VenueHealth]
    missed: int | None = 0
