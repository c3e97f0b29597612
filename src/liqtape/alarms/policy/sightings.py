"""What the policy sees at a moment: the scopes at ALERT or above, and what is told beside them."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from liqtape.engine.levels.returnperiods import BREADTH_KEY, MARKET_KEY, STREAM_LEVELS, Minute, ReturnPeriods, StreamKey
from liqtape.engine.levels.streamlevel import StreamLevel
from liqtape.engine.velocity import MARKET
from liqtape.events import Level

__all__ = ["BREADTH_SCOPE", "Scene", "Sighting", "Surroundings", "sightings"]

BREADTH_SCOPE = "BREADTH"
"""How many instruments rose within 60 s, as a scope beside the instruments and `MARKET`."""


class Sighting(Struct, frozen=True):
    """A scope at ALERT or above: what its open episode reached (0 where it is over), and how rare that is.

    `is_public`: while it learns it reached what is CRITICAL whatever was seen before.
    """

    scope: str
    level: Level
    highest: float
    count_60s: int
    return_days: float | None
    watched_days: float
    is_learning: bool = False
    is_extrapolated: bool = False
    is_public: bool = False
    threshold: float | None = None
    floor: float | None = None


class Surroundings(Struct, frozen=True):
    """What only a message needs: liquidations of the last 60 s by (venue, instrument), and what is missing."""

    minutes: Mapping[tuple[str, str], Minute] = {}
    coverage: float | None = None
    throttled: Sequence[str] = ()
    times_usual: float | None = None


def _nothing() -> Surroundings:
    return Surroundings()


class Scene(Struct, frozen=True):
    """A moment. `instruments` is how many are watched, `is_watched` whether any venue is."""

    at_ms: int
    sightings: Sequence[Sighting] = ()
    instruments: int = 1
    is_watched: bool = True
    btc_price: float | None = None
    surroundings: Callable[[], Surroundings] = _nothing


def sightings(levels: ReturnPeriods, minute_of: Callable[[StreamKey], Minute]) -> list[Sighting]:
    """Return what is at ALERT or above; O(streams that are active)."""
    return [_sighting(levels, stream, minute_of) for stream in levels.at_alert()]


def _sighting(levels: ReturnPeriods, stream: StreamLevel, minute_of: Callable[[StreamKey], Minute]) -> Sighting:
    key: StreamKey = stream.key
    histogram = stream.histogram
    is_breadth = key == BREADTH_KEY
    level = STREAM_LEVELS[stream.level] if is_breadth else levels.level_of(key)
    return_days = histogram.return_days(stream.peak)
    return Sighting(
        BREADTH_SCOPE if is_breadth else MARKET if key == MARKET_KEY else str(key.instrument),
        level,
        stream.peak,
        0 if is_breadth else minute_of(key)[1],
        return_days,
        histogram.days,
        stream.is_learning,
        return_days is not None and return_days > histogram.days,
        stream.is_learning and stream.peak >= stream.steps.learning_cap_usd,
        levels.threshold(key, level),
        levels.floor(key, level),
    )
