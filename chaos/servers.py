"""Real servers of our own on loopback, to be killed and started again; they end with this process, however it ends."""

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from liqtape.embedded.binary import server_binary
from liqtape.embedded.guard import die_with_parent

__all__ = ["Postgres", "Redis", "free_port", "postgres_programs"]

_POLL_SECONDS = 0.02
_START_SECONDS = 30.0
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.3


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Redis:
    """A Valkey server that keeps nothing."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it listens."""
        command = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._directory)]
        for _ in range(_ATTEMPTS):  # somebody else may have the port, if only for a moment
            self._process = await asyncio.create_subprocess_exec(
                str(server_binary()), *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )  # fmt: skip
            if await _is_listening(self._process, self.port):
                return
            await asyncio.sleep(_PAUSE_SECONDS)
        raise RuntimeError(f"no Redis server on port {self.port}")

    async def kill(self) -> None:
        """At once, as a power cut would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def postgres_programs() -> Path | None:
    """Where PostgreSQL's programs are; Debian keeps them out of the path."""
    places = [os.environ.get("PATH", ""), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
    found = shutil.which("initdb", path=os.pathsep.join(places))
    return None if found is None else Path(found).resolve().parent


class Postgres:
    """A PostgreSQL server that keeps its data over a crash."""

    def __init__(self, programs: Path) -> None:
        self.port = free_port()
        self._programs = programs
        self._directory = Path(tempfile.mkdtemp(prefix="liqtape-chaos-postgres-"))
        # The server refuses to run as root; Debian's package brings a user for it.
        self._user = "postgres" if os.geteuid() == 0 else getpass.getuser()
        self._process: asyncio.subprocess.Process | None = None
        if os.geteuid() == 0:
            shutil.chown(self._directory, self._user)
        options = ["-U", "liqtape", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale"]
        subprocess.run(
            [str(programs / "initdb"), "-D", "data", *options], cwd=self._directory, check=True, capture_output=True,
            user=self._user if os.geteuid() == 0 else None, timeout=60,
        )  # fmt: skip

    async def start(self) -> None:
        """Returns when it listens; after a crash it may still be recovering then."""
        for _ in range(_ATTEMPTS):
            await self._launch()
            if self._process is not None and await _is_listening(self._process, self.port):
                return
            await asyncio.sleep(_PAUSE_SECONDS)
        raise RuntimeError(f"no PostgreSQL server on port {self.port}")

    async def _launch(self) -> None:
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        self._process = await asyncio.create_subprocess_exec(
            str(self._programs / "postgres"), "-D", "data", "-p", str(self.port),
            *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
            cwd=self._directory, user=self._user if os.geteuid() == 0 else None,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )  # fmt: skip

    async def kill(self) -> None:
        """Without order, as a crash: what was committed is recovered from its journal."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGQUIT)
            await self._process.wait()

    async def remove(self) -> None:
        """End it and its data."""
        await self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


async def _is_listening(process: asyncio.subprocess.Process, port: int) -> bool:
    """Waits until it does, or has ended."""
    async with asyncio.timeout(_START_SECONDS):
        while process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return True
            await asyncio.sleep(_POLL_SECONDS)
    return False
