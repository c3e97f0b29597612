"""Detectors over a past whose cascades are known, and the ways in which a result could be too good."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.backtest.pasts import DAY_MS, cascade_times, past_of

from liqtape.backtest.backtestreport import BacktestReport, backtest, examined_of, report_bytes
from liqtape.backtest.candidates import candidates_of
from liqtape.backtest.detectorexam import BEST, AlarmCurve, DetectorRow
from liqtape.backtest.detectorrun import Candidate, run_detectors
from liqtape.backtest.examsettings import ExamSettings
from liqtape.backtest.htmlreport import report_html
from liqtape.backtest.judgedpast import JudgedPast
from liqtape.backtest.labelfile import computed_onsets
from liqtape.backtest.lookahead import looking_ahead
from liqtape.backtest.plainwindow import PlainWindow
from liqtape.cascades.detector import DetectorStanding
from liqtape.exam.alarmscores import Onset

_SETTINGS = ExamSettings(least_days=0.9)
_NAMES = ("return_periods", "cusum:usd")


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> JudgedPast:
    return past_of(tmp_path_factory.mktemp("past"), 3)


@pytest.fixture(scope="module")
def report(past: JudgedPast) -> BacktestReport:
    return _report(past, computed_onsets(past, _SETTINGS))


def _report(past: JudgedPast, onsets: Sequence[Onset]) -> BacktestReport:
    examined = examined_of(past, Path("events.csv"), "found", onsets)
    return backtest(past, onsets, candidates_of(_NAMES), _SETTINGS, examined)


def _row(report: BacktestReport, name: str, span: str = "judged days") -> DetectorRow:
    found = [row for row in report.detectors.rows if (row.detector, row.span) == (name, span)]
    return found[-1]


def test_the_label_rule_finds_the_cascades(past: JudgedPast) -> None:
    onsets = computed_onsets(past, _SETTINGS)

    assert len(onsets) == len(cascade_times(3))
    for one, at_ms in zip(onsets, cascade_times(3), strict=True):
        assert at_ms - 60_000 <= one.start_ms <= at_ms
        assert at_ms + 78_000 <= one.end_ms <= at_ms + 140_000


def test_what_has_a_threshold_from_earlier_days_finds_them(report: BacktestReport) -> None:
    for name in ("return_periods", "cusum:usd", "usd_60", BEST):
        row = _row(report, name)

        assert (row.recall or 0) >= 0.6
        assert (row.false_a_day or 0) <= 3
        assert row.lead_s is not None
        assert -90 <= row.lead_s[1] <= 0  # not before there is something to see
        assert 0 < (row.usd_to_come or 0) < 1


def test_baselines_stand_beside_them(report: BacktestReport) -> None:
    always, never = _row(report, "always", "all days"), _row(report, "never", "all days")

    assert (always.met, always.episodes) == (0, 1)  # in alarm once and for all is one alarm
    assert (never.met, never.episodes, never.recall) == (0, 0, 0.0)
    assert {row.detector for row in report.detectors.rows} >= {"velocity_60", "usd_60"}


def test_the_first_judged_day_has_enough_before_it_and_thresholds_are_of_earlier_days(
    past: JudgedPast, report: BacktestReport
) -> None:
    first = report.detectors.first_judged_day

    assert first is not None
    assert past.watched_within(0, first * DAY_MS) >= 0.9 * DAY_MS
    assert [one.day for one in report.detectors.choices] == [
        first + place for place in range(report.detectors.judged_days)
    ]
    assert report.detectors.choices[0].met_before <= 3 * (first - past.times_ms[0] // DAY_MS)


def test_thresholds_do_not_change_with_what_comes_later(past: JudgedPast, report: BacktestReport) -> None:
    first = report.detectors.choices[0]
    cut = past.until((first.day + 1) * DAY_MS)

    again = _report(cut, [one for one in computed_onsets(past, _SETTINGS) if one.start_ms < first.day * DAY_MS])

    assert again.detectors.choices[0] == first


def test_shuffled_labels_show_no_skill(past: JudgedPast, report: BacktestReport) -> None:
    draw = random.Random(3)
    starts = sorted(draw.sample(range(past.times_ms[0], past.times_ms[-1], 600_000), len(cascade_times(3))))
    onsets = [Onset(at_ms, at_ms + 80_000) for at_ms in starts]

    shuffled = _report(past, onsets)

    assert _row(report, "return_periods", "all days").met >= 6
    assert _row(shuffled, "return_periods", "all days").met <= 1
    for true, random_ in zip(report.detectors.curves, shuffled.detectors.curves, strict=True):
        assert _caught(true) >= 0.6
        assert _caught(random_) <= 0.3


def _caught(curve: AlarmCurve) -> float:
    """The share of the moments in cascades that is found with a twentieth of the time in alarm."""
    return 1 - min(point.missed for point in curve.points if point.in_alarm <= 0.05)


class _Peeking(PlainWindow):
    """The number of events in 60 s, one of which is the next one."""

    def __init__(self, past: JudgedPast) -> None:
        super().__init__("count")
        self._times_ms = past.times_ms
        self._place = 0

    def at(self, now_ms: int) -> DetectorStanding:
        while self._place < len(self._times_ms) and self._times_ms[self._place] <= now_ms:
            self._place += 1
        own = super().at(now_ms).score or 0.0
        is_near = self._place < len(self._times_ms) and self._times_ms[self._place] <= now_ms + 60_000
        return DetectorStanding(is_raised=False, score=own + is_near, threshold=None)


def test_a_feature_that_looks_ahead_by_one_event_is_caught(past: JudgedPast) -> None:
    candidates = [*candidates_of(["return_periods"]), Candidate("peeking", _Peeking)]

    assert looking_ahead(candidates, past, run_detectors(candidates, past), (0.3, 0.6)) == ["peeking"]


def test_no_detector_looks_ahead(tmp_path: Path) -> None:
    past = past_of(tmp_path, 1)
    past = past.until(past.times_ms[len(past) // 2])
    candidates = candidates_of(())

    assert looking_ahead(candidates, past, run_detectors(candidates, past), (0.5,)) == []


def test_the_same_past_gives_the_same_report_byte_for_byte(past: JudgedPast, report: BacktestReport) -> None:
    again = _report(past, computed_onsets(past, _SETTINGS))

    assert report_bytes(again) == report_bytes(report)
    assert report_html(again) == report_html(report)


def test_the_page_has_no_script_and_fetches_nothing(report: BacktestReport) -> None:
    page = report_html(report)

    assert "<script" not in page
    assert "http" not in page
    assert page.count("<svg") == 3
    assert "Not reached" in page or "Reached" in page
    assert "No forecast was judged" in page
