"""The report of the exam that is in the repository: page, twin and text agree, and it names what had been promised."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from liqtape.backtest.backtestreport import BacktestReport, report_bytes
from liqtape.backtest.candidates import candidates_of
from liqtape.backtest.detectorexam import ALL_DAYS, JUDGED_DAYS, examine_detectors
from liqtape.backtest.detectorrun import run_detectors
from liqtape.backtest.examsettings import ExamSettings
from liqtape.backtest.htmlreport import report_html
from liqtape.backtest.judgedpast import load_past
from liqtape.backtest.labelfile import labelled_onsets
from liqtape.backtest.reportwords import paragraphs

_ROOT = Path(__file__).parents[2]
_REPORT = _ROOT / "docs" / "reports" / "bitmex-2020.md"
_STEM = "bitmex_xbtusd_20200416_20200508"


@pytest.fixture(scope="module")
def report() -> BacktestReport:
    return msgspec.json.decode(_REPORT.with_suffix(".json").read_bytes(), type=BacktestReport)


def test_page_text_and_twin_are_of_one_run(report: BacktestReport) -> None:
    assert report_bytes(report) == _REPORT.with_suffix(".json").read_bytes()
    assert report_html(report) == _REPORT.with_suffix(".html").read_text("utf-8")
    text = " ".join(_REPORT.read_text("utf-8").split())
    assert all(" ".join(one.split()) in text for one in paragraphs(report))


def test_what_was_promised_is_as_it_was_then(report: BacktestReport) -> None:
    page = _ROOT / "docs" / "explanation" / "preregistration.md"

    assert report.preregistration == hashlib.sha256(page.read_bytes()).hexdigest()
    assert _without_challenger(report.settings) == ExamSettings()
    assert len(report.promises) == 6
    assert report.looks_ahead == ()


def _without_challenger(settings: ExamSettings) -> ExamSettings:
    return msgspec.structs.replace(settings, with_challenger=False)


def test_the_readme_has_its_figures(report: BacktestReport) -> None:
    readme = " ".join((_ROOT / "README.md").read_text("utf-8").split())
    default, best = (one.measured.partition(" (")[0].removeprefix("met ") for one in report.promises[:2])

    assert f"met {default} with 0.77 false alarms a day" in readme
    assert f"met {best.removesuffix(' cascades')} with 2.89" in readme


def test_the_default_detector_still_does_what_the_report_says(
    report: BacktestReport, history_file: Callable[[str], Path]
) -> None:
    past = load_past(history_file(f"{_STEM}.parquet"), history_file(f"coverage_{_STEM}.csv"))
    onsets = labelled_onsets(history_file(f"{_STEM}.labels.csv"), past, report.settings)

    found = examine_detectors(past, onsets, run_detectors(candidates_of(["return_periods"]), past), [], report.settings)

    for span, threshold in (
        (ALL_DAYS, "as it comes"),
        (JUDGED_DAYS, "as it comes"),
        (JUDGED_DAYS, "from earlier days"),
    ):
        names = ("return_periods", threshold, span)
        own = [row for row in found.rows if (row.detector, row.threshold, row.span) == names]
        told = [row for row in report.detectors.rows if (row.detector, row.threshold, row.span) == names]
        assert len(own) == 1
        assert own == told
