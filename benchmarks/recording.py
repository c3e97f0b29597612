"""What a recording costs against zstd alone on the same bytes, and how fast it is played.

Frames are one-event liquidations of Binance over 100 instruments, 2,000 a second, each received alone; then the same as
they come in a flood, 200 at a time.
"""

import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import zstandard

from benchmarks.frames import binance
from benchmarks.measure import Case, Figure, Scale, cpu_rounds, figure, ratio
from liqtape.recording.chunks import MAGIC, ChunkWriter, Group, read_segment
from liqtape.recording.playback import Playback
from liqtape.recording.recorder import Recorder
from liqtape.recording.records import RunStarted
from liqtape.settings import AlertSettings
from liqtape.venues.base import Endpoint

_FRAMES = 200_000
_CHUNK = 6_000  # frames; about a megabyte
_TOGETHER = 200
_BEGIN_NS = 1_790_000_000_000_000_000
_GAP_NS = 500_000


def _frames(count: int) -> list[bytes]:
    first_ms = _BEGIN_NS // 1_000_000 - 40
    return [binance(i, first_ms + i * _GAP_NS // 1_000_000) for i in range(count)]


def _groups(frames: Sequence[bytes], together: int) -> list[Group]:
    """As they come, a little unevenly."""
    return [
        Group(1, _BEGIN_NS + i * _GAP_NS + i * 7919 % 100_003, frames[i : i + together])
        for i in range(0, len(frames), together)
    ]


def _alone(frames: Sequence[bytes]) -> bytes:
    """zstd level 3 on the raw bytes, a stream in pieces of the same size."""
    stream = zstandard.ZstdCompressor(level=3).compressobj()
    pieces = [stream.compress(b"".join(frames[i : i + _CHUNK])) for i in range(0, len(frames), _CHUNK)]
    return b"".join([*pieces, stream.flush()])


def _segment(groups: Sequence[Group], size: int) -> bytes:
    writer = ChunkWriter()
    pieces = [writer.chunk(groups[i : i + size]) for i in range(0, len(groups), size)]
    return b"".join([MAGIC, *pieces, writer.end()])


def _taken(groups: Sequence[Group], frames: int) -> None:
    """What the loop pays: the recorder's buffer, no thread."""
    recorder = Recorder(Path(), limit=1 << 62)
    for group in groups:
        recorder.take(0, group.receive_ns, group.payloads)
    if recorder.frames_total != frames:
        raise RuntimeError("frames were dropped")


@contextmanager
def _recording(groups: Sequence[Group]) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="liqtape-bench-"))
    try:
        recorder = Recorder(directory, limit=1 << 40)
        recorder.open(RunStarted("bench", [], {"binance": []}, AlertSettings(), price_always=False))
        track = recorder.track("binance", Endpoint("wss://bench", ("!forceOrder@arr",), 30.0))
        for group in groups:
            track.received(group.payloads, group.receive_ns)
        recorder.close()
        yield directory
    finally:
        shutil.rmtree(directory)


def _played(path: Path, frames: int) -> None:
    playback = Playback(path)
    for _ in playback.steps(10):
        pass
    if playback.played().frames != frames:
        raise RuntimeError(f"played {playback.played()}")


def _read(content: bytes) -> None:
    for _ in read_segment(content):
        pass


def run(scale: Scale) -> list[Figure]:
    """Size and CPU against zstd alone; frames a second back through the whole path."""
    frames = _frames(scale.size(_FRAMES))
    raw, alone = sum(map(len, frames)), _alone(frames)
    figures = []
    for label, together in (("one by one", 1), (f"{_TOGETHER} together", _TOGETHER)):
        groups, size = _groups(frames, together), max(1, _CHUNK // together)
        segment = _segment(groups, size)
        share = f"{len(segment) / raw:.1%} against {len(alone) / raw:.1%} of {raw / len(frames):.0f} bytes a frame"
        sizes = [len(segment) / len(alone)]
        figures.append(figure(f"size of frames {label}, against zstd 3", sizes, "x", share, at_most=1.3))
        with _recording(groups) as path:
            figures += _costs(label, cpu_rounds(_cases(frames, groups, segment, path), scale.rounds))
    return figures


def _cases(frames: Sequence[bytes], groups: Sequence[Group], segment: bytes, path: Path) -> dict[str, Case]:
    count, size = len(frames), max(1, _CHUNK * len(groups) // len(frames))
    return {
        "zstd": Case(_alone, lambda: frames, count),
        "written": Case(partial(_segment, size=size), lambda: groups, count),
        "taken": Case(partial(_taken, frames=count), lambda: groups, count),
        "read": Case(_read, lambda: segment, count),
        "played": Case(partial(_played, frames=count), lambda: path, count),
    }


def _costs(label: str, spent: Mapping[str, list[float]]) -> list[Figure]:
    rarity = {name: f"{statistics.median(values):.0f} ns a frame" for name, values in spent.items()}
    against = f"{rarity['written']} against {rarity['zstd']}"
    rates = [1e9 / ns for ns in spent["played"]]
    split = f"{rarity['played']}, {rarity['read']} of them reading"
    return [
        figure(
            f"CPU of the writer, frames {label}, against zstd 3",
            ratio(spent["written"], spent["zstd"]),
            "x",
            against,
            at_most=1.3,
        ),
        figure(f"CPU in the loop, frames {label}", spent["taken"], "ns/frame", "into the recorder's buffer"),
        figure(f"played, frames {label}", rates, "frames/s", split, at_least=100_000),
    ]
