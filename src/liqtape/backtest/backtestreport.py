"""All that a backtest found, as one record: its JSON twin, and what the page is drawn from."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from liqtape import __version__
from liqtape.backtest.detectorexam import DetectorExam, examine_detectors
from liqtape.backtest.detectorrun import Candidate, run_detectors
from liqtape.backtest.examsettings import ExamSettings
from liqtape.backtest.forecastwalk import walk_forecasts
from liqtape.backtest.judgedpast import DAY_MS, JudgedPast
from liqtape.backtest.lookahead import looking_ahead
from liqtape.backtest.plainwindow import PlainWindow
from liqtape.backtest.promises import Promise, promises_of
from liqtape.cascades.choice import DETECTORS
from liqtape.exam.alarmscores import Onset
from liqtape.exam.forecastexam import ForecastRow, examine_forecasts
from liqtape.exam.molchan import thinned

__all__ = ["BacktestReport", "Examined", "backtest", "day_text", "examined_of", "report_bytes"]

_CHECKED = (0.2, 0.6)  # parts of a past after which the future is cut off
_DEFAULT = next(iter(DETECTORS))


class Examined(Struct, frozen=True):
    """What was looked at. `busiest_second` and `busiest_minute` are the most liquidations of one."""

    source: str
    scope: str
    venues: tuple[str, ...]
    events: int
    rejected: Mapping[str, int]
    first_ms: int
    last_ms: int
    watched_days: float
    spans: int
    busiest_second: int
    busiest_minute: int
    labels: str
    cascades: int
    worst_cascades: int


class BacktestReport(Struct, frozen=True):
    """All that was found. `forecasts_note` says why there are no forecasts, where there are none.

    `looks_ahead` names detectors that said something else when the future was cut off; there must be none.
    """

    version: str
    examined: Examined
    settings: ExamSettings
    promises: tuple[Promise, ...]
    looks_ahead: tuple[str, ...]
    detectors: DetectorExam
    forecasts: tuple[ForecastRow, ...]
    forecasts_note: str
    preregistration: str = ""


def backtest(
    past: JudgedPast,
    onsets: Sequence[Onset],
    candidates: Sequence[Candidate],
    settings: ExamSettings,
    examined: Examined,
    advance: Callable[[int], object] = lambda _: None,
) -> BacktestReport:
    """Examine detectors and forecasts. The same past and settings give the same report, byte for byte.

    `advance` hears of each part that is done, of five.
    """
    baselines = [
        Candidate("velocity_60", lambda _: PlainWindow("count")),
        Candidate("usd_60", lambda _: PlainWindow("usd")),
    ]
    everyone = [*candidates, *baselines]
    runs = run_detectors(everyone, past)
    advance(1)
    suspects = looking_ahead(everyone, past, runs, _CHECKED)
    advance(1)
    detectors = examine_detectors(past, onsets, runs[: len(candidates)], runs[len(candidates) :], settings)
    advance(1)
    walk = walk_forecasts(past, settings)
    advance(1)
    forecasts = tuple(row for cases in walk.cases for row in examine_forecasts(cases, walk.baselines))
    advance(1)
    return BacktestReport(
        __version__,
        examined,
        settings,
        promises_of(detectors.rows, _DEFAULT, forecasts, walk),
        tuple(suspects),
        replace(detectors, curves=tuple(replace(one, points=thinned(one.points)) for one in detectors.curves)),
        tuple(replace(row, curve=thinned(row.curve)) for row in forecasts),
        walk.why_not,
    )


def examined_of(past: JudgedPast, source: Path, labels: str, onsets: Sequence[Onset]) -> Examined:
    """Return what there is to be said of a past before it is judged."""
    summary = past.summary()
    rejected = summary["rejected"]
    return Examined(
        source.name,
        past.scope,
        tuple(past.venues),
        len(past),
        rejected if isinstance(rejected, dict) else {},
        past.times_ms[0],
        past.times_ms[-1],
        past.watched_ms / DAY_MS,
        len(past.spans),
        past.busiest(1_000),
        past.busiest(60_000),
        labels,
        len(onsets),
        sum(one.severity >= 3 for one in onsets),
    )


def report_bytes(report: BacktestReport) -> bytes:
    """Return the report as its JSON twin has it; equal reports give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def day_text(day: int) -> str:
    """Return a day since 1970 as a date.

    >>> day_text(18_374)
    '2020-04-22'
    """
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()
