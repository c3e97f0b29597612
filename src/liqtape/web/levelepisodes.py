"""Level episodes: from a level change above NONE to the one back, with what was closed meanwhile."""

from collections import deque
from collections.abc import Callable
from math import fsum, isnan

from msgspec import Struct

from liqtape.engine.velocity import MARKET
from liqtape.events import LEVELS, Alert, Level
from liqtape.web.answers import VenueLead
from liqtape.web.chartanswers import LevelEpisode, PriceMove
from liqtape.web.eventmemory import EventColumns, EventMemory

__all__ = ["Episodes"]


_BEFORE_MS = 60_000  # what raised the level lies in the minute before
_HOUR_MS = 3_600_000
_MOST = 500
_SHARES = 5


class _Told(Struct):
    """What the level changes told of an episode."""

    instrument: str
    level: Level
    highest: Level
    start_ms: int
    highest_ms: int
    end_ms: int | None
    peak_velocity_10s: float
    usual_usd: float | None
    return_days: float | None
    is_learning: bool | None
    lead: VenueLead | None = None
    done: LevelEpisode | None = None  # as it will stay


class Episodes:
    """The level episodes since the start, the last 500; `price_at` tells the price of BTC at a moment."""

    def __init__(self, memory: EventMemory, price_at: Callable[[int], float | None]) -> None:
        self._memory = memory
        self._price_at = price_at
        self._told: deque[_Told] = deque(maxlen=_MOST)
        self._open: dict[str, _Told] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._told.clear()
        self._open.clear()

    def note(self, alert: Alert, times_usual: float | None, lead: VenueLead | None) -> None:
        """Take in a level change; `times_usual` is that of its stream now."""
        told = self._open.get(alert.instrument)
        if alert.level == "NONE":
            if told is not None:
                told.level, told.end_ms = "NONE", alert.at_ms
                del self._open[alert.instrument]
            return
        if told is None:
            usual = alert.usd_60s / times_usual if times_usual else None
            told = _Told(
                alert.instrument,
                alert.level,
                alert.level,
                alert.at_ms,
                alert.at_ms,
                None,
                alert.velocity_10s,
                usual,
                alert.return_days,
                alert.is_learning,
                lead,
            )
            self._open[alert.instrument] = told
            self._told.append(told)
            return
        told.level = alert.level
        told.lead = lead or told.lead
        told.peak_velocity_10s = max(told.peak_velocity_10s, alert.velocity_10s)
        if LEVELS.index(alert.level) > LEVELS.index(told.highest):
            told.highest, told.highest_ms = alert.level, alert.at_ms
            told.return_days, told.is_learning = alert.return_days, alert.is_learning

    def level_of(self, instrument: str) -> tuple[Level, int | None]:
        """Return the level as told, and since when something above NONE was."""
        told = self._open.get(instrument)
        return ("NONE", None) if told is None else (told.level, told.start_ms)

    def raised(self) -> dict[Level, int]:
        """Return how many instruments are at each level above NONE."""
        counts: dict[Level, int] = {}
        for instrument, told in self._open.items():
            if instrument != MARKET:
                counts[told.level] = counts.get(told.level, 0) + 1
        return counts

    def newest(self, now_ms: int, instrument: str | None, least: Level, limit: int) -> tuple[list[LevelEpisode], int]:
        """Return the newest that reached a level, of one instrument or of all, and how many there are."""
        order = LEVELS.index(least)
        wanted = [
            told
            for told in reversed(self._told)
            if instrument in {None, told.instrument} and LEVELS.index(told.highest) >= order
        ]
        return [self._whole(told, now_ms) for told in wanted[:limit]], len(wanted)

    def _whole(self, told: _Told, now_ms: int) -> LevelEpisode:
        if told.done is not None:
            return told.done
        from_ms, until_ms = told.start_ms - _BEFORE_MS, told.end_ms or now_ms
        columns = self._memory.of(told.instrument).between(from_ms, until_ms)
        peak = _highest_minute(columns)
        shares = self._memory.shares(from_ms, until_ms) if told.instrument == MARKET else []
        usd = {side: _usd(columns, side) for side in (1, 2)}
        episode = LevelEpisode(
            told.instrument,
            told.level,
            told.highest,
            told.start_ms,
            told.highest_ms,
            told.end_ms,
            peak,
            told.peak_velocity_10s,
            peak / told.usual_usd if told.usual_usd else None,
            told.return_days,
            told.is_learning,
            len(columns),
            fsum([_usd(columns, 0), *usd.values()]),
            usd[1],
            usd[2],
            shares[:_SHARES],
            columns.by_venue(),
            told.lead,
            self._move(told, now_ms),
            self._memory.kept_from_ms > from_ms,
        )
        if told.end_ms is not None and now_ms > told.end_ms + _HOUR_MS:
            told.done = episode
        return episode

    def _move(self, told: _Told, now_ms: int) -> PriceMove:
        price = self._price_of(told.instrument)
        start = price(told.start_ms - _BEFORE_MS) or price(told.start_ms)
        if told.end_ms is None or not start:
            return PriceMove(None, None)
        end = price(told.end_ms)
        later = price(told.end_ms + _HOUR_MS) if now_ms >= told.end_ms + _HOUR_MS else None
        return PriceMove(end / start - 1 if end else None, later / end - 1 if end and later else None)

    def _price_of(self, instrument: str) -> Callable[[int], float | None]:
        return self._price_at if instrument == MARKET else self._memory.of(instrument).price_at


def _usd(columns: EventColumns, side: int) -> float:
    amounts = (usd for usd, own in zip(columns.usd, columns.sides, strict=True) if own == side)
    return round(fsum(usd for usd in amounts if not isnan(usd)), 6)


def _highest_minute(columns: EventColumns) -> float:
    """Return the most USD of any 60 s, looked at after each event."""
    highest = running = 0.0
    first = 0
    for place, at_ms in enumerate(columns.times_ms):
        running += columns.known_usd(place) or 0.0
        while columns.times_ms[first] <= at_ms - _BEFORE_MS:
            running -= columns.known_usd(first) or 0.0
            first += 1
        highest = max(highest, running)
    return round(highest, 6)
