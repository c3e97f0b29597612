"""Models for tests: what a forecast needs, without the days it takes to learn it."""

from liqtape.forecast.calibration import Calibration
from liqtape.forecast.forecaster import TARGETS
from liqtape.forecast.model import CascadeModel, TargetModel


def velocity_model(venues: tuple[str, ...] = ("bybit",), instrument: str = "", verdict: str = "") -> CascadeModel:
    """Return a model that looks at velocity_60 alone."""
    targets = tuple(
        TargetModel(
            "velocity_60",
            target,
            ("ln_count_60",),
            (0.0,),
            (1.0,),
            (1.0,),
            -4.0,
            Calibration("platt"),
            0.01,
            verdict=verdict,
        )
        for target in TARGETS
    )
    return CascadeModel(1, "liqtape 0", venues, instrument, 0, 10, 20, 22, 2_391, 10_000, 1, targets)
