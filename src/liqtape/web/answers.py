"""What the API answers, one Struct for each path; `/openapi.json` is generated from these.

Every answer bears `as_of_ms`, the evaluation time it holds for, in ms of Unix time by the venues' clocks, and `as_of`,
the same in ISO 8601. `null` is not known or not defined, never zero. USD are realised liquidations.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from liqtape.engine.correlation.comovement import CorrelatedPair
from liqtape.events import Alert, Gap, Level, Liquidation, Side, VelocityMetrics, VenueHealth

__all__ = [
    "AlertsAnswer",
    "AnyAnswer",
    "CascadesAnswer",
    "Cell",
    "Coverage",
    "CorrelationAnswer",
    "ErrorAnswer",
    "EventsAnswer",
    "GapsAnswer",
    "HealthAnswer",
    "HistoryAnswer",
    "InstrumentAnswer",
    "InstrumentRow",
    "LedgerAnswer",
    "LevelEpisode",
    "LevelsAnswer",
    "LivenessAnswer",
    "MarketAnswer",
    "MetricsAnswer",
    "Mode",
    "NowAnswer",
    "PriceAnswer",
    "PriceBin",
    "PriceMark",
    "PriceMove",
    "ReadinessAnswer",
    "ReplayState",
    "Series",
    "Share",
    "Trust",
    "VenueLead",
    "VenueMarket",
]

Cell = str | int | float | bool | None
Mode = Literal["live", "demo", "replay"]


class AnyAnswer(Struct, frozen=True, kw_only=True):
    """What every answer bears."""

    as_of: str
    as_of_ms: int


class ErrorAnswer(Struct, frozen=True):
    """What went wrong, where, and how to mend it."""

    error: str
    where: str
    mend: str


class LivenessAnswer(AnyAnswer, frozen=True, kw_only=True):
    """The process lives."""

    status: Literal["ok"] = "ok"
    version: str


class ReadinessAnswer(AnyAnswer, frozen=True, kw_only=True):
    """Whether a venue delivers data; 503 until one does."""

    is_ready: bool
    venues_live: int
    venues_total: int


class Share(Struct, frozen=True):
    """One instrument's or venue's part: of the last 60 s, or of an episode."""

    name: str
    count: int
    usd: float


class VenueLead(Struct, frozen=True):
    """The venue that is first: by `lead_ms` before `follower`, known to within `error_ms`, at correlation `rho`."""

    venue: str
    follower: str
    lead_ms: int
    error_ms: int
    rho: float


class Coverage(Struct, frozen=True):
    """The least share of each window in which the venues' feeds were live; null where that is not known."""

    coverage_10s: float | None
    coverage_30s: float | None
    coverage_60s: float | None
    coverage_300s: float | None
    partial: bool


class Trust(Struct, frozen=True):
    """Whether the numbers can be trusted at this moment.

    `troubled` are the venues that are not live, with what is wrong in words. `throttled` are the venues that print at
    most so much a second: what they hide is estimated, never counted. `age_seconds` is that of the newest data of any
    venue. `warmup_ms` is how much of the largest window (300,000 ms) was watched since the start.
    """

    venues_live: int
    venues_total: int
    troubled: Sequence[VenueHealth]
    throttled: Sequence[str]
    coverage: Coverage
    age_seconds: float | None
    is_balanced: bool
    is_learning: bool | None
    watched_days: float | None
    warmup_ms: int


class ReplayState(Struct, frozen=True):
    """Where a replay stands, in ms of the past it plays; `speed` is times real time, null as fast as it can."""

    name: str
    from_ms: int
    until_ms: int
    at_ms: int
    speed: float | None
    is_paused: bool
    is_over: bool
    is_seeking: bool = False


class NowAnswer(AnyAnswer, frozen=True, kw_only=True):
    """The one sentence: is a cascade going on, who, how big against its own past, since when, can it be trusted.

    `level` is the market's: an instrument reaches its own level about as often as the level's name says, a thousand
    instruments a thousand times so often, the market only when it is together. `instruments_raised` counts those above
    NONE by their level. `side` is the one with at least two thirds of the last minute's USD, `both` otherwise, null
    without any. `instruments` and `venues` are those with the most USD in 60 s, the most first. `times_usual` compares
    the last 60 s with the usual minute, `return_days` says how rarely so much comes.
    """

    mode: Mode
    level: Level
    since_ms: int | None
    side: Literal["long", "short", "both"] | None
    instruments: Sequence[Share]
    venues: Sequence[Share]
    lead: VenueLead | None
    count_60s: int
    usd_60s: float
    long_usd_60s: float
    short_usd_60s: float
    velocity_10s: float
    velocity_60s: float
    velocity_est_10s: float
    acceleration: float
    times_usual: float | None
    return_days: float | None
    instruments_active: int
    instruments_raised: Mapping[Level, int]
    btc_price: float | None
    trust: Trust
    events_total: int
    replay: ReplayState | None = None


