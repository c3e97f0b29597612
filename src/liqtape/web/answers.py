"""What the API answers, one Struct for each path; `/openapi.json` is generated from these.

Every answer bears `as_of_ms`, the evaluation time it holds for, in ms of Unix time by the venues' clocks, and `as_of`,
the same in ISO 8601. `null` is not known or not defined, never zero. USD are realised liquidations.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from liqtape.cascades.cascade import Share
from liqtape.cascades.venuelead import VenueLead
from liqtape.events import Level, VelocityMetrics, VenueHealth
from liqtape.forecast.forecaster import Forecast

__all__ = [
    "AnyAnswer",
    "Coverage",
    "ErrorAnswer",
    "InstrumentRow",
    "LivenessAnswer",
    "MarketAnswer",
    "MessagePlan",
    "MessageThread",
    "MetricsAnswer",
    "Mode",
    "NowAnswer",
    "ReadinessAnswer",
    "ReplayState",
    "Trust",
    "VenueMarket",
]

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
    venue. `warmup_ms` is how much of the largest window (300,000 ms) was watched since the start. `failing` names the
    sinks, and the parts of the history, that cannot be written now; the log says why.
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
    failing: Sequence[str] = ()


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


class MessageThread(Struct, frozen=True):
    """The market event that people were told of and that goes on: its messages are one thread."""

    thread: str
    began_ms: int
    level: Level
    messages: int
    raised: Sequence[str]
    count: int
    usd: float
    venues: Mapping[str, float]


class MessagePlan(Struct, frozen=True):
    """From which return period, in days, a message is sent now: learned so that all together keep the budget.

    `named_days` is of the instruments the settings name. Null before anything was watched.
    """

    budget_per_week: float
    market_days: float | None
    instrument_days: float | None
    named_days: float | None
    open: MessageThread | None


class NowAnswer(AnyAnswer, frozen=True, kw_only=True):
    """The one sentence: is a cascade going on, who, how big against its own past, since when, can it be trusted.

    `level` is the market's: an instrument reaches its own level about as often as the level's name says, a thousand
    instruments a thousand times so often, the market only when it is together. `instruments_raised` counts those above
    NONE by their level. `side` is the one with at least two thirds of the last minute's USD, `both` otherwise, null
    without any. `instruments` and `venues` are those with the most USD in 60 s, the most first. `times_usual` compares
    the last 60 s with the usual minute, `return_days` says how rarely so much comes. `messages` says from when on a
    person is told; null in a replay. `forecast` has a probability for each target beside its base rate, or why there is
    none, which never means "safe"; empty in a replay.
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
    messages: MessagePlan | None = None
    forecast: Sequence[Forecast] = ()


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


class VenueMarket(Struct, frozen=True):
    """All instruments of one venue together."""

    venue: str
    row: VelocityMetrics


class MarketAnswer(AnyAnswer, frozen=True, kw_only=True):
    """All instruments together, over all venues and at each."""

    row: VelocityMetrics
    venues: Sequence[VenueMarket]
