"""The recorder: frames and records into the segments of a directory, by a thread of its own behind a bounded buffer.

Naive: write every frame as it comes. A disk that takes 40 ms for an fsync then delays the feed by as much, in the
very moments that are worth recording. Here a frame costs an append; what the disk cannot take is counted, and its
absence is marked in the recording.
"""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from liqtape.errors import ConfigurationError
from liqtape.ourtime import our_ns
from liqtape.recording.chunks import RECORD, Group
from liqtape.recording.records import (
    ConnectionOpened,
    ConnectionState,
    FramesLost,
    Record,
    RunEnded,
    RunStarted,
    encode_record,
)
from liqtape.recording.segments import Segments
from liqtape.venues.base import Endpoint

__all__ = ["ConnectionTrack", "Recorder", "Recording", "Track", "untracked"]

_CHUNK_BYTES = 1 << 20
_RECORD_COST = 64  # of a record's place in the buffer, beyond its bytes
_CLOSE_SECONDS = 4.0

_log = logging.getLogger(__name__)


class Recording(Struct, frozen=True):
    """What a recorder has done: `bytes` of frames as they came, `written` as they are on the disk."""

    frames: int
    bytes: int
    written: int
    segments: int
    dropped_frames: int
    errors: int


class Recorder:
    """Takes frames from the loop, writes them elsewhere. Start it with `open`, end it with `close`.

    What was taken is with the operating system a second later and on the disk (fsync) one more second later. `limit`
    bounds the bytes that wait; beyond it frames are dropped, counted, and marked as lost. A disk that fails is tried
    again each second with a new segment.
    """

    def __init__(
        self,
        directory: Path,
        *,
        limit: int = 64 << 20,
        segment_bytes: int = 64 << 20,
        segment_seconds: float = 3600.0,
        flush_seconds: float = 1.0,
    ) -> None:
        self.frames_total = self.bytes_total = self.dropped_total = self.errors_total = 0
        self.state = "starting"
        self._segments = Segments(directory, segment_bytes, segment_seconds)
        self._limit = limit
        self._flush_seconds = flush_seconds
        self._lock = threading.Lock()  # held for a few instructions, never while writing
        self._held: list[Group] = []
        self._held_bytes = 0
        self._writing_bytes = 0
        self._lost: FramesLost | None = None
        self._connections: list[str] = []  # venue of connection i + 1
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def open(self, began: RunStarted) -> None:
        """Begin the first segment and the thread. Raises ConfigurationError where the directory cannot be used."""
        try:
            self._segments.open()
        except OSError as error:
            raise ConfigurationError(
                f"record: {error.filename or self._segments.directory}: {error.strerror or error}"
            ) from error
        self.record(began)
        self.state = "ok"
        self._thread.start()

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Write what is held and end, after so long at most; call it off the loop."""
        if not self._thread.is_alive():
            return
        self.record(RunEnded())
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            _log.error("recording: %s: the disk does not answer; its last frames are lost", self._segments.directory)

    def summary(self) -> Recording:
        """Return the counts so far."""
        written = self._segments.written, self._segments.count
        return Recording(self.frames_total, self.bytes_total, *written, self.dropped_total, self.errors_total)

    def track(self, venue: str, endpoint: Endpoint, price_source: str = "") -> "ConnectionTrack":
        """Give a connection its number."""
        self._connections.append(venue)
        number = len(self._connections)
        self.record(ConnectionOpened(number, venue, endpoint, price_source))
        return ConnectionTrack(self, number)

    def record(self, record: Record) -> None:
        """Put a record behind all that was taken so far. Records go on where frames are dropped: they are few."""
        now_ns = our_ns()
        payload = encode_record(record)
        with self._lock:
            if self._lost is not None and self._has_room(0):
                self._tell_lost()
            self._held.append(Group(RECORD, now_ns, (payload,)))
            self._held_bytes += len(payload) + _RECORD_COST

    def take(self, connection: int, receive_ns: int, payloads: Sequence[bytes]) -> None:
        """Take frames that were received together."""
        size = sum(map(len, payloads)) if len(payloads) > 1 else len(payloads[0])
        with self._lock:
            if not self._has_room(size):
                self._drop(connection, receive_ns, len(payloads), size)
                return
            if self._lost is not None:
                self._tell_lost()
            self._held.append(Group(connection, receive_ns, payloads))
            self._held_bytes += size
            self.frames_total += len(payloads)
            self.bytes_total += size
        if self._held_bytes >= _CHUNK_BYTES and not self._wake.is_set():
            self._wake.set()

    def _has_room(self, size: int) -> bool:
        return self._held_bytes + self._writing_bytes + size <= self._limit

    def _drop(self, connection: int, receive_ns: int, frames: int, size: int) -> None:
        venue = self._connections[connection - 1]
        lost = self._lost or FramesLost(0, 0, receive_ns, ())
        venues = lost.venues if venue in lost.venues else (*lost.venues, venue)
        self._lost = FramesLost(lost.frames + frames, lost.size + size, lost.from_ns, venues)
        self.dropped_total += frames

    def _tell_lost(self) -> None:
        if self._lost is not None:
            lost, self._lost = self._lost, None
            _log.warning("recording: %s: %d frames lost, the disk was too slow", self._segments.directory, lost.frames)
            self._held.append(Group(RECORD, our_ns(), (encode_record(lost),)))

    def _run(self) -> None:
        """Write in a thread until closed and nothing is left, or the disk fails at the end."""
        while True:
            if not self._closing:
                self._wake.wait(self._flush_seconds)
            self._wake.clear()
            is_last = self._closing
            with self._lock:
                if is_last:
                    self._tell_lost()
                groups, self._held = self._held, []
                self._writing_bytes, self._held_bytes = self._held_bytes, 0
            written = self._write(groups)
            self._writing_bytes = 0
            if is_last:
                self._end(is_sound=written)
                return

    def _write(self, groups: list[Group]) -> bool:
        """Write chunk by chunk, each until the disk takes it; return False where it did not before the end."""
        for chunk in _chunks(groups):
            while not self._written(chunk):
                if self._closing:
                    return False
                self._wake.wait(self._flush_seconds)
                self._wake.clear()
        try:
            self._segments.sync(self._flush_seconds)
        except OSError as error:
            self._failed(error)
        return True

    def _written(self, chunk: list[Group]) -> bool:
        try:
            self._segments.write(chunk)
        except OSError as error:
            self._failed(error)
            return False
        if self.state == "failing":
            _log.warning("recording: %s: writing again", self._segments.directory)
        self.state = "ok"
        return True

    def _failed(self, error: OSError) -> None:
        self.errors_total += 1
        if self.state != "failing":
            _log.error("recording: %s: %s; trying again", self._segments.directory, error.strerror or error)
        self.state = "failing"
        self._segments.abandon()

    def _end(self, *, is_sound: bool) -> None:
        try:
            self._segments.close()
        except OSError as error:
            self._failed(error)
            is_sound = False
        self.state = "closed" if is_sound else "failing"


class ConnectionTrack:
    """One connection's place in a recording."""

    __slots__ = ("_number", "_recorder", "_take")

    def __init__(self, recorder: Recorder, number: int) -> None:
        self._recorder = recorder
        self._take = recorder.take
        self._number = number

    def received(self, payloads: Sequence[bytes], receive_ns: int) -> None:
        """Take frames that were received together, as they go into the session."""
        self._take(self._number, receive_ns, payloads)

    def became(self, state: str, cause: str, reason: str) -> None:
        """The connection changed its state."""
        self._recorder.record(ConnectionState(self._number, state, cause, reason))


class Track(Protocol):
    """Gives a connection its place in a recording, if there is one."""

    def __call__(self, venue: str, endpoint: Endpoint, price_source: str = "", /) -> ConnectionTrack | None: ...


def untracked(_venue: str, _endpoint: Endpoint, _price_source: str = "", /) -> None:
    """Be the `Track` of connections that nobody records."""


def _chunks(groups: list[Group]) -> "list[list[Group]]":
    """Split the groups into pieces of about a megabyte."""
    pieces: list[list[Group]] = []
    size = _CHUNK_BYTES
    for group in groups:
        if size >= _CHUNK_BYTES:
            pieces.append([])
            size = 0
        pieces[-1].append(group)
        size += sum(map(len, group.payloads))
    return pieces
