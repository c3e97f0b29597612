"""How often the surprise rule says something on streams whose habits never change."""

from bisect import bisect_right
from collections.abc import Sequence

from benchmarks.stationary import Streams
from liqtape.engine.baseline.surprise import Surprise
from liqtape.engine.levels.surpriselevels import LevelRule, Reading, SurpriseLevels
from liqtape.events import Level

__all__ = ["STEPS", "surprise_raises"]

STEPS: tuple[Level, ...] = ("WATCH", "ALERT", "CRITICAL")

_LENGTHS_S = (10, 60, 300)
_LEVELS: tuple[Level, ...] = ("NONE", *STEPS)
_SECOND_MS = 1_000


class _Judged:
    """One stream under several rules that share its surprises."""

    def __init__(self, rules: Sequence[LevelRule], from_ms: int) -> None:
        self.raises = [[0] * len(STEPS) for _ in rules]
        self.unusual = Surprise(0)
        self._levels = [SurpriseLevels(rule) for rule in rules]
        self._from_ms = from_ms

    @property
    def is_raised(self) -> bool:
        return any(levels.held for levels in self._levels)

    def check(self, at_ms: int, counts: Sequence[int], usd: float) -> None:
        s10, s60, s300 = (
            None if score is None else score.surprise
            for score in (self.unusual.score(n, at_ms, seconds) for n, seconds in zip(counts, _LENGTHS_S, strict=True))
        )
        reading = Reading(at_ms, counts[1], usd, s60, surprise_10s=s10, surprise_300s=s300)
        for levels, raises in zip(self._levels, self.raises, strict=True):
            alert = levels.check("", reading)
            if alert is not None and at_ms >= self._from_ms:
                for step in range(_LEVELS.index(alert.previous), _LEVELS.index(alert.level)):
                    raises[step] += 1


def surprise_raises(lot: Streams, number: int, rules: Sequence[LevelRule], from_ms: int) -> list[list[int]]:
    """How often each level of each rule was reached from below, from `from_ms` on.

    Checked at each event, and at each second while something is raised, as the service does.
    """
    times = lot.times(number).tolist()
    minutes = lot.minutes(number)
    counts = zip(*(lot.counts(number, seconds).tolist() for seconds in _LENGTHS_S), strict=True)
    evaluation = _Judged(rules, from_ms)
    second_ms = 0
    for i, ((at_ms, usd, _), now) in enumerate(zip(minutes, counts, strict=True)):
        while evaluation.is_raised and second_ms < at_ms:
            ends = [i - bisect_right(times, second_ms - _SECOND_MS * seconds, 0, i) for seconds in _LENGTHS_S]
            evaluation.check(second_ms, ends, 0.0)
            second_ms += _SECOND_MS
        second_ms = at_ms + _SECOND_MS
        evaluation.unusual.add(at_ms)
        evaluation.check(at_ms, now, usd)
    return evaluation.raises
