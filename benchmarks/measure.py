"""How a figure is measured and written down: rounds of all cases in turn, CPU time, ratios taken round by round."""

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

__all__ = [
    "FULL",
    "QUICK",
    "TINY",
    "Case",
    "Figure",
    "Scale",
    "cores",
    "cpu_rounds",
    "figure",
    "machine",
    "percentile",
    "ratio",
    "short",
]


class Scale(Struct, frozen=True):
    """How much is measured: `events` scales sizes, `seconds` is the length of paced and idle runs."""

    rounds: int
    events: float
    seconds: float

    def size(self, full: int) -> int:
        """So many at full scale, fewer at another."""
        return max(10, round(full * self.events))


FULL = Scale(rounds=7, events=1.0, seconds=1.5)
QUICK = Scale(rounds=2, events=0.1, seconds=0.2)
TINY = Scale(rounds=2, events=0.002, seconds=0.15)


class Figure(Struct, frozen=True):
    """One line of the table: the median and the quartiles of the rounds, what it stands on, and what it should be.

    `goal` is the key of the target in `benchmarks.goals` that it measures, empty for what is only told beside.
    """

    name: str
    median: float
    low: float
    high: float
    unit: str
    measured: str
    at_least: float | None = None
    at_most: float | None = None
    goal: str = ""

    @property
    def target(self) -> str:
        """The wished value; empty where none is set."""
        if self.at_least is not None and self.at_most is not None:
            return f"{short(self.at_least)} .. {short(self.at_most)}"
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return f"<= {self.at_most:g}" if self.at_most is not None else ""

    @property
    def verdict(self) -> str:
        """Whether the median meets the target; empty where none is set."""
        if not self.target:
            return ""
        too_low = self.at_least is not None and self.median < self.at_least
        too_high = self.at_most is not None and self.median > self.at_most
        return "missed" if too_low or too_high else "met"


class Case(Struct, frozen=True):
    """Something to measure: `work` on what `prepare` gives, which is not measured; `operations` are in it."""

    work: Callable[[Any], object]
    prepare: Callable[[], Any]
    operations: int


def figure(
    name: str,
    values: Sequence[float],
    unit: str,
    measured: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    goal: str = "",
) -> Figure:
    """The figure of one value per round."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    return Figure(name, statistics.median(values), low, high, unit, measured, at_least, at_most, goal)


def short(value: float) -> str:
    """Three figures, or all of a large whole number."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def ratio(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round, so that a slow moment of the machine hits both."""
    return [a / b for a, b in zip(above, below, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cpu_rounds(cases: Mapping[str, Case], rounds: int) -> dict[str, list[float]]:
    """CPU nanoseconds per operation of each case, one value a round.

    The cases take turns within a round, and each round begins with another one. The collector of reference cycles is
    off meanwhile, which is kind to whoever makes dictionaries.
    """
    names = list(cases)
    spent: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, rounds):  # the first one warms up
        for i in range(len(names)):
            name = names[(i + turn) % len(names)]
            case = cases[name]
            prepared = case.prepare()
            gc.collect()
            gc.disable()
            began = time.process_time_ns()
            case.work(prepared)
            took = time.process_time_ns() - began
            gc.enable()
            if turn >= 0:
                spent[name].append(took / case.operations)
    return spent


def cores() -> tuple[set[int], set[int]]:
    """(what measures, what feeds it): two different cores where there are two; empty where it cannot be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()
    allowed = sorted(os.sched_getaffinity(0))
    return {allowed[0]}, {allowed[-1]}


def machine() -> str:
    """What the figures were measured on."""
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, {python}{load}"
