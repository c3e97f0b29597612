"""Forecasts of a past, each made by what earlier days taught, as cases for the exam. Needs the extra `ml`."""

from importlib.util import find_spec

from msgspec import Struct

from liqtape.backtest.examsettings import ExamSettings
from liqtape.backtest.judgedpast import JudgedPast
from liqtape.exam.forecastexam import ForecastCases
from liqtape.forecast.features import FEATURES
from liqtape.forecast.forecaster import TARGETS

__all__ = ["ForecastWalk", "walk_forecasts"]

_LEAST_DAYS = 4
_QUIET = 1.5  # events, between one and two


class ForecastWalk(Struct, frozen=True):
    """The cases of each target, or why there are none. `baselines` are the names of those to be beaten, `model` is what
    has to beat them.
    """

    cases: tuple[ForecastCases, ...]
    why_not: str
    model: str = ""
    velocity: str = ""
    baselines: tuple[str, ...] = ()


def walk_forecasts(past: JudgedPast, settings: ExamSettings) -> ForecastWalk:
    """Return what each forecaster said of days that had taught it nothing."""
    if find_spec("sklearn") is None or find_spec("numpy") is None:
        return ForecastWalk((), "forecasts are examined with the extra 'ml': pip install 'liqtape[ml]'")
    if len(past.days()) < _LEAST_DAYS:
        there = len(past.days())
        return ForecastWalk(
            (), f"a forecast needs {_LEAST_DAYS} days to learn from and be judged on; there are {there}"
        )
    return _walked(past, settings)


def _walked(past: JudgedPast, settings: ExamSettings) -> ForecastWalk:
    import numpy as np

    from liqtape.forecast.watchedspans import WatchedSpans
    from liqtape.training.fitting import BASE, HAWKES, MODEL, VELOCITY_60, KnownPast
    from liqtape.training.pastmarks import past_stream
    from liqtape.training.plainexcitation import excited_times
    from liqtape.training.trainingrows import rows_of
    from liqtape.training.walkforward import joined, walk_forward

    stream = past_stream(past, past.spans)
    rows = rows_of(stream)
    known = KnownPast(rows, excited_times(stream.times_ms), WatchedSpans.between(stream.spans))
    parts = list(walk_forward(known, settings.seed, with_boosting=settings.with_challenger)) if len(rows) else []
    if not parts:
        return ForecastWalk((), "no day could be forecast from earlier ones: targets are rare, or little was watched")
    walked = joined(parts)
    cases: list[ForecastCases] = []
    for place, target in enumerate(TARGETS):
        before = np.expm1(walked.rows.features[:, FEATURES.index(f"ln_count_{target.seconds}")])
        cases.append(
            ForecastCases(
                target,
                walked.rows.at_ms.tolist(),
                walked.rows.reached[:, place].tolist(),
                (before < _QUIET).tolist(),
                {name: said[:, place].tolist() for name, said in walked.said.items()},
            )
        )
    return ForecastWalk(tuple(cases), "", MODEL, VELOCITY_60, (BASE, VELOCITY_60, HAWKES))
