"""The recorder on a real directory: what it was given is there, or its absence is told."""

import threading
from pathlib import Path

import pytest
from tests.polling import wait_until

from liqtape.errors import ConfigurationError
from liqtape.instruments import Contract
from liqtape.recording.chunks import Group
from liqtape.recording.recorder import Recorder
from liqtape.recording.records import (
    ConnectionOpened,
    ConnectionState,
    FeedDown,
    FeedUp,
    FramesLost,
    ListingLoaded,
    Record,
    RunEnded,
    RunStarted,
    SegmentStarted,
)
from liqtape.recording.segments import Broken, Segments, StampedRecord, is_recording, read_recording, segment_files
from liqtape.settings import AlertSettings
from liqtape.venues.base import Endpoint

_BEGAN = RunStarted("0", [], {"bybit": []}, AlertSettings(), price_always=False)
_ENDPOINT = Endpoint("wss://example", ("a", "b"), 30.0, "b")


def _parts(path: Path) -> list[Group | Record | Broken]:
    return [part.record if isinstance(part, StampedRecord) else part for part in read_recording(path, [])]


def _frames(path: Path) -> list[bytes]:
    return [bytes(payload) for part in _parts(path) if isinstance(part, Group) for payload in part.payloads]


def test_frames_and_marks_come_back_in_their_order(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "new" / "recording")
    recorder.open(_BEGAN)
    track = recorder.track("bybit", _ENDPOINT)
    track.became("connecting", "", "")
    track.received((b"one",), 10**18)
    listed = ListingLoaded("bybit", [Contract("bybit", "BTCUSDT", "BTCUSDT")])
    recorder.record(listed)
    track.received((b"two", b"three"), 10**18 + 1)
    recorder.close()
    assert _parts(tmp_path / "new" / "recording") == [
        _BEGAN,
        ConnectionOpened(1, "bybit", _ENDPOINT),
        ConnectionState(1, "connecting"),
        Group(1, 10**18, [b"one"]),
        listed,
        Group(1, 10**18 + 1, [b"two", b"three"]),
        RunEnded(),
    ]
    assert (recorder.summary().frames, recorder.summary().bytes, recorder.state) == (3, 11, "closed")


def test_a_full_buffer_drops_counts_and_marks_and_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = threading.Event()
    write = Segments.write

    def stuck(self: Segments, groups: list[Group]) -> None:
        disk.wait(10)
        write(self, groups)

    monkeypatch.setattr(Segments, "write", stuck)
    recorder = Recorder(tmp_path, limit=10_000, flush_seconds=0.001)
    recorder.open(_BEGAN)
    track = recorder.track("bybit", _ENDPOINT)
    for number in range(100):
        track.received((b"%0200d" % number,), 10**18 + number)
    assert 0 < recorder.dropped_total < 100
    disk.set()
    wait_until(lambda: recorder._writing_bytes == recorder._held_bytes == 0)
    track.received((b"after",), 10**18 + 200)
    recorder.close()
    parts = _parts(tmp_path)
    lost = [part for part in parts if isinstance(part, FramesLost)]
    kept = 100 - recorder.dropped_total
    assert lost == [FramesLost(recorder.dropped_total, 200 * recorder.dropped_total, 10**18 + kept, ["bybit"])]
    assert [payload.lstrip(b"0") for payload in _frames(tmp_path)[1:]] == [
        *(b"%d" % number for number in range(1, kept)),
        b"after",
    ]
    assert parts.index(lost[0]) == len(parts) - 3  # then the frame, and the end