class InstrumentRow(Struct, frozen=True):
    """An instrument in the table; names as in `VelocityMetrics`. `usd_60s` are dollars, not dollars a second.

    `venues` have an event in the last 300 s. `spark` counts the liquidations of the last 300 s in 60 steps of 5 s,
    the newest last. `is_new` says that the row of zeros after the last event has not yet come.
    """

    symbol: str
    level: Level
    velocity_10s: float
    velocity_60s: float
    velocity_300s: float
    velocity_est_10s: float
    velocity_est_60s: float
    acceleration: float
    event_count_10s: int
    event_count_60s: int
    event_count_300s: int
    usd_60s: float
    long_usd_60s: float
    short_usd_60s: float
    total_value_usd: float
    imbalance_usd_60s: float | None
    times_usual: float | None
    return_days: float | None
    is_learning: bool | None
    coverage_10s: float | None
    coverage_60s: float | None
    coverage_300s: float | None
    partial: bool
    saturated: bool
    late_total: int
    timestamp: float
    venues: Sequence[str]
    spark: Sequence[int]


class MetricsAnswer(AnyAnswer, frozen=True, kw_only=True):
    """The metrics of all instruments with an event in the last 300 s, the most USD in 60 s first."""

    rows: Sequence[VelocityMetrics]
    total: int


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


class VenueMarket(Struct, frozen=True):
    """All instruments of one venue together."""

    venue: str
    row: VelocityMetrics


class MarketAnswer(AnyAnswer, frozen=True, kw_only=True):
    """All instruments together, over all venues and at each."""

    row: VelocityMetrics
    venues: Sequence[VenueMarket]


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


class PriceMove(Struct, frozen=True):
    """How far the price went, as a share (-0.01 is one per cent down); null until it is known."""

    during: float | None
    hour_after: float | None


class LevelEpisode(Struct, frozen=True):
    """A time above NONE of an instrument, or of `MARKET`; times null while they are to come.

    `highest` is the highest level, reached at `highest_ms`; `peak_usd_60s` the most USD of 60 s at any level change.
    Counts, USD and shares are of all liquidations from 60 s before the start to the end, as far as they are in memory
    (`partial` otherwise). `lead` is known only where it was measured while the episode lasted.
    """

    instrument: str
    level: Level
    highest: Level
    start_ms: int
    highest_ms: int
    end_ms: int | None
    peak_usd_60s: float
    peak_velocity_10s: float
    times_usual: float | None
    return_days: float | None
    is_learning: bool | None
    count: int
    usd: float
    long_usd: float
    short_usd: float
    instruments: Sequence[Share]
    venues: Sequence[Share]
    lead: VenueLead | None
    move: PriceMove
    partial: bool


class CascadesAnswer(AnyAnswer, frozen=True, kw_only=True):
    """Level episodes, the newest first; `kept_from_ms` is when this process began to watch."""

    episodes: Sequence[LevelEpisode]
    matched: int
    kept_from_ms: int
    partial: bool


class AlertsAnswer(AnyAnswer, frozen=True, kw_only=True):
    """Level changes, the newest first."""

    alerts: Sequence[Alert]
    matched: int
    kept_from_ms: int


class CorrelationAnswer(AnyAnswer, frozen=True, kw_only=True):
    """How the counts of venues, and of the busiest instruments, move together; half-life 300 s.

    `realised_volatility` is that of BTC in the last 300 s, per square root of a year (0.5 is 50 % a year).
    """

    venues: Sequence[CorrelatedPair]
    instruments: Sequence[CorrelatedPair]
    lead: VenueLead | None
    volatility_factor: float | None
    volatility_coverage: float | None
    realised_volatility: float | None
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


class HealthAnswer(AnyAnswer, frozen=True, kw_only=True):
    """A record a venue, then what of liqtape itself lives; `hides` says what each venue does not show."""

    mode: Mode
    version: str
    started_ms: int
    venues: Sequence[VenueHealth]
    coverage: Mapping[str, Coverage]
    hides: Mapping[str, str]
    trust: Trust
    ledger: Mapping[str, int]
    is_balanced: bool
    clients: int
    events_missed: int


class GapsAnswer(AnyAnswer, frozen=True, kw_only=True):
    """Intervals in which liquidations of a venue may have been missed, the newest first."""

    gaps: Sequence[Gap]
    matched: int


class LedgerAnswer(AnyAnswer, frozen=True, kw_only=True):
    """Where every frame and every event went: in total, and by connection."""

    total: Mapping[str, int]
    is_balanced: bool
    connections: Mapping[str, Mapping[str, int]]


class HistoryAnswer(AnyAnswer, frozen=True, kw_only=True):
    """Rows of the history in the columns of `liqtape history`; `next` is the `offset` of the next page, if any."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    total: int
    next: int | None
    partial: bool | None
