"""Bayesian change points as a detector: how sure it is that the present rate is many times the usual one."""

from liqtape.cascades.earlier import EarlierRate
from liqtape.cascades.helddetector import HeldDetector
from liqtape.cascades.runlengths import RunLengths
from liqtape.events import Liquidation, Side

__all__ = ["ChangePointDetector"]

_STEP_MS = 10_000
_HAZARD = 1 / 360
"""Of a step of 10 s: a rate lasts an hour in the mean."""

_FLOOR_PER_S = 0.02


class ChangePointDetector(HeldDetector):
    """`score` is the probability that the present run has `times` the usual rate; steps are 10 s of the clock.

    The usual rate is taken for 0.02/s where it is less. A run is looked at when a step is over, and within a step once
    its events alone make that rate; silent steps in a row are one step of their length, which costs the same however
    long they were. It counts liquidations: a Poisson model has no size.

    >>> detector = ChangePointDetector(times=20.0)
    >>> def of(at_ms: int) -> Liquidation:
    ...     return Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 80_000.0, "fill", None, 8.0, at_ms)
    >>> signals = [detector.update(of(3_600_000 + 100 * i)) for i in range(20)]
    >>> [(i, signal.score > 0.9) for i, signal in enumerate(signals) if signal]
    [(6, True)]
    """

    name = "change_point"

    def __init__(self, times: float = 30.0, threshold: float = 0.9, side: Side | None = None) -> None:
        super().__init__(threshold, side=side)
        self._times = times
        self._lengths = RunLengths(_HAZARD, 1.0, 1.0)
        self._rate: EarlierRate | None = None
        self._step: int | None = None  # the open one
        self._count = 0

    def _begin(self, at_ms: int) -> None:
        self._rate = EarlierRate(at_ms, _FLOOR_PER_S)
        self._step = at_ms // _STEP_MS

    def _resume(self, down_ms: int, up_ms: int) -> None:
        if self._rate is not None:
            self._rate.unwatched(down_ms, up_ms)
        self._close(down_ms // _STEP_MS)
        self._step, self._count = up_ms // _STEP_MS, 0

    def _score_with(self, event: Liquidation, now_ms: int) -> float | None:
        if self._rate is not None:
            self._rate.add(event.event_ms)
        step = now_ms // _STEP_MS
        is_new = self._close(step)
        self._count += 1
        wanted = self._wanted(now_ms)
        if self._count >= self._lengths.least_of_one_step(wanted):
            return self._lengths.chance_above(wanted, self._lengths.after(self._count))
        return self._lengths.chance_above(wanted) if is_new else None

    def _score_at(self, now_ms: int) -> float | None:
        runs = self._lengths.after(self._count) if self._count else self._lengths.runs
        return self._lengths.chance_above(self._wanted(now_ms), runs)

    def _close(self, step: int) -> bool:
        """Take in the steps before `step`; return whether there were any."""
        if self._step is None or step <= self._step:
            return False
        silent = step - self._step
        if self._count:
            self._lengths.step(self._count)
            silent -= 1
        if silent:
            self._lengths.step(0, silent)
        self._step, self._count = step, 0
        return True

    def _wanted(self, now_ms: int) -> float:
        usual = _FLOOR_PER_S if self._rate is None else self._rate.at(now_ms)
        return self._times * usual * _STEP_MS / 1000
