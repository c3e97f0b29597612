"""Whether forecasts still come true: those of the last seven days against what came, and what follows from it."""

from collections import deque
from math import sqrt

from msgspec import Struct
from msgspec.structs import replace

from liqtape.forecast.features import ISSUE_MS
from liqtape.forecast.forecaster import TARGETS, Forecast, Target
from liqtape.forecast.streamforecaster import Issue

__all__ = ["DRIFT_DAYS", "CalibrationDrift", "Truth"]

DRIFT_DAYS = 7
_HOUR_MS = 3_600_000
_HOURS = 24 * DRIFT_DAYS
_ELEVATED = 3.0  # times the base rate: from there on a forecast says something
_WITHDRAW_Z, _WITHDRAW_RATIO = 4.0, 1.5
_RETURN_Z, _RETURN_RATIO = 3.0, 1.25
_LEAST_HOURS = 24
_LEAST_EXPECTED = 30.0  # forecasts overlap: these are some five targets of 60 s


class Truth(Struct, frozen=True):
    """Forecasts of the last days against what came: `expected` of `forecasts` targets, and those `reached`.

    `z` is how many standard errors these are apart, from the hours' own scatter, for targets come in clusters.
    """

    forecasts: int
    expected: float
    reached: int
    z: float

    def is_beyond(self, z: float, ratio: float) -> bool:
        """Return whether they are apart by more than chance, and by more than matters."""
        if max(self.expected, self.reached) < _LEAST_EXPECTED or abs(self.z) <= z:
            return False
        return self.reached > ratio * self.expected or self.expected > ratio * self.reached


class CalibrationDrift:
    """Withdraws the forecast of a target whose probabilities stopped being true, and brings it back when they are.

    Compared are sums of probabilities and targets reached, over seven days, for all forecasts and for those at least
    three times the base rate. A forecast is withdrawn where these are apart by a factor of 1.5 and four standard errors
    of the scatter between hours; it goes on unseen, and is shown again within 1.25 or three. Less than a day is judged
    by nobody.
    """

    def __init__(self) -> None:
        self._records = {target: _TargetRecord(target) for target in TARGETS}

    def judge(self, issue: Issue) -> tuple[Forecast, ...]:
        """Take in an issue and the outcomes it knows; return its forecasts as they may be shown.

        Of several scorers the first one's are judged.
        """
        for target, reached in zip(TARGETS, issue.reached, strict=True):
            self._records[target].settle(issue.at_ms, reached)
        shown: list[Forecast] = []
        judged: set[Target] = set()
        for forecast in issue.forecasts:
            if forecast.target in judged:
                shown.append(forecast)
                continue
            judged.add(forecast.target)
            record = self._records[forecast.target]
            record.hold(forecast)
            shown.append(replace(forecast, probability=None, why=record.why) if record.why else forecast)
        return tuple(shown)

    def truth(self, target: Target) -> Truth:
        """Return how forecasts of a target did in the last seven days."""
        return self._records[target].truth(0)

    def why(self, target: Target) -> str:
        """Return why the forecast of a target is withdrawn, empty where it is not."""
        return self._records[target].why


class _Hour(Struct):
    """Sums over the forecasts of an hour: of all, and of the elevated ones."""

    hour: int
    forecasts: list[int]
    expected: list[float]
    reached: list[int]


class _TargetRecord:
    def __init__(self, target: Target) -> None:
        self.why = ""
        self._target = target
        self._held: deque[tuple[int, float, bool]] = deque(maxlen=1000 * target.seconds // ISSUE_MS)
        self._hours: deque[_Hour] = deque(maxlen=_HOURS)

    def hold(self, forecast: Forecast) -> None:
        """Keep a forecast until its outcome is known."""
        if forecast.probability is not None:
            base_rate = forecast.base_rate or 0.0
            self._held.append((forecast.at_ms, forecast.probability, forecast.probability >= _ELEVATED * base_rate))

    def settle(self, now_ms: int, reached: int) -> None:
        """Judge the forecast whose seconds end now; those that nobody can judge any more are left out."""
        due_ms = now_ms - 1000 * self._target.seconds
        while self._held and self._held[0][0] <= due_ms:
            at_ms, probability, is_elevated = self._held.popleft()
            if at_ms == due_ms:
                self._count(at_ms // _HOUR_MS, probability, int(reached >= self._target.count), is_elevated=is_elevated)

    def truth(self, band: int) -> Truth:
        """Return the sums of all forecasts (band 0) or of those elevated (1)."""
        forecasts = sum(hour.forecasts[band] for hour in self._hours)
        expected = sum(hour.expected[band] for hour in self._hours)
        reached = sum(hour.reached[band] for hour in self._hours)
        scatter = sqrt(sum((hour.reached[band] - hour.expected[band]) ** 2 for hour in self._hours))
        return Truth(forecasts, expected, reached, (reached - expected) / scatter if scatter else 0.0)

    def _count(self, hour: int, probability: float, reached: int, *, is_elevated: bool) -> None:
        if not self._hours or self._hours[-1].hour != hour:
            self._look(hour)
            self._hours.append(_Hour(hour, [0, 0], [0.0, 0.0], [0, 0]))
        sums = self._hours[-1]
        for band in range(1 + is_elevated):
            sums.forecasts[band] += 1
            sums.expected[band] += probability
            sums.reached[band] += reached

    def _look(self, hour: int) -> None:
        """Decide anew, once an hour."""
        while self._hours and self._hours[0].hour <= hour - _HOURS:
            self._hours.popleft()
        if len(self._hours) < _LEAST_HOURS:
            self.why = ""
            return
        z, ratio = (_RETURN_Z, _RETURN_RATIO) if self.why else (_WITHDRAW_Z, _WITHDRAW_RATIO)
        wrong = [truth for truth in (self.truth(0), self.truth(1)) if truth.is_beyond(z, ratio)]
        self.why = _said(wrong[0]) if wrong else ""


def _said(truth: Truth) -> str:
    return (
        f"withdrawn: over the last {DRIFT_DAYS} days {truth.expected:.0f} of {truth.forecasts} forecasts should have "
        f"come true, and {truth.reached} did"
    )
