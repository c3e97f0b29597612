"""The embedded server: started, watched, restarted, stopped."""

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from liqtape.embedded.access import Access
from liqtape.embedded.binary import server_binary
from liqtape.embedded.child import Child
from liqtape.embedded.directory import WorkDirectory
from liqtape.errors import EmbeddedUnavailable

__all__ = ["EmbeddedServer"]

log = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_USUAL_PORT = 6379
_PORT_ATTEMPTS = 5
_POLL_SECONDS = 0.0015
_START_SECONDS = 30.0  # loading a large append-only file takes its time
_PROBE_SECONDS = 1.0
_BACK_OFF_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY_SECONDS = 10.0
_LOG_TAIL = 500


class EmbeddedServer:
    """A Valkey server of our own on 127.0.0.1, restarted on the same port whenever it dies.

    Port 6379 if nobody is there, so that plain `redis-cli` finds it, else a free one; a named `port` is used or
    refused. Nothing is kept unless `persist` (append-only file, synced every second), which needs a `data_dir`. It ends
    with this program, also when that is killed. `restarts` counts how often it had to be brought back.

    With `is_guarded` others only read, and only the documented keys, which begin with `prefix`: see `access`. Without
    it, whoever reaches the port may do everything.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        port: int | None = None,
        *,
        persist: bool = False,
        is_guarded: bool = False,
        prefix: str = "",
    ) -> None:
        if persist and data_dir is None:
            raise ValueError("an embedded server that persists needs a data_dir")
        self.restarts = 0
        self._data_dir = data_dir
        self._wanted_port = port
        self._persist = persist
        self._is_guarded = is_guarded
        self._prefix = prefix
        self._access: Access | None = None
        self._port: int | None = None
        self._directory: WorkDirectory | None = None
        self._child: Child | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Start the server and return its port once it answers; raises `EmbeddedUnavailable` with the reason."""
        if self._watch is not None and self._port is not None:
            return self._port
        binary = server_binary()
        self._directory = WorkDirectory.temp() if self._data_dir is None else WorkDirectory.take(self._data_dir)
        try:
            (self._directory.path / "server.log").unlink(missing_ok=True)
            self._access = Access(self._directory.path, self._prefix) if self._is_guarded else None
            self._port = await self._start_somewhere(binary, self._directory)
        except BaseException:
            self._release()
            raise
        self._watch = asyncio.create_task(self._keep_alive(binary, self._directory, self._port), name="embedded-redis")
        return self._port

    async def stop(self) -> None:
        """Stop the server and remove its temporary directory; may be called at any time and more than once."""
        watch, self._watch = self._watch, None
        if watch is not None and not watch.done():
            watch.cancel()
            await asyncio.wait([watch])
        child, self._child = self._child, None
        if child is not None:
            await child.end()
        self._release()

    @property
    def running(self) -> bool:
        """True while the server lives and has answered."""
        return self._child is not None and self._child.alive

    @property
    def url(self) -> str:
        """Address of database 1 for everybody on this machine."""
        if self._port is None:
            raise RuntimeError("the embedded server was not started")
        return f"redis://{_HOST}:{self._port}/1"

    @property
    def writer_url(self) -> str:
        """Address of database 1 for liqtape itself; where the server is guarded it holds a password."""
        return self.url if self._access is None else self._access.writer_url

    @property
    def pid(self) -> int | None:
        """Process id of the server, None while there is none."""
        return self._child.pid if self._child is not None and self._child.alive else None

    async def _start_somewhere(self, binary: Path, directory: WorkDirectory) -> int:
        for port in self._ports():
            try:
                self._child = await self._launch(binary, directory, port)
            except EmbeddedUnavailable:
                # Between our look and the server's bind somebody may have taken the port; anything else is final.
                if self._wanted_port is not None or _is_free(port):
                    raise
                continue
            log.info("embedded Redis listens on %s:%d", _HOST, port)
            return port
        raise EmbeddedUnavailable("embedded Redis found no free port on 127.0.0.1")

    def _ports(self) -> Iterator[int]:
        if self._wanted_port is not None:
            if not _is_free(self._wanted_port):
                raise EmbeddedUnavailable(f"embedded Redis: port {self._wanted_port} is taken by another program")
            yield self._wanted_port
            return
        if _is_free(_USUAL_PORT):
            yield _USUAL_PORT
        for _ in range(_PORT_ATTEMPTS):
            with closing(socket.create_server((_HOST, 0))) as probe:
                port: int = probe.getsockname()[1]
            yield port

    async def _launch(self, binary: Path, directory: WorkDirectory, port: int) -> Child:
        log_file = directory.path / "server.log"
        command = _command(binary, directory.path, port, persist=self._persist)
        if self._access is not None:
            command.insert(1, _configured(directory.path, self._access))
        child = await Child.launch(command, directory, log_file)
        try:
            async with asyncio.timeout(_START_SECONDS):
                while child.alive and not await _answers(port, child.pid):  # noqa: ASYNC110 - another program's state
                    await asyncio.sleep(_POLL_SECONDS)
        except BaseException as error:
            await child.end()
            if isinstance(error, TimeoutError):
                raise EmbeddedUnavailable(f"embedded Redis did not answer in {_START_SECONDS:.0f} s") from error
            raise
        if child.alive:
            return child
        await child.died()
        raise EmbeddedUnavailable(f"embedded Redis ended at once: {_tail(log_file)}")

    async def _keep_alive(self, binary: Path, directory: WorkDirectory, port: int) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            since = loop.time()
            if self._child is not None:
                status = await self._child.died()
                self._child = None
                log.warning("embedded Redis on port %d died with status %d, restarting", port, status)
            if loop.time() - since > _STEADY_SECONDS:
                failures = 0
            await asyncio.sleep(_BACK_OFF_SECONDS[min(failures, len(_BACK_OFF_SECONDS) - 1)])
            failures += 1
            try:
                self._child = await self._launch(binary, directory, port)
            except EmbeddedUnavailable as error:
                log.warning("embedded Redis on port %d not restarted: %s", port, error)
                continue
            self.restarts += 1
            log.info("embedded Redis on port %d is back, restart %d", port, self.restarts)

    def _release(self) -> None:
        access, self._access = self._access, None
        if access is not None:
            access.release()
        directory, self._directory = self._directory, None
        if directory is not None:
            directory.release()


