"""`python -m chaos fuzz`: bytes nobody should send, in great number, into everything that reads what others wrote.

Nothing may come out but events, or the one error each reader documents; the ledger must balance afterwards.
"""

import importlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from liqtape.engine import VelocityEngine
from liqtape.errors import ConfigurationError, DecodeError
from liqtape.eventfiles.readers import load
from liqtape.identity import identity
from liqtape.instruments import Contract, Instruments
from liqtape.ledger import Ledger
from liqtape.pipeline.admission import Intake
from liqtape.settings import load_settings
from liqtape.venues import VENUES
from liqtape.venues.base import Backfills, Venue
from liqtape.venues.session import Session

__all__ = ["Failure", "Outcome", "fuzz", "mutated", "targets"]

_FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"
_NOW_MS = 1_790_000_000_000
_TOGETHER = 16
_MOST_FAILURES = 10
_VALUES = (
    b"null", b"true", b"[]", b"{}", b'""', b"-1", b"0", b"-0.0", b"1e999", b"1e-999", b"NaN", b'"NaN"', b'"Infinity"',
    b'"-1"', b'"1e400"', b'"0x1F"', b"9223372036854775808", b"-9223372036854775809", b"1" * 400,
    b'"' + b"9" * 400 + b'"',
    b"1790000000000", b"253402300800000", b'"1790000000000"', b'"0.5"', b'"65000.1"', b'"BTCUSDT"', b'"Buy"', b'"SELL"',
    b'"\\u0000"', b"1", b"1e18", b"1e-18", b'"1e-18"', b"true", b"[1]", b'{"a":1}',
)  # fmt: skip
_TOKENS = (
    *_VALUES, b'"\\ud800"', b'"\xff"', b'"\x1b[2J"', b"\x00", b"\xef\xbb\xbf",
    b"[" * 2_000, b'{"a":' * 1_200, b'"' + "é".encode() * 200 + b'"', b",", b":", b"}", b"]", b'"',
)  # fmt: skip
_CONFIG = b"""
symbols = ["BTCUSDT"]
[venues.bybit]
enabled = true
ws_url = "wss://stream.bybit.com"
redundancy = 2
symbols = ["ETHUSDT"]
[venues.hyperliquid]
accounts = ["0x010461c14e146ac35fe42271bdc1134ee31c703a"]
[redis]
url = "redis://:secret@127.0.0.1:6379/1"
prefix = "a:"
persist = false
[alerts]
velocity_10s = 5.0
acceleration = 2.0
[history]
url = "off"
retention_days = 30.0
"""


_EVENTS = b"""\
{"schema":1,"venue":"bybit","instrument":"BTCUSDT","symbol":"BTCUSDT","side":"long","price":65000.5,"price_kind":\
"bankruptcy","quantity":0.5,"notional_usd":32500.25,"event_ms":1790000000000,"receive_ms":1790000000100,"id":"a"}
{"schema":1,"venue":"okx","instrument":"ETHUSDT","symbol":"ETH-USDT-SWAP","side":"SHORT","price":2600,"price_kind":\
"bankruptcy","quantity":null,"notional_usd":null,"event_ms":1790000000500,"receive_ms":null,"id":"b"}
"""
_ARCHIVE = b"""\
ts_ms,venue,symbol,side,price,quantity_base,value_usd
1790000000000,binance,BTCUSDT,long,65000.5,0.5,32500.25
1790000000001,bybit,ETHUSDT,SHORT,2600,1,2600
"""


class Failure(Struct, frozen=True):
    """An input that did what it must not."""

    target: str
    payload: bytes
    error: str


class Outcome(Struct):
    """How many inputs, what became of them, and those that failed."""

    inputs: int = 0
    results: Counter[str] = msgspec.field(default_factory=Counter)
    failures: list[Failure] = []
    seconds: float = 0.0


Target = tuple[Sequence[bytes], Callable[[bytes], str]]
"""Samples to start from, and what reads an input and says what it was."""


