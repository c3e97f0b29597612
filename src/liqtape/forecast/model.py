"""A trained model as a record: all that a forecast needs, and all that a reader must know to judge it."""

from hashlib import blake2b
from math import isfinite

import msgspec
from msgspec import Struct

from liqtape.cascades.hawkesprocess import DECAYS
from liqtape.errors import ConfigurationError
from liqtape.forecast.calibration import Calibration
from liqtape.forecast.features import FEATURES
from liqtape.forecast.forecaster import Target

__all__ = ["MODEL_VERSION", "CascadeModel", "ModelScore", "TargetModel", "model_bytes", "model_of"]

MODEL_VERSION = 1


class ModelScore(Struct, frozen=True, forbid_unknown_fields=True):
    """How forecasts did on days that what made them had not seen, walking forward.

    `targets` of the `forecasts` were reached. `brier_skill` is against the share of targets on these very days;
    `gain` is the information gained a target, in nats, against the base rate of earlier days, with its standard error
    over days.
    """

    model: str
    target: Target
    days: int
    forecasts: int
    targets: int
    brier_skill: float | None
    average_precision: float | None
    gain: float | None
    gain_se: float | None


class TargetModel(Struct, frozen=True, forbid_unknown_fields=True):
    """The forecast of one target by a model of some `kind`: a sum that is a score, and the probability it means.

    The sum is `intercept`, a weight for each of the scaled `features`, and, where there are `shares`,
    `excitation_weight` times the logarithm of what a Hawkes process expects within the target's seconds: `expected`,
    and for each decay its share of R. `verdict` says why the probabilities are not to be shown; empty where they may
    be.
    """

    kind: str
    target: Target
    features: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    calibration: Calibration
    base_rate: float
    expected: float = 0.0
    shares: tuple[float, ...] = ()
    excitation_weight: float = 0.0
    verdict: str = ""

    def wrong(self) -> str:
        """Return what is wrong with it, empty where nothing is."""
        if unknown := sorted(set(self.features) - set(FEATURES)):
            return f"unknown features {', '.join(unknown)}"
        if {len(self.means), len(self.scales), len(self.weights)} != {len(self.features)}:
            return "each feature needs a mean, a scale and a weight"
        numbers = (self.intercept, self.excitation_weight, *self.means, *self.scales, *self.weights, *self.shares)
        if not all(map(isfinite, numbers)) or not all(scale > 0 for scale in self.scales):
            return "means, scales and weights must be numbers, scales above 0"
        if self.shares and not (len(self.shares) == len(DECAYS) and min(self.shares) >= 0 and self.expected > 0):
            return f"shares must be {len(DECAYS)} of at least 0, and expected above 0"
        if not 0 < self.base_rate < 1:
            return "base_rate must be between 0 and 1"
        return self.calibration.wrong()


class CascadeModel(Struct, frozen=True, forbid_unknown_fields=True):
    """A trained model and its card; `venues` and `instrument` (empty: the whole market) are what it knows.

    It was fitted on [`from_ms`, `until_ms`); scores of the days from `calibrated_from_ms` on, by what earlier days
    taught, made them true. `days` are the UTC days it saw; `every_ms` is the step of the forecasts it learned from.
    `scores` are those of the walk forward: of the model, the baselines, and the challenger, which no file holds.
    """

    version: int
    made_by: str
    venues: tuple[str, ...]
    instrument: str
    from_ms: int
    calibrated_from_ms: int
    until_ms: int
    days: int
    events: int
    every_ms: int
    seed: int
    targets: tuple[TargetModel, ...]
    scores: tuple[ModelScore, ...] = ()

    def identity(self) -> str:
        """Return kinds and digest of the record: equal models, and only these, have equal identities."""
        kinds = ", ".join(dict.fromkeys(own.kind for own in self.targets))
        return f"{kinds} {blake2b(model_bytes(self), digest_size=4).hexdigest()}"


def model_bytes(model: CascadeModel) -> bytes:
    """Return the model as its file has it; equal models give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n"


def model_of(payload: bytes, where: str) -> CascadeModel:
    """Return the model of a file's content. Raises ConfigurationError with place and reason where it is none."""
    try:
        version = msgspec.json.decode(payload, type=_Versioned).version
        if version != MODEL_VERSION:
            raise ConfigurationError(
                f"{where}: a model of version {version}, known is {MODEL_VERSION}; train it again with `liqtape train`"
            )
        model = msgspec.json.decode(payload, type=CascadeModel)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{where}: not a model that `liqtape train` made: {error}") from error
    if not model.targets:
        raise ConfigurationError(f"{where}: the model forecasts nothing; train it again with `liqtape train`")
    for own in model.targets:
        if wrong := own.wrong():
            place = f"{own.target.count} in {own.target.seconds} s"
            raise ConfigurationError(f"{where}: {place}: {wrong}; train it again with `liqtape train`")
    return model


class _Versioned(Struct):
    version: int
