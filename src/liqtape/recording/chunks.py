"""A segment of a recording as bytes: chunks of groups of frames, one zstd stream, checksums. No file, no clock.

Naive: a record for each frame. Its head would cost more than the frame once compressed, and a step of Python for each
frame more than the compression. A chunk keeps what groups have in common as columns, which cost almost nothing in
either way. The format: docs/reference/recordings.md.
"""

import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise
from operator import sub
from typing import Literal

import zstandard
from msgspec import Struct

__all__ = ["MAGIC", "RECORD", "Chunk", "ChunkWriter", "Damage", "Group", "read_segment"]

MAGIC = b"LIQREC\x00\x01"
"""The first bytes of a segment; the last of them is the version of the format."""

RECORD = 0
"""The connection number of groups whose payloads are records."""

_CHUNK = b"LQCK"
# magic, flags, compressed, raw, groups, frames, first ns, last ns, checksum of what is compressed
_HEAD = struct.Struct("<4sBIIIIqqI")
_CRC = struct.Struct("<I")
_HEAD_SIZE = _HEAD.size + _CRC.size
_FRESH, _INDEX = 1, 2
_MOST_RAW = 1 << 28
_LEVEL = 3
_FRESH_AFTER = 16 * 1024 * 1024  # bytes of a zstd stream; damage costs what is left of one
_WINDOW_LOG = 23
_ENTRY = struct.Struct("<QqqI")  # of the index: offset, first ns, last ns, frames


class Group(Struct, frozen=True, gc=False):
    """Frames that one connection brought together, and their moment of receipt; one frame almost always."""

    connection: int
    receive_ns: int
    payloads: Sequence[bytes]


class Chunk(Struct, frozen=True):
    """What was written at once."""

    offset: int
    first_ns: int
    last_ns: int
    groups: list[Group]


class Damage(Struct, frozen=True):
    """Bytes from `offset` up to `end` that could not be read. `cut`: the writer ended before it could finish."""

    offset: int
    end: int
    kind: Literal["cut", "corrupt"]
    reason: str


class _Head(Struct, frozen=True):
    flags: int
    compressed: int
    raw: int
    groups: int
    frames: int
    first_ns: int
    last_ns: int
    crc: int


class _Unreadable(Exception):
    """Why a chunk cannot be read."""


class ChunkWriter:
    """Groups in, bytes of a segment out: `begin`, any number of `chunk`, `end`. `offset` is how long it is by now."""

    def __init__(self) -> None:
        self.offset = 0
        self._entries: list[bytes] = []
        self._stream: zstandard.ZstdCompressionObj | None = None
        self._in_stream = 0

    def begin(self) -> bytes:
        """Return the first bytes."""
        self.offset = len(MAGIC)
        return MAGIC

    def chunk(self, groups: Sequence[Group]) -> bytes:
        """Return the groups, which are not none, as the next bytes; what comes before is needed to read them."""
        payloads = list(chain.from_iterable([group.payloads for group in groups]))
        raw = _packed(groups, payloads)
        flags = 0
        if self._stream is None or self._in_stream >= _FRESH_AFTER:
            self._stream = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False).compressobj()
            self._in_stream, flags = 0, _FRESH
        self._in_stream += len(raw)
        payload = self._stream.compress(raw) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        frames = len(payloads)
        first_ns, last_ns = groups[0].receive_ns, groups[-1].receive_ns
        self._entries.append(_ENTRY.pack(self.offset, first_ns, last_ns, frames))
        head = _Head(flags, len(payload), len(raw), len(groups), frames, first_ns, last_ns, zlib.crc32(payload))
        return self._told(head, payload)

    def end(self) -> bytes:
        """Return the last bytes: where the chunks are."""
        payload = b"".join(self._entries)
        head = _Head(_INDEX, len(payload), len(payload), len(self._entries), 0, 0, 0, zlib.crc32(payload))
        return self._told(head, payload)

    def _told(self, head: _Head, payload: bytes) -> bytes:
        told = _HEAD.pack(_CHUNK, *(getattr(head, field) for field in _Head.__struct_fields__))
        told += _CRC.pack(zlib.crc32(told)) + payload
        self.offset += len(told)
        return told


def read_segment(content: bytes) -> Iterator[Chunk | Damage]:
    """Yield all that can be read of a segment, in order; whatever the bytes are, nothing is raised.

    After damage in the middle reading goes on where the next zstd stream begins. A segment without its last bytes is
    that of a writer that still runs, or was killed.
    """
    at = len(MAGIC)
    if content[: len(MAGIC)] != MAGIC:
        is_cut = MAGIC.startswith(content)
        end = len(content) if is_cut or content.startswith(MAGIC[:-1]) else _next_stream(content, 0)
        reason = "the segment ends in its first bytes" if is_cut else "does not begin as a segment of this version"
        yield Damage(0, end, "cut" if is_cut else "corrupt", reason)
        if end == len(content):
            return
        at = end
    stream = _Stream()
    while at < len(content):
        try:
            head = _head(content, at)
            payload = content[at + _HEAD_SIZE : at + _HEAD_SIZE + head.compressed]
            if zlib.crc32(payload) != head.crc:
                raise _Unreadable("its checksum is wrong")
            if head.flags & _INDEX:
                if at + _HEAD_SIZE + head.compressed < len(content):
                    end = at + _HEAD_SIZE + head.compressed
                    yield Damage(end, len(content), "corrupt", "bytes after the end of the segment")
                return
            yield Chunk(at, head.first_ns, head.last_ns, stream.groups(head, payload))
            at += _HEAD_SIZE + head.compressed
        except _Unreadable as error:
            end = _next_stream(content, at + 1)
            kind: Literal["cut", "corrupt"] = "cut" if _is_cut(content, at) else "corrupt"
            yield Damage(at, end, kind, "the segment ends in a chunk" if kind == "cut" else f"chunk: {error}")
            stream = _Stream()
            at = end
            if at == len(content):
                return
    yield Damage(len(content), len(content), "cut", "the segment was not closed")


