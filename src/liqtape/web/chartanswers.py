"""What the API answers about liquidations over time and by price."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from liqtape.cascades.cascade import Cascade, Share
from liqtape.events import Alert, Gap, Liquidation, Side, VelocityMetrics
from liqtape.web.answers import AnyAnswer

__all__ = [
    "CascadesAnswer",
    "Cell",
    "EventsAnswer",
    "HistoryAnswer",
    "InstrumentAnswer",
    "LevelsAnswer",
    "PriceAnswer",
    "PriceBin",
    "PriceMark",
    "Series",
]

Cell = str | int | float | bool | None


class Series(Struct, frozen=True):
    """An instrument over time, in columns: entry k is about `(from_ms + k x step_ms, from_ms + (k + 1) x step_ms]`.

    Counts and USD are those of the step. Velocities (liquidations/s) are the highest of any whole second in the step,
    so that no peak is lost between two entries, the acceleration is the one farthest from 0. Steps wholly before
    `kept_from_ms`, from which on everything is in memory, are null. `source` says where they come from.
    """

    from_ms: int
    step_ms: int
    kept_from_ms: int
    source: Literal["memory", "history"]
    long_count: Sequence[int | None]
    short_count: Sequence[int | None]
    long_usd: Sequence[float | None]
    short_usd: Sequence[float | None]
    velocity_10s: Sequence[float | None]
    velocity_60s: Sequence[float | None]
    velocity_300s: Sequence[float | None]
    acceleration: Sequence[float | None]


class InstrumentAnswer(AnyAnswer, frozen=True, kw_only=True):
    """One instrument: its row, the last 60 s by venue, its series, the level changes and the gaps in it."""

    row: VelocityMetrics
    venues: Sequence[Share]
    series: Series
    levels: Sequence[Alert]
    gaps: Sequence[Gap]


class EventsAnswer(AnyAnswer, frozen=True, kw_only=True):
    """Liquidations, the newest first. `events` has at most `limit` of the `matched` ones.

    What was asked for is all there if `is_complete`; otherwise it reaches back before `kept_from_ms`, the oldest in
    memory, and the history was not there to be asked.
    """

    schema: int = 1
    events: Sequence[Liquidation]
    matched: int
    is_complete: bool
    kept_from_ms: int | None
    source: Literal["memory", "history"] = "memory"


class PriceBin(Struct, frozen=True):
    """Realised liquidations at prices in [price_from, price_until)."""

    price_from: float
    price_until: float
    long_count: int
    short_count: int
    long_usd: float
    short_usd: float


class LevelsAnswer(AnyAnswer, frozen=True, kw_only=True):
    """Realised USD by price, from low to high; bins without any are left out. These happened: no model, no forecast."""

    instrument: str
    from_ms: int
    until_ms: int
    kept_from_ms: int
    bin_size: float | None
    bins: Sequence[PriceBin]
    partial: bool


class PriceMark(Struct, frozen=True):
    """One liquidation in the chart; `usd` is null where it is unsized."""

    at_ms: int
    price: float
    usd: float | None
    side: Side | None
    venue: str
    price_kind: Literal["fill", "bankruptcy"]


class PriceAnswer(AnyAnswer, frozen=True, kw_only=True):
    """The price of an instrument, from its own liquidations, and the largest of them as marks.

    The line has the last fill of each step, or the last bankruptcy price where nothing else is there (`line_kind`);
    of BTC instruments and `MARKET` it is the price of BTC, second by second (`btc`). `hidden` marks are smaller than
    those that are told.
    """

    instrument: str
    from_ms: int
    until_ms: int
    kept_from_ms: int
    line_kind: Literal["fill", "bankruptcy", "btc"] | None
    times_ms: Sequence[int]
    prices: Sequence[float]
    marks: Sequence[PriceMark]
    hidden: int
    hidden_usd: float
    partial: bool


class CascadesAnswer(AnyAnswer, frozen=True, kw_only=True):
    """Cascades, those that go on first, then the newest end first; `total` began since `kept_from_ms`.

    The last 500 that ended are remembered; `matched` of them are what was asked for.
    """

    cascades: Sequence[Cascade]
    matched: int
    total: int
    kept_from_ms: int


class HistoryAnswer(AnyAnswer, frozen=True, kw_only=True):
    """Rows of the history in the columns of `liqtape history`; `next` is the `offset` of the next page, if any."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    total: int
    next: int | None
    partial: bool | None
