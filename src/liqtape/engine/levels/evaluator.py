"""The level rule on counts: what `levels` says of surprises, by comparing integers, fit for after every event."""

from liqtape.engine.baseline.currentbaseline import Counts, CurrentBaseline, Thresholds
from liqtape.engine.baseline.surprise import Score
from liqtape.engine.levels.surpriselevels import LevelRule, SurpriseLevels
from liqtape.engine.windows.metricrow import Sums
from liqtape.events import LEVELS, Level

__all__ = ["LevelEvaluator"]


class LevelEvaluator:
    """The levels of all instruments by a `LevelRule`, with the memory that hysteresis and EXTREME need.

    `thresholds` is what scopes are to be refreshed with.
    """

    def __init__(self, rule: LevelRule) -> None:
        self.rule = rule
        self.levels = SurpriseLevels(rule)
        kept = {level: rule.keeps(level) for level in LEVELS}
        surprises = sorted({rule.watch, rule.alert, rule.critical, *kept.values()})
        first, self._alert, self._critical = map(surprises.index, (rule.watch, rule.alert, rule.critical))
        self.thresholds = Thresholds(tuple(zip(*map(rule.of_windows, surprises), strict=True)), first)
        self._keeps = {level: surprises.index(surprise) for level, surprise in kept.items()}

    def target(self, baseline: CurrentBaseline, counts: Counts, usd_60s: float, floor_usd: float) -> Level:
        """Return the highest level whose rule holds now, EXTREME aside."""
        if baseline.is_calm(*counts):
            return "NONE"
        if usd_60s >= floor_usd and baseline.reaches(counts, self._critical):
            return "CRITICAL"
        if counts[1] >= self.rule.alert_count and baseline.reaches(counts, self._alert):
            return "ALERT"
        return "WATCH"

    def step(self, instrument: str, now_ms: int, baseline: CurrentBaseline, counts: Counts, usd_60s: float) -> Level:
        """Return the level at `now_ms`, and remember it."""
        target = self.target(baseline, counts, usd_60s, self.rule.floor(instrument))
        current = self.levels.current(instrument)
        if target == current == "NONE":
            return "NONE"
        is_kept = baseline.is_blind or baseline.reaches(counts, self._keeps[current])
        return self.levels.step(instrument, now_ms, target, is_kept=is_kept)

    def shown(self, instrument: str, baseline: CurrentBaseline, sums: Sums) -> Level:
        """Return what a row says: the level as it was last remembered, or what the rule says now if that is higher."""
        current = self.levels.current(instrument)
        target = self.target(baseline, sums.window_counts, sums.usd_60s, self.rule.floor(instrument))
        return target if LEVELS.index(target) > LEVELS.index(current) else current

    def decisive(self, baseline: CurrentBaseline, counts: Counts) -> Score | None:
        """Return the surprise that is compared with the thresholds, with what it was measured by."""
        return self.rule.decisive(baseline.scores(counts))
