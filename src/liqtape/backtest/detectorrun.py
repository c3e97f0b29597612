"""A detector over a past: when it raised, and its score at each event and each moment."""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from collections.abc import Callable, Iterator
from heapq import merge
from math import nan

from msgspec import Struct

from liqtape.backtest.examsettings import MOMENT_MS
from liqtape.backtest.pastevents import PastEvents
from liqtape.cascades.detector import Detector, Signal
from liqtape.pipeline.rerun import feed_marks

__all__ = ["Candidate", "DetectorRun", "run_detector"]


_UP, _MOMENT, _DOWN = 0, 1, 2
_NEVER_MS = 1 << 62
_END = (_NEVER_MS, _DOWN)


class Candidate(Struct, frozen=True):
    """A detector to be examined, and what makes a fresh one."""

    name: str
    make: Callable[[], Detector]


class DetectorRun(Struct, frozen=True):
    """What a detector said: its signals at the threshold it came with, and its scores.

    `scores` are those after each event, `moment_scores` those of each moment of `PastEvents.moments`; NaN where it has
    none.
    """

    name: str
    signals: tuple[Signal, ...]
    times_ms: array[int]
    scores: array[float]
    moment_scores: array[float]


def run_detector(candidate: Candidate, past: PastEvents) -> DetectorRun:
    """Give a fresh detector the events one by one, and what was watched when; ask for its score at each moment."""
    detector = candidate.make()
    signals: list[Signal] = []
    scores, moment_scores = array("d"), array("d")
    steps = _steps(past)
    due_ms, kind = next(steps, _END)
    update, at = detector.update, detector.at
    for event in past:
        event_ms = event.event_ms
        while due_ms < event_ms or (due_ms == event_ms and kind == _UP):
            _do(detector, due_ms, kind, moment_scores)
            due_ms, kind = next(steps, _END)
        signal = update(event)
        if signal is not None:
            signals.append(signal)
        scores.append(_number(at(event_ms).score))
    while due_ms < _NEVER_MS:
        _do(detector, due_ms, kind, moment_scores)
        due_ms, kind = next(steps, _END)
    return DetectorRun(candidate.name, tuple(signals), past.times_ms, scores, moment_scores)


def _do(detector: Detector, at_ms: int, kind: int, moment_scores: array[float]) -> None:
    if kind == _UP:
        detector.up(at_ms)
    elif kind == _DOWN:
        detector.down(at_ms)
    else:
        moment_scores.append(_number(detector.at(at_ms).score))


def _number(score: float | None) -> float:
    return nan if score is None else score


def _steps(past: PastEvents) -> Iterator[tuple[int, int]]:
    """What is due between events: watching begins, a moment is asked for, watching ends; in this order at one time."""
    marks = [(at_ms, _UP if is_up else _DOWN) for at_ms, is_up, _ in feed_marks(("", *span) for span in past.spans)]
    return merge(marks, ((at_ms, _MOMENT) for at_ms in past.moments(MOMENT_MS)))