def _configured(directory: Path, access: Access) -> str:
    """Write the configuration file, anew for each start: a cleaner of /tmp may have taken it."""
    path = directory / "server.conf"
    directory.mkdir(mode=0o700, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(access.configuration())
    return str(path)


def _command(binary: Path, directory: Path, port: int, *, persist: bool) -> list[str]:
    settings = {
        "bind": _HOST,
        "port": str(port),
        "dir": str(directory),
        "save": "",
        "appendonly": "yes" if persist else "no",
        "appendfsync": "everysec",
        "maxmemory": "256mb",  # a thousand instruments take a few MB; a full server must say so, not forget keys
        "maxmemory-policy": "noeviction",
        "maxmemory-clients": "64mb",  # what readers do not take
        "enable-debug-command": "no",
        "enable-module-command": "no",
        "loglevel": "warning",
        "daemonize": "no",
    }
    return [str(binary), *(word for name, value in settings.items() for word in (f"--{name}", value))]


def _is_free(port: int) -> bool:
    """True if nobody listens on the port, on this address or on all of them."""
    # On macOS a bind to 127.0.0.1 succeeds beside a stranger's 0.0.0.0 and would take its local clients: connect first.
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.settimeout(_PROBE_SECONDS)
        if probe.connect_ex((_HOST, port)) == 0:
            return False
    try:
        socket.create_server((_HOST, port)).close()
    except OSError:
        return False
    return True


async def _answers(port: int, pid: int) -> bool:
    """True if the server with this pid, and not a stranger on its port, answers PING."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(_HOST, port)
            with closing(writer):
                writer.write(b"PING\r\nINFO server\r\nQUIT\r\n")
                answer = await reader.read(-1)
    except (OSError, TimeoutError):
        return False
    return answer.startswith(b"+PONG") and b"process_id:%d\r\n" % pid in answer


def _tail(path: Path) -> str:
    try:
        return " ".join(path.read_text(errors="replace")[-_LOG_TAIL:].split()) or "no reason given"
    except OSError:
        return "no reason given"
