"""Frames that no decoder understood, kept in a bounded file for later fixtures."""

import logging
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from liqtape.venues.session import Undecodable

__all__ = ["Quarantine"]

_OF_A_CAUSE = 20
_MOST_CAUSES = 100
_MOST_BYTES = 4 * 1024 * 1024
_NUMBER = re.compile(r"\d+")

_log = logging.getLogger(__name__)


class _QuarantinedFrame(Struct, omit_defaults=True):
    receive_ms: int | None
    reason: str
    text: str | None = None
    base64: bytes | None = None  # msgspec writes bytes so


class Quarantine:
    """One venue's file `DIRECTORY/<venue>.jsonl`: at most 20 frames of a cause and 4 MiB in all, what it held included.

    A cause is the reason without its numbers. `kept_total` and `dropped_total` count the frames offered. It writes to a
    disk, so call it in a thread.
    """

    def __init__(self, directory: Path, venue: str) -> None:
        self.path = directory / f"{venue}.jsonl"
        self.kept_total = self.dropped_total = 0
        self._causes: Counter[str] = Counter()
        self._failed = False

    def keep(self, samples: Iterable[Undecodable]) -> None:
        """Append what the bounds allow; a disk that refuses costs the samples and is said once."""
        lines = [line for sample in samples if (line := self._line(sample))]
        if not lines:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                room = _MOST_BYTES - file.tell()
                for line in lines:
                    room -= len(line)
                    if room < 0:
                        self.dropped_total += 1
                    else:
                        file.write(line)
                        self.kept_total += 1
        except OSError as error:
            self.dropped_total += len(lines)
            if not self._failed:
                _log.warning("%s: undecodable frames not kept: %s", self.path, error.strerror)
            self._failed = True

    def _line(self, sample: Undecodable) -> bytes:
        cause = _NUMBER.sub("#", sample.reason)[:100]
        is_known = cause in self._causes or len(self._causes) < _MOST_CAUSES
        if not is_known or self._causes[cause] >= _OF_A_CAUSE:
            self.dropped_total += 1
            return b""
        self._causes[cause] += 1
        try:
            line = _QuarantinedFrame(sample.receive_ms, sample.reason, text=sample.payload.decode())
        except UnicodeDecodeError:
            line = _QuarantinedFrame(sample.receive_ms, sample.reason, base64=sample.payload)
        return msgspec.json.encode(line) + b"\n"