def test_a_disk_that_fails_for_a_while_loses_nothing_that_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [3]
    append = Segments._append

    def full(self: Segments, told: bytes) -> None:
        if self.written > 0 and failures[0] and len(told) > 300:
            failures[0] -= 1
            append(self, told[: len(told) // 2])
            raise OSError(28, "No space left on device")
        append(self, told)

    monkeypatch.setattr(Segments, "_append", full)
    recorder = Recorder(tmp_path, flush_seconds=0.001)
    recorder.open(_BEGAN)
    track = recorder.track("bybit", _ENDPOINT)
    sent = [b"%0500d" % number for number in range(50)]
    for number, payload in enumerate(sent):
        track.received((payload,), 10**18 + number)
    wait_until(lambda: failures[0] == 0 and recorder.state == "ok")
    recorder.close()
    assert sent == _frames(tmp_path)
    assert recorder.summary().errors == 3
    assert [record.message for record in caplog.records if "No space" in record.message] == [
        f"recording: {tmp_path}: No space left on device; trying again"
    ]


def test_each_segment_can_be_read_by_itself(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, segment_bytes=1, flush_seconds=0.001)
    recorder.open(_BEGAN)
    tracks = [recorder.track(venue, _ENDPOINT) for venue in ("bybit", "okx", "binance")]
    listed = ListingLoaded("okx", [Contract("okx", "BTC-USDT-SWAP", "BTCUSDT", unit_value="0.01")])
    for record in (listed, FeedUp("okx", 5), FeedUp("bybit", 6), FeedDown("bybit", 7)):
        recorder.record(record)
    tracks[0].became("live", "", "")
    tracks[2].became("stopped", "", "")
    for number in range(3):
        before = recorder.summary().segments
        tracks[1].received((b"%d" % number,), 10**18 + number)
        wait_until(lambda before=before: recorder.summary().segments > before)  # type: ignore[misc]
    recorder.close()
    assert [part for part in _parts(tmp_path) if isinstance(part, RunStarted)] == [_BEGAN]
    last = next(file for file in segment_files(tmp_path) if b"2" in _frames(file))
    repeated = _parts(last)[: -len(_frames(last))]
    assert [part for part in repeated if not isinstance(part, SegmentStarted | RunEnded)] == [
        _BEGAN,
        ConnectionOpened(1, "bybit", _ENDPOINT),
        ConnectionOpened(2, "okx", _ENDPOINT),
        listed,
        FeedUp("okx", 5),
        ConnectionState(1, "live"),
    ]
    assert _frames(tmp_path) == [b"0", b"1", b"2"]


def test_a_missing_segment_is_bridged_by_what_the_next_repeats(tmp_path: Path) -> None:
    segments = Segments(tmp_path, 1, 1e9)
    segments.open()
    for number in range(3):
        segments.write([Group(1, number, [b"%d" % number])])
    segments.close()
    segment_files(tmp_path)[2].unlink()
    assert _frames(tmp_path) == [b"0", b"2"]


def test_a_second_run_goes_on_in_the_same_directory_but_not_at_the_same_time(tmp_path: Path) -> None:
    first = Recorder(tmp_path)
    first.open(_BEGAN)
    with pytest.raises(ConfigurationError, match="another process records there"):
        Recorder(tmp_path).open(_BEGAN)
    first.close()
    second = Recorder(tmp_path)
    second.open(_BEGAN)
    second.close()
    assert [file.name for file in segment_files(tmp_path)] == ["000001.liqrec", "000002.liqrec"]
    assert _parts(tmp_path) == [_BEGAN, RunEnded(), _BEGAN, RunEnded()]


def test_a_directory_that_cannot_be_made_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"record: .*file"):
        Recorder(tmp_path / "file" / "recording").open(_BEGAN)
    assert not is_recording(tmp_path)
    with pytest.raises(ConfigurationError, match="no recording"):
        _parts(tmp_path)


def test_what_a_recorder_was_killed_with_is_read_up_to_the_cut(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, flush_seconds=0.001)
    recorder.open(_BEGAN)
    track = recorder.track("bybit", _ENDPOINT)
    track.received((b"one",), 10**18)
    wait_until(lambda: recorder._held_bytes == recorder._writing_bytes == 0 and b"one" in _frames(tmp_path))
    file = segment_files(tmp_path)[0]
    recorder.close()
    broken: list[Broken] = []
    file.write_bytes(file.read_bytes()[:-30])
    assert [part for part in read_recording(tmp_path, broken) if isinstance(part, Group)] == [
        Group(1, 10**18, [b"one"])
    ]
    assert str(broken[0]).startswith(f"{file}: cut at byte ")
