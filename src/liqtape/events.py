"""The vocabulary: frozen records that cross a layer. No I/O, no clock.

`Liquidation` is the record users see (contract: one NDJSON line). `RawLiquidation` is what a venue's `decode` returns:
the same event with the size still in the venue's own unit; `instruments` turns one into the other.
"""

from typing import Literal, get_args

from msgspec import Struct, field

__all__ = [
    "LEVELS",
    "NO_LIST",
    "SCHEMA",
    "WINDOWS",
    "Ack",
    "Alert",
    "Event",
    "Gap",
    "Invalid",
    "Level",
    "Liquidation",
    "Notice",
    "Pong",
    "PriceKind",
    "PriceTick",
    "RawLiquidation",
    "Rejected",
    "Side",
    "Trouble",
    "Unit",
    "VelocityMetrics",
    "VenueHealth",
]

SCHEMA = 1
"""Version of the event schema, written with every stored event."""

WINDOWS = (10, 30, 60, 300)
"""Window lengths in seconds; every window is half open, `(now - w, now]`."""

NO_LIST = "no list of instruments"
"""The reason of a gap in which only the instruments were not seen that no connection had subscribed."""

Side = Literal["long", "short"]
"""The position that was closed: a forced SELL closes a `long`."""

PriceKind = Literal["fill", "bankruptcy"]
Unit = Literal["base", "usd", "contracts"]
Level = Literal["NONE", "WATCH", "ALERT", "CRITICAL", "EXTREME"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""The lowest first."""


class Liquidation(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """One forced closing, normalised.

    `quantity` is in base coin, `notional_usd` in USD rounded to 1e-6 half to even; both are None when the contract size
    is not known. `side` is None only in a wrapped stream whose events do not name it. `event_ms` is the venue's stamp,
    `receive_ms` ours (None when read from a file). Prices of multiplier contracts (1000PEPE) are per single coin.

    >>> Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 80_000.0, "bankruptcy", 0.01, 800.0, 1_790_000_000_000).side
    'long'
    """

    venue: str
    instrument: str
    symbol: str
    side: Side | None
    price: float
    price_kind: PriceKind
    quantity: float | None
    notional_usd: float | None
    event_ms: int
    receive_ms: int | None = None
    id: str = ""


class RawLiquidation(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """A liquidation as its venue printed it: `size` counts `unit`s, `symbol` is the venue's spelling.

    `native_id` is the venue's own identity where it has one. `copy` numbers equal rows of one frame (1, 2, ...) at
    venues where equal rows are distinct liquidations. `replayed` marks what the venue says is past, as in the snapshot
    it answers a subscription with: to be stored and counted, never to raise an alert. `venue_side` is the side in the
    venue's own words, where rows that differ by nothing else are distinct liquidations.
    """

    venue: str
    symbol: str
    side: Side
    price: float
    price_kind: PriceKind
    size: float
    unit: Unit
    event_ms: int
    receive_ms: int | None = None
    native_id: str = ""
    copy: int = 1
    replayed: bool = False
    venue_side: str = ""


class Invalid(Struct, frozen=True, gc=False):
    """One bad row in an otherwise good frame: counted as rejected, the other rows stand."""

    venue: str
    reason: str
    row: str = ""


class PriceTick(Struct, frozen=True, gc=False):
    """One trade of a reference instrument (BTC): price in USD(T), quantity in the venue's unit."""

    venue: str
    symbol: str
    price: float
    quantity: float | None
    event_ms: int
    receive_ms: int | None = None


class Ack(Struct, frozen=True, gc=False):
    """The venue confirmed the request with `request_id`, or the one for `topic`; both empty where it says neither."""

    request_id: str = ""
    topic: str = ""


class Rejected(Struct, frozen=True, gc=False):
    """The venue refused a request and did none of it; what it names of the request is as in `Ack`."""

    request_id: str = ""
    reason: str = ""
    topic: str = ""


class Pong(Struct, frozen=True, gc=False):
    """The venue answered our heartbeat."""


class Notice(Struct, frozen=True, gc=False):
    """The venue announced that it will close this connection soon."""

    reason: str = ""


Event = RawLiquidation | Invalid | PriceTick | Ack | Rejected | Pong | Notice
"""What `decode` may return."""