def _head(content: bytes, at: int) -> _Head:
    told = content[at : at + _HEAD.size]
    crc = content[at + _HEAD.size : at + _HEAD_SIZE]
    if len(crc) < _CRC.size:
        raise _Unreadable("its head is cut")
    magic, *fields = _HEAD.unpack(told)
    if magic != _CHUNK or _CRC.unpack(crc)[0] != zlib.crc32(told):
        raise _Unreadable("its head is wrong")
    head = _Head(*fields)
    if at + _HEAD_SIZE + head.compressed > len(content):
        raise _Unreadable("its end is missing")
    return head


def _is_cut(content: bytes, at: int) -> bool:
    """Return whether what begins here is a chunk as far as it goes.

    It may be a head that is cut, or a sound one whose rest is cut.
    """
    told = content[at : at + _HEAD_SIZE]
    if len(told) < _HEAD_SIZE:
        return told.startswith(_CHUNK[: len(told)])
    if not told.startswith(_CHUNK) or _CRC.unpack(told[_HEAD.size :])[0] != zlib.crc32(told[: _HEAD.size]):
        return False
    return bool(at + _HEAD_SIZE + _HEAD.unpack(told[: _HEAD.size])[2] > len(content))


def _next_stream(content: bytes, at: int) -> int:
    """Return where the next chunk is that can be read without those before it; the end if there is none."""
    while (at := content.find(_CHUNK, at)) >= 0:
        try:
            if _head(content, at).flags & (_FRESH | _INDEX):
                return at
        except _Unreadable:
            pass
        at += 1
    return len(content)


class _Stream:
    """The zstd stream that goes through the chunks; gives no more bytes than a chunk's head says."""

    def __init__(self) -> None:
        self._payload = b""
        self._reader: zstandard.ZstdDecompressionReader | None = None

    def read(self, size: int = -1) -> bytes:
        """Return what the decompressor reads from."""
        size = len(self._payload) if size < 0 else size
        taken, self._payload = self._payload[:size], self._payload[size:]
        return taken

    def groups(self, head: _Head, payload: bytes) -> list[Group]:
        """Return the groups of the next chunk."""
        if head.flags & _FRESH:
            limits = zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG)
            self._reader = limits.stream_reader(self, read_size=1 << 17, read_across_frames=False)  # type: ignore[arg-type]
        if self._reader is None:
            raise _Unreadable("it needs an earlier one")
        if head.raw > _MOST_RAW:
            raise _Unreadable("it is too long")
        self._payload = payload
        try:
            raw = self._reader.read(head.raw)
        except zstandard.ZstdError as error:
            raise _Unreadable(f"not zstd: {error}") from error
        return _unpacked(head, raw)


def _packed(groups: Sequence[Group], payloads: Sequence[bytes]) -> bytes:
    stamps = [group.receive_ns for group in groups]
    return b"".join(
        (
            _planes(array("I", [group.connection for group in groups])),
            _planes(array("I", [len(group.payloads) for group in groups])),
            _planes(array("q", map(sub, stamps, [stamps[0], *stamps]))),
            _planes(array("I", map(len, payloads))),
            *payloads,
        )
    )


def _unpacked(head: _Head, raw: bytes) -> list[Group]:
    at = 4 * head.groups, 8 * head.groups, 16 * head.groups, 16 * head.groups + 4 * head.frames
    if len(raw) != head.raw or at[3] > len(raw):
        raise _Unreadable("shorter than its head says")
    connections = _whole("I", raw[: at[0]])
    counts = _whole("I", raw[at[0] : at[1]])
    stamps = accumulate(_whole("q", raw[at[1] : at[2]]), initial=head.first_ns)
    sizes = _whole("I", raw[at[2] : at[3]])
    if sum(counts) != head.frames or at[3] + sum(sizes) != len(raw):
        raise _Unreadable("its columns do not fit")
    ends = list(accumulate(sizes, initial=at[3]))
    payloads = [raw[start:end] for start, end in pairwise(ends)]
    next(stamps)
    groups = []
    taken = 0
    for connection, count, stamp in zip(connections, counts, stamps, strict=True):
        groups.append(Group(connection, stamp, payloads[taken : taken + count]))
        taken += count
    return groups


def _planes(numbers: "array[int]") -> bytes:
    """Put all first bytes together, all second bytes ...: those that hardly differ."""
    held = _little(numbers).tobytes()
    width = numbers.itemsize
    return b"".join([held[i::width] for i in range(width)])


def _whole(kind: str, planes: bytes) -> "array[int]":
    numbers = array(kind)
    width = numbers.itemsize
    held = bytearray(len(planes))
    count = len(planes) // width
    for i in range(width):
        held[i::width] = planes[i * count : (i + 1) * count]
    numbers.frombytes(held)
    return _little(numbers)


def _little(numbers: "array[int]") -> "array[int]":
    if array("H", [1]).tobytes() != b"\x01\x00":
        numbers.byteswap()
    return numbers
