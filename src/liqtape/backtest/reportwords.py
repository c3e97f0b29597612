"""What a backtest found, in plain words: what was reached first, and what not before it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from liqtape.backtest.backtestreport import BacktestReport
from liqtape.backtest.detectorexam import ALL_DAYS, DetectorRow
from liqtape.backtest.promises import Promise
from liqtape.cascades.choice import DETECTORS
from liqtape.venues import VENUES

__all__ = ["paragraphs", "table_lines", "what_was_reached"]

_DEFAULT = next(iter(DETECTORS))


def what_was_reached(promises: Sequence[Promise]) -> str:
    """Return the first paragraph.

    >>> what_was_reached([Promise("skill", "above 0", "was 1", True), Promise("all", "65 %", "met 60 %", False)])
    'Not reached: All met 60 % (promised: 65 %). Reached: Skill was 1 (promised: above 0).'
    """
    sentences: list[str] = []
    for words, is_reached in (("Not reached", False), ("Reached", True)):
        told = [one for one in promises if one.is_reached is is_reached]
        parts = [f"{_capital(one.what)} {one.measured} (promised: {one.wanted})." for one in told]
        if parts:
            sentences.append(f"{words}: {' '.join(parts)}")
    if unknown := [one.what for one in promises if one.is_reached is None]:
        sentences.append(f"Could not be judged here: {', '.join(unknown)}.")
    return " ".join(sentences)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def paragraphs(report: BacktestReport) -> list[str]:
    """Return the text of the report, a paragraph each."""
    return [
        what_was_reached(report.promises),
        *([_suspicion(report)] if report.looks_ahead else []),
        _lag(report),
        *([_skill(report)] if report.forecasts else [f"No forecast was judged: {report.forecasts_note}."]),
        _hidden(report),
        _examined(report),
    ]


def table_lines(report: BacktestReport) -> list[str]:
    """Return what a terminal shows: the paragraphs, and a line for each detector and each forecast."""
    lines = [what_was_reached(report.promises), ""]
    lines.append(
        f"{'detector':<27} {'threshold':<18} {'days':<12} {'met':>9} {'false a day':>12} {'lead, s':>8} "
        f"{'USD to come':>12}"
    )
    for row in report.detectors.rows:
        lead = "-" if row.lead_s is None else f"{row.lead_s[1]:.0f}"
        usd = "-" if row.usd_to_come is None else f"{100 * row.usd_to_come:.0f} %"
        false = "-" if row.false_a_day is None else f"{row.false_a_day:.2f}"
        lines.append(
            f"{row.detector:<27} {row.threshold:<18} {row.span:<12} {f'{row.met}/{row.onsets}':>9} {false:>12} "
            f"{lead:>8} {usd:>12}"
        )
    if report.forecasts:
        lines += [
            "",
            f"{'forecast':<14} {'target':<12} {'came':>10} {'Brier skill':>12} {'precision':>10} {'N-test':>7}",
        ]
    for one in report.forecasts:
        skill, precision = one.scores.brier_skill, one.scores.average_precision
        lines.append(
            f"{one.forecaster:<14} {f'{one.target.count} in {one.target.seconds} s':<12} "
            f"{f'{one.scores.positives:,}':>10} {'-' if skill is None else f'{skill:.4f}':>12} "
            f"{'-' if precision is None else f'{precision:.4f}':>10} "
            f"{'passed' if one.number.is_consistent else 'failed':>7}"
        )
    if report.forecasts_note:
        lines += ["", report.forecasts_note]
    return lines


def _suspicion(report: BacktestReport) -> str:
    return (
        "These detectors said something else when the future was cut off. They know what they cannot know, and their "
        f"figures mean nothing: {', '.join(report.looks_ahead)}."
    )


def _lag(report: BacktestReport) -> str:
    row = next((one for one in report.detectors.rows if (one.detector, one.span) == (_DEFAULT, ALL_DAYS)), None)
    if row is None or row.lead_s is None or row.usd_to_come is None:
        return "Detection could not be timed: the default detector met no cascade."
    return (
        f"Detection lags the onset; it does not foretell it. {_timing(row)} The begin of a cascade is known only "
        "afterwards, from labels that look at the whole file; a detector has to see some of it first."
    )


def _timing(row: DetectorRow) -> str:
    low, middle, high = row.lead_s or (0.0, 0.0, 0.0)
    return (
        f"The default detector spoke {_when(middle)} (the middle half of the cases: {_when(low)} to {_when(high)}), "
        f"with {100 * (row.usd_to_come or 0):.0f} % of the USD of the cascade still to come."
    )


def _when(lead_s: float) -> str:
    return f"{-lead_s:.0f} s after the begin" if lead_s <= 0 else f"{lead_s:.0f} s before the begin"


def _skill(report: BacktestReport) -> str:
    best = max(report.forecasts, key=lambda row: row.scores.average_precision or 0.0)
    target = f"{best.target.count} liquidations in {best.target.seconds} s"
    base, precision = best.scores.base_rate or 0.0, best.scores.average_precision or 0.0
    return (
        f"The skill of forecasts is small. The best average precision is that of {best.forecaster} for {target}: "
        f"{precision:.3f}, where {100 * base:.2f} % of the moments are followed by so many. Of a hundred warnings "
        "nearly all are followed by nothing. That nothing is forecast does not mean that it is safe."
    )


def _hidden(report: BacktestReport) -> str:
    examined = report.examined
    seen = (
        f"Here the busiest second has {examined.busiest_second:,} and the busiest minute {examined.busiest_minute:,}."
    )
    throttled = [name for name in examined.venues if name in VENUES and VENUES[name].slot_seconds]
    named = f" Of the venues of this past {', '.join(throttled)} do so." if throttled else ""
    return (
        "A venue that tells of one liquidation a second, or of fewer, hides the rate exactly in a cascade: more than "
        f"that no detector and no forecast can see.{named} {seen}"
    )


def _examined(report: BacktestReport) -> str:
    one = report.examined
    judged = (
        f"{report.detectors.judged_days} days are judged with thresholds from earlier days."
        if report.detectors.judged_days
        else "There are too few days to take thresholds from earlier ones."
    )
    promised = (
        f" What was promised beforehand has the digest {report.preregistration}." if report.preregistration else ""
    )
    return (
        f"Examined: {one.events:,} liquidations of {one.scope} ({', '.join(one.venues)}), {_date(one.first_ms)} to "
        f"{_date(one.last_ms)}, {one.watched_days:.2f} watched days in {one.spans} spans. Cascades: {one.cascades} of "
        f"severity {report.settings.least_severity} or more, {one.worst_cascades} of severity 3, {one.labels}. {judged}"
        f"{promised}"
    )


def _date(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
