"""A log of forecasts judged: what was written before its outcome, against what came."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from liqtape.exam.forecastexam import ForecastCases, ForecastRow, examine_forecasts
from liqtape.exam.molchan import thinned
from liqtape.forecast.forecaster import TARGETS, Target
from liqtape.forecast.issued import IssuedForecast, Judged, judged
from liqtape.forecastlog.issuefiles import read_issues

__all__ = ["ScoredLog", "score_log", "score_lines"]

_BASE, _MODEL = "base rate", "as logged"
_FEW = 2  # events before a moment that is not quiet


class ScoredLog(Struct, frozen=True):
    """What a log was worth.

    `late` forecasts were written when their seconds were over: these are none, and not judged. `withheld` were written
    and not shown; they are judged with the rest. `torn` and `broken` lines could not be read.
    """

    lines: int
    torn: int
    broken: int
    models: tuple[str, ...]
    first_ms: int | None
    last_ms: int | None
    judged: int
    late: int
    withheld: int
    forecasts: tuple[ForecastRow, ...]


def score_log(path: Path) -> ScoredLog:
    """Return how the forecasts of a log did, beside the base rate that each was written with.

    Raises ConfigurationError where there is no log.
    """
    log = read_issues(path)
    issues = list(log)
    written = {one.at_ms: one for one in reversed(issues)}
    late = withheld = 0
    kept: dict[Target, dict[int, Judged]] = {target: {} for target in TARGETS}
    for one in judged(issues):
        if written[one.at_ms].written_ms >= one.at_ms + 1_000 * one.target.seconds:
            late += 1
        elif one.at_ms not in kept.setdefault(one.target, {}):
            kept[one.target][one.at_ms] = one
            withheld += not one.is_shown
    rows = [row for target, found in kept.items() if found for row in _rows(target, list(found.values()), written)]
    return ScoredLog(
        len(issues),
        log.torn,
        len(log.broken),
        tuple(dict.fromkeys(one.model for one in issues)),
        min(written, default=None),
        max(written, default=None),
        sum(map(len, kept.values())),
        late,
        withheld,
        tuple(replace(row, curve=thinned(row.curve)) for row in rows),
    )


def _rows(target: Target, found: Sequence[Judged], written: dict[int, IssuedForecast]) -> tuple[ForecastRow, ...]:
    ordered = sorted(found, key=lambda one: one.at_ms)
    cases = ForecastCases(
        target,
        [one.at_ms for one in ordered],
        [one.is_reached for one in ordered],
        [_events_before(written[one.at_ms], target) < _FEW for one in ordered],
        {_BASE: [one.base_rate for one in ordered], _MODEL: [one.probability for one in ordered]},
    )
    return examine_forecasts(cases, (_BASE,))


def _events_before(issued: IssuedForecast, target: Target) -> int:
    return dict(zip(issued.targets, issued.reached, strict=True)).get(target, 0)


def score_lines(scored: ScoredLog) -> list[str]:
    """Return what a terminal shows."""
    models = ", ".join(scored.models) or "no model"
    first = (
        f"{scored.judged:,} forecasts judged in {scored.lines:,} lines by {models}; {scored.withheld:,} of them were "
        f"not shown, {scored.late:,} others were written too late to be forecasts, "
        f"{scored.torn + scored.broken:,} lines cannot be read"
    )
    lines = [first]
    for row in scored.forecasts:
        if row.forecaster == _MODEL:
            lines += ["", *_told(row)]
    return lines


def _told(row: ForecastRow) -> list[str]:
    scores, number = row.scores, row.number
    gain = row.gains[0].gain
    spread = "" if gain.low is None or gain.high is None else f", 95 % interval {gain.low:.3f} to {gain.high:.3f}"
    passed = sum(one.is_consistent for one in row.number_of_days)
    bins = [
        f"  {one.mean_probability:.4f} given to {one.count:,} came true {one.hits:,} times: {one.share:.4f}"
        for one in row.reliability
    ]
    target = f"at least {row.target.count} liquidations in {row.target.seconds} s"
    verdict = "passed" if number.is_consistent else "failed"
    days = f"{passed} of {len(row.number_of_days)} days passed"
    return [
        f"{target}: {scores.positives:,} of {scores.count:,} came true on {row.days} days",
        f"  Brier skill            {_figure(scores.brier_skill)}",
        f"  average precision      {_figure(scores.average_precision)} (base rate {_figure(scores.base_rate)})",
        f"  over the base rate     {_figure(gain.gain)} nats a target{spread}",
        f"  N-test                 {number.observed} came of {number.expected:.1f} expected: {verdict}; {days}",
        *bins,
    ]


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
