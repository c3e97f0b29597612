"""The forecasts of a run: what the pipeline tells goes to the forecaster, and what it says to those who ask."""

from collections.abc import Callable, Collection, Iterable, Sequence
from math import inf

from liqtape.events import Liquidation
from liqtape.forecast.drift import CalibrationDrift
from liqtape.forecast.features import issue_time
from liqtape.forecast.forecaster import TARGETS, Forecast
from liqtape.forecast.issued import IssuedForecast, issued_of
from liqtape.forecast.model import CascadeModel
from liqtape.forecast.scorers import scorer_of
from liqtape.forecast.streamforecaster import StreamForecaster
from liqtape.forecast.watchedspans import WatchedSpans
from liqtape.pipeline.listener import Listener

__all__ = ["NO_MODEL", "SETTLE_MS", "StreamForecasts", "unforecast"]

SETTLE_MS = 2_000
"""So long after a moment its forecast is made: venues hold liquidations back for up to a second."""

NO_MODEL = "no model was trained; see liqtape train"

_STALE_MS = 60_000
_MOST_WAITING = 200_000  # events between two moments of issue


class StreamForecasts(Listener):
    """Forecasts of one model, looked at each second; every issue goes to `write` before its outcome is known.

    What the model was trained on is what it is given: its venues, and its instrument where it has one. `t_ms` is the
    common time of the pipeline's clock at a moment of our time. A replay of the recording says what live said: both
    have these two and no other.
    """

    __slots__ = (
        "_drift",
        "_forecaster",
        "_last_ms",
        "_missing",
        "_model",
        "_name",
        "_shown",
        "_t_ms",
        "_venues",
        "_write",
    )

    def __init__(
        self,
        model: CascadeModel,
        targets: Collection[str],
        t_ms: Callable[[int], int],
        write: Callable[[IssuedForecast], object] = lambda _: None,
    ) -> None:
        self._model = model
        self._venues = frozenset(model.venues)
        self._missing = sorted(self._venues.difference(targets))
        self._forecaster = StreamForecaster([scorer_of(model)], WatchedSpans(model.venues))
        self._drift = CalibrationDrift()
        self._name = model.identity()
        self._last_ms = -inf
        self._shown: tuple[Forecast, ...] = ()
        self._t_ms = t_ms
        self._write = write

    @property
    def stream(self) -> str:
        """What is forecast: an instrument, or the market."""
        return self._model.instrument or "market"

    def resume(self, issues: Iterable[IssuedForecast]) -> None:
        """Let the judgement of the last days go on from a log; what other models said is left out."""
        for issued in issues:
            if issued.model == self._name and issued.stream == self.stream:
                self._drift.judge(issued.issue())

    def now(self, now_ms: int) -> tuple[Forecast, ...]:
        """Return the newest forecasts as they may be shown: one for each target, or the reason why there is none."""
        if self._missing:
            return self._without(now_ms, f"the model was trained on {', '.join(self._missing)}, not connected here")
        if not self._shown:
            return self._without(now_ms, "just started")
        if not 0 <= now_ms - self._shown[0].at_ms < _STALE_MS:
            return self._without(now_ms, "the last forecast is too old")
        return self._shown

    def accepted(self, events: Sequence[Liquidation], *, is_news: bool) -> None:  # noqa: ARG002 - the past counts, too
        """Take in what belongs to the model's stream."""
        instrument = self._model.instrument
        for event in events:
            if event.venue in self._venues and (not instrument or event.instrument == instrument):
                self._forecaster.update(event)
        features = self._forecaster.features
        if features.waiting > _MOST_WAITING:  # time stands still, or was set back
            self._forecaster.watched.missed(*features.forget_waiting())

    def recalled(self, events: Sequence[Liquidation], feeds: Sequence[tuple[str, int, int]], our_ms: int) -> None:  # noqa: ARG002
        """Take in what the run before saw."""
        for venue, up_ms, down_ms in feeds:
            self.covered(venue, up_ms)
            self.uncovered(venue, down_ms)
        self.accepted(events, is_news=False)

    def covered(self, venue: str, at_ms: int) -> None:
        """Note that a venue is watched."""
        self._forecaster.watched.up(venue, at_ms)

    def uncovered(self, venue: str, at_ms: int) -> None:
        """Note that it is no longer."""
        self._forecaster.watched.down(venue, at_ms)

    def missed(self, venue: str, from_ms: int, until_ms: int) -> None:
        """Note a gap that was found afterwards."""
        if venue in self._venues:
            self._forecaster.watched.missed(from_ms, until_ms)

    def tick(self, our_ms: int) -> None:
        """Make the forecasts that are due. After a pause only the newest: what is past cannot be forecast."""
        at_ms = issue_time(self._t_ms(our_ms) - SETTLE_MS)
        if at_ms <= self._last_ms:
            return
        self._last_ms = at_ms
        issue = self._forecaster.issue(at_ms)
        self._shown = self._drift.judge(issue)
        self._write(issued_of(issue, self._shown, self.stream, self._name, our_ms))

    def _without(self, now_ms: int, why: str) -> tuple[Forecast, ...]:
        rates = {own.target: own.base_rate for own in self._model.targets}
        return tuple(
            Forecast(issue_time(now_ms), target, None, rates.get(target), self._name, why) for target in TARGETS
        )


def unforecast(now_ms: int) -> tuple[Forecast, ...]:
    """Return what is said where there is no model."""
    return tuple(Forecast(issue_time(now_ms), target, None, None, "", NO_MODEL) for target in TARGETS)
