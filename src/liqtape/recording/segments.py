"""The files of a recording: numbered segments in a directory, one writer at a time."""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from liqtape.errors import ConfigurationError
from liqtape.ourtime import our_ns
from liqtape.recording.chunks import RECORD, Chunk, ChunkWriter, Damage, Group, read_segment
from liqtape.recording.records import (
    ConnectionOpened,
    ConnectionState,
    FeedDown,
    FeedUp,
    ListingLoaded,
    Record,
    Refused,
    RunStarted,
    SegmentStarted,
    Unsubscribed,
    decode_record,
    encode_record,
)

__all__ = ["SUFFIX", "Broken", "Segments", "StampedRecord", "is_recording", "read_recording", "segment_files"]

SUFFIX = ".liqrec"
_LOCK = "recording.lock"


class Broken(Struct, frozen=True):
    """Damage, and the file it is in."""

    file: Path
    damage: Damage

    def __str__(self) -> str:
        damage = self.damage
        size = damage.end - damage.offset
        lost = f", {size} bytes are unreadable" if size else ""
        return f"{self.file}: {damage.kind} at byte {damage.offset}: {damage.reason}{lost}"


class StampedRecord(Struct, frozen=True):
    """A record, and when it was made."""

    at_ns: int
    record: Record


class Segments:
    """Writes chunks into segments, a new one after `most_bytes` or `most_seconds`. Every call may raise OSError."""

    def __init__(self, directory: Path, most_bytes: int, most_seconds: float) -> None:
        self.directory = directory
        self.count = self.written = 0
        self._most_bytes = most_bytes
        self._most_seconds = most_seconds
        self._run = uuid.uuid4().hex
        self._file: BinaryIO | None = None
        self._lock: int | None = None
        self._encoder = ChunkWriter()
        self._number = 0
        self._begun = self._synced = 0.0
        self._standing: dict[
            object, RunStarted | ConnectionOpened | ListingLoaded | Refused | ConnectionState | Unsubscribed | FeedUp
        ] = {}

    def open(self) -> None:
        """Make the directory, keep others out of it, and begin the first segment."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.directory / _LOCK)
        self._number = max((int(file.stem) for file in segment_files(self.directory)), default=0)
        try:
            self._begin()
        except OSError:
            self.close()
            raise

    def write(self, groups: Sequence[Group]) -> None:
        """Write one chunk. After an error `abandon` what is open and write the same again."""
        if self._file is None or self._encoder.offset >= self._most_bytes or self._age() >= self._most_seconds:
            self._finish()
            self._begin()
        self._append(self._encoder.chunk(groups))
        self._note(groups)

    def sync(self, not_within: float) -> None:
        """Bring it to the disk, unless that was done so recently."""
        if self._file is not None and time.monotonic() - self._synced >= not_within:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def abandon(self) -> None:
        """Leave the open segment as it is: a reader takes what is whole in it."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def close(self) -> None:
        """End the segment, and let others in."""
        try:
            self._finish()
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _begin(self) -> None:
        number = self._number + 1
        path = self.directory / f"{number:06d}{SUFFIX}"
        self._file = path.open("xb", buffering=0)
        self._begun = self._synced = time.monotonic()
        self._encoder = ChunkWriter()
        rotated = SegmentStarted(number, self._run, tuple(self._standing.values()))
        try:
            self._append(self._encoder.begin())
            self._append(self._encoder.chunk([Group(RECORD, our_ns(), (encode_record(rotated),))]))
            _sync_directory(self.directory)
        except OSError:  # or a disk that stays full would get a stump with every attempt
            self.abandon()
            path.unlink(missing_ok=True)
            raise
        self._number = number
        self.count += 1

    def _finish(self) -> None:
        if self._file is None:
            return
        self._append(self._encoder.end())
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None

    def _append(self, told: bytes) -> None:
        if self._file is None:
            raise ValueError("no segment is open")
        left = memoryview(told)
        while left:
            left = left[self._file.write(left) :]
        self.written += len(told)

    def _age(self) -> float:
        return time.monotonic() - self._begun

    def _note(self, groups: Sequence[Group]) -> None:
        """Remember what a segment must repeat, so that it can be read by itself."""
        for group in groups:
            if group.connection != RECORD:
                continue
            record = decode_record(group.payloads[0])
            if isinstance(record, RunStarted):
                self._standing = {RunStarted: record}
            elif isinstance(record, ConnectionOpened):
                self._standing[ConnectionOpened, record.connection] = record
            elif isinstance(record, ConnectionState):
                self._stand_told(record)
            elif isinstance(record, FeedUp | ListingLoaded | Unsubscribed | Refused):
                self._standing.pop((type(record), record.venue), None)  # behind what it goes on from
                self._standing[type(record), record.venue] = record
            elif isinstance(record, FeedDown):
                self._standing.pop((FeedUp, record.venue), None)
                self._standing.pop((Refused, record.venue), None)

    def _stand_told(self, record: ConnectionState) -> None:
        if record.state == "stopped":  # for good: nothing comes from there any more
            self._standing.pop((ConnectionOpened, record.connection), None)
            self._standing.pop((ConnectionState, record.connection), None)
        else:
            self._standing[ConnectionState, record.connection] = record


