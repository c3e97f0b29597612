"""What turns features into probabilities: the model, and the plain baselines it has to beat."""

from collections.abc import Mapping, Sequence
from math import expm1, log
from typing import Protocol

from liqtape.cascades.hawkesprocess import DECAYS
from liqtape.forecast.features import FEATURES
from liqtape.forecast.forecaster import Target
from liqtape.forecast.model import CascadeModel, TargetModel

__all__ = ["BaseRate", "LogisticScorer", "Scorer", "scorer_of"]

_STATES = slice(FEATURES.index(f"ln_hawkes_{DECAYS[0]:g}"), FEATURES.index(f"ln_hawkes_{DECAYS[-1]:g}") + 1)


class Scorer(Protocol):
    """Probabilities of targets from the features of a moment; `verdict` says why they are not to be shown."""

    @property
    def name(self) -> str: ...

    @property
    def targets(self) -> Sequence[Target]: ...

    def probability(self, target: Target, row: Sequence[float]) -> float: ...

    def base_rate(self, target: Target) -> float: ...

    def verdict(self, target: Target) -> str: ...


class BaseRate:
    """Says at each moment how often a target was reached before: a stationary Poisson process that is told of clusters.

    It is what every probability has to be more useful than.
    """

    def __init__(self, shares: Mapping[Target, float], name: str = "base rate") -> None:
        self.name = name
        self.targets: Sequence[Target] = tuple(shares)
        self._shares = dict(shares)

    def probability(self, target: Target, row: Sequence[float]) -> float:  # noqa: ARG002
        """Return the share, whatever the features say."""
        return self._shares[target]

    def base_rate(self, target: Target) -> float:
        """Return the same."""
        return self._shares[target]

    def verdict(self, target: Target) -> str:  # noqa: ARG002
        """Return nothing: it claims no more than it is."""
        return ""


class LogisticScorer:
    """A weighted sum, and the probability that it means.

    With velocity_60 alone it is the velocity baseline, with nothing but the excitation the plain Hawkes model.
    """

    def __init__(self, models: Sequence[TargetModel], name: str) -> None:
        self.name = name
        self.targets: Sequence[Target] = tuple(model.target for model in models)
        self._models = {model.target: model for model in models}
        self._sums = {model.target: _unscaled(model) for model in models}

    def probability(self, target: Target, row: Sequence[float]) -> float:
        """Return the calibrated probability."""
        model = self._models[target]
        score, places = self._sums[target]
        for place, weight in places:
            score += weight * row[place]
        if model.shares:
            expected = model.expected
            for share, state in zip(model.shares, row[_STATES], strict=True):
                expected += share * expm1(state)
            score += model.excitation_weight * log(expected)
        return model.calibration.probability(score)

    def base_rate(self, target: Target) -> float:
        """Return how often the target was reached on the days the model learned from."""
        return self._models[target].base_rate

    def verdict(self, target: Target) -> str:
        """Return why the probability is not to be shown, empty where it may be."""
        return self._models[target].verdict


def scorer_of(model: CascadeModel) -> LogisticScorer:
    """Return what scores with a trained model."""
    return LogisticScorer(model.targets, model.identity())


def _unscaled(model: TargetModel) -> tuple[float, tuple[tuple[int, float], ...]]:
    """Return intercept, and (place, weight) of each feature as it is before scaling: a third of the arithmetic."""
    weights = [weight / scale for weight, scale in zip(model.weights, model.scales, strict=True)]
    intercept = model.intercept - sum(weight * mean for weight, mean in zip(weights, model.means, strict=True))
    return intercept, tuple(
        (FEATURES.index(name), weight) for name, weight in zip(model.features, weights, strict=True)
    )
