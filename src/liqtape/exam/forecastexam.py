"""What forecasts were worth: consistency, comparison and alarms, for each of them and each target."""

from collections.abc import Mapping, Sequence
from itertools import compress
from math import fsum

from msgspec import Struct

from liqtape.exam.informationgain import InformationGain, information_gain
from liqtape.exam.likelihoodtest import LikelihoodTest, likelihood_test
from liqtape.exam.molchan import MolchanPoint, molchan
from liqtape.exam.numbertest import NumberTest, number_tests
from liqtape.exam.probabilityscores import ProbabilityScores, log_score, probability_scores
from liqtape.exam.reliability import ReliabilityBin, reliability
from liqtape.forecast.forecaster import Target

__all__ = ["ForecastCases", "ForecastRow", "Gain", "examine_forecasts"]

_DAY_MS = 86_400_000


class ForecastCases(Struct, frozen=True):
    """Forecasts of one target by several forecasters at the same moments, and what came.

    `was_quiet`: fewer than two events in as many seconds before.
    """

    target: Target
    at_ms: Sequence[int]
    reached: Sequence[bool]
    was_quiet: Sequence[bool]
    said: Mapping[str, Sequence[float]]


class Gain(Struct, frozen=True):
    """What is gained over one of the baselines."""

    against: str
    gain: InformationGain


class ForecastRow(Struct, frozen=True):
    """One forecaster and one target.

    `after_quiet` are the scores of the moments that were quiet before. The N-test and the likelihood test look at every
    forecast whose horizon begins where another's ends; the rest overlap, and are not independent.
    """

    forecaster: str
    target: Target
    days: int
    scores: ProbabilityScores
    after_quiet: ProbabilityScores
    gains: tuple[Gain, ...]
    number: NumberTest
    number_of_days: tuple[NumberTest, ...]
    likelihood: LikelihoodTest
    reliability: tuple[ReliabilityBin, ...]
    curve: tuple[MolchanPoint, ...]


def examine_forecasts(cases: ForecastCases, baselines: Sequence[str]) -> tuple[ForecastRow, ...]:
    """Return how each forecaster did, also against those of `baselines` that are among them."""
    days = [at_ms // _DAY_MS for at_ms in cases.at_ms]
    of_days = {name: _log_scores(days, said, cases.reached) for name, said in cases.said.items()}
    rows: list[ForecastRow] = []
    for name, said in cases.said.items():
        each, whole = number_tests(_apart(cases, days, said))
        apart = [at_ms % (1_000 * cases.target.seconds) == 0 for at_ms in cases.at_ms]
        rows.append(
            ForecastRow(
                name,
                cases.target,
                len(set(days)),
                probability_scores(said, cases.reached),
                probability_scores(
                    list(compress(said, cases.was_quiet)), list(compress(cases.reached, cases.was_quiet))
                ),
                tuple(
                    Gain(other, _gain(of_days[name], of_days[other], sum(cases.reached)))
                    for other in baselines
                    if other != name and other in cases.said
                ),
                whole,
                each,
                likelihood_test(list(compress(said, apart)), list(compress(cases.reached, apart))),
                reliability(said, cases.reached),
                molchan(said, cases.reached),
            )
        )
    return tuple(rows)


def _log_scores(days: Sequence[int], said: Sequence[float], reached: Sequence[bool]) -> dict[int, float]:
    """The sum of log scores of each day."""
    parts: dict[int, list[float]] = {day: [] for day in days}
    for day, p, is_hit in zip(days, said, reached, strict=True):
        parts[day].append(log_score(p, is_hit=is_hit))
    return {day: fsum(part) for day, part in parts.items()}


def _gain(own: Mapping[int, float], other: Mapping[int, float], targets: int) -> InformationGain:
    return information_gain([own[day] - other[day] for day in own], targets)


def _apart(cases: ForecastCases, days: Sequence[int], said: Sequence[float]) -> list[tuple[list[float], list[bool]]]:
    """The forecasts of each day whose horizons do not overlap."""
    found: dict[int, tuple[list[float], list[bool]]] = {}
    for day, at_ms, p, is_hit in zip(days, cases.at_ms, said, cases.reached, strict=True):
        given, came = found.setdefault(day, ([], []))
        if at_ms % (1_000 * cases.target.seconds) == 0:
            given.append(p)
            came.append(is_hit)
    return list(found.values())
