"""Real disks that are full or only readable: a clear state, nothing lost, and recovery by itself."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.polling import wait_until

from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation
from liqtape.history.log import eventlog
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.layout import LOCK
from liqtape.history.log.store import Store

MakeLog = Callable[..., EventLog]
MakeMany = Callable[..., list[Liquidation]]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "_RETRY_SECONDS", 0.02)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "liqtape-test", str(place)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(place: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(place)], check=True)


def test_a_full_disk_is_said_and_survived(
    small_disk: Path, event_log: MakeLog, liquidations: MakeMany, caplog: pytest.LogCaptureFixture
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_600_000)
    log = event_log(small_disk / "history")
    log.offer(liquidations(2_000))
    wait_until(lambda: not log.events_pending or log.health().state == "failing")
    log.offer(liquidations(6_000, 2_000))
    wait_until(lambda: log.health().state == "failing")
    assert log.health().detail == "database or disk is full"
    assert log.events_pending >= 6_000

    ballast.unlink()
    wait_until(lambda: not log.events_pending)
    assert log.health().state == "writing"
    assert log.events_logged == 8_000
    assert [event for _, event in log.after(0, 9_999)] == liquidations(8_000)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"history: cannot write to {log.directory}: database or disk is full; events wait in memory",
        f"history: writing again to {log.directory}, 0 events lost in all",
    ]


def test_a_disk_that_is_full_at_the_start_is_waited_for(
    small_disk: Path, event_log: MakeLog, liquidations: MakeMany
) -> None:
    ballast = small_disk / "ballast"
    subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4k"], check=False, capture_output=True)
    log = event_log(small_disk / "history")
    log.offer(liquidations(100))
    wait_until(lambda: log.health().state == "failing")
    ballast.unlink()
    wait_until(lambda: not log.events_pending)
    assert [event for _, event in log.after(0, 999)] == liquidations(100)


def test_a_disk_that_becomes_read_only_is_said_and_survived(
    small_disk: Path, event_log: MakeLog, liquidations: MakeMany
) -> None:
    first = event_log(small_disk / "history")
    first.offer(liquidations(10))
    first.stop()
    remount(small_disk, "ro")
    log = event_log(small_disk / "history")
    log.offer(liquidations(20, 10))
    wait_until(lambda: log.health().state == "failing")
    assert log.health().detail == "Read-only file system"
    remount(small_disk, "rw")
    wait_until(lambda: not log.events_pending)
    assert log.health().state == "writing"
    assert [event for _, event in log.after(0, 99)] == liquidations(30)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission_is_refused(event_log: MakeLog, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        event_log(tmp_path / "closed" / "history")


def test_a_limit_of_the_file_size_is_like_a_full_disk(
    event_log: MakeLog, liquidations: MakeMany, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_really = Store.__init__

    def small(self: Store, directory: Path, synchronous: str = "NORMAL") -> None:
        open_really(self, directory, synchronous)
        self._connection.execute("PRAGMA max_page_count = 60")

    monkeypatch.setattr(Store, "__init__", small)
    log = event_log()
    log.offer(liquidations(3_000))
    wait_until(lambda: log.health().state == "failing")
    assert log.health().detail == "database or disk is full"
    store = log._store
    assert store is not None
    store._connection.execute("PRAGMA max_page_count = 100000")
    wait_until(lambda: not log.events_pending)
    assert log.events_logged == 3_000
    assert (log.directory / LOCK).exists()
