"""Which levels are above NONE now, as they were told."""

from liqtape.engine.velocity import MARKET
from liqtape.events import Alert, Level

__all__ = ["RaisedLevels"]


class RaisedLevels:
    """Follows the level changes."""

    def __init__(self) -> None:
        self._raised: dict[str, Level] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._raised.clear()

    def note(self, alert: Alert) -> None:
        """Take in a level change."""
        if alert.level == "NONE":
            self._raised.pop(alert.instrument, None)
        else:
            self._raised[alert.instrument] = alert.level

    def level_of(self, instrument: str) -> Level:
        """Return the level of an instrument, or of `MARKET`."""
        return self._raised.get(instrument, "NONE")

    def counts(self) -> dict[Level, int]:
        """Return how many instruments are at each level above NONE."""
        counts: dict[Level, int] = {}
        for instrument, level in self._raised.items():
            if instrument != MARKET:
                counts[level] = counts.get(level, 0) + 1
        return counts
