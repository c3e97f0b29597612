"""What is asked of the program that fits, and what it answers; numpy is not needed for that."""

from msgspec import Struct

from liqtape.cascades.hawkesdetector import HawkesPast
from liqtape.cascades.hawkesprocess import HawkesParameters

__all__ = ["LEAST_EVENTS", "FitRequest", "HawkesFit"]

LEAST_EVENTS = 100
"""Stamps below which a fit says nothing."""


class FitRequest(Struct, frozen=True):
    """What is to be fitted, and where to begin: with the fit before, if there is one."""

    past: HawkesPast
    start: HawkesParameters | None = None


class HawkesFit(Struct, frozen=True):
    """What was found. `refused` says why it is not to be used, empty where it is.

    `branching_ratio` counts events of the mean weight. `ks` is the largest distance of the rescaled times from what
    they would be if the model were true, which at `ks_95` is rejected at 5 %: expect that.
    """

    parameters: HawkesParameters
    log_likelihood: float
    events: int
    mean_weight: float
    steps: int
    ks: float
    ks_95: float
    refused: str = ""

    @property
    def branching_ratio(self) -> float:
        """Return how many events one event brings about itself."""
        return self.parameters.branching_ratio * self.mean_weight
