"""What the page shows: the one thing a live tracker and a replay have in common."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from liqtape.cascades.cascade import Cascade
from liqtape.engine.correlation.comovement import CorrelatedPair
from liqtape.events import Alert, Gap, Liquidation, Trouble, VelocityMetrics, VenueHealth
from liqtape.forecast.forecaster import Forecast
from liqtape.ledger import Ledger
from liqtape.web.answers import MessagePlan, Mode, ReplayState
from liqtape.web.questions import ReplayOrder

__all__ = ["Measured", "News", "Replayed", "Shown"]


class News(Struct, frozen=True):
    """What came since it was asked for last; `missed` liquidations did not fit."""

    events: Sequence[Liquidation] = ()
    alerts: Sequence[Alert] = ()
    gaps: Sequence[Gap] = ()
    troubles: Sequence[Trouble] = ()
    missed: int = 0


class Measured(Protocol):
    """What has metrics at a moment: a tracker, or a past."""

    def snapshot(self, instruments: Iterable[str]) -> list[VelocityMetrics]: ...

    def market(self, venue: str | None = None) -> VelocityMetrics: ...

    def active(self) -> list[str]: ...

    def health(self) -> list[VenueHealth]: ...

    def gaps(self) -> list[Gap]: ...

    def cascades(self) -> list[Cascade]: ...

    def cascades_total(self) -> int: ...

    def ledger(self) -> Ledger: ...

    def ledgers(self) -> list[tuple[str, Ledger]]: ...

    def correlation(self, most: int | None = None) -> list[CorrelatedPair]: ...


class Shown(Measured, Protocol):
    """A past or a present with metrics at a moment, and news. All calls are plain and quick; none awaits.

    Everything that came after `began_ms` is told as news. `generation` grows whenever what was told no longer
    holds, as after a seek: everything kept of it goes.
    """

    @property
    def mode(self) -> Mode: ...

    @property
    def began_ms(self) -> int: ...

    @property
    def generation(self) -> int: ...

    @property
    def replay(self) -> ReplayState | None: ...

    def now_ms(self) -> int: ...

    def messages(self) -> MessagePlan | None: ...

    def forecast(self) -> Sequence[Forecast]: ...

    def take_news(self) -> News: ...

    def hides(self) -> Mapping[str, str]: ...

    def failing(self) -> Sequence[str]: ...


@runtime_checkable
class Replayed(Protocol):
    """A source that can be paused, sped up and sent elsewhere."""

    async def obey(self, order: ReplayOrder) -> ReplayState: ...
