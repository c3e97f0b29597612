"""What a cascade is, as everybody is told of it: page, API, Redis, history and programs."""

from typing import Literal

from msgspec import Struct

from liqtape.cascades.venuelead import VenueLead
from liqtape.events import Gap, Level, Side

__all__ = ["Cascade", "CascadeScope", "CascadeSide", "Share", "side_of"]

CascadeScope = Literal["instrument", "venue", "market"]
CascadeSide = Literal["long", "short", "both"]

_ONE_SIDED = 2 / 3


class Share(Struct, frozen=True):
    """One instrument's or venue's part: of the last 60 s, or of a cascade."""

    name: str
    count: int
    usd: float


class Cascade(Struct, frozen=True, kw_only=True):
    """One cascade, as far as it is known; times in ms of Unix time by the venues' clocks, USD realised.

    `id` is made of where it began, whose it is and which detector saw it first, so it is the same live and replayed.
    `name` is the instrument, the venue, or `MARKET`. It begins with the first liquidation of the minute that raised the
    detector (`detected_ms`); `last_ms` is the newest liquidation that belongs to it, `end_ms` the same once it is over
    (null before). The peak is the 60 s with the most USD, which ended at `peak_ms`; `times_usual` compares it with the
    mean watched minute (null while that is not known). `side` is that of two thirds of the USD, else `both`.

    `instruments` and `venues` have the most USD first (20 at most, `instruments_total` of them); `raised` are the
    instruments that a detector was raised of while a whole market's cascade went on, and `part_of` names it in theirs.
    `lead` is null unless a venue was first beyond doubt. `move_during` and `move_hour_after` are shares (-0.01: one per
    cent down) of the price of `move_of`; null until they are known, or where no price was seen. `gaps` are those that
    reach into it or into the five minutes after it (null where nobody said when feeds were up). `share_observed` is
    the estimated share of liquidations that throttled venues let through: 1 where none throttles, null where a venue
    was at its limit or shows chosen accounts only. `is_cut`: it was ended from outside, so that it may have gone on.
    """

    id: str
    scope: CascadeScope
    name: str
    detector: str
    detectors: tuple[str, ...]
    why: str
    level: Level | None
    side: CascadeSide | None
    begin_ms: int
    detected_ms: int
    peak_ms: int
    last_ms: int
    end_ms: int | None
    events: int
    unsized: int
    usd: float
    long_usd: float
    short_usd: float
    peak_usd_60s: float
    peak_count_60s: int
    times_usual: float | None
    instruments: tuple[Share, ...]
    instruments_total: int
    venues: tuple[Share, ...]
    raised: tuple[str, ...]
    part_of: str | None
    lead: VenueLead | None
    move_of: str | None
    move_during: float | None
    move_hour_after: float | None
    gaps: tuple[Gap, ...] | None
    share_observed: float | None
    is_cut: bool


def side_of(long: float, short: float) -> CascadeSide | None:
    """Return the side of two thirds of it; None of nothing.

    >>> side_of(2.0, 1.0), side_of(1.9, 1.1), side_of(0.0, 0.0)
    ('long', 'both', None)
    """
    total = long + short
    if not total:
        return None
    side: Side
    for side, part in (("long", long), ("short", short)):
        if part >= _ONE_SIDED * total:
            return side
    return "both"
