"""Simulated prices: one seeded random walk a coin, pulled down by the scenario's shocks."""

import math
import random

from liqtape.simulator.scenario import Scenario, Shock

__all__ = ["Prices"]

STEP_MS = 100
# A yearly volatility of about 50 % is 9e-5 in one second, 2.8e-5 in a tenth of it.
_SIGMA = 2.8e-5
_BETA = {"BTC": 1.0, "ETH": 1.3}
_ALT_BETA = 1.6
_FALL_MS = 15_000
_RECOVERY = 0.6
_RECOVERY_MS = 20_000


class _Walk:
    """A log price on a 100 ms grid, made as far as it was asked for."""

    __slots__ = ("_index", "_random", "_value")

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._index = 0
        self._value = 0.0

    def at(self, index: int) -> float:
        while self._index < index:
            self._value += self._random.gauss(0.0, _SIGMA)
            self._index += 1
        return self._value


class Prices:
    """Price factors relative to the listed price.

    Ask in the order of time: a walk does not go back, an older moment gets the newest value made so far.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._shock = scenario.shock
        self._seed = seed
        self._walks: dict[str, _Walk] = {}

    def factor(self, coin: str, at_ms: int) -> float:
        beta = _BETA.get(coin, _ALT_BETA)
        index = at_ms // STEP_MS
        level = beta * self._walk("market").at(index) + self._walk(coin).at(index)
        if self._shock is not None:
            level += beta * fallen(self._shock, at_ms)
        return math.exp(level)

    def _walk(self, name: str) -> _Walk:
        walk = self._walks.get(name)
        if walk is None:
            walk = self._walks[name] = _Walk(f"{self._seed}:{name}")
        return walk


def fallen(shock: Shock, at_ms: int) -> float:
    """What the newest shock took from the log price at this moment; the shocks before it are forgotten.

    >>> fallen(Shock(depth=0.04), 0), fallen(Shock(depth=0.04), 17_000)
    (-0.0, -0.04)
    """
    since = shock.since(at_ms)
    if since < _FALL_MS:
        return -shock.depth * max(since, 0.0) / _FALL_MS
    recovered = _RECOVERY * (1.0 - math.exp((_FALL_MS - since) / _RECOVERY_MS))
    return -shock.depth * (1.0 - recovered)
