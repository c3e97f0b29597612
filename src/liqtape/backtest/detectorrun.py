"""A detector over a past: when it raised, and its score at each event and each moment."""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from math import nan

from msgspec import Struct

from liqtape.backtest.examsettings import MOMENT_MS
from liqtape.backtest.judgedpast import JudgedPast
from liqtape.cascades.detector import Detector, Signal
from liqtape.events import Liquidation
from liqtape.pipeline.rerun import feed_marks

__all__ = ["Candidate", "DetectorRun", "run_detectors"]


_UP, _MOMENT, _DOWN = 0, 1, 2
_NEVER_MS = 1 << 62
_END = (_NEVER_MS, _DOWN)


class Candidate(Struct, frozen=True):
    """A detector to be examined, and what makes a fresh one for a past."""

    name: str
    make: Callable[[JudgedPast], Detector]


class DetectorRun(Struct, frozen=True):
    """What a detector said: its signals at the threshold it came with, and its scores.

    `scores` are those after each event, `moment_scores` those of each moment of `JudgedPast.moments`; NaN where it has
    none.
    """

    name: str
    signals: tuple[Signal, ...]
    times_ms: array[int]
    scores: array[float]
    moment_scores: array[float]


def run_detectors(candidates: Sequence[Candidate], past: JudgedPast) -> list[DetectorRun]:
    """Give fresh detectors the events one by one, and what was watched when; ask for their scores at each moment."""
    underway = [_Underway(one.name, one.make(past)) for one in candidates]
    steps = _steps(past)
    due_ms, kind = next(steps, _END)
    for event in past:
        event_ms = event.event_ms
        while due_ms < event_ms or (due_ms == event_ms and kind == _UP):
            for one in underway:
                one.step(due_ms, kind)
            due_ms, kind = next(steps, _END)
        for one in underway:
            one.take(event, event_ms)
    while due_ms < _NEVER_MS:
        for one in underway:
            one.step(due_ms, kind)
        due_ms, kind = next(steps, _END)
    return [one.run(past) for one in underway]


class _Underway:
    """A detector, and what it said so far."""

    def __init__(self, name: str, detector: Detector) -> None:
        self._name, self._detector = name, detector
        self._update, self._at = detector.update, detector.at
        self._signals: list[Signal] = []
        self._scores, self._moment_scores = array("d"), array("d")

    def take(self, event: Liquidation, event_ms: int) -> None:
        """Give it an event, and ask for its score."""
        signal = self._update(event)
        if signal is not None:
            self._signals.append(signal)
        score = self._at(event_ms).score
        self._scores.append(nan if score is None else score)

    def step(self, at_ms: int, kind: int) -> None:
        """Do what is due between events."""
        if kind == _UP:
            self._detector.up(at_ms)
        elif kind == _DOWN:
            self._detector.down(at_ms)
        else:
            score = self._at(at_ms).score
            self._moment_scores.append(nan if score is None else score)

    def run(self, past: JudgedPast) -> DetectorRun:
        """Return all of it."""
        return DetectorRun(self._name, tuple(self._signals), past.times_ms, self._scores, self._moment_scores)


def _steps(past: JudgedPast) -> Iterator[tuple[int, int]]:
    """What is due between events: watching begins, a moment is asked for, watching ends; in this order at one time."""
    marks = [(at_ms, _UP if is_up else _DOWN) for at_ms, is_up, _ in feed_marks(("", *span) for span in past.spans)]
    return merge(marks, ((at_ms, _MOMENT) for at_ms in past.moments(MOMENT_MS)))
