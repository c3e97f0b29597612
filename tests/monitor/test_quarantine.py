from base64 import b64decode
from pathlib import Path

import msgspec
import pytest

from liqtape.monitor import quarantine
from liqtape.monitor.quarantine import Quarantine
from liqtape.venues.session import Undecodable


def _lines(kept: Quarantine) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in kept.path.read_bytes().splitlines()]


def test_text_and_bytes_come_back_as_they_were(tmp_path: Path) -> None:
    kept = Quarantine(tmp_path / "quarantine", "okx")
    kept.keep([Undecodable("okx: not JSON", '{"a":"牛'.encode(), 5), Undecodable("okx: gzip", b"\x1f\x8b\xff")])

    text, binary = _lines(kept)
    assert text == {"receive_ms": 5, "reason": "okx: not JSON", "text": '{"a":"牛'}
    assert b64decode(str(binary["base64"])) == b"\x1f\x8b\xff"
    assert (kept.kept_total, kept.dropped_total) == (2, 0)


def test_of_a_cause_twenty_are_kept_whatever_numbers_it_names(tmp_path: Path) -> None:
    kept = Quarantine(tmp_path, "okx")
    kept.keep(Undecodable(f"expected int at $.data[{i}]", b"{}") for i in range(50))
    kept.keep([Undecodable("another", b"{}")])

    assert len(_lines(kept)) == 21
    assert (kept.kept_total, kept.dropped_total) == (21, 30)


def test_causes_are_bounded_too(tmp_path: Path) -> None:
    kept = Quarantine(tmp_path, "okx")
    words = ["".join(chr(97 + int(digit)) for digit in str(i)) for i in range(300)]
    kept.keep(Undecodable(word, b"{}") for word in words)
    assert kept.kept_total == 100


def test_the_file_stays_bounded_over_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "_MOST_BYTES", 1_000)
    for _ in range(5):
        Quarantine(tmp_path, "okx").keep(Undecodable("x", b"a" * 100) for _ in range(5))
    assert (tmp_path / "okx.jsonl").stat().st_size <= 1_000


def test_a_disk_that_refuses_is_said_once_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    kept = Quarantine(tmp_path / "file", "okx")
    for _ in range(2):
        kept.keep([Undecodable("x", b"{}")])

    assert kept.dropped_total == 2
    assert len(caplog.records) == 1