class Gap(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """An interval in which a venue's liquidations may have been missed; `until_ms` is None while it lasts.

    Times are the venue's. `backfilled`: everything of it was got afterwards, so nothing is missing any more.
    """

    venue: str
    from_ms: int
    until_ms: int | None
    reason: str
    backfilled: bool = field(default=False, name="filled")


class Trouble(Struct, frozen=True, gc=False):
    """Something about liqtape itself that a person must look at; told once while it lasts."""

    subject: str
    reason: str
    at_ms: int


class VelocityMetrics(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """One evaluation of one instrument; the founding document's fourteen fields first, in its order and units.

    Velocities are liquidations/s, USD velocities USD/s, accelerations liquidations/s^2, `timestamp` is the evaluation
    time in Unix seconds, `total_value_usd` the USD of the last 300 s. `venue` is None where all venues are summed, and
    `symbol` "MARKET" where all instruments are. None means not defined, never zero. `return_days`: as much USD within
    60 s comes once in so many watched days, learned from `watched_days` (decayed; `is_learning` below seven);
    `times_usual` compares it with the mean watched minute. `volatility_coverage` is the share of the last day that
    `volatility_factor` compares with.
    """

    symbol: str
    timestamp: float
    event_count_10s: int
    event_count_30s: int
    event_count_60s: int
    event_count_300s: int
    velocity_10s: float
    velocity_30s: float
    velocity_60s: float
    velocity_300s: float
    acceleration: float
    total_value_usd: float
    btc_price: float | None
    volatility_factor: float | None
    usd_velocity_10s: float
    usd_velocity_30s: float
    usd_velocity_60s: float
    usd_velocity_300s: float
    long_count_10s: int
    long_count_30s: int
    long_count_60s: int
    long_count_300s: int
    short_count_10s: int
    short_count_30s: int
    short_count_60s: int
    short_count_300s: int
    long_usd_10s: float
    long_usd_30s: float
    long_usd_60s: float
    long_usd_300s: float
    short_usd_10s: float
    short_usd_30s: float
    short_usd_60s: float
    short_usd_300s: float
    acceleration_se: float
    coverage_10s: float | None
    coverage_30s: float | None
    coverage_60s: float | None
    coverage_300s: float | None
    velocity_est_10s: float
    velocity_est_30s: float
    velocity_est_60s: float
    velocity_est_300s: float
    saturated: bool
    surprise: float | None
    level: Level
    late_total: int
    partial: bool
    btc_source: str | None = None
    velocity_se_10s: float | None = None
    velocity_se_30s: float | None = None
    velocity_se_60s: float | None = None
    velocity_se_300s: float | None = None
    imbalance_count_10s: float | None = None
    imbalance_count_30s: float | None = None
    imbalance_count_60s: float | None = None
    imbalance_count_300s: float | None = None
    imbalance_usd_10s: float | None = None
    imbalance_usd_30s: float | None = None
    imbalance_usd_60s: float | None = None
    imbalance_usd_300s: float | None = None
    acceleration_z: float | None = None
    surprise_mean: float | None = None
    surprise_fano: float | None = None
    venue: str | None = None
    times_usual: float | None = None
    return_days: float | None = None
    watched_days: float | None = None
    is_learning: bool | None = None
    volatility_coverage: float | None = None


class Alert(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """A level change of one instrument, or of `MARKET`; `at_ms` is the evaluation time that showed it.

    By return period: `usd_60s` is reached once in `return_days`, learned from `watched_days` (decayed; `is_learning`
    below seven), `is_extrapolated` where the first exceed the second; `threshold_usd` and `floor_usd` are what the
    higher of the two levels asks for. By surprise: `surprise` was compared with the thresholds, `mean` and `fano` are
    what it was measured by, `floor_usd` is what CRITICAL needs. The plain threshold rule has none of these.
    """

    instrument: str
    level: Level
    previous: Level
    at_ms: int
    velocity_10s: float
    acceleration: float
    count_60s: int
    usd_60s: float
    rule: str
    surprise: float | None = None
    mean: float | None = None
    fano: float | None = None
    floor_usd: float | None = None
    return_days: float | None = None
    watched_days: float | None = None
    is_learning: bool | None = None
    is_extrapolated: bool | None = None
    threshold_usd: float | None = None


class VenueHealth(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """One venue as an operator sees it: `last_data_age_s` counts any market data, canary trades included.

    `skew_ms` is by how much our own time is ahead of the venue's clock, what is always on the way included; None before
    enough was received. `shift_ms` is not 0 where the venue's clock is off (state `clock off`): by how much it is ahead
    of the venues' common time, and what windows take off its stamps.
    """

    venue: str
    state: str
    since_ms: int
    last_data_age_s: float | None
    reconnects: int
    coverage: float | None
    detail: str = ""
    skew_ms: int | None = None
    shift_ms: int = 0
