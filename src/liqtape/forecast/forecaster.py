"""What a forecast is: a probability with its base rate, or the reason why there is none."""

from typing import Protocol

from msgspec import Struct

from liqtape.events import Liquidation

__all__ = ["TARGETS", "Forecast", "Forecaster", "Target"]


class Target(Struct, frozen=True, gc=False):
    """At least `count` liquidations in the `seconds` after the forecast, in `(t, t + seconds]`."""

    count: int
    seconds: int


TARGETS = (Target(5, 60), Target(10, 300))
"""What is forecast."""


class Forecast(Struct, frozen=True, gc=False):
    """The probability of a target as of `at_ms`, beside how often it is reached at all.

    Where there is none, `probability` is None and `why` says the reason.
    """

    at_ms: int
    target: Target
    probability: float | None
    base_rate: float | None
    model: str = ""
    why: str = ""


class Forecaster(Protocol):
    """One stream's forecasts. It knows nothing later than the moment it is asked for."""

    def update(self, event: Liquidation) -> None:
        """Take in an event."""
        ...

    def at(self, now_ms: int) -> tuple[Forecast, ...]:
        """Return a forecast for each target, from the events up to `now_ms`."""
        ...
