"""What the examined were promised to reach, and whether they did."""

from collections.abc import Sequence

from msgspec import Struct

from liqtape.backtest.detectorexam import ALL_DAYS, BEST, JUDGED_DAYS, DetectorRow
from liqtape.backtest.forecastwalk import ForecastWalk
from liqtape.exam.forecastexam import ForecastRow
from liqtape.exam.informationgain import InformationGain

__all__ = ["Promise", "promises_of"]

_DEFAULT_RECALL, _TUNED_RECALL, _FALSE_A_DAY = 0.65, 0.75, 3.0
_TIMES_VELOCITY = 2.0
_SECONDS = 60  # of the target that promises are about


class Promise(Struct, frozen=True):
    """What was promised, and what was measured; `is_reached` is None where nothing could be measured."""

    what: str
    wanted: str
    measured: str
    is_reached: bool | None


def promises_of(
    rows: Sequence[DetectorRow], default: str, forecasts: Sequence[ForecastRow], walk: ForecastWalk
) -> tuple[Promise, ...]:
    """Return all promises, in their order."""
    comes = _row(rows, default, "as it comes", ALL_DAYS)
    best = _row(rows, BEST, "from earlier days", JUDGED_DAYS)
    of_target = {row.forecaster: row for row in forecasts if row.target.seconds == _SECONDS}
    model, velocity = of_target.get(walk.model), of_target.get(walk.velocity)
    gains = {} if model is None else {one.against: one.gain for one in model.gains}
    base, clustering = (walk.baselines[0], walk.baselines[-1]) if walk.baselines else ("", "")
    return (
        _detection("the default detector as it comes", comes, _DEFAULT_RECALL),
        _detection("the best detector by earlier days", best, _TUNED_RECALL),
        _precision(model, velocity),
        _skill(model),
        _gain("against the base rate", gains.get(base)),
        _gain("against plain Hawkes", gains.get(clustering)),
    )


def _row(rows: Sequence[DetectorRow], name: str, threshold: str, span: str) -> DetectorRow | None:
    found = (row for row in rows if (row.detector, row.threshold, row.span) == (name, threshold, span))
    return next(found, None)


def _detection(what: str, row: DetectorRow | None, recall: float) -> Promise:
    wanted = f"{100 * recall:.0f} % of the cascades with {_FALSE_A_DAY:g} false alarms a day or fewer"
    if row is None or row.recall is None or row.false_a_day is None:
        return Promise(what, wanted, "no cascade to be judged by", None)
    low, high = (100 * end for end in row.recall_interval)
    measured = (
        f"met {row.met} of {row.onsets} cascades ({100 * row.recall:.1f} %, 95 % interval {low:.0f} to {high:.0f} %) "
        f"with {row.false_a_day:.2f} false alarms a day"
    )
    return Promise(what, wanted, measured, row.recall >= recall and row.false_a_day <= _FALSE_A_DAY)


def _precision(model: ForecastRow | None, velocity: ForecastRow | None) -> Promise:
    what, wanted = "average precision of the logistic forecast", f"{_TIMES_VELOCITY:g} times that of velocity_60"
    own = None if model is None else model.scores.average_precision
    other = None if velocity is None else velocity.scores.average_precision
    if not own or not other:
        return Promise(what, wanted, "not measured", None)
    return Promise(
        what,
        wanted,
        f"was {own:.4f}, that of velocity_60 {other:.4f}: {own / other:.2f} times as much",
        own >= _TIMES_VELOCITY * other,
    )


def _skill(model: ForecastRow | None) -> Promise:
    what, wanted = "Brier skill of the logistic forecast", "above 0"
    skill = None if model is None else model.scores.brier_skill
    if skill is None:
        return Promise(what, wanted, "not measured", None)
    return Promise(what, wanted, f"was {skill:.4f}", skill > 0)


def _gain(against: str, gain: InformationGain | None) -> Promise:
    what, wanted = f"information of the logistic forecast {against}", "the 95 % interval above 0"
    if gain is None or gain.gain is None or gain.low is None or gain.high is None:
        return Promise(what, wanted, "not measured", None)
    return Promise(
        what,
        wanted,
        f"was {gain.gain:.3f} nats a target (95 % interval {gain.low:.3f} to {gain.high:.3f}, {gain.days} days)",
        gain.low > 0,
    )
