"""What the policy sees of a velocity engine at a moment."""

from collections.abc import Mapping

from liqtape.alarms.policy.rulewatch import RowsOf
from liqtape.alarms.policy.sightings import Scene, Surroundings, sightings
from liqtape.engine.levels.returnperiods import MARKET_KEY, Minute, StreamKey
from liqtape.engine.velocity import MARKET, VelocityEngine
from liqtape.events import VelocityMetrics

__all__ = ["breadth_of", "rows_of", "scene_of"]


def scene_of(engine: VelocityEngine, now_ms: int, at: Mapping[str, int] | None = None) -> Scene:
    """Return the scene at `now_ms`, `at` as for the engine; empty by a level rule without return periods."""
    levels = engine.levels
    if levels is None:
        return Scene(now_ms, is_watched=False, btc_price=engine.btc_price)

    def minute_of(key: StreamKey) -> Minute:
        return engine.minute(key, now_ms, at)

    def surroundings() -> Surroundings:
        minutes = {}
        for instrument in engine.instruments():
            for venue in sorted(levels.venues_of(instrument)):
                minute = engine.minute(StreamKey(venue, instrument), now_ms, at)
                if minute[1]:
                    minutes[venue, instrument] = minute
        row = engine.market(now_ms, at=at)
        usual = levels.rarity(MARKET_KEY, now_ms, engine.minute(MARKET_KEY, now_ms, at)[0]).times_usual
        return Surroundings(minutes, row.coverage_300s, sorted(engine.throttled), usual)

    return Scene(
        now_ms,
        sightings(levels, minute_of),
        max(1, levels.instrument_count),
        levels.market.is_up,
        engine.btc_price,
        surroundings,
    )


def rows_of(engine: VelocityEngine, now_ms: int, at: Mapping[str, int] | None = None) -> RowsOf:
    """Return what gives rules their rows; each is made once a moment."""
    made: dict[tuple[str, str | None], VelocityMetrics | None] = {}

    def row(instrument: str, venue: str | None) -> VelocityMetrics | None:
        if (instrument, venue) not in made:
            if instrument == MARKET:
                made[instrument, venue] = engine.market(now_ms, venue, at=at)
            else:
                made[instrument, venue] = engine.metrics(instrument, now_ms, venue, at=at)
        return made[instrument, venue]

    def rows(instrument: str, venues: tuple[str, ...]) -> list[VelocityMetrics]:
        found = [row(instrument, venue) for venue in venues or (None,)]
        return [one for one in found if one is not None]

    return rows


def breadth_of(engine: VelocityEngine, now_ms: int) -> int:
    """Return how many instruments rose within 60 s."""
    return 0 if engine.levels is None else engine.levels.breadth_at(now_ms)
