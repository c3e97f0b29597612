"""The web server in the loop of the service: a port, bounded connections, and a tidy end."""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from liqtape.errors import ConfigurationError
from liqtape.web.api import Api
from liqtape.web.board import Board
from liqtape.web.broadcast import Broadcast
from liqtape.web.pasthistory import HistoryApi, PastSource
from liqtape.web.shown import Shown
from liqtape.web.webapp import application
from liqtape.web.webguard import MOST_HEAD, is_loopback

__all__ = ["WebServer", "bound_socket", "serving"]

MOST_CONNECTIONS = 256

_TRIES = 50
_IDLE_SECONDS = 15.0
_REQUEST_SECONDS = 20.0  # for the head of a request
_END_SECONDS = 1.0
_BACKLOG = 64
_RESTART_SECONDS = 1.0

_log = logging.getLogger(__name__)


class _Bounded(H11Protocol):
    """At most `MOST_CONNECTIONS`: where one more comes the longest idle one goes, or the new one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= MOST_CONNECTIONS and not self._make_room():
            transport.abort()
            return
        super().connection_made(transport)
        self.began = self.loop.time()
        self._overdue = self.loop.call_later(_REQUEST_SECONDS, self._end_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        if hasattr(self, "_overdue"):
            self._overdue.cancel()
            super().connection_lost(exc)

    def _end_if_silent(self) -> None:
        """Close a connection whose first request is not there yet."""
        if _is_idle(self):
            self.transport.close()

    def _make_room(self) -> bool:
        idle = [other for other in self.connections if isinstance(other, _Bounded) and _is_idle(other)]
        if not idle:
            return False
        longest = min(idle, key=lambda other: other.began)
        self.connections.discard(longest)
        longest.transport.abort()
        return True


def _is_idle(connection: H11Protocol) -> bool:
    cycle = getattr(connection, "cycle", None)  # None until the first request is there
    return cycle is None or bool(cycle.response_complete)


class _Quiet(uvicorn.Server):
    """A server that leaves the signals to the command."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Serves a source at `url` as long as `serving` lasts."""

    def __init__(
        self,
        source: Shown,
        *,
        token: str | None = None,
        hosts: tuple[str, ...] = (),
        past: PastSource | None = None,
        metrics: Callable[[], bytes] | None = None,
    ) -> None:
        self.board = Board(source)
        self.broadcast = Broadcast(self.board)
        api, history = Api(self.board, self.broadcast), HistoryApi(self.board, past)
        self.app = application(api, history, self.broadcast, token=token, hosts=hosts, metrics=metrics)
        self.url = ""
        self._is_ending = False
        self._telling: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listening(self, sock: socket.socket) -> AsyncIterator["WebServer"]:
        """Serve on a bound socket inside the block."""
        config = uvicorn.Config(
            self.app,
            http=_Bounded,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=int(_IDLE_SECONDS),
            timeout_graceful_shutdown=int(_END_SECONDS),
            h11_max_incomplete_event_size=MOST_HEAD,
        )
        server = _Quiet(config)
        self.url = _url(sock)
        self._tell()
        serving = asyncio.create_task(server.serve(sockets=[sock]), name="web server")
        try:
            yield self
        finally:
            self._is_ending = True
            if self._telling is not None:
                self._telling.cancel()
            self.broadcast.close()
            server.should_exit = True
            await asyncio.wait([serving], timeout=_END_SECONDS + 1.0)
            serving.cancel()
            sock.close()

    def _tell(self) -> None:
        """Let the stream go on, also after an error nobody foresaw."""
        if not self._is_ending:
            self._telling = asyncio.create_task(self.broadcast.run(), name="page")
            self._telling.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            _log.error("the page's stream failed; restarting it", exc_info=task.exception())
            asyncio.get_running_loop().call_later(_RESTART_SECONDS, self._tell)


@asynccontextmanager
async def serving(
    source: Shown,
    address: tuple[str, int],
    *,
    token: str | None = None,
    hosts: tuple[str, ...] = (),
    past: PastSource | None = None,
    metrics: Callable[[], bytes] | None = None,
) -> AsyncIterator[WebServer]:
    """Serve a source at an address, or at the next free port. Raises ConfigurationError where that is not allowed."""
    host, port = address
    if token is None and not is_loopback(host):
        raise ConfigurationError(
            f"web.listen {host}:{port}: others reach this address; set a token (LIQTAPE_WEB_TOKEN or web.token_file), "
            "or listen on 127.0.0.1"
        )
    server = WebServer(source, token=token, hosts=hosts, past=past, metrics=metrics)
    async with server.listening(bound_socket(host, port)):
        yield server


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket at this port, or at the next free one; 0 is any. Raises ConfigurationError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for attempt in range(_TRIES):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port + attempt if port else 0))
            sock.listen(_BACKLOG)
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE and port + attempt < 65_535:
                continue
            raise ConfigurationError(f"web.listen {host}:{port}: {error.strerror or error}; name another") from error
        sock.settimeout(0.0)
        return sock
    raise ConfigurationError(f"web.listen {host}:{port}: no free port up to {port + _TRIES - 1}; name another")


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"
