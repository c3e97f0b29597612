"""What a recording holds besides frames: records, in their place among the frames, as one line of JSON each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from liqtape.cascades.choice import CascadeSettings
from liqtape.cascades.hawkesdetector import StreamFit
from liqtape.engine.levels.episodes import StreamState
from liqtape.events import Gap, Liquidation
from liqtape.instruments import Contract
from liqtape.settings import AlertSettings
from liqtape.venues.base import BackfillRequest, Endpoint

__all__ = [
    "BackfillAnswer",
    "BaselineSeedPart",
    "ConnectionOpened",
    "ConnectionState",
    "FeedDown",
    "FeedMissed",
    "FeedUp",
    "FramesLost",
    "GapBackfilled",
    "LevelSeedPart",
    "ListingLoaded",
    "RecalledPart",
    "Record",
    "Refitted",
    "Refused",
    "RunEnded",
    "RunStarted",
    "SegmentStarted",
    "Tick",
    "Unsubscribed",
    "decode_record",
    "encode_record",
    "level_seed_parts",
    "recalled_parts",
    "seed_parts",
]


class Record(Struct, frozen=True, tag_field="mark"):
    """Anything that is no frame."""


class RunStarted(Record, frozen=True, tag="began"):
    """A recorder started: what it was asked for. `symbols_of` are those of each enabled venue; empty means all."""

    version: str
    symbols: Sequence[str]
    symbols_of: Mapping[str, Sequence[str]]
    alerts: AlertSettings
    price_always: bool
    cascades: CascadeSettings = CascadeSettings()


class ConnectionOpened(Record, frozen=True, tag="connection"):
    """Frames may carry this number from here on. `price_source` is set where it is there for the price alone."""

    connection: int
    venue: str
    endpoint: Endpoint
    price_source: str = ""


class ConnectionState(Record, frozen=True, tag="state"):
    """A connection changed its state, `connecting` being the beginning of an attempt."""

    connection: int
    state: str
    cause: str = ""
    reason: str = ""


class FeedUp(Record, frozen=True, tag="up"):
    """All of a venue's connections are live since `at_ms` of its clock.

    `our_ms`, here and below, is when that was told, by our own time; 0 in recordings made before there was any.
    """

    venue: str
    at_ms: int
    our_ms: int = 0


class FeedDown(Record, frozen=True, tag="down"):
    """A gap begins: what the venue sent is known up to `at_ms` of its clock. It ends with the next `up`."""

    venue: str
    at_ms: int
    reason: str = ""
    our_ms: int = 0


class Unsubscribed(Record, frozen=True, tag="unseen"):
    """Of what the venue lists, these instruments are not subscribed; all others are since `at_ms`.

    Unless `is_listed` its list could not be had, and there may be more.
    """

    venue: str
    at_ms: int
    instruments: Sequence[str]
    is_listed: bool
    our_ms: int = 0


class Refused(Record, frozen=True, tag="refused"):
    """Since `at_ms` of a venue's clock its feed lacks what a living connection is refused; no `reason`: no more."""

    venue: str
    at_ms: int
    reason: str
    our_ms: int = 0


class FeedMissed(Record, frozen=True, tag="missed"):
    """It turned out that the venue had not been live between two moments of its clock."""

    venue: str
    from_ms: int
    until_ms: int
    reason: str
    our_ms: int = 0


class BackfillAnswer(Record, frozen=True, tag="answered"):
    """What a venue answered when it was asked for past liquidations (base64)."""

    venue: str
    request: BackfillRequest
    payload: bytes
    wall_ms: int


class GapBackfilled(Record, frozen=True, tag="filled"):
    """All of a gap was got afterwards."""

    gap: Gap
    our_ms: int = 0


class ListingLoaded(Record, frozen=True, tag="listed"):
    """The venue's list of instruments was loaded, as a whole or not: what sizes mean from here on."""

    venue: str
    contracts: Sequence[Contract]
    is_whole: bool = False


class Refitted(Record, frozen=True, tag="fitted"):
    """The Hawkes detector of a stream goes on with this fit from here on."""

    fit: StreamFit


class Tick(Record, frozen=True, tag="pulse"):
    """What happens by time alone was done, at `wall_ms` of our own time."""

    wall_ms: int


