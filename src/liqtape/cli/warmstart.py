"""What levels know of the simulated market before its first second: some of its days, looked at beforehand.

A fresh start is learning, and hardly anything is unusual to it. Ten days of the simulated market are 1.6 million
liquidations, minutes of work; so their outcome is kept in `warmstart.json`, as `python -m liqtape.cli.warmstart` writes
it: the events that the simulator's own generator and throttles print, added and looked at in event-time order with all
feeds up, by the engine of the live service.
"""

import hashlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from liqtape.alarms.policy.messagepolicy import MessagePolicy, PolicySettings
from liqtape.alarms.policy.scenes import scene_of
from liqtape.engine import VelocityEngine
from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import MARKET_KEY, ReturnPeriods, StreamKey
from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation
from liqtape.simulator import instrument_of, micro_usd_of
from liqtape.simulator.days import printed
from liqtape.simulator.dialects import DIALECTS
from liqtape.simulator.listings import LISTINGS
from liqtape.simulator.scenario import scenario
from liqtape.simulator.wire import SentRow
from liqtape.venues import VENUES
from liqtape.venues.base import WatchesAccounts

__all__ = ["DAYS", "WarmStart", "learned", "probe", "simulated_days", "warm_start", "write_warm_start"]

DAYS = 10
"""More than seven decayed days, so that nothing is learning any more."""

SCENARIO = "calm"
SEED = 1_000_003
"""None that anybody is likely to give a demo: it is not to meet its own past."""

_HOUR_MS = 3_600_000
_SECOND_MS = 1_000
_FILE = Path(__file__).with_suffix(".json")
_DECIMALS = 4
_PROBED_HOURS = 2


class _Stream(Struct, frozen=True):
    """One stream in the file."""

    venue: str | None
    instrument: str | None
    days: float
    usd: float
    largest_usd: float
    bins: dict[int, float]


class _File(Struct, frozen=True):
    """`warmstart.json`; `probe` is the digest of what the first two hours teach, which take a second to do again."""

    scenario: str
    seed: int
    days: int
    probe: str
    messages: _Stream
    streams: list[_Stream]


class WarmStart(Struct, frozen=True):
    """States of all streams of the simulated market, and what they were learned from.

    `messages` is what the budget of messages learned there; it is the same for any budget.
    """

    days: int
    states: dict[StreamKey, StreamState]
    probe: str
    messages: StreamState

    def __str__(self) -> str:
        return f"levels learned from {self.days} simulated days"


def warm_start(path: Path = _FILE) -> WarmStart:
    """Read what is bundled, or a copy of it. Raises OSError, and ConfigurationError for a file that is none."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not a file of `liqtape simulate --levels`: {error}") from error
    states = {StreamKey(one.venue, one.instrument): _state(one) for one in file.streams}
    return WarmStart(file.days, states, file.probe, _state(file.messages))


def _state(one: _Stream) -> StreamState:
    return StreamState(one.days, one.bins, one.usd, one.largest_usd)


def write_warm_start(path: Path) -> None:
    """Write a copy of what is bundled, for a process that has the simulated venues as its own. Raises OSError."""
    path.write_bytes(_FILE.read_bytes())


def simulated_days(hours: int) -> Iterable[SentRow]:
    """Yield what the calm market prints in its first hours, in event-time order."""
    accounts = {name: venue.watch_list for name, venue in VENUES.items() if isinstance(venue, WatchesAccounts)}
    return printed(scenario(SCENARIO), SEED, hours * _HOUR_MS, accounts)


def learned(rows: Iterable[SentRow], until_ms: int) -> tuple[dict[StreamKey, StreamState], StreamState]:
    """Return what every stream learns of these rows, with all feeds up from 0 to `until_ms`, and the message budget."""
    levels = ReturnPeriods()
    engine = VelocityEngine(rule=levels)
    for item in LISTINGS:
        engine.lists_instrument(item.venue, instrument_of(item.venue, item.symbol))
    for venue in DIALECTS:
        engine.feed_up(venue, 0)
    policy = MessagePolicy(PolicySettings())
    ticked_ms = 0
    for row in rows:
        instrument = instrument_of(row.venue, row.symbol)
        usd = micro_usd_of(row.venue, row.symbol, row.price, row.size) / 1e6
        price, at_ms = float(row.price), row.event_ms
        engine.add(Liquidation(row.venue, instrument, row.symbol, row.side, price, "bankruptcy", 0.0, usd, at_ms))
        engine.look([(row.venue, instrument)], at_ms)
        if at_ms - ticked_ms >= _SECOND_MS:
            ticked_ms = at_ms
            engine.tick(at_ms)
            policy.look(scene_of(engine, at_ms))
    return levels.end(until_ms), policy.state(until_ms).budget


def probe() -> str:
    """Return the digest of the episodes of the first two hours: another one means that the file is out of date.

    Levels hang on nothing else of a state.
    """
    states, _ = learned(simulated_days(_PROBED_HOURS), _PROBED_HOURS * _HOUR_MS)
    episodes = {key: replace(state, usd=0.0) for key, state in states.items()}
    return hashlib.sha256(b"\n".join(_lines(episodes))).hexdigest()[:16]


def _lines(states: Mapping[StreamKey, StreamState]) -> list[bytes]:
    """Write a line for each stream, its weights to a ten thousandth of an episode."""
    in_order = sorted(states.items(), key=lambda item: tuple(part or "" for part in item[0]))
    return [_line(key, state) for key, state in in_order]


def _line(key: StreamKey, state: StreamState) -> bytes:
    bins = {number: round(weight, _DECIMALS) for number, weight in state.bins.items()}
    kept = {number: weight for number, weight in bins.items() if weight}
    return msgspec.json.encode(_Stream(*key, round(state.days, 6), round(state.usd), round(state.largest_usd), kept))


def _main() -> None:
    states, messages = learned(simulated_days(24 * DAYS), 24 * DAYS * _HOUR_MS)
    head = f'{{"scenario":"{SCENARIO}","seed":{SEED},"days":{DAYS},"probe":"{probe()}","messages":\n'
    begin = head.encode() + _line(MARKET_KEY, messages) + b',"streams":[\n'
    _FILE.write_bytes(begin + b",\n".join(_lines(states)) + b"\n]}\n")
    sys.stdout.write(f"{_FILE.name}: {len(states)} streams, {_FILE.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    _main()
