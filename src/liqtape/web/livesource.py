"""A running tracker as what the page shows: its public interface, and its news since the last look."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from liqtape.events import Alert, Gap, Liquidation, Trouble
from liqtape.forecast.forecaster import Forecast
from liqtape.venues import VENUES
from liqtape.venues.base import is_partial
from liqtape.web.answers import MessagePlan, Mode, ReplayState
from liqtape.web.shown import Measured, News

__all__ = ["LiveSource", "TrackedService", "hidden_by"]

_MOST_GAPS = 1_000

T = TypeVar("T")


class _Waiting(Protocol[T]):
    """A subscription, as far as it is read here."""

    @property
    def dropped_total(self) -> int: ...

    def take(self) -> list[T]: ...

    def end(self) -> None: ...


class TrackedService(Measured, Protocol):
    """The part of `Tracker` that is read here."""

    def now_ms(self) -> int: ...

    def forecast(self) -> Sequence[Forecast]: ...

    def failing(self) -> Sequence[str]: ...

    def liquidations(self) -> _Waiting[Liquidation]: ...

    def alerts(self) -> _Waiting[Alert]: ...

    def on_gap(self, callback: Callable[[Gap], object], name: str = "") -> object: ...

    def on_trouble(self, callback: Callable[[Trouble], object], name: str = "") -> object: ...


class LiveSource:
    """What a tracker shows. Make it before the tracker starts, so that nothing is missed."""

    def __init__(
        self,
        tracker: TrackedService,
        mode: Mode = "live",
        messages: Callable[[], MessagePlan | None] = lambda: None,
    ) -> None:
        self.mode: Mode = mode
        self.generation = 0
        self.began_ms = tracker.now_ms()
        self.replay: ReplayState | None = None
        self.now_ms = tracker.now_ms
        self.snapshot = tracker.snapshot
        self.market = tracker.market
        self.active = tracker.active
        self.health = tracker.health
        self.gaps = tracker.gaps
        self.cascades = tracker.cascades
        self.cascades_total = tracker.cascades_total
        self.ledger = tracker.ledger
        self.ledgers = tracker.ledgers
        self.correlation = tracker.correlation
        self.messages = messages
        self.forecast = tracker.forecast
        self.failing = tracker.failing
        self._liquidations, self._alerts = tracker.liquidations(), tracker.alerts()
        self._missed = 0
        self._new_gaps: list[Gap] = []
        self._troubles: list[Trouble] = []
        tracker.on_gap(self._keep_gap, "page")
        tracker.on_trouble(self._keep_trouble, "page")

    async def _keep_gap(self, gap: Gap) -> None:
        if len(self._new_gaps) < _MOST_GAPS:
            self._new_gaps.append(gap)

    async def _keep_trouble(self, trouble: Trouble) -> None:
        if len(self._troubles) < _MOST_GAPS:
            self._troubles.append(trouble)

    def take_news(self) -> News:
        """Return what came since the last call."""
        missed = self._liquidations.dropped_total - self._missed
        self._missed += missed
        gaps, self._new_gaps = self._new_gaps, []
        troubles, self._troubles = self._troubles, []
        return News(self._liquidations.take(), self._alerts.take(), gaps, troubles, missed)

    def hides(self) -> Mapping[str, str]:
        """Return what each venue does not show, in words."""
        return hidden_by(health.venue for health in self.health())


def hidden_by(venues: Iterable[str]) -> Mapping[str, str]:
    """Return what each of these venues does not show, in words; those that show all are left out."""
    hidden: dict[str, str] = {}
    for name in venues:
        venue = VENUES.get(name)
        if venue is None:
            continue
        if venue.slot_seconds is not None:
            each = "second" if venue.slot_seconds == 1 else f"{venue.slot_seconds} s"
            hidden[name] = f"prints at most one liquidation a symbol and {each}; the others are never shown"
        elif is_partial(venue):
            hidden[name] = "has no public channel: only liquidations against the accounts that are watched are seen"
    return hidden
