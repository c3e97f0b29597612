"""How long a backtest takes: a file of thirty days, ten million events, and an event of it beside one `engine.add`.

Liquidations come in clusters, as `simulation` of metrics.md 10 says: calm ones, and bursts a few times a day.
"""

import random
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Case, Figure, Scale, cpu_rounds, figure, ratio
from liqtape.backtest.backtestreport import backtest, examined_of
from liqtape.backtest.candidates import candidates_of
from liqtape.backtest.detectorrun import run_detectors
from liqtape.backtest.examsettings import ExamSettings
from liqtape.backtest.judgedpast import DAY_MS, JudgedPast
from liqtape.backtest.labelfile import computed_onsets
from liqtape.backtest.pastsources import SourceRead
from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.eventfiles.eventtable import EventRow, EventTable

__all__ = ["run"]

_BEGIN_MS = 1_600_000_000_000
_SYMBOL = "BTCUSDT"
_SETTINGS = ExamSettings()
_DEFAULT = ("return_periods",)


def _times(count: int, days: float) -> Iterator[int]:
    """Half of the events calm, half in bursts of a hundred within a minute."""
    draw = random.Random(8)
    width = days * DAY_MS
    at_ms = [int(draw.random() * width) for _ in range(count // 2)]
    for _ in range(count // 200):
        begin = draw.random() * width
        at_ms += [int(begin + draw.expovariate(1 / 20_000)) for _ in range(100)]
    return iter(sorted(at_ms))


def _past(count: int, days: float) -> JudgedPast:
    draw = random.Random(9)
    table = EventTable()
    for at_ms in _times(count, days):
        usd = round(draw.lognormvariate(7.5, 1.75), 2)
        side = "long" if draw.random() < 0.6 else "short"
        table.take(EventRow(_BEGIN_MS + at_ms, "binance", _SYMBOL, _SYMBOL, side, 50_000.0, usd / 50_000, usd))
    spans = [(table.times_ms[0], table.times_ms[-1])]
    source = SourceRead(table, spans)
    return JudgedPast(source, array("q", table.in_order()), StreamKey(None, _SYMBOL), spans)


def _judge(past: JudgedPast, names: tuple[str, ...]) -> float:
    """The CPU seconds of a whole backtest, labels included."""
    began = time.process_time()
    onsets = computed_onsets(past, _SETTINGS)
    backtest(past, onsets, candidates_of(names), _SETTINGS, examined_of(past, Path("made"), "found", onsets))
    return time.process_time() - began


def _add_all(past: JudgedPast) -> None:
    engine = VelocityEngine()
    for event in past:
        engine.add(event)


def run(scale: Scale) -> list[Figure]:
    """The figures; the large file is made smaller by the scale."""
    small = _past(max(2_000, scale.size(20_000)), 0.5)
    spent = cpu_rounds(
        {
            "add": Case(_add_all, lambda: small, len(small)),
            "default": Case(lambda past: run_detectors(candidates_of(_DEFAULT), past), lambda: small, len(small)),
            "all": Case(lambda past: run_detectors(candidates_of(()), past), lambda: small, len(small)),
        },
        min(3, scale.rounds),
    )
    made = f"{len(small):,} events of one instrument, a detector asked for its score after each; CPU"
    month = _past(scale.size(6_000), max(1.0, 30.0 * scale.events))
    large = _past(scale.size(10_000_000), max(1.0, 30.0 * scale.events))
    return [
        figure("an event of a backtest, default detector", ratio(spent["default"], spent["add"]), "x add", made),
        figure("an event of a backtest, all detectors", ratio(spent["all"], spent["add"]), "x add", made),
        figure(
            "thirty days, all detectors, forecasts walked forward",
            [_judge(month, ())],
            "s",
            f"{len(month):,} events; labelled and judged; CPU",
            at_most=60.0,
        ),
        figure(
            "a large file, default detector",
            [_judge(large, _DEFAULT)],
            "s",
            f"{len(large):,} events of thirty days; labelled and judged, not read; forecasts walked forward; CPU",
            at_most=600.0,
        ),
    ]
