"""The command `backtest`: detectors and forecasts over past data, beside their baselines."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liqtape.cli.ending import progress
from liqtape.cli.options import AsJson
from liqtape.errors import ConfigurationError

if TYPE_CHECKING:  # commands import what they need, so that none waits for what another needs
    from liqtape.backtest.backtestreport import BacktestReport

__all__ = ["backtest"]

_PARTS = 5


def backtest(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A recording; the directory of a history; an event file or a directory of them."
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="F.csv", help="The cascades: columns start_ms, end_ms. [default: found by the label rule]"
        ),
    ] = None,
    coverage: Annotated[
        Path | None,
        typer.Option(metavar="F.csv", help="When feeds were up: columns start_ms, end_ms. Event files only."),
    ] = None,
    symbol: Annotated[
        str | None, typer.Option(metavar="SYMBOL", help="One instrument. [default: all together]")
    ] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="As in the settings; NAME:usd by USD. May be given again. [default: all]"),
    ] = None,
    challenger: Annotated[
        bool, typer.Option("--challenger", help="Judge gradient boosting beside the forecasts: twice the time.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="F.html", help="A page there, and its JSON twin beside it.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Judge detectors and forecasts by past data; the same input gives the same report, byte for byte."""
    from liqtape.backtest.backtestreport import backtest as judged
    from liqtape.backtest.backtestreport import examined_of, report_bytes
    from liqtape.backtest.candidates import candidates_of
    from liqtape.backtest.examsettings import ExamSettings
    from liqtape.backtest.judgedpast import load_past
    from liqtape.backtest.labelfile import computed_onsets, labelled_onsets
    from liqtape.backtest.reportwords import table_lines

    if report is not None and report.suffix.lower() not in {".html", ".htm"}:
        raise ConfigurationError(f"--report {report}: the name of a page ends in .html; its JSON twin stands beside it")
    candidates = candidates_of(detector or ())
    settings = ExamSettings(with_challenger=challenger)
    past = load_past(path, coverage, symbol)
    if labels is None:
        onsets, told = computed_onsets(past, settings), "found by the label rule"
    else:
        onsets, told = labelled_onsets(labels, past, settings), f"as labelled in {labels.name}"
    with progress(_PARTS) as advance:
        found = judged(past, onsets, candidates, settings, examined_of(past, path, told, onsets), advance)
    if report is not None:
        _write(found, report)
    if as_json:
        sys.stdout.buffer.write(report_bytes(found))
    else:
        print("\n".join(table_lines(found)))
    return 0


def _write(found: "BacktestReport", report: Path) -> None:
    from liqtape.backtest.backtestreport import report_bytes
    from liqtape.backtest.htmlreport import report_html

    report.write_text(report_html(found), encoding="utf-8")
    report.with_suffix(".json").write_bytes(report_bytes(found))
