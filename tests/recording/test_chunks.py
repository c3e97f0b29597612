"""A segment as bytes: whatever happens to them, what is read is what was written, and the rest is told."""

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.recording import chunks
from liqtape.recording.chunks import MAGIC, Chunk, ChunkWriter, Damage, Group, read_segment

_GROUPS = st.lists(
    st.builds(Group, st.integers(0, 2**32 - 1), st.integers(0, 2**62), st.lists(st.binary(max_size=40), max_size=4)),
    min_size=1,
    max_size=8,
)


def _segment(written: list[list[Group]]) -> bytes:
    writer = ChunkWriter()
    return b"".join([writer.begin(), *map(writer.chunk, written), writer.end()])


def _some(chunks_count: int) -> list[list[Group]]:
    rng = random.Random(7)
    return [
        [
            Group(i, 1_790_000_000_000_000_000 + 10**6 * (10 * n + i), [rng.randbytes(20), b'{"e":"forceOrder"}'])
            for i in range(10)
        ]
        for n in range(chunks_count)
    ]


def _read(content: bytes) -> tuple[list[list[Group]], list[Damage]]:
    parts = list(read_segment(content))
    return (
        [part.groups for part in parts if isinstance(part, Chunk)],
        [part for part in parts if isinstance(part, Damage)],
    )


@given(st.lists(_GROUPS, max_size=5))
def test_what_is_written_is_read(written: list[list[Group]]) -> None:
    assert _read(_segment(written)) == (written, [])


@settings(max_examples=300)
@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda rest: MAGIC + rest))
def test_any_bytes_are_chunks_or_damage(content: bytes) -> None:
    groups, damages = _read(content)
    assert groups == []
    assert damages


@given(st.data())
def test_sound_chunks_with_foreign_columns_are_damage(data: st.DataObject) -> None:
    """A head that vouches for anything: only the columns themselves can tell."""
    content = _segment([[Group(1, 5, [b"abc"])]])
    size = chunks._HEAD.size
    head = list(chunks._HEAD.unpack(content[8 : 8 + size]))
    field = data.draw(st.sampled_from([3, 4, 5]))
    head[field] = data.draw(st.integers(0, 2**32 - 1).filter(lambda value: value != head[field]))
    told = chunks._HEAD.pack(*head)
    told += chunks._CRC.pack(zlib.crc32(told))
    groups, damages = _read(content[:8] + told + content[8 + len(told) :])
    assert groups == []
    assert damages[0].kind == "corrupt"


def test_cut_at_every_byte_all_before_the_cut_is_read() -> None:
    written = _some(4)
    content = _segment(written)
    ends = [part.offset for part in read_segment(content) if isinstance(part, Chunk)]
    for size in range(len(content)):
        groups, damages = _read(content[:size])
        whole = sum(end <= size for end in [*ends[1:], _index_of(content)])
        assert groups == written[:whole], size
        assert [damage.kind for damage in damages] == ["cut"], size
        assert damages[0].end == size


def _index_of(content: bytes) -> int:
    """Where the index begins."""
    return content.rindex(b"LQCK")


def test_every_flipped_bit_is_noticed() -> None:
    written = _some(3)
    content = _segment(written)
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        groups, damages = _read(bytes(flipped))
        assert damages, bit
        assert all(group in written for group in groups), bit


def test_after_damage_reading_goes_on_where_the_next_stream_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_FRESH_AFTER", 1_500)
    written = _some(9)
    content = bytearray(_segment(written))
    offsets = [part.offset for part in read_segment(bytes(content)) if isinstance(part, Chunk)]
    content[offsets[1] + 60] ^= 1
    groups, damages = _read(bytes(content))
    assert groups == [written[0], *written[3:]]
    assert [(damage.offset, damage.end, damage.kind) for damage in damages] == [(offsets[1], offsets[3], "corrupt")]


def test_another_version_is_not_guessed_at() -> None:
    _, damages = _read(MAGIC[:-1] + b"\x02" + _segment(_some(1))[8:])
    assert [(damage.offset, damage.kind) for damage in damages] == [(0, "corrupt")]


def test_a_chunk_cannot_grow_beyond_what_its_head_says() -> None:
    """A megabyte of zstd may stand for gigabytes: no more is unpacked than the head told."""
    content = _segment([[Group(1, 5, [bytes(50_000_000)])]])
    head = list(chunks._HEAD.unpack(content[8 : 8 + chunks._HEAD.size]))
    head[3] = 1_000
    told = chunks._HEAD.pack(*head)
    told += chunks._CRC.pack(zlib.crc32(told))
    groups, damages = _read(content[:8] + told + content[8 + len(told) :])
    assert groups == []
    assert damages[0].reason.startswith("chunk: ")
