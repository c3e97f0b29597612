"""Thresholds from earlier days alone: walk forward by whole days, and for each take what was best before it."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import inf

from msgspec import Struct

from liqtape.backtest.detectorrun import DetectorRun
from liqtape.backtest.examsettings import ExamSettings
from liqtape.backtest.judgedpast import DAY_MS, JudgedPast
from liqtape.exam.alarmscores import Onset, score_alarms
from liqtape.exam.markedstream import quantile

__all__ = ["Choice", "ThresholdHistory", "Tuned", "judged_days", "tuned", "tuned_best"]

_SHARES = (0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0)
_BEYOND = (1.25, 1.6, 2.0, 3.0, 5.0, 10.0)  # of the highest score of the first days


class Choice(Struct, frozen=True):
    """What was chosen for a day, and how it had done on the days before."""

    day: int
    detector: str
    threshold: float
    met_before: int
    false_before: int


class Tuned(Struct, frozen=True):
    """The alarms of the judged days, with the threshold of each."""

    alarms_ms: tuple[int, ...]
    choices: tuple[Choice, ...]


class _Tally(Struct, frozen=True):
    """What one threshold does: when it met a cascade, and when it was false."""

    threshold: float
    met_ms: tuple[int, ...]
    false_ms: tuple[int, ...]


def judged_days(past: JudgedPast, settings: ExamSettings) -> list[int]:
    """Return the watched days that have enough watched time before them to learn from."""
    first_ms = past.times_ms[0]
    least_ms = settings.least_days * DAY_MS
    return [day for day in past.days() if past.watched_within(first_ms, day * DAY_MS) >= least_ms]


class ThresholdHistory:
    """What each of a detector's thresholds did over time. The thresholds come from before `first_day` alone."""

    def __init__(
        self, run: DetectorRun, past: JudgedPast, onsets: Sequence[Onset], first_day: int, settings: ExamSettings
    ) -> None:
        self.run = run
        self._past, self._settings = past, settings
        self._tallies: list[_Tally] = []
        alarms = [
            (at_ms, score) for at_ms, score in zip(run.times_ms, run.scores, strict=True) if past.is_watched(at_ms)
        ]
        for threshold in _grid(run, first_day):
            alarms = [alarm for alarm in alarms if alarm[1] >= threshold]
            self._tallies.append(_tally(threshold, [at_ms for at_ms, _ in alarms], onsets, settings))

    def choice(self, day: int) -> Choice:
        """Return the threshold that met most before a day at no more than the false alarms allowed.

        Of equals the one with the fewest false ones, then the highest; where none is allowed, the highest.
        """
        cut_ms = day * DAY_MS - self._settings.purge_ms
        days = self._past.watched_within(self._past.times_ms[0], cut_ms) / DAY_MS
        best: Choice | None = None
        for tally in self._tallies:
            met, false = bisect_left(tally.met_ms, cut_ms), bisect_left(tally.false_ms, cut_ms)
            if false > self._settings.false_a_day * days:
                continue
            if best is None or (met, -false) >= (best.met_before, -best.false_before):
                best = Choice(day, self.run.name, tally.threshold, met, false)
        return best or Choice(day, self.run.name, self._tallies[-1].threshold if self._tallies else inf, 0, 0)

    def alarms(self, choice: Choice) -> list[int]:
        """Return the alarms of the day of a choice."""
        times_ms, scores = self.run.times_ms, self.run.scores
        first = bisect_left(times_ms, choice.day * DAY_MS)
        last = bisect_right(times_ms, (choice.day + 1) * DAY_MS - 1)
        return [
            times_ms[place]
            for place in range(first, last)
            if scores[place] >= choice.threshold and self._past.is_watched(times_ms[place])
        ]


def tuned(history: ThresholdHistory, days: Sequence[int]) -> Tuned:
    """Return the alarms of one detector on those days, each with its threshold."""
    return tuned_best([history], days)


def tuned_best(histories: Sequence[ThresholdHistory], days: Sequence[int]) -> Tuned:
    """Return the alarms of whichever detector had done best before each day; of equals the first."""
    alarms: list[int] = []
    choices: list[Choice] = []
    for day in days:
        offered = [(history.choice(day), history) for history in histories]
        choice, history = max(offered, key=lambda pair: (pair[0].met_before, -pair[0].false_before))
        choices.append(choice)
        alarms += history.alarms(choice)
    return Tuned(tuple(alarms), tuple(choices))


def _grid(run: DetectorRun, first_day: int) -> list[float]:
    """Thresholds to choose from, rising: quantiles of the scores before the first judged day, and some beyond."""
    until = bisect_left(run.times_ms, first_day * DAY_MS)
    scores = [score for score in run.scores[:until] if score == score and score > 0]  # noqa: PLR0124 - NaN is none
    if not scores:
        return []
    highest = max(scores)
    return sorted({*(quantile(scores, share) for share in _SHARES), *(times * highest for times in _BEYOND)})


def _tally(threshold: float, alarms_ms: Sequence[int], onsets: Sequence[Onset], settings: ExamSettings) -> _Tally:
    found = score_alarms(onsets, alarms_ms, 1.0, settings.rule)
    met = [one.start_ms for one, lead in zip(onsets, found.leads_ms, strict=True) if lead is not None]
    return _Tally(threshold, tuple(met), found.false_ms)
