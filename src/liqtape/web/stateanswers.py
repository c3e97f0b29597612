"""What the API answers about the service and what it knows of itself."""

from collections.abc import Mapping, Sequence

from liqtape.cascades.venuelead import VenueLead
from liqtape.engine.correlation.comovement import CorrelatedPair
from liqtape.events import Alert, Gap, VenueHealth
from liqtape.web.answers import AnyAnswer, Coverage, Mode, Trust

__all__ = [
    "AlertsAnswer",
    "CorrelationAnswer",
    "GapsAnswer",
    "HealthAnswer",
    "LedgerAnswer",
]


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
