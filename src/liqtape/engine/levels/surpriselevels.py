"""From surprises to levels NONE, WATCH, ALERT, CRITICAL and EXTREME: the rule of earlier versions, by choice.

Relative measures alone fire on noise in quiet hours, so CRITICAL also needs an absolute USD floor; and a level that
went up at once comes down slowly, so that a cascade is one episode.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field

from liqtape.engine.baseline.surprise import Score
from liqtape.events import LEVELS, Level

__all__ = ["HysteresisLevel", "LevelAlert", "LevelRule", "MarketRule", "Reading", "SurpriseLevels"]

_WATCH, _ALERT, _CRITICAL, _EXTREME = range(1, 5)


class Reading(Struct, frozen=True, gc=False):
    """What a level is decided by: counts and USD of the last 60 s and how surprising they are (None: not defined).

    `mean` and `fano` are what `surprise_60s` was measured by. The surprises of 10 and 300 s may be left out.
    """

    at_ms: int
    count_60s: int
    usd_60s: float
    surprise_60s: float | None
    mean: float | None = None
    fano: float | None = None
    surprise_10s: float | None = None
    surprise_300s: float | None = None


class LevelAlert(Struct, frozen=True, gc=False):
    """A level change, with what it was decided by; `surprise` is the one compared with the thresholds."""

    instrument: str
    level: Level
    previous: Level
    at_ms: int
    surprise: float | None
    mean: float | None
    fano: float | None
    floor_usd: float
    count_60s: int
    usd_60s: float
    rule: str = "surprise"


class LevelRule(Struct, frozen=True):
    """Thresholds of S for W = 60 s; 10 and 300 s count less by `penalty`, because three windows are three chances.

    Down comes one level after `hold_ms` below its threshold less `hysteresis`. EXTREME is for the whole market:
    CRITICAL on `min_critical` instruments or venues within `hold_ms`. Measured raises a week on steady streams of 820,
    84, 8 and 0.9 events a day: WATCH 31, 20, 8.3 and 1.3, ALERT 7.0, 6.6, 2.1 and 0.3, CRITICAL 0.34, 0.40, 0.11 and
    0.02 (`python -m benchmarks calibration`).

    >>> LevelRule().level(Reading(0, 4, 150_000.0, 6.2), 100_000.0)
    'CRITICAL'
    >>> LevelRule().level(Reading(0, 4, 50_000.0, 6.2), 100_000.0)
    'WATCH'
    """

    watch: float = 3.0
    alert: float = 4.0
    critical: float = 6.0
    alert_count: int = 5
    floor_usd: float = 100_000.0
    floors_usd: Mapping[str, float] = field(default_factory=dict)
    penalty: float = 0.5
    hysteresis: float = 1.0
    hold_ms: int = 60_000
    min_critical: int = 3

    def floor(self, instrument: str) -> float:
        """Return the USD that CRITICAL needs within 60 s."""
        return self.floors_usd.get(instrument, self.floor_usd)

    def surprise(self, reading: Reading) -> float | None:
        """Return the surprise that counts: of 60 s, or a larger one of 10 or 300 s less the penalty.

        None without any.
        """
        surprise = reading.surprise_60s
        for other in (reading.surprise_10s, reading.surprise_300s):
            if other is not None and (surprise is None or other - self.penalty > surprise):
                surprise = other - self.penalty
        return surprise

    def of_windows(self, surprise: float) -> tuple[float, float, float]:
        """Return what the surprises of 10, 60 and 300 s must reach for `surprise` to count."""
        return surprise + self.penalty, surprise, surprise + self.penalty

    def decisive(self, scores: Sequence[Score | None]) -> Score | None:
        """Return the score of 10, 60 or 300 s that counts, its surprise less the penalty; None without any."""
        found: Score | None = None
        for score, penalty in zip(scores, self.of_windows(0.0), strict=True):
            if score is not None and (found is None or score.surprise - penalty > found.surprise):
                found = Score(score.surprise - penalty, score.mean, score.fano)
        return found

    def level(self, reading: Reading, floor_usd: float) -> Level:
        """Return the highest level whose rule holds now, EXTREME aside."""
        surprise = self.surprise(reading)
        if surprise is None:
            return "NONE"
        if surprise >= self.critical and reading.usd_60s >= floor_usd:
            return "CRITICAL"
        if surprise >= self.alert and reading.count_60s >= self.alert_count:
            return "ALERT"
        return "WATCH" if surprise >= self.watch else "NONE"

    def keeps(self, level: Level) -> float:
        """Return the surprise below which `level` begins to run out."""
        thresholds = (0.0, self.watch, self.alert, self.critical, self.critical)
        return thresholds[LEVELS.index(level)] - self.hysteresis


class HysteresisLevel:
    """One level: up at once; down one after `hold_ms` in a row without what keeps it, then again for the next.

    >>> held = HysteresisLevel(60_000)
    >>> held.step(0, "ALERT", is_kept=True), held.step(1_000, "NONE", is_kept=False)
    ('ALERT', 'ALERT')
    >>> held.step(61_000, "NONE", is_kept=False)
    'WATCH'
    """

    __slots__ = ("_below_since", "_hold_ms", "level")

    def __init__(self, hold_ms: int) -> None:
        self.level: Level = "NONE"
        self._hold_ms = hold_ms
        self._below_since: int | None = None

    def move(self, by_ms: int) -> None:
        """Make time later by so much than it was taken for."""
        if self._below_since is not None:
            self._below_since += by_ms

    def step(self, now_ms: int, target: Level, *, is_kept: bool) -> Level:
        """Return the level at `now_ms`.

        It is `target` when that is higher, else the present level for as long as it is kept or held.
        """
        rank = LEVELS.index(self.level)
        if LEVELS.index(target) > rank:
            self.level, self._below_since = target, None
        elif is_kept or target == self.level:
            self._below_since = None
        elif self._below_since is None:
            self._below_since = now_ms
        elif now_ms - self._below_since >= self._hold_ms:
            self.level, self._below_since = LEVELS[rank - 1], now_ms
        return self.level


class MarketRule:
    """Whether the whole market is EXTREME: CRITICAL on `min_critical` instruments, or `min_critical` venues, within
    `hold_ms`.

    >>> market = MarketRule(3, 60_000)
    >>> for at_ms, name in enumerate(["BTCUSDT", "ETHUSDT", "SOLUSDT"]): market.instrument(name, at_ms)
    >>> market.is_extreme(50_000), market.is_extreme(60_000)
    (True, False)
    """

    __slots__ = ("_hold_ms", "_instruments", "_min_critical", "_venues")

    def __init__(self, min_critical: int, hold_ms: int) -> None:
        self._min_critical = min_critical
        self._hold_ms = hold_ms
        self._instruments: dict[str, int] = {}  # when each was last CRITICAL, oldest first
        self._venues: dict[str, int] = {}

    def instrument(self, name: str, at_ms: int) -> None:
        """Note that the instrument meets the rule of CRITICAL."""
        self._instruments.pop(name, None)
        self._instruments[name] = at_ms

    def venue(self, name: str, at_ms: int) -> None:
        """Note that the venue meets the rule of CRITICAL."""
        self._venues.pop(name, None)
        self._venues[name] = at_ms

    def move(self, by_ms: int) -> None:
        """Make time later by so much than it was taken for."""
        for seen in (self._instruments, self._venues):
            for name in seen:
                seen[name] += by_ms

    def is_extreme(self, now_ms: int) -> bool:
        """Return whether enough instruments or venues met it in (now - hold, now]."""
        for seen in (self._instruments, self._venues):
            while seen and seen[oldest := next(iter(seen))] <= now_ms - self._hold_ms:
                del seen[oldest]
        return max(len(self._instruments), len(self._venues)) >= self._min_critical


class SurpriseLevels:
    """The level of each instrument by `LevelRule`; a change is a `LevelAlert`, at most one a check.

    Instruments at NONE cost nothing. Those above it are to be checked on a timer too (`raised`), or nobody would tell
    when it is over. An undefined surprise neither raises a level nor runs it out.

    >>> levels = SurpriseLevels()
    >>> alert = levels.check("BTCUSDT", Reading(0, 9, 2e6, 7.5, mean=0.2, fano=3.0))
    >>> alert.previous, alert.level, alert.surprise, alert.floor_usd
    ('NONE', 'CRITICAL', 7.5, 100000.0)
    """

    def __init__(self, rule: LevelRule | None = None, on_change: Callable[[LevelAlert], None] | None = None) -> None:
        self.rule = LevelRule() if rule is None else rule
        self.market = MarketRule(self.rule.min_critical, self.rule.hold_ms)
        self._on_change = on_change
        self.held: dict[str, HysteresisLevel] = {}  # of the instruments above NONE

    def current(self, instrument: str) -> Level:
        """Return the level at the last check."""
        held = self.held.get(instrument)
        return "NONE" if held is None else held.level

    def raised(self) -> list[str]:
        """Return the instruments above NONE."""
        return list(self.held)

    def move(self, by_ms: int) -> None:
        """Make time later by so much than it was taken for; what is waited for comes so much later, too."""
        self.market.move(by_ms)
        for held in self.held.values():
            held.move(by_ms)

    def check_venue(self, venue: str, reading: Reading) -> None:
        """Take a reading of a venue (of its market, or of one instrument there): it decides EXTREME alone."""
        if self.rule.level(reading, self.rule.floor_usd) == "CRITICAL":
            self.market.venue(venue, reading.at_ms)

    def step(self, instrument: str, now_ms: int, target: Level, *, is_kept: bool) -> Level:
        """Return the level at `now_ms` of an instrument that meets the rule of `target`.

        `is_kept` says whether its present level is kept.
        """
        held = self.held.get(instrument)
        if held is None:
            if target == "NONE":
                return "NONE"
            held = self.held[instrument] = HysteresisLevel(self.rule.hold_ms)
        if target == "CRITICAL":
            self.market.instrument(instrument, now_ms)
        if not self.market.is_extreme(now_ms):
            is_kept = is_kept and held.level != "EXTREME"
        elif target == "CRITICAL" or (held.level == "CRITICAL" and is_kept):
            target = "EXTREME"
        level = held.step(now_ms, target, is_kept=is_kept)
        if level == "NONE":
            del self.held[instrument]
        return level

    def check(self, instrument: str, reading: Reading) -> LevelAlert | None:
        """Evaluate the rule; the alert when the level changed."""
        rule = self.rule
        floor = rule.floor(instrument)
        surprise = rule.surprise(reading)
        previous = self.current(instrument)
        is_kept = surprise is None or surprise >= rule.keeps(previous)
        level = self.step(instrument, reading.at_ms, rule.level(reading, floor), is_kept=is_kept)
        if level == previous:
            return None
        alert = LevelAlert(
            instrument,
            level,
            previous,
            reading.at_ms,
            surprise,
            reading.mean,
            reading.fano,
            floor,
            reading.count_60s,
            reading.usd_60s,
        )
        if self._on_change is not None:
            self._on_change(alert)
        return alert
