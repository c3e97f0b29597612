"""The report as a page: one file, no script, nothing fetched."""

from collections.abc import Iterable, Sequence
from html import escape

from liqtape.backtest.backtestreport import BacktestReport, day_text
from liqtape.backtest.detectorexam import DetectorRow
from liqtape.backtest.reportplots import report_plots
from liqtape.backtest.reportwords import paragraphs
from liqtape.exam.forecastexam import ForecastRow, Gain
from liqtape.exam.probabilityscores import ProbabilityScores

__all__ = ["report_html"]

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#111827;background:#fff;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2rem}p.first{font-size:1.1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #e5e7eb;white-space:nowrap}
th:first-child,td:first-child,td.text,th.text{text-align:left}
svg{max-width:46rem;width:100%;height:auto;font:11px system-ui,sans-serif}figure{margin:1.5rem 0}
"""

_DETECTOR_HEADS = (
    "detector",
    "threshold",
    "days",
    "met",
    "share met",
    "of severity 3",
    "episodes",
    "false",
    "false a day",
    "precision",
    "lead s: quarter, middle, three quarters",
    "USD to come",
)
_FORECAST_HEADS = (
    "forecast",
    "moments",
    "came",
    "Brier",
    "Brier skill",
    "log loss",
    "average precision",
    "after quiet: share, precision",
    "N-test: came, expected",
    "days passed",
    "likelihood test",
)
_GAIN_HEADS = ("forecast", "against", "nats a target", "95 % interval", "T-test", "Wilcoxon", "days")


def report_html(report: BacktestReport) -> str:
    """Return the page; equal reports give equal pages."""
    first, *rest = paragraphs(report)
    title = f"Backtest of {report.examined.source}"
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="first">{escape(first)}</p>']
    parts += [f"<p>{escape(text)}</p>" for text in rest]
    parts += ["<h2>Detectors</h2>", _table(_DETECTOR_HEADS, map(_detector_cells, report.detectors.rows))]
    if report.detectors.choices:
        rows = (
            (day_text(one.day), one.detector, f"{one.threshold:.6g}", str(one.met_before), str(one.false_before))
            for one in report.detectors.choices
        )
        parts.append("<h2>What was best before each judged day</h2>")
        parts.append(_table(("day", "detector", "threshold", "met before", "false before"), rows))
    parts += _forecast_parts(report.forecasts)
    parts += [
        f"<figure><h2>{escape(name)}</h2><figcaption>{escape(told)}</figcaption>{svg}</figure>"
        for name, told, svg in report_plots(report)
    ]
    parts.append(f"<p>{escape(_rules(report))}</p>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _forecast_parts(rows: Sequence[ForecastRow]) -> list[str]:
    parts: list[str] = []
    for seconds in dict.fromkeys(row.target.seconds for row in rows):
        chosen = [row for row in rows if row.target.seconds == seconds]
        parts.append(f"<h2>Forecasts of at least {chosen[0].target.count} liquidations in {seconds} s</h2>")
        parts.append(_table(_FORECAST_HEADS, map(_forecast_cells, chosen)))
        gains = [_gain_cells(row, one) for row in chosen for one in row.gains]
        parts.append(_table(_GAIN_HEADS, gains))
        bins = [
            (
                row.forecaster,
                f"{one.from_probability:g} to {one.until_probability:g}",
                f"{one.count:,}",
                f"{one.hits:,}",
                f"{one.mean_probability:.5f}",
                f"{one.share:.5f}",
            )
            for row in chosen
            for one in row.reliability
        ]
        parts.append(
            _table(("forecast", "probability", "forecasts", "came", "mean probability", "share that came"), bins)
        )
    return parts


def _detector_cells(row: DetectorRow) -> tuple[str, ...]:
    low, high = row.recall_interval
    few, many = row.false_interval
    share = "-" if row.recall is None else f"{100 * row.recall:.0f} % ({100 * low:.0f} .. {100 * high:.0f})"
    false = "-" if row.false_a_day is None else f"{row.false_a_day:.2f} ({few:.2f} .. {many:.2f})"
    return (
        row.detector,
        row.threshold,
        f"{row.span}, {row.days:.2f}",
        f"{row.met} of {row.onsets}",
        share,
        f"{row.worst_met} of {row.worst_onsets}",
        f"{row.episodes:,}",
        f"{row.false:,} ({row.repeated:,} repeated)" if row.repeated else f"{row.false:,}",
        false,
        _number(row.precision, ".2f"),
        "-" if row.lead_s is None else ", ".join(f"{part:.0f}" for part in row.lead_s),
        "-" if row.usd_to_come is None else f"{100 * row.usd_to_come:.0f} %",
    )


def _forecast_cells(row: ForecastRow) -> tuple[str, ...]:
    scores, quiet = row.scores, row.after_quiet
    passed = sum(one.is_consistent for one in row.number_of_days)
    return (
        row.forecaster,
        f"{scores.count:,}",
        f"{scores.positives:,} ({_number(scores.base_rate, '.4f')})",
        _number(scores.brier, ".5f"),
        _number(scores.brier_skill, ".4f"),
        _number(scores.log_loss, ".5f"),
        _number(scores.average_precision, ".4f"),
        _quiet(quiet),
        f"{row.number.observed} , {row.number.expected:.1f}: {_verdict(is_passed=row.number.is_consistent)}",
        f"{passed} of {len(row.number_of_days)}",
        "-"
        if row.likelihood.z is None
        else f"z {row.likelihood.z:.1f}: {_verdict(is_passed=bool(row.likelihood.is_consistent))}",
    )


def _gain_cells(row: ForecastRow, one: Gain) -> tuple[str, ...]:
    gain = one.gain
    return (
        row.forecaster,
        one.against,
        _number(gain.gain, ".3f"),
        f"{_number(gain.low, '.3f')} .. {_number(gain.high, '.3f')}",
        _number(gain.t_test, ".3f"),
        _number(gain.wilcoxon, ".3f"),
        str(gain.days),
    )


def _quiet(scores: ProbabilityScores) -> str:
    return f"{_number(scores.base_rate, '.4f')}, {_number(scores.average_precision, '.4f')}"


def _verdict(*, is_passed: bool) -> str:
    return "passed" if is_passed else "failed"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _rules(report: BacktestReport) -> str:
    rule, settings = report.settings.rule, report.settings
    return (
        f"Rules: an alarm meets a cascade from {rule.lead_max_ms // 1_000} s before its begin to "
        f"{rule.late_max_ms // 1_000} s after its end; alarms no more than {rule.refractory_ms // 1_000} s apart are "
        "one episode, which meets one cascade at most, and every other episode is false. Thresholds from earlier days "
        f"are those that met most at no more than {settings.false_a_day:g} false alarms a day; "
        f"{settings.purge_ms // 3_600_000} h before each judged day are left out. Times are those of the events, in "
        f"UTC. liqtape {report.version}."
    )