def segment_files(path: Path) -> list[Path]:
    """Return the segment itself, or those of a directory in the order they were written."""
    if not path.is_dir():
        return [path] if path.suffix == SUFFIX and path.is_file() else []
    return sorted(
        (file for file in path.iterdir() if file.suffix == SUFFIX and file.stem.isdecimal()),
        key=lambda file: int(file.stem),
    )


def is_recording(path: Path) -> bool:
    """Return whether there are segments."""
    return bool(segment_files(path))


def read_recording(
    path: Path, broken: list[Broken], done: Callable[[int], object] = lambda _: None
) -> Iterator[Group | StampedRecord | Broken]:
    """Yield groups of frames and records in their order; what cannot be read is in its place, and in `broken`.

    What a segment repeats is left out, unless the first that is read begins with it; `done` is told the size of each
    segment that is through. Raises ConfigurationError where there is no segment.
    """
    files = segment_files(path)
    if not files:
        raise ConfigurationError(f"{path}: no recording; the names of its segments end in {SUFFIX}")
    standing = _Standing()
    for file in files:
        content = file.read_bytes()
        for part in read_segment(content):
            for told in [part] if isinstance(part, Damage) else standing.told_by(part):
                if isinstance(told, Damage):
                    broken.append(Broken(file, told))
                    yield broken[-1]
                else:
                    yield told
        done(len(content))


class _Standing:
    """What a reader knows already, so that repetitions are told from news."""

    def __init__(self) -> None:
        self._run, self._number = "", 0

    def told_by(self, chunk: Chunk) -> Iterator[Group | StampedRecord | Damage]:
        """Return what a chunk holds that is news."""
        for group in chunk.groups:
            if group.connection != RECORD:
                yield group
                continue
            try:
                record = decode_record(group.payloads[0])
            except (msgspec.MsgspecError, UnicodeDecodeError, IndexError) as error:
                yield Damage(chunk.offset, chunk.offset, "corrupt", f"mark: {error}")
                continue
            if isinstance(record, SegmentStarted):
                yield from (StampedRecord(group.receive_ns, repeated) for repeated in self._repeated(record))
            else:
                yield StampedRecord(group.receive_ns, record)

    def _repeated(self, record: SegmentStarted) -> Sequence[Record]:
        """Return what a segment says again, after others that were not read."""
        is_next = record.run == self._run and record.segment == self._number + 1
        self._run, self._number = record.run, record.segment
        return () if is_next else record.repeated


def _locked(path: Path) -> int | None:
    """Lock the file until it is closed; return None on systems without such locks."""
    try:
        import fcntl
    except ImportError:
        return None
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise ConfigurationError(f"record: {path.parent}: another process records there") from None
    except OSError:
        os.close(file)
        raise
    return file


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
