"""What a forecast costs: an event taken in, the features of a moment, the probabilities of both targets."""

from functools import partial
from itertools import islice

from benchmarks.measure import Case, Figure, Scale, cpu_rounds, figure, ratio
from benchmarks.stream import Stream, endless
from liqtape.cascades.hawkesprocess import DECAYS
from liqtape.events import Liquidation
from liqtape.forecast.calibration import Calibration
from liqtape.forecast.features import FEATURES, ISSUE_MS, StreamFeatures, issue_time
from liqtape.forecast.forecaster import TARGETS
from liqtape.forecast.model import CascadeModel, TargetModel
from liqtape.forecast.scorers import scorer_of

__all__ = ["run"]

_MICROSECONDS = 20.0
_EVENTS, _MOMENTS, _SCORED = 20_000, 2_000, 4_000
_IN_WINDOW = 3_000


def _model() -> CascadeModel:
    """Return a model of all features, the excitation, and a hundred knots."""
    count = len(FEATURES)
    knots = tuple((place - 50.0, place / 100) for place in range(100))
    targets = tuple(
        TargetModel(
            "logistic",
            target,
            FEATURES,
            (0.5,) * count,
            (2.0,) * count,
            (0.1,) * count,
            -5.0,
            Calibration("isotonic", knots=knots),
            0.002,
            0.1,
            (0.1,) * len(DECAYS),
            1.0,
        )
        for target in TARGETS
    )
    return CascadeModel(1, "benchmark", ("bybit",), "", 0, 1, 2, 3, 4, ISSUE_MS, 1, targets)


def _take_in(features: StreamFeatures, events: list[Liquidation]) -> None:
    """Take in events, and ask at each moment that has come."""
    at_ms = issue_time(events[0].event_ms)
    for event in events:
        features.add(event)
        if event.event_ms - at_ms >= ISSUE_MS:
            at_ms = issue_time(event.event_ms)
            features.row(at_ms)


def _rows(features: StreamFeatures, from_ms: int) -> None:
    for moment in range(_MOMENTS):
        features.row(from_ms + ISSUE_MS * moment)


def _fresh(moments: list[int]) -> tuple[StreamFeatures, int]:
    """Return features with some past, and a moment that was not asked for."""
    features = StreamFeatures()
    moments[0] += ISSUE_MS * (_MOMENTS + 1)
    for event in range(100):
        features.add_at(moments[0] - 100 * event, 1_000_000_000, 1)
    return features, moments[0]


def run(scale: Scale) -> list[Figure]:
    """The cost of each step."""
    count = scale.size(_EVENTS)
    stream, events, features = Stream(scale.size(_IN_WINDOW)), endless(scale.size(_IN_WINDOW)), StreamFeatures()
    scorer, row, moments = scorer_of(_model()), [1.0] * len(FEATURES), [1_790_000_000_000]
    scored = scale.size(_SCORED)

    def score(_: object) -> None:
        for _ in range(scored):
            for target in TARGETS:
                scorer.probability(target, row)

    cases = {
        "add": Case(stream.add, partial(stream.next, count), count),
        "event": Case(partial(_take_in, features), lambda: list(islice(events, count)), count),
        "row": Case(lambda fresh: _rows(*fresh), partial(_fresh, moments), _MOMENTS),
        "score": Case(score, lambda: None, scored * len(TARGETS)),
    }
    spent = cpu_rounds(cases, scale.rounds)
    micro = {name: [each / 1_000 for each in values] for name, values in spent.items()}
    return [
        figure(
            "an event, and the features of each ten seconds",
            ratio(spent["event"], spent["add"]),
            "adds",
            "one stream, in engine.add of that event",
        ),
        figure("the features of a moment", micro["row"], "us", f"{len(FEATURES)} features, ten quiet seconds later"),
        figure(
            "a probability",
            micro["score"],
            "us",
            "all features, excitation and a hundred knots; CPU",
            at_most=_MICROSECONDS,
        ),
    ]
