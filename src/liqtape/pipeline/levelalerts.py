"""From levels to alerts: what is announced, once a change."""

from collections.abc import Callable, Mapping

from liqtape.engine.levels.returnperiods import MARKET_KEY, StreamKey
from liqtape.engine.velocity import MARKET, VelocityEngine
from liqtape.events import LEVELS, Alert, Level, VelocityMetrics

__all__ = ["Levels"]

_HIGHEST = frozenset({"CRITICAL", "EXTREME"})
_AGAIN_MS = 1_000


class Levels:
    """The level of each instrument as it was last announced; a change is an `Alert`.

    >>> levels = Levels(VelocityEngine())
    >>> levels.check("BTCUSDT", 1_000), levels.current("BTCUSDT")
    (None, 'NONE')
    """

    def __init__(self, engine: VelocityEngine, on_change: Callable[[Alert], None] | None = None) -> None:
        self._engine = engine
        self._on_change = on_change
        self._levels: dict[str, Level] = {}
        self._highest: dict[str, int] = {}  # when an instrument that cannot rise by itself was last looked at

    def current(self, instrument: str) -> Level:
        """The level at the last check."""
        return self._levels.get(instrument, "NONE")

    def raised(self) -> list[str]:
        """Instruments above NONE: check these on a timer too, or nobody would tell when it is over."""
        return list(dict.fromkeys([*self._levels, *self._engine.raised()]))

    def move(self, by_ms: int) -> None:
        """Time is later by so much than it was taken for."""
        for instrument in self._highest:
            self._highest[instrument] += by_ms

    def check(self, instrument: str, now_ms: int, at: Mapping[str, int] | None = None) -> Alert | None:
        """Evaluate the rule; the alert when the level changed. The instrument may be `MARKET`; `at` as for the engine.

        An instrument that is CRITICAL rises no more by itself, so in a cascade it is looked at once a second.
        """
        if now_ms - self._highest.get(instrument, -_AGAIN_MS) < _AGAIN_MS:
            return None
        engine = self._engine
        level = engine.level(instrument, now_ms, at) if instrument != MARKET else engine.market_level()
        if level in _HIGHEST:
            self._highest[instrument] = now_ms
        else:
            self._highest.pop(instrument, None)
        previous = self._levels.get(instrument, "NONE")
        if level == previous:
            return None
        if level == "NONE":
            del self._levels[instrument]
        else:
            self._levels[instrument] = level
        metrics = engine.market(now_ms, at=at) if instrument == MARKET else engine.metrics(instrument, now_ms, at=at)
        if metrics is None:
            return None
        alert = self._alert(metrics, level, previous, now_ms, at)
        if self._on_change is not None:
            self._on_change(alert)
        return alert

    def _alert(
        self, metrics: VelocityMetrics, level: Level, previous: Level, now_ms: int, at: Mapping[str, int] | None
    ) -> Alert:
        engine, instrument = self._engine, metrics.symbol
        key = MARKET_KEY if instrument == MARKET else StreamKey(None, instrument)
        known = (
            instrument,
            level,
            previous,
            now_ms,
            metrics.velocity_10s,
            metrics.acceleration,
            metrics.event_count_60s,
            engine.minute(key, now_ms, at)[0],
        )
        if engine.threshold is not None:
            return Alert(*known, "threshold")
        if engine.levels is not None:
            rarity = engine.levels.rarity(key, now_ms, known[-1])
            higher = max(level, previous, key=LEVELS.index)
            return Alert(
                *known,
                "return_period",
                floor_usd=engine.levels.floor(key, higher),
                return_days=rarity.return_days,
                watched_days=rarity.watched_days,
                is_learning=rarity.is_learning,
                is_extrapolated=rarity.is_extrapolated,
                threshold_usd=engine.levels.threshold(key, higher),
            )
        score = engine.score(instrument, now_ms, at)
        floor_usd = engine.evaluator.rule.floor(instrument)
        if score is None:
            return Alert(*known, "surprise", floor_usd=floor_usd)
        return Alert(*known, "surprise", score.surprise, score.mean, score.fano, floor_usd)
