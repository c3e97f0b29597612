"""Listeners that hand one kind of thing to a function."""

from collections.abc import Callable, Sequence

from liqtape.cascades.cascade import Cascade
from liqtape.events import Alert, Gap, Liquidation, PriceTick, Trouble
from liqtape.pipeline.listener import Listener

__all__ = ["OnAlert", "OnCascade", "OnGap", "OnLiquidation", "OnPrice", "OnTrouble"]


class OnLiquidation(Listener):
    """Calls `function` with each accepted liquidation."""

    def __init__(self, function: Callable[[Liquidation], object]) -> None:
        self._function = function

    def accepted(self, events: Sequence[Liquidation], *, is_news: bool) -> None:  # noqa: ARG002 - repeats count, too
        """Hand on each of them."""
        function = self._function
        for event in events:
            function(event)


class OnAlert(Listener):
    """Calls `function` with each level change."""

    def __init__(self, function: Callable[[Alert], object]) -> None:
        self._function = function

    def alert(self, alert: Alert) -> None:
        """Hand it on."""
        self._function(alert)


class OnCascade(Listener):
    """Calls `function` with each cascade, as often as there is something new about it."""

    def __init__(self, function: Callable[[Cascade], object]) -> None:
        self._function = function

    def cascade(self, cascade: Cascade) -> None:
        """Hand it on."""
        self._function(cascade)


class OnGap(Listener):
    """Calls `function` with each gap, as often as there is something new about it."""

    def __init__(self, function: Callable[[Gap], object]) -> None:
        self._function = function

    def gap(self, gap: Gap) -> None:
        """Hand it on."""
        self._function(gap)


class OnPrice(Listener):
    """Calls `function` with each trade that is the reference price."""

    def __init__(self, function: Callable[[PriceTick], object]) -> None:
        self._function = function

    def price(self, tick: PriceTick) -> None:
        """Hand it on."""
        self._function(tick)


class OnTrouble(Listener):
    """Calls `function` with each trouble."""

    def __init__(self, function: Callable[[Trouble], object]) -> None:
        self._function = function

    def trouble(self, trouble: Trouble) -> None:
        """Hand it on."""
        self._function(trouble)
