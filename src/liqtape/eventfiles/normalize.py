"""Raw frames, one a line, to liquidations: identity only, none of the rules that depend on time."""

import logging
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import msgspec

from liqtape.events import SCHEMA, Invalid, Liquidation, RawLiquidation
from liqtape.identity import Identities, identity
from liqtape.instruments import Contract, Instruments, Separation
from liqtape.ledger import Ledger
from liqtape.sanitize import sanitize
from liqtape.venues.base import Endpoint, Venue
from liqtape.venues.session import Session

__all__ = ["LONGEST_FRAME", "Normalizer", "frames", "line"]

LONGEST_FRAME = 32 * 1024 * 1024
"""Bytes of a line that are read; no venue sends frames half as long."""

_IDENTITIES = 10_000_000  # about 1 GB of memory when full
_WARNINGS = 5

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_HEAD = b'{"schema":%d,' % SCHEMA


class Normalizer:
    """One venue's frames to liquidations, repeats dropped; `ledger` tells where every frame and event went.

    Frames are counted by the state machine of a live connection, so both count alike.
    """

    def __init__(self, venue: Venue, contracts: Iterable[Contract] = ()) -> None:
        self.ledger = Ledger()
        self._session = Session(venue, Endpoint("", (), 0.0), self.ledger)
        self._identities = Identities(_IDENTITIES)
        self._instruments = Instruments(lambda _, symbol: venue.parse_symbol(symbol), _warn)
        self._instruments.load(contracts)

    @property
    def forgotten_total(self) -> int:
        """Identities forgotten because there were too many: repeats of those were not noticed."""
        return self._identities.forgotten_total

    def summary(self) -> dict[str, int | dict[str, int]]:
        """Where the frames and events went, by name."""
        counts = self.ledger
        summary: dict[str, int | dict[str, int]] = {
            "frames": {
                "liquidation": counts.frames_liquidation,
                "other_topic": counts.frames_other_topic,
                "control": counts.frames_control,
                "undecodable": counts.frames_undecodable,
            },
            "events": counts.events_accepted,
            "duplicates": counts.events_duplicate,
            "invalid": counts.events_rejected_invalid,
            "unsized": counts.events_unsized,
        }
        if counts.events_unsized:
            quote = counts.events_unsized_quote
            summary["unsized_by_reason"] = {"contract size": counts.events_unsized - quote, "quote": quote}
        return summary

    def take(self, frame: bytes) -> list[Liquidation]:
        """The new liquidations of one frame, in its order."""
        accepted: list[Liquidation] = []
        ledger = self.ledger
        for event in self._session.received(frame, None, 0.0):
            if isinstance(event, RawLiquidation):
                ledger.events_decoded += 1
                key = identity(event)
                if not self._identities.is_new(key, event.event_ms):
                    ledger.events_duplicate += 1
                    continue
                try:
                    liquidation = self._instruments.sized(event, key)
                except (ArithmeticError, ValueError):
                    ledger.events_rejected_invalid += 1
                    continue
                ledger.events_accepted += 1
                if liquidation.notional_usd is None:
                    ledger.count_unsized(liquidation.quantity)
                accepted.append(liquidation)
            elif isinstance(event, Invalid):
                ledger.events_decoded += 1
                ledger.events_rejected_invalid += 1
        self._session.take_outgoing()
        return accepted

    def lines(self, source: Iterable[bytes]) -> Iterator[bytes]:
        """The new liquidations of all frames as NDJSON lines; the first undecodable frames are named in the log."""
        ledger = self.ledger
        for frame in source:
            undecodable = ledger.frames_undecodable
            for liquidation in self.take(frame):
                yield line(liquidation)
            if ledger.frames_undecodable > undecodable and undecodable < _WARNINGS:
                reason = self._session.samples[-1].reason
                _log.warning("frame %d: %s", ledger.frames_received, sanitize(reason))


def _warn(told: Separation) -> None:
    _log.warning("%s", told)


def line(liquidation: Liquidation) -> bytes:
    """The event as one NDJSON line: `schema` first, `id` last."""
    return _HEAD + _encode(liquidation)[1:] + b"\n"


def frames(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of a stream without their ends, blank ones left out; a line too long for a frame is cut short.

    A byte order mark, which an editor put before the first line, or `cat` before a later one, is no part of a frame.
    """
    while text := stream.readline(LONGEST_FRAME):
        if not text.endswith(b"\n"):
            _skip_line(stream)
        if frame := text.removeprefix(BOM_UTF8).strip():
            yield frame


def _skip_line(stream: BinaryIO) -> None:
    while (rest := stream.readline(LONGEST_FRAME)) and not rest.endswith(b"\n"):
        pass
