"""The sender as a child process, and the ways to receive from it: a tracker, a bare socket."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

from benchmarks.measure import cores
from liqtape.embedded import EmbeddedServer
from liqtape.settings import RedisSettings, Settings, VenueSettings
from liqtape.sinks.sink import Sink
from liqtape.tracker import Tracker
from liqtape.venues import VENUES

__all__ = ["BareSocket", "Sender", "embedded", "live", "live_tracker", "others", "subscription"]

_HOST = "127.0.0.1"
_PATHS = {"binance": "/market/ws", "bybit": "/v5/public/linear"}
_TOPICS = {"binance": ("!forceOrder@arr",), "bybit": ("allLiquidation.COIN00USDT",)}
_LIVE_SECONDS = 15.0


class Sender:
    """The server of `benchmarks.sender` on a core of its own; `context` trusts its certificate."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="liqtape-bench-")
        authority = trustme.CA()
        certificate = Path(self._directory.name) / "server.pem"
        authority.issue_cert(_HOST).private_key_and_cert_chain_pem.write_to_path(certificate)
        self.context = ssl.create_default_context()
        authority.configure_trust(self.context)
        command = [sys.executable, "-m", "benchmarks.sender", str(certificate)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if cores()[1]:
            os.sched_setaffinity(self._child.pid, others())
        self.port = self.answer()["port"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._directory.cleanup()

    def ask(self, do: str, **options: Any) -> None:
        """A command; its answer comes when it was done."""
        if self._child.stdin is None:
            raise RuntimeError("the sender has no input")
        self._child.stdin.write(json.dumps({"do": do, **options}).encode() + b"\n")
        self._child.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The answer to the oldest command; waits for it."""
        if self._child.stdout is None:
            raise RuntimeError("the sender has no output")
        answer: dict[str, Any] = json.loads(self._child.stdout.readline())
        if "error" in answer:
            raise RuntimeError(f"the sender: {answer['error']}")
        return answer

    def make(self, venue: str, count: int, rows: int, per_second: float) -> dict[str, Any]:
        """Let it make its next frames, with event times from now on; returns what `sender.made` makes them from."""
        options = {"venue": venue, "count": count, "rows": rows, "per_second": per_second}
        options["begin_ms"] = time.time_ns() // 1_000_000
        self.ask("make", **options)
        self.answer()
        return options

    def url(self, venue: str) -> str:
        """Of the venue's stream."""
        return f"wss://{_HOST}:{self.port}{_PATHS[venue]}"


def others() -> set[int]:
    """The core for everything that is not measured; this process was put on the other one."""
    allowed = set(range(os.cpu_count() or 1))
    return (allowed - cores()[0]) or allowed


def subscription(venue: str) -> bytes:
    """The request to follow the liquidations of the venue."""
    return VENUES[venue].subscribe("1", _TOPICS[venue])


@asynccontextmanager
async def live_tracker(sender: Sender, venue: str, sinks: Iterable[Sink] = ()) -> AsyncIterator[Tracker]:
    """A tracker of default settings with one venue, subscribed and live."""
    port = sender.port
    own = VenueSettings(ws_url=f"wss://{_HOST}:{port}", rest_url=f"http://{_HOST}:{port}")
    settings = Settings(venues={venue: own}, redis=RedisSettings(url="off"))
    async with Tracker(settings, sinks=sinks, ssl_context=sender.context) as tracker:
        await live(tracker)
        yield tracker


async def live(tracker: Tracker) -> None:
    """Wait until every venue is."""
    async with asyncio.timeout(_LIVE_SECONDS):
        while any(health.state != "live" for health in tracker.health()):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


@asynccontextmanager
async def embedded() -> AsyncIterator[EmbeddedServer]:
    """An embedded Redis server on the core of the others."""
    server = EmbeddedServer()
    await server.start()
    try:
        if server.pid is not None and cores()[0]:
            with suppress(OSError):
                os.sched_setaffinity(server.pid, others())
        yield server
    finally:
        await server.stop()


class BareSocket:
    """A blocking TLS socket that splits frames by hand: the floor for receiving in Python."""

    def __init__(self, sender: Sender, venue: str) -> None:
        plain = socket.create_connection((_HOST, sender.port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sender.context.wrap_socket(plain, server_hostname=_HOST)
        request = f"GET {_PATHS[venue]} HTTP/1.1\r\nHost: {_HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        request += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        self._sock.sendall(request.encode())
        self._unread = b""
        while b"\r\n\r\n" not in self._unread:
            self._unread += self._sock.recv(65_536)
        self._unread = self._unread.partition(b"\r\n\r\n")[2]
        text = subscription(venue)
        self._sock.sendall(bytes((0x81, 0x80 | len(text))) + bytes(4) + text)  # a mask of zeros
        self.frames(2)  # the answer and the trade

    def frames(self, at_least: int = 1) -> list[bytes]:
        """The frames that have come; waits for so many."""
        frames: list[bytes] = []
        while len(frames) < at_least:
            buffer, at = self._unread, 0
            while at + 4 <= len(buffer):
                length, start = buffer[at + 1], at + 2
                if length == 126:
                    length, start = (buffer[at + 2] << 8) | buffer[at + 3], at + 4
                if start + length > len(buffer):
                    break
                frames.append(buffer[start : start + length])
                at = start + length
            self._unread = buffer[at:]
            if len(frames) < at_least:
                self._unread += self._sock.recv(65_536)
        return frames

    def close(self) -> None:
        """At once."""
        self._sock.close()
