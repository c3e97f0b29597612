"""Frames out of a recording."""

import base64
import json
from pathlib import Path

import pytest

from liqtape.cli.app import main
from liqtape.recording.recorder import Recorder
from liqtape.recording.records import RunStarted
from liqtape.settings import AlertSettings
from liqtape.venues.base import Endpoint

_MS = 1_791_391_082_119


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    recorder = Recorder(tmp_path / "recording")
    recorder.open(RunStarted("0", (), {"bybit": (), "okx": ()}, AlertSettings(), price_always=False))
    for venue, frames in (("bybit", [b'{"a":1}', b"two\nlines"]), ("okx", [b"pong", b"\xff\x00"])):
        track = recorder.track(venue, Endpoint(f"wss://{venue}.test/ws", (), 60.0))
        for payload in frames:
            track.received([payload], _MS * 1_000_000)
    recorder.close()
    return tmp_path / "recording"


def test_frames_are_lines_with_time_venue_connection_and_address(
    recording: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["frames", str(recording)]) == 0
    lines = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [(line["venue"], line["connection"], line["url"]) for line in lines] == [
        ("bybit", 1, "wss://bybit.test/ws"),
        ("bybit", 1, "wss://bybit.test/ws"),
        ("okx", 2, "wss://okx.test/ws"),
        ("okx", 2, "wss://okx.test/ws"),
    ]
    assert {(line["receive_ms"], line["receive_iso"]) for line in lines} == {(_MS, "2026-10-07T16:38:02.119Z")}
    assert [line.get("frame") for line in lines] == ['{"a":1}', "two\nlines", "pong", None]
    assert base64.b64decode(lines[-1]["frame_base64"]) == b"\xff\x00"


def test_bare_frames_of_one_venue_are_what_normalize_reads(
    recording: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["frames", str(recording), "--venue", "bybit", "--bare"]) == 0
    assert capfdbinary.readouterr().out == b'{"a":1}\ntwo lines\n'


def test_what_cannot_be_read_is_said_and_exit_1(recording: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (segment,) = recording.glob("*.liqrec")
    segment.write_bytes(segment.read_bytes()[:-40])
    assert main(["frames", str(recording)]) == 1
    assert b"liqtape frames: " in capfdbinary.readouterr().err
