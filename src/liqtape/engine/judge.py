"""The level rule on counts: what `levels` says of surprises, by comparing integers, fit for after every event."""

from liqtape.engine.levels.surpriselevels import LevelRule, SurpriseLevels
from liqtape.engine.rows import Sums
from liqtape.engine.scope import Counts, Scope, Thresholds
from liqtape.engine.surprise import Score
from liqtape.events import Level

__all__ = ["Judge"]

_LEVELS: tuple[Level, ...] = ("NONE", "WATCH", "ALERT", "CRITICAL", "EXTREME")


class Judge:
    """The levels of all instruments by a `LevelRule`, with the memory that hysteresis and EXTREME need.

    `thresholds` is what scopes are to be refreshed with.
    """

    def __init__(self, rule: LevelRule) -> None:
        self.rule = rule
        self.levels = SurpriseLevels(rule)
        kept = {level: rule.keeps(level) for level in _LEVELS}
        surprises = sorted({rule.watch, rule.alert, rule.critical, *kept.values()})
        first, self._alert, self._critical = map(surprises.index, (rule.watch, rule.alert, rule.critical))
        self.thresholds = Thresholds(tuple(zip(*map(rule.of_windows, surprises), strict=True)), first)
        self._keeps = {level: surprises.index(surprise) for level, surprise in kept.items()}

    def wanted(self, scope: Scope, counts: Counts, usd_60s: float, floor_usd: float) -> Level:
        """The highest level whose rule holds now, EXTREME aside."""
        if scope.is_calm(*counts):
            return "NONE"
        if usd_60s >= floor_usd and scope.reaches(counts, self._critical):
            return "CRITICAL"
        if counts[1] >= self.rule.alert_count and scope.reaches(counts, self._alert):
            return "ALERT"
        return "WATCH"

    def step(self, instrument: str, now_ms: int, scope: Scope, counts: Counts, usd_60s: float) -> Level:
        """The level at `now_ms`, which is remembered."""
        wanted = self.wanted(scope, counts, usd_60s, self.rule.floor(instrument))
        current = self.levels.current(instrument)
        if wanted == current == "NONE":
            return "NONE"
        is_kept = scope.is_blind or scope.reaches(counts, self._keeps[current])
        return self.levels.step(instrument, now_ms, wanted, is_kept=is_kept)

    def shown(self, instrument: str, scope: Scope, sums: Sums) -> Level:
        """What a row says: the level as it was last remembered, or what the rule says now if that is higher."""
        current = self.levels.current(instrument)
        wanted = self.wanted(scope, sums.judged, sums.usd_60s, self.rule.floor(instrument))
        return wanted if _LEVELS.index(wanted) > _LEVELS.index(current) else current

    def decisive(self, scope: Scope, counts: Counts) -> Score | None:
        """The surprise that is compared with the thresholds, with what it was measured by."""
        return self.rule.decisive(scope.scores(counts))
