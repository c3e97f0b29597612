"""Messages as they leave the policy: what is told, of which event, to whom."""

from typing import Literal

from msgspec import Struct

from liqtape.events import Level

__all__ = [
    "MESSAGE_SCHEMA",
    "AddressedMessage",
    "AlarmMessage",
    "MemberFacts",
    "MessageKind",
    "MessageStream",
]

MESSAGE_SCHEMA = 1


MessageKind = Literal["begin", "update", "end", "later", "rule", "digest", "trouble", "well", "test"]
MessageStream = Literal["market", "service"]


class MemberFacts(Struct, frozen=True):
    """One scope of an event at its highest: an instrument, `MARKET`, or `BREADTH`, which counts instruments.

    `highest` is USD within 60 s (instruments of `BREADTH`), reached once in `return_days`, learned from `watched_days`
    (decayed). `threshold` is what its level asked for, `floor` what it needs whatever the period, `wakes_at_days` the
    return period from which a scope of its group opens a thread.
    """

    scope: str
    level: Level
    highest: float
    count_60s: int
    return_days: float | None
    watched_days: float
    is_learning: bool = False
    is_extrapolated: bool = False
    threshold: float | None = None
    floor: float | None = None
    wakes_at_days: float | None = None


class AlarmMessage(Struct, frozen=True):
    """One message. `key` is the same whenever the same message is made or sent again; `thread` is the event it is of.

    `number` counts the messages of a thread from 1. `usd`, `count` and `venues` are those of the event so far.
    """

    key: str
    kind: MessageKind
    stream: MessageStream
    level: Level
    at_ms: int
    title: str
    text: str
    thread: str = ""
    number: int = 1
    began_ms: int | None = None
    members: tuple[MemberFacts, ...] = ()
    usd: float | None = None
    count: int | None = None
    venues: dict[str, float] = {}
    link: str = ""
    schema: int = MESSAGE_SCHEMA


class AddressedMessage(Struct, frozen=True):
    """A message for one channel."""

    channel: str
    message: AlarmMessage
