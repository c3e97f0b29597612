"""The plots of a report."""

from collections.abc import Sequence
from math import ceil

from liqtape.backtest.backtestreport import BacktestReport
from liqtape.backtest.detectorexam import JUDGED_DAYS, DetectorRow
from liqtape.backtest.svgplot import Axis, Plot
from liqtape.exam.forecastexam import ForecastRow
from liqtape.exam.molchan import MolchanPoint, miss_rate_at

__all__ = ["report_plots"]

_LEAST_SHARE = 1e-4
_SHARES = (1e-4, 1e-3, 0.01, 0.1, 1.0)
_TENTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_LEAD_STEP_S = 10.0
_LEAST_P, _PS = 3e-4, (0.001, 0.01, 0.1, 1.0)


def report_plots(report: BacktestReport) -> list[tuple[str, str, str]]:
    """Return (title, what it shows, SVG) of each plot that has something to show."""
    plots: list[tuple[str, str, str]] = []
    rows = [row for row in report.detectors.rows if row.onsets and row.recall is not None]
    if rows:
        plots.append(_found(rows))
    timed = [row for row in report.detectors.rows if row.leads_s]
    if timed:
        plots.append(_leads(timed))
    if report.detectors.curves:
        told = "A target is a moment (of ten seconds) within a cascade. Below the dashed line is better than chance."
        named = [(curve.name, curve.points) for curve in report.detectors.curves]
        plots.append(("Molchan diagram of the detectors", told, _molchan("Molchan diagram of the detectors", named)))
    for seconds in dict.fromkeys(row.target.seconds for row in report.forecasts):
        plots += _of_target([row for row in report.forecasts if row.target.seconds == seconds])
    return plots


def _of_target(rows: Sequence[ForecastRow]) -> list[tuple[str, str, str]]:
    target = f"{rows[0].target.count} in {rows[0].target.seconds} s"
    title = f"Molchan diagram of the forecasts of {target}"
    told = "Each forecast; a target is a forecast that came true. Below the dashed line is better than chance."
    curves = [(row.forecaster, row.curve) for row in rows if row.curve]
    return [
        *([(title, told, _molchan(title, curves))] if curves else []),
        _reliability(rows, target),
        _gains(rows, target),
    ]


def _found(rows: Sequence[DetectorRow]) -> tuple[str, str, str]:
    title = "Cascades met against false alarms"
    judged = [row for row in rows if row.span == JUDGED_DAYS] or list(rows)
    highest = max(1.0, *(ceil(row.false_a_day or 0.0) for row in judged))
    plot = Plot(Axis("false alarms a watched day", 0.0, highest, _five(highest)), Axis("share met", 0.0, 1.0, _TENTHS))
    for row in judged:
        name = row.detector if row.threshold != "as it comes" else f"{row.detector}, as it comes"
        if row.recall is not None and row.episodes:
            plot.dots(name, [(row.false_a_day or 0.0, row.recall, *row.recall_interval)])
    span = "judged days" if judged[0].span == JUDGED_DAYS else "all days"
    return title, f"Of the {span}, with the 95 % interval of the share.", plot.svg(title)


def _leads(rows: Sequence[DetectorRow]) -> tuple[str, str, str]:
    title = "When alarms came"
    chosen = [rows[0], *rows[-1:]] if len(rows) > 1 else list(rows)
    counted = [(row, _bins(row.leads_s)) for row in chosen]
    highest = 1.0 + max(height for _, bins in counted for _, _, height in bins)
    x = Axis("seconds before the begin; negative: after it", -120.0, 120.0, (-120, -90, -60, -30, 0, 30, 60, 90, 120))
    plot = Plot(x, Axis("cascades", 0.0, highest, _five(highest)))
    for row, bins in counted:
        plot.bars(row.detector, bins)
    return (
        title,
        "The first and the last detector of the table; what is beyond two minutes stands at the ends.",
        plot.svg(title),
    )


def _bins(leads_s: Sequence[float]) -> list[tuple[float, float, float]]:
    counts: dict[float, int] = {}
    for lead in leads_s:
        begin = _LEAD_STEP_S * (min(119.0, max(-120.0, lead)) // _LEAD_STEP_S)
        counts[begin] = counts.get(begin, 0) + 1
    return [(begin, begin + _LEAD_STEP_S, float(count)) for begin, count in sorted(counts.items())]


def _molchan(title: str, curves: Sequence[tuple[str, Sequence[MolchanPoint]]]) -> str:
    plot = Plot(
        Axis("share of time in alarm", _LEAST_SHARE, 1.0, _SHARES, is_log=True), Axis("share missed", 0.0, 1.0, _TENTHS)
    )
    shares = [10 ** (-4 + place / 40) for place in range(161)]
    plot.line("chance", [(share, 1 - share) for share in shares], is_plain=True)
    for name, points in curves:  # between two thresholds the line is straight where the axis is not logarithmic
        missed = [(share, miss_rate_at(points, share)) for share in shares]
        plot.line(name, [(share, one) for share, one in missed if one is not None])
    return plot.svg(title)


def _reliability(rows: Sequence[ForecastRow], target: str) -> tuple[str, str, str]:
    title = f"Reliability of the forecasts of {target}"
    plot = Plot(
        Axis("probability given", _LEAST_P, 1.0, _PS, is_log=True),
        Axis("share that came", _LEAST_P, 1.0, _PS, is_log=True),
    )
    plot.line("true", [(_LEAST_P, _LEAST_P), (1.0, 1.0)], is_plain=True)
    for row in rows:
        points = [(one.mean_probability, one.share, one.low, one.high) for one in row.reliability]
        plot.dots(row.forecaster, [tuple(max(_LEAST_P, part) for part in point) for point in points])  # type: ignore[misc]
    told = "Bins of the probability given; the intervals are too narrow, because horizons overlap."
    return title, told, plot.svg(title)


def _gains(rows: Sequence[ForecastRow], target: str) -> tuple[str, str, str]:
    title = f"Information gained over the baselines, {target}"
    baselines = list(dict.fromkeys(one.against for row in reversed(rows) for one in row.gains))
    points: dict[str, list[tuple[float, float, float, float]]] = {}
    low, high = -1.0, 1.0
    for number, row in enumerate(rows):
        for one in row.gains:
            gain = one.gain
            if gain.gain is not None and gain.low is not None and gain.high is not None:
                x = 1 + baselines.index(one.against) + 0.08 * (number - 2)
                points.setdefault(row.forecaster, []).append((x, gain.gain, gain.low, gain.high))
                low, high = min(low, gain.low), max(high, gain.high)
    end = len(baselines) + 0.5
    plot = Plot(
        Axis("over", 0.5, end, range(1, len(baselines) + 1), names=baselines),
        Axis("nats a target", low, high, _round(low, high)),
    )
    plot.line("no gain", [(0.5, 0.0), (end, 0.0)], is_plain=True)
    for name, dots in points.items():
        plot.dots(name, dots)
    return title, "With the 95 % interval over days.", plot.svg(title)


def _five(highest: float) -> list[float]:
    step = max(1.0, ceil(highest / 6))
    return [step * place for place in range(int(highest / step) + 1)]


def _round(low: float, high: float) -> list[float]:
    step = max(1.0, ceil((high - low) / 8))
    return [step * place for place in range(ceil(low / step), int(high // step) + 1)]
