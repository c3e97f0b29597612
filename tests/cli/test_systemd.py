"""What systemd hears, on a real datagram socket."""

import asyncio
import configparser
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from liqtape.cli.systemd import notified

_UNIT = Path(__file__).resolve().parents[2] / "deploy" / "liqtape.service"


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


def _heard(listener: socket.socket) -> list[str]:
    listener.setblocking(False)
    heard = []
    try:
        while True:
            heard.append(listener.recv(100).decode())
    except BlockingIOError:
        return heard


async def test_ready_then_alive_then_stopping(listener: socket.socket) -> None:
    beats = iter(range(1_000_000))
    heard: list[str] = []

    async with notified(lambda: next(beats), {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "200"}):
        while len(heard) < 5:
            heard += _heard(listener)
            await asyncio.sleep(0.001)
    heard += _heard(listener)

    assert (heard[0], heard[-1]) == ("READY=1", "STOPPING=1")
    assert set(heard[1:-1]) == {"WATCHDOG=1"}


async def test_a_loop_that_turns_without_its_work_is_not_alive(listener: socket.socket) -> None:
    async with notified(lambda: 7, {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "2000"}):
        await asyncio.sleep(0.02)

    assert _heard(listener) == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize(
    "watched",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "2000", "WATCHDOG_PID": "1"}],
    ids=["not", "zero", "no number", "another process"],
)
async def test_nobody_watches(listener: socket.socket, watched: dict[str, str]) -> None:
    async with notified(lambda: 1, {"NOTIFY_SOCKET": listener.getsockname(), **watched}):
        await asyncio.sleep(0.01)

    assert _heard(listener) == ["READY=1", "STOPPING=1"]


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
async def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0liqtape-test-{os.getpid()}")
        async with notified(lambda: 1, {"NOTIFY_SOCKET": f"@liqtape-test-{os.getpid()}"}):
            pass

        assert _heard(sock) == ["READY=1", "STOPPING=1"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}], ids=["no systemd", "socket gone"])
async def test_elsewhere_nothing_happens(environ: dict[str, str]) -> None:
    async with notified(lambda: 1, environ):
        pass


def test_the_unit_is_sound() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(_UNIT)

    assert unit["Service"]["Type"] == "notify"
    assert int(unit["Service"]["TimeoutStopSec"]) >= 5
    assert unit["Service"]["ExecStart"].endswith("liqtape run")
    if shutil.which("systemd-analyze"):
        ran = subprocess.run(["systemd-analyze", "verify", str(_UNIT)], capture_output=True, text=True, check=False)
        faults = [
            line for line in ran.stderr.splitlines() if "liqtape.service" in line and "not executable" not in line
        ]
        assert not faults