def mutated(sample: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    """One to a few changes: bytes, cuts, repeats, values of JSON, parts of another sample."""
    data = bytearray(sample)
    if dice.random() < 0.5:  # still JSON, so that it gets past the first door
        for _ in range(dice.choice((1, 1, 2, 4))):
            (_replace_value if dice.random() < 0.5 else _replace_digit)(data, dice.randrange(len(data) + 1), dice)
        return bytes(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        change = dice.randrange(7)
        place = dice.randrange(len(data) + 1)
        if change == 0 and data:
            data[place - 1] = dice.randrange(256)
        elif change == 1:
            del data[place:]
        elif change == 2:
            data[place:place] = dice.choice(_TOKENS)
        elif change == 3:
            data[place:place] = data[dice.randrange(len(data) + 1) :][: dice.randrange(1, 60)]
        elif change == 4:
            other = dice.choice(others)
            data[place:] = other[dice.randrange(len(other) + 1) :]
        elif change == 5:
            del data[place : place + dice.randrange(1, 20)]
        else:
            _replace_value(data, place, dice)
    return bytes(data)


def _replace_digit(data: bytearray, place: int, dice: random.Random) -> None:
    """The next digit becomes another one."""
    for i in range(place, min(place + 60, len(data))):
        if 48 <= data[i] <= 57:
            data[i] = 48 + dice.randrange(10)
            return


def _replace_value(data: bytearray, place: int, dice: random.Random) -> None:
    """The JSON value behind the next colon becomes another one."""
    begin = data.find(b":", place) + 1
    if begin:
        ends = [end for end in (data.find(b",", begin), data.find(b"}", begin)) if end >= 0]
        data[begin : min(ends, default=len(data))] = dice.choice(_VALUES)


class _Path:
    """A venue's frames through session, identity, sizes and engine, as they go in the service."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self.ledger = Ledger()
        self._left = 0
        self._renew()

    def _renew(self) -> None:
        """Engines keep windows, and random times make many: a new one now and then."""
        instruments = Instruments(self._venue_spell)
        self._intake = Intake(VelocityEngine(), instruments)
        self._session = Session(self._venue, self._venue.endpoints(["BTCUSDT"])[0], self.ledger)
        self._session.opened(0.0)
        self._waiting: list[bytes] = []
        self._left = 5_000

    def _venue_spell(self, _: str, symbol: str) -> Contract:
        return self._venue.parse_symbol(symbol)

    def __call__(self, payload: bytes) -> str:
        self._left -= 1
        before = self.ledger.frames_undecodable
        events = self._session.received(payload, _NOW_MS, 0.0)
        for event in self._intake.take(events, self.ledger, _NOW_MS)[0]:
            if not (event.price > 0 and event.side in ("long", "short") and event.instrument):
                raise AssertionError(f"no liquidation: {event}")
        self._waiting.append(payload)
        if len(self._waiting) >= _TOGETHER:
            for batch in self._session.received_together(self._waiting, _NOW_MS, 0.0):
                self._intake.take(batch, self.ledger, _NOW_MS)
            self._waiting.clear()
        if self._left <= 0:
            self._intake.release(_NOW_MS + 10_000_000)
            if not self.ledger.balanced():
                raise AssertionError(f"not balanced: {self.ledger.as_dict()}")
            self._renew()
        return "undecodable" if self.ledger.frames_undecodable > before else "events" if events else "nothing"


def _decoding(venue: Venue) -> Callable[[bytes], str]:
    def read(payload: bytes) -> str:
        try:
            events = venue.decode(payload, _NOW_MS)
        except DecodeError:
            return "undecodable"
        for event in events:
            if type(event).__name__ == "RawLiquidation":
                identity(event)  # type: ignore[arg-type]
        return "events" if events else "nothing"

    return read


def _listing(venue: Venue) -> Callable[[bytes], str]:
    def read(payload: bytes) -> str:
        try:
            page = venue.decode_instruments(payload)
        except DecodeError:
            return "undecodable"
        return "contracts" if page.contracts else "nothing"

    return read


def _backfilling(venue: Backfills) -> Callable[[bytes], str]:
    request = venue.backfill_requests(_NOW_MS - 60_000, _NOW_MS, ["BTC-USDT-SWAP"])[0]

    def read(payload: bytes) -> str:
        try:
            page = venue.decode_backfill(request, payload, _NOW_MS)
        except DecodeError:
            return "undecodable"
        return "events" if page.events else "nothing"

    return read


def _event_file(path: Path) -> Callable[[bytes], str]:
    def read(payload: bytes) -> str:
        path.write_bytes(payload)
        try:
            load(path)
        except ConfigurationError:
            return "refused"
        return "a file of events"

    return read


def _configuration(directory: Path) -> Callable[[bytes], str]:
    path = directory / "liqtape.toml"
    known = frozenset(VENUES)

    def read(payload: bytes) -> str:
        path.write_bytes(payload)
        try:
            repr(load_settings(path, {}, known_venues=known))
        except ConfigurationError as error:
            if "secret" in str(error) and b"secret" in _CONFIG and "redis.url" in str(error):
                raise AssertionError(f"a secret in {error}") from error
            return "refused"
        return "settings"

    return read


def _environment() -> Callable[[bytes], str]:
    def read(payload: bytes) -> str:
        name, _, value = payload.decode("latin-1").partition("=")
        try:
            load_settings(None, {f"LIQTAPE_{name}": value})
        except ConfigurationError:
            return "refused"
        return "settings"

    return read


def targets(directory: Path) -> dict[str, Target]:
    """Everything that reads, by name; files are written below `directory`."""
    found: dict[str, Target] = {}
    for name, venue in VENUES.items():
        frames = [
            line for path in sorted((_FIXTURES / name).glob("*.jsonl")) for line in path.read_bytes().splitlines()
        ]
        pages = [_shortened(path.read_bytes()) for path in sorted((_FIXTURES / name).glob("*.json"))]
        found[f"{name} frames"] = frames, _Path(venue)
        found[f"{name} decode"] = frames, _decoding(venue)
        if pages:
            found[f"{name} listing"] = pages, _listing(venue)
        if isinstance(venue, Backfills) and (answers := _past(name)):
            found[f"{name} backfill"] = answers, _backfilling(venue)
    found["configuration"] = [_CONFIG], _configuration(directory)
    variables = [b"REDIS_URL=off", b"VENUES_BYBIT_REDUNDANCY=2", b"SYMBOLS=BTCUSDT,ETHUSDT", b"ALERTS_ACCELERATION=1.5"]
    found["environment"] = variables, _environment()
    for suffix, text in (("ndjson", _EVENTS), ("csv", _ARCHIVE)):
        found[f"{suffix} events"] = [text], _event_file(directory / f"events.{suffix}")
    try:
        chunks = importlib.import_module("liqtape.recording.chunks")
    except ModuleNotFoundError:
        return found
    found["recording"] = (
        _segments(chunks),
        lambda payload: "one part" if len(list(chunks.read_segment(payload))) == 1 else "several parts",
    )
    return found


def _past(name: str) -> list[bytes]:
    """Answers of a venue's REST interface about past liquidations, as the simulator gives them."""
    if name == "okx":
        detail = {"bkLoss": "0", "bkPx": "84000.1", "ccy": "", "posSide": "long", "side": "sell", "sz": "2.5",
                  "time": "1789999990000", "ts": "1789999990000"}  # fmt: skip
        row = {"details": [detail, detail | {"ts": "1789999980000", "posSide": "net"}], "instId": "BTC-USDT-SWAP",
               "instFamily": "BTC-USDT", "instType": "SWAP", "totalLoss": "0", "uly": "BTC-USDT"}  # fmt: skip
        return [msgspec.json.encode({"code": "0", "data": [row], "msg": ""})]
    fills = [path.read_bytes().splitlines() for path in sorted((_FIXTURES / name).glob("rest_fill_objects.jsonl"))]
    frames = [msgspec.json.decode(line) for lines in fills for line in lines]
    return [msgspec.json.encode(frame.get("data", {}).get("fills", [frame])) for frame in frames]


def _segments(chunks: Any) -> list[bytes]:
    """A small recording."""
    writer = chunks.ChunkWriter()
    frames = [line for path in sorted((_FIXTURES / "bybit").glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    told = writer.begin()
    for number in range(4):
        told += writer.chunk([chunks.Group(1, 1_790_000_000_000_000_000 + number, frames[number : number + 3])])
    return [told, told + writer.end()]


def _shortened(page: bytes) -> bytes:
    def cut(value: object) -> object:
        if isinstance(value, dict):
            return {key: cut(inner) for key, inner in value.items()}
        return [cut(inner) for inner in value[:2]] if isinstance(value, list) else value

    return msgspec.json.encode(cut(msgspec.json.decode(page)))


def _shares(names: Sequence[str], inputs: int) -> Mapping[str, int]:
    """Files are slow to write: configuration gets a smaller part."""
    slow = ("configuration", "environment", "ndjson events", "csv events")
    weights = {name: 1 if name in slow else 12 for name in names}
    total = sum(weights.values())
    return {name: max(1, inputs * weight // total) for name, weight in weights.items()}


def _inputs(samples: Sequence[bytes], dice: random.Random, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield (
            dice.randbytes(dice.randrange(200))
            if dice.random() < 0.01
            else mutated(dice.choice(samples), samples, dice)
        )


def fuzz(inputs: int, seed: int, directory: Path, only: str = "") -> dict[str, Outcome]:
    """Outcome by target; the same seed gives the same inputs."""
    chosen = {name: target for name, target in targets(directory).items() if only in name}
    outcomes: dict[str, Outcome] = {}
    for name, count in _shares(list(chosen), inputs).items():
        samples, read = chosen[name]
        outcome = outcomes[name] = Outcome()
        began = time.monotonic()
        for payload in _inputs(samples, random.Random(f"{seed}:{name}"), count):
            outcome.inputs += 1
            try:
                outcome.results[read(payload)] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                if len(outcome.failures) < _MOST_FAILURES:
                    outcome.failures.append(Failure(name, payload, f"{type(error).__name__}: {error}"[:300]))
                outcome.results["FAILED"] += 1
        outcome.seconds = time.monotonic() - began
    return outcomes


def report(outcomes: Mapping[str, Outcome]) -> str:
    """A line a target, and each input that failed."""
    lines = ["| read | inputs | failed | inputs/s | became |", "|---|---:|---:|---:|---|"]
    for name, outcome in outcomes.items():
        became = ", ".join(f"{count:,} {what}" for what, count in sorted(outcome.results.items()))
        rate = outcome.inputs / max(outcome.seconds, 1e-9)
        lines.append(f"| {name} | {outcome.inputs:,} | {outcome.results['FAILED']:,} | {rate:,.0f} | {became} |")
    total = sum(outcome.inputs for outcome in outcomes.values())
    failed = sum(outcome.results["FAILED"] for outcome in outcomes.values())
    lines.append(f"| in all | {total:,} | {failed:,} | | |")
    lines += [f"\n{f.target}: {f.error}\n  {f.payload[:300]!r}" for o in outcomes.values() for f in o.failures]
    return "\n".join(lines)
