import msgspec
import pytest
from msgspec.structs import replace

from liqtape.errors import ConfigurationError
from liqtape.forecast.calibration import Calibration
from liqtape.forecast.features import FEATURES
from liqtape.forecast.forecaster import TARGETS
from liqtape.forecast.model import CascadeModel, ModelScore, TargetModel, model_bytes, model_of
from liqtape.forecast.scorers import scorer_of

_TARGET = TargetModel(
    "logistic",
    TARGETS[0],
    ("ln_count_60", "imbalance_300"),
    (1.0, 0.1),
    (2.0, 0.5),
    (0.4, -0.2),
    -3.0,
    Calibration("platt", 0.9, 0.1),
    0.002,
    0.4,
    (0.1, 0.2, 0.3, 0.4),
    1.1,
)
_SCORE = ModelScore("logistic", TARGETS[0], 12, 70_000, 260, 0.01, 0.03, 0.8, 0.3)
_MODEL = CascadeModel(1, "liqtape 0", ("bybit",), "", 0, 10, 20, 22, 2_391, 10_000, 1, (_TARGET,), (_SCORE,))


def test_a_file_gives_the_model_back() -> None:
    written = model_bytes(_MODEL)
    assert model_of(written, "m.json") == _MODEL
    assert model_bytes(model_of(written, "m.json")) == written


def test_identities_tell_models_apart() -> None:
    other = replace(_MODEL, seed=2)
    assert _MODEL.identity() == replace(_MODEL).identity() != other.identity()
    assert _MODEL.identity().startswith("logistic ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "not a model"),
        ("[]", "not a model"),
        ("{}", "not a model"),
        ('{"version": 7}', "a model of version 7, known is 1; train it again"),
        ('{"version": 1, "weights": []}', "not a model"),
    ],
)
def test_what_is_no_model_is_refused_with_place_and_reason(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^m\.json: .*{said}"):
        model_of(text.encode(), "m.json")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"features": ("ln_count_60", "moon")}, "unknown features moon"),
        ({"weights": (1.0,)}, "each feature needs"),
        ({"scales": (0.0, 1.0)}, "scales above 0"),
        ({"intercept": float("inf")}, "must be numbers"),
        ({"base_rate": 0.0}, "base_rate"),
        ({"shares": (1.0,)}, "shares must be 4"),
        ({"expected": 0.0}, "shares must be 4"),
        ({"calibration": Calibration("platt", -1.0)}, "slope"),
        ({"calibration": Calibration("isotonic")}, "no knots"),
        ({"calibration": Calibration("isotonic", knots=((0.0, 0.1), (1.0, 0.05)))}, "knots must rise"),
        ({"calibration": Calibration("isotonic", knots=((0.0, 0.1), (1.0, 1.5)))}, "knots are"),
    ],
)
def test_a_model_that_cannot_be_true_is_refused(changed: dict[str, object], said: str) -> None:
    broken = replace(_TARGET, **changed)
    assert said in broken.wrong()
    payload = msgspec.json.encode(replace(_MODEL, targets=(broken,)))
    with pytest.raises(ConfigurationError, match=r"^m\.json: "):
        model_of(payload, "m.json")


def test_a_model_without_targets_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="forecasts nothing"):
        model_of(model_bytes(replace(_MODEL, targets=())), "m.json")


def test_a_probability_by_hand() -> None:
    row = [0.0] * len(FEATURES)
    row[FEATURES.index("ln_count_60")] = 2.0
    row[FEATURES.index("imbalance_300")] = -0.4
    # No excitation: ln 0.4 of it is expected.
    score = -3.0 + 0.4 * (2.0 - 1.0) / 2.0 - 0.2 * (-0.4 - 0.1) / 0.5 + 1.1 * -0.916290731874155
    assert scorer_of(_MODEL).probability(TARGETS[0], row) == pytest.approx(
        1 / (1 + 2.718281828459045 ** -(0.1 + 0.9 * score)), rel=1e-12
    )


def test_isotonic_is_straight_between_knots_and_flat_beyond() -> None:
    calibration = Calibration("isotonic", knots=((0.0, 0.1), (2.0, 0.3)))
    assert [calibration.probability(score) for score in (-5.0, 0.0, 1.0, 2.0, 9.0)] == pytest.approx(
        [0.1, 0.1, 0.2, 0.3, 0.3]
    )