class FramesLost(Record, frozen=True, tag="lost"):
    """So much is missing here: it came while the disk could not keep up. `venues` are those it came from."""

    frames: int
    size: int
    from_ns: int
    venues: Sequence[str]


class SegmentStarted(Record, frozen=True, tag="rotated"):
    """A segment begins. `repeated` says again what earlier segments told and still holds."""

    segment: int
    run: str
    repeated: Sequence[
        "RunStarted | ConnectionOpened | ListingLoaded | Refused | ConnectionState | Unsubscribed | FeedUp"
    ] = ()


class RecalledPart(Record, frozen=True, tag="recalled"):
    """What the recorded run knew of an earlier one, at `wall_ms` of our own time; `is_last` ends its parts."""

    wall_ms: int
    feeds: Sequence[tuple[str, int, int]]
    events: Sequence[Liquidation]
    is_last: bool


class BaselineSeedPart(Record, frozen=True, tag="taught"):
    """What the baselines of the recorded run began with, as `BaselineSeed` has it; `is_last` ends its parts."""

    feeds: Sequence[tuple[str, int, int]]
    backfilled: Sequence[tuple[str, int, int]] = field(name="filled")
    counts: Sequence[tuple[int, str, str, int]]
    is_last: bool


class LevelSeedPart(Record, frozen=True, tag="levels"):
    """What the levels of the recorded run began with, a state each of (venue, instrument); `is_last` ends its parts."""

    states: Sequence[tuple[str | None, str | None, StreamState]]
    is_last: bool


class RunEnded(Record, frozen=True, tag="ended"):
    """The recorder was stopped in an orderly way."""


_EVENTS_IN_PART = 10_000
_COUNTS_IN_PART = 20_000
_STATES_IN_PART = 1_000

_AnyRecord = (
    RunStarted
    | ConnectionOpened
    | ConnectionState
    | FeedUp
    | FeedDown
    | FeedMissed
    | Unsubscribed
    | Refused
    | BackfillAnswer
    | GapBackfilled
    | ListingLoaded
    | Refitted
    | Tick
    | FramesLost
    | RecalledPart
    | BaselineSeedPart
    | LevelSeedPart
    | SegmentStarted
    | RunEnded
)
_decode = msgspec.json.Decoder[Any](_AnyRecord).decode


def encode_record(record: Record) -> bytes:
    """Encode the record as JSON."""
    return msgspec.json.encode(record)


def decode_record(payload: bytes) -> Record:
    """Decode a record from its JSON; raises msgspec.MsgspecError or UnicodeDecodeError for anything else."""
    record: Record = _decode(payload)
    return record


def recalled_parts(
    events: Sequence[Liquidation], feeds: Sequence[tuple[str, int, int]], wall_ms: int
) -> Iterator[RecalledPart]:
    """Return the records of what was recalled. Prices matter no more to it, so one that is no number, unknown to JSON,
    is 0.
    """
    for at in range(0, max(1, len(events)), _EVENTS_IN_PART):
        part = [replace(e, price=0.0) if math.isnan(e.price) else e for e in events[at : at + _EVENTS_IN_PART]]
        yield RecalledPart(wall_ms, feeds, part, is_last=at + _EVENTS_IN_PART >= len(events))


def seed_parts(
    feeds: Sequence[tuple[str, int, int]],
    backfilled: Sequence[tuple[str, int, int]],
    counts: Sequence[tuple[int, str, str, int]],
) -> Iterator[BaselineSeedPart]:
    """Return the records of a baseline seed; the feeds are in the first."""
    for at in range(0, max(1, len(counts)), _COUNTS_IN_PART):
        after = at + _COUNTS_IN_PART
        yield BaselineSeedPart(
            () if at else feeds, () if at else backfilled, counts[at:after], is_last=after >= len(counts)
        )


def level_seed_parts(states: Sequence[tuple[str | None, str | None, StreamState]]) -> Iterator[LevelSeedPart]:
    """Return the records of the states that levels began with."""
    for at in range(0, max(1, len(states)), _STATES_IN_PART):
        after = at + _STATES_IN_PART
        yield LevelSeedPart(states[at:after], is_last=after >= len(states))
