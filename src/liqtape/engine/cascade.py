"""From metrics to a level, and from level changes to alerts: the founding document's threshold rule."""

from collections.abc import Callable

from liqtape.engine.velocity import VelocityEngine
from liqtape.events import Alert, Level

__all__ = ["Levels"]


class Levels:
    """The current level of each instrument; a change is an `Alert`, once per crossing, re-armed below.

    >>> levels = Levels(VelocityEngine())
    >>> levels.check("BTCUSDT", 1_000), levels.current("BTCUSDT")
    (None, 'NONE')
    """

    def __init__(self, engine: VelocityEngine, on_change: Callable[[Alert], None] | None = None) -> None:
        self._engine = engine
        self._on_change = on_change
        self._levels: dict[str, Level] = {}

    def current(self, instrument: str) -> Level:
        """The level at the last check."""
        return self._levels.get(instrument, "NONE")

    def raised(self) -> list[str]:
        """Instruments above NONE: check these on a timer too, or nobody would tell when it is over."""
        return list(self._levels)

    def check(self, instrument: str, now_ms: int) -> Alert | None:
        """Evaluate the rule; the alert when the level changed."""
        level = self._engine.level(instrument, now_ms)
        previous = self.current(instrument)
        if level == previous:
            return None
        if level == "NONE":
            del self._levels[instrument]
        else:
            self._levels[instrument] = level
        metrics = self._engine.metrics(instrument, now_ms)
        if metrics is None:
            return None
        alert = Alert(
            instrument,
            level,
            previous,
            now_ms,
            metrics.velocity_10s,
            metrics.acceleration,
            metrics.event_count_60s,
            metrics.long_usd_60s + metrics.short_usd_60s,
            "threshold",
        )
        if self._on_change is not None:
            self._on_change(alert)
        return alert
