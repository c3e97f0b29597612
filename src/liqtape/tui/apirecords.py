"""What the terminal reads of the API of a running instance; what else an answer has is passed over."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from liqtape.events import Alert, Gap, Level, Liquidation, Trouble, VenueHealth
from liqtape.forecast.forecaster import Forecast
from liqtape.tui.tablerow import TableRow

__all__ = ["SeenHealth", "SeenLead", "SeenMessage", "SeenNow", "SeenTrust"]


class SeenLead(Struct, frozen=True):
    """The venue that is first, and by how much."""

    venue: str
    lead_ms: int


class SeenCoverage(Struct, frozen=True):
    """The least share of a minute in which the venues' feeds were live."""

    coverage_60s: float | None = None


class SeenTrust(Struct, frozen=True):
    """Whether the numbers can be trusted at this moment."""

    venues_live: int
    venues_total: int
    troubled: Sequence[VenueHealth] = ()
    throttled: Sequence[str] = ()
    coverage: SeenCoverage = SeenCoverage()
    age_seconds: float | None = None
    is_balanced: bool = True
    is_learning: bool | None = None
    watched_days: float | None = None
    warmup_ms: int = 0
    failing: Sequence[str] = ()


class SeenThread(Struct, frozen=True):
    """The market event that people were told of and that goes on."""

    began_ms: int
    messages: int = 0


class SeenMessages(Struct, frozen=True):
    """From which return period, in days, a message is sent now, and what was told that goes on."""

    market_days: float | None = None
    instrument_days: float | None = None
    open: SeenThread | None = None


class SeenNow(Struct, frozen=True):
    """The one sentence, in fields."""

    level: Level
    trust: SeenTrust
    mode: str = "live"
    since_ms: int | None = None
    side: Literal["long", "short", "both"] | None = None
    lead: SeenLead | None = None
    usd_60s: float = 0.0
    velocity_10s: float = 0.0
    velocity_60s: float = 0.0
    times_usual: float | None = None
    return_days: float | None = None
    instruments_active: int = 0
    btc_price: float | None = None
    events_total: int = 0
    forecast: Sequence[Forecast] = ()
    messages: SeenMessages | None = None


class SeenMessage(Struct, frozen=True):
    """A message of the stream: a snapshot replaces everything, an update what it has."""

    kind: Literal["snapshot", "update"]
    as_of_ms: int
    now: SeenNow
    rows: Sequence[TableRow] = ()
    events: Sequence[Liquidation] = ()
    events_left_out: int = 0
    alerts: Sequence[Alert] = ()
    gaps: Sequence[Gap] = ()
    troubles: Sequence[Trouble] = ()
    health: Sequence[VenueHealth] = ()
    missed: int | None = 0


class SeenHealth(Struct, frozen=True):
    """Where every frame and event went, and what each venue does not show."""

    version: str
    ledger: Mapping[str, int]
    is_balanced: bool
    hides: Mapping[str, str] = field(default_factory=dict)
