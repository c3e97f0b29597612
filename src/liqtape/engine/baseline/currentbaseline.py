"""The surprise of one stream's counts now, and what they are compared with, at the price of a comparison.

Naive: a surprise for each of three windows after each event, 10 us each and more. But a level asks only whether a
surprise reaches a threshold, and a threshold of S is a count, the same until the baseline learns something: every ten
seconds for the shortest window.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import inf

from msgspec import Struct

from liqtape.engine.baseline.binstatistics import WIDTHS, BinStatistics
from liqtape.engine.baseline.liveintervals import EVER_MS, LiveIntervals
from liqtape.engine.baseline.surprise import PRIOR_BINS, Expected, Score, least_counts, surprise_fano

__all__ = ["Counts", "CurrentBaseline", "Thresholds", "score_of"]

Counts = tuple[int, int, int]
"""Liquidations in the last 10, 60 and 300 s."""

_surprise = lru_cache(maxsize=4_096)(surprise_fano)
_NOWHERE = (inf,) * 64  # no count is unusual where nothing was watched


class Thresholds(Struct, frozen=True):
    """For each of these windows the surprises of interest, ascending; number `first` is the lowest that matters."""

    surprises: Sequence[tuple[float, ...]]
    first: int


def score_of(count: int, expected: Expected | None) -> Score | None:
    """Return the surprise of a count by what was expected; None where nothing was watched."""
    if expected is None:
        return None
    return Score(_surprise(count, expected.mean, expected.fano), expected.mean, expected.fano)


class CurrentBaseline:
    """One stream's baseline as of now: `rate` per s, and what each of `WIDTHS` is expected to bring.

    Current for times from `since_ms` on, while the engine's generation is `generation`. Live time counts in whole
    seconds. At `calm` a window reaches the first threshold; the others are worked out when they are asked for. `fanos`
    are the Fano factors of `WIDTHS`, 1 (independent events) until so many bins were watched as the prior is worth.
    """

    __slots__ = (
        "_ends",
        "_least",
        "_thresholds",
        "_whole",
        "calm",
        "expected",
        "fanos",
        "generation",
        "live",
        "since_ms",
        "statistics",
    )

    def __init__(self, statistics: BinStatistics) -> None:
        self.statistics = statistics
        self.live = LiveIntervals(())
        self.expected: list[Expected | None] = [None] * len(WIDTHS)
        self.calm: list[float] = [inf] * len(WIDTHS)
        self.fanos = [1.0] * len(WIDTHS)
        self.generation = -1
        self.since_ms = 0
        self._thresholds: Thresholds | None = None
        self._least: list[Sequence[float] | None] = [None] * len(WIDTHS)
        self._whole = [Expected(0.0, 1.0)] * len(WIDTHS)
        self._ends = [-1] * len(WIDTHS)

    @property
    def rate(self) -> float:
        """Liquidations/s by the baseline of 60 s."""
        return self._whole[1].mean / WIDTHS[1]

    @property
    def is_blind(self) -> bool:
        """Whether nothing was watched of any window: then no surprise is defined."""
        return all(expected is None for expected in self.expected)

    def refresh(self, generation: int, now_ms: int, final_ms: int, live: LiveIntervals, thresholds: Thresholds) -> None:
        """Bring everything up to `now_ms`, from bins that ended by `final_ms`.

        Each step is done again only where the one before it changed:

            statistics, live --(a bin ended, or live time changed)--> _whole    a window that was watched throughout
            _whole --(a gap cuts the window: less of it each ms)----> expected  what was watched of it
            expected --(it, or the thresholds, changed)-------------> calm      least count of the first threshold
                                                                      _least    of the others: None until asked for

        While a gap cuts the largest window the generation is -1, so that each evaluation comes here again.
        """
        if live is not self.live:
            self.live, self._ends = live, [-1] * len(WIDTHS)
        self.since_ms = now_ms
        is_whole = not live.is_known or live.covers(now_ms - 1000 * WIDTHS[-1], EVER_MS)
        # What was seen of windows that a gap cuts changes with every millisecond.
        self.generation = generation if is_whole else -1
        for k, window_s in enumerate(WIDTHS):
            end = final_ms // (1000 * window_s)
            if end != self._ends[k]:
                self._ends[k] = end
                self._whole[k] = self.statistics.expect(k, end, live)
                self.fanos[k] = self._whole[k].fano if live.weight(window_s, end) >= PRIOR_BINS else 1.0
            expected = self._whole[k] if is_whole else self._part(k, now_ms)
            if expected != self.expected[k] or self._thresholds is not thresholds:
                self.expected[k], self._least[k] = expected, None
                self.calm[k] = inf if expected is None else self._first(thresholds, k, expected)
        self._thresholds = thresholds

    def _first(self, thresholds: Thresholds, k: int, expected: Expected) -> int:
        level = thresholds.surprises[k][thresholds.first]
        guess = 0 if self.calm[k] == inf else int(self.calm[k])
        return least_counts([level], expected.mean, expected.fano, [guess])[0]

    def _part(self, k: int, now_ms: int) -> Expected | None:
        seen_s = self.live.live_ms(now_ms - 1000 * WIDTHS[k], now_ms) // 1000
        whole = self._whole[k]
        return Expected(whole.mean * (seen_s / WIDTHS[k]), whole.fano) if seen_s else None

    def is_calm(self, of_10s: int, of_60s: int, of_300s: int) -> bool:
        """Return whether no window reaches the first threshold."""
        calm_10s, calm_60s, calm_300s = self.calm
        return of_10s < calm_10s and of_60s < calm_60s and of_300s < calm_300s

    def reaches(self, counts: Counts, which: int) -> bool:
        """Return whether the surprise of any window reaches its threshold number `which`."""
        return any(count >= (self._least[k] or self._all(k))[which] for k, count in enumerate(counts))

    def _all(self, k: int) -> Sequence[float]:
        expected, thresholds = self.expected[k], self._thresholds
        least: Sequence[float] = _NOWHERE
        if expected is not None and thresholds is not None:
            guesses = [int(self.calm[k])] * len(thresholds.surprises[k])
            least = least_counts(thresholds.surprises[k], expected.mean, expected.fano, guesses)
        self._least[k] = least
        return least

    def scores(self, counts: Counts) -> list[Score | None]:
        """Return the surprise of each window, with what it was measured by."""
        return [score_of(count, expected) for count, expected in zip(counts, self.expected, strict=True)]
