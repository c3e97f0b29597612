"""What detectors found, each as it comes and with thresholds from earlier days, beside the plain baselines."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import inf, isnan
from statistics import median, quantiles

from msgspec import Struct

from liqtape.backtest.detectorrun import DetectorRun
from liqtape.backtest.examsettings import MOMENT_MS, ExamSettings
from liqtape.backtest.judgedpast import DAY_MS, JudgedPast
from liqtape.backtest.thresholdtuning import Choice, ThresholdHistory, Tuned, judged_days, tuned, tuned_best
from liqtape.exam.alarmscores import AlarmScores, Onset, score_alarms
from liqtape.exam.distributions import poisson_interval, wilson_interval
from liqtape.exam.molchan import MolchanPoint, molchan

__all__ = ["ALL_DAYS", "BEST", "JUDGED_DAYS", "AlarmCurve", "DetectorExam", "DetectorRow", "examine_detectors"]

ALL_DAYS, JUDGED_DAYS = "all days", "judged days"
BEST = "best by earlier days"
_WORST = 3


class DetectorRow(Struct, frozen=True):
    """One detector, with one way to its threshold, over some days.

    `leads_s` are onset - alarm in seconds, negative where it came late, `lead_s` their quartiles; `usd_to_come` is the
    median share of a cascade's USD that came after the alarm. Intervals are of 95 %.
    """

    detector: str
    threshold: str
    span: str
    days: float
    onsets: int
    met: int
    recall: float | None
    recall_interval: tuple[float, float]
    worst_onsets: int
    worst_met: int
    episodes: int
    false: int
    repeated: int
    false_a_day: float | None
    false_interval: tuple[float, float]
    precision: float | None
    lead_s: tuple[float, float, float] | None
    leads_s: tuple[float, ...]
    usd_to_come: float | None


class AlarmCurve(Struct, frozen=True):
    """The Molchan diagram of a score. The targets are the moments that lie in a cascade."""

    name: str
    points: tuple[MolchanPoint, ...]


class DetectorExam(Struct, frozen=True):
    """All of it: `choices` are the thresholds of each judged day."""

    rows: tuple[DetectorRow, ...]
    curves: tuple[AlarmCurve, ...]
    choices: tuple[Choice, ...]
    first_judged_day: int | None
    judged_days: int
    moments: int
    moments_in_cascades: int


class _Judge:
    """Scores alarms within a time."""

    def __init__(self, past: JudgedPast, onsets: Sequence[Onset], settings: ExamSettings) -> None:
        self._past, self._settings = past, settings
        self._onsets = [one for one in onsets if past.is_watched(one.start_ms)]
        marked = past.marked()
        self._times_ms, self._sums = marked.times_ms, marked.sums

    def row(self, name: str, threshold: str, alarms_ms: Sequence[int], from_ms: int | None = None) -> DetectorRow:
        """Return how alarms did, in all or from a moment on."""
        past = self._past
        since_ms = past.times_ms[0] if from_ms is None else from_ms
        onsets = [one for one in self._onsets if one.start_ms >= since_ms]
        alarms = [at_ms for at_ms in alarms_ms if at_ms >= since_ms and past.is_watched(at_ms)]
        days = past.watched_within(since_ms, past.end_ms) / DAY_MS
        found = score_alarms(onsets, alarms, days, self._settings.rule)
        worst = [lead is not None for one, lead in zip(onsets, found.leads_ms, strict=True) if one.severity >= _WORST]
        leads_s = tuple(lead / 1_000 for lead in found.leads_ms if lead is not None)
        low, high = poisson_interval(found.false)
        return DetectorRow(
            name,
            threshold,
            ALL_DAYS if from_ms is None else JUDGED_DAYS,
            days,
            len(onsets),
            found.met,
            found.recall,
            wilson_interval(found.met, len(onsets)),
            len(worst),
            sum(worst),
            len(found.episodes_ms),
            found.false,
            found.repeated,
            found.false_a_day,
            (low / days, high / days) if days else (0.0, 0.0),
            found.precision,
            _quartiles(leads_s),
            leads_s,
            self._usd_to_come(onsets, found),
        )

    def _usd_to_come(self, onsets: Sequence[Onset], found: AlarmScores) -> float | None:
        shares: list[float] = []
        for one, lead in zip(onsets, found.leads_ms, strict=True):
            first, last = bisect_left(self._times_ms, one.start_ms), bisect_right(self._times_ms, one.end_ms)
            whole = self._sums[last] - self._sums[first]
            if lead is not None and whole > 0:
                after = max(first, min(last, bisect_right(self._times_ms, one.start_ms - lead)))
                shares.append((self._sums[last] - self._sums[after]) / whole if lead <= 0 else 1.0)
        return median(shares) if shares else None


def examine_detectors(
    past: JudgedPast,
    onsets: Sequence[Onset],
    runs: Sequence[DetectorRun],
    baselines: Sequence[DetectorRun],
    settings: ExamSettings,
) -> DetectorExam:
    """Return how the detectors did. `baselines` have a score and no threshold of their own."""
    judge = _Judge(past, onsets, settings)
    rows = [judge.row(run.name, "as it comes", [one.at_ms for one in run.signals]) for run in runs]
    rows += [judge.row("always", "-", [begin for begin, _ in past.spans]), judge.row("never", "-", [])]
    days = judged_days(past, settings)
    curves: list[AlarmCurve] = []
    best = Tuned((), ())
    in_cascade: list[bool] = []
    if days and len(past):
        from_ms = days[0] * DAY_MS
        histories = [ThresholdHistory(run, past, onsets, days[0], settings) for run in (*runs, *baselines)]
        rows += [judge.row(run.name, "as it comes", [one.at_ms for one in run.signals], from_ms) for run in runs]
        rows += [
            judge.row(history.run.name, "from earlier days", tuned(history, days).alarms_ms, from_ms)
            for history in histories
        ]
        best = tuned_best(histories[: len(runs)], days) if runs else best
        if runs:
            rows.append(judge.row(BEST, "from earlier days", best.alarms_ms, from_ms))
        in_cascade = _in_cascades([at_ms for at_ms in past.moments(MOMENT_MS) if at_ms >= from_ms], onsets)
        curves = [
            AlarmCurve(run.name, molchan(_known(run.moment_scores[-len(in_cascade) :]), in_cascade))
            for run in (*runs, *baselines)
            if in_cascade
        ]
    return DetectorExam(
        tuple(rows), tuple(curves), best.choices, days[0] if days else None, len(days), len(in_cascade), sum(in_cascade)
    )


def _in_cascades(moments_ms: Sequence[int], onsets: Sequence[Onset]) -> list[bool]:
    found: list[bool] = []
    for at_ms in moments_ms:
        place = bisect_right(onsets, at_ms, key=lambda one: one.start_ms)
        found.append(place > 0 and at_ms <= onsets[place - 1].end_ms)
    return found


def _known(scores: Sequence[float]) -> list[float]:
    """The scores, the lowest there is where a detector could not say anything yet."""
    return [-inf if isnan(score) else score for score in scores]


def _quartiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    if len(values) < 2:
        return (values[0], values[0], values[0]) if values else None
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return low, middle, high
