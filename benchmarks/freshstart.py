"""What the level rule says in the first minutes, when it knows nothing: the simulated market, without sockets."""

from collections import deque

from liqtape.engine.levels.streamlevel import INSTRUMENT, MARKET_STEPS, VENUE, LevelSteps, StreamLevel
from liqtape.simulator.deliverylog import Tally
from liqtape.simulator.faults import Faults
from liqtape.simulator.market import Market
from liqtape.simulator.recount import instrument_of, micro_usd_of
from liqtape.simulator.scenario import scenario
from liqtape.simulator.wire import Frame, SentRow, ServerLimits

__all__ = ["SCOPES", "highest_steps"]

SCOPES: dict[str, LevelSteps] = {
    "instruments": INSTRUMENT,
    "instruments at a venue": INSTRUMENT,
    "venues": VENUE,
    "the market": MARKET_STEPS,
}

_STEP_MS = 100
_MINUTE_MS = 60_000
_SECOND_MS = 1_000


class _Follower:
    """Takes what a venue prints."""

    def __init__(self, venue: str) -> None:
        self.tally = Tally(connection=1, venue=venue)
        self.rows: list[SentRow] = []

    def give(self, frame: Frame, *, again: bool = False) -> None:  # noqa: ARG002 - nothing is sent again here
        if frame.kind == "liquidation":
            self.rows += frame.rows

    def hang_up(self, code: int) -> None:
        raise AssertionError(f"a market without faults hung up with {code}")


class _Stream:
    """One stream that begins at 0 with nothing learned, and its last 60 s counted event by event."""

    def __init__(self, steps: LevelSteps) -> None:
        self.level = StreamLevel(steps)
        self.level.up(0)
        self._events: deque[tuple[int, int]] = deque()
        self._micro_usd = 0

    def add(self, at_ms: int, micro_usd: int) -> int:
        self._events.append((at_ms, micro_usd))
        self._micro_usd += micro_usd
        while self._events[0][0] <= at_ms - _MINUTE_MS:
            self._micro_usd -= self._events.popleft()[1]
        return self.level.look(at_ms, self._micro_usd / 1e6, len(self._events))


def _printed(name: str, seed: int, seconds: int) -> list[SentRow]:
    """What all venues print of a scenario, throttled as they do, in the order in which it happened."""
    market = Market(scenario(name), seed, 1.0, Faults((), seed), ServerLimits())
    market.start(0)
    followers = [_Follower(venue) for venue in market.publishers]
    for now_ms in range(0, _SECOND_MS * seconds + 1, _STEP_MS):
        market.advance(now_ms, followers)
    market.finish(followers)
    rows = [row for follower in followers for row in follower.rows]
    return sorted(rows, key=lambda row: row.event_ms)


def highest_steps(name: str, seed: int, seconds: int) -> dict[str, int]:
    """The highest step that any stream of each of `SCOPES` reached within a scenario's first `seconds`."""
    streams: dict[tuple[str, ...], _Stream] = {}
    highest = dict.fromkeys(SCOPES, 0)
    for row in _printed(name, seed, seconds):
        instrument = instrument_of(row.venue, row.symbol)
        micro_usd = micro_usd_of(row.venue, row.symbol, row.price, row.size)
        for baseline, key in zip(SCOPES, ((instrument,), (instrument, row.venue), (row.venue,), ()), strict=True):
            stream = streams.get((baseline, *key))
            if stream is None:
                stream = streams[baseline, *key] = _Stream(SCOPES[baseline])
            highest[baseline] = max(highest[baseline], stream.add(row.event_ms, micro_usd))
    return highest
