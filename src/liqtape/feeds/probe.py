"""One connection tried step by step, so that a failure says where it happened.

Name, TCP and TLS are tried by themselves first, because a connection that hangs does not say where.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from msgspec import Struct

from liqtape.events import Event, PriceTick
from liqtape.feeds.connection import Connection, Status
from liqtape.feeds.dial import dial, release
from liqtape.feeds.disconnects import Disconnected, named
from liqtape.feeds.lookup import look_up
from liqtape.feeds.proxies import proxy_of, shown_proxy
from liqtape.feeds.transport import verifying_context
from liqtape.venues.base import Endpoint, Venue

__all__ = ["MISSED", "Deadlines", "Probe"]

_CONNECTED = frozenset({"subscribing", "refused", "live"})
_LAG_SECONDS = 0.5  # trades are listened to for so long after the first: some venues begin with past ones
_MAY_BE_QUIET = 60.0  # a canary with a longer silence limit need not be heard while we wait

MISSED = {
    "handshake": "no answer",
    "subscription": "not acknowledged",
    "first data": "connected and acknowledged, but no data",
}
"""What did not happen in a step that ran out of time."""


class Deadlines(Struct, frozen=True):
    """Seconds for each step, and for a venue as a whole."""

    resolve: float = 3.0
    connect: float = 3.0
    tls: float = 3.0
    handshake: float = 4.0
    subscription: float = 6.0
    first_data: float = 6.0
    listing: float = 6.0
    whole: float = 13.0


def _port(url: str) -> int:
    parts = urlsplit(url)
    usual = {"wss": 443, "https": 443, "socks5": 1080, "socks4": 1080}
    return parts.port or usual.get(parts.scheme, 80)


@asynccontextmanager
async def _within(seconds: float, stage: str = "") -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Disconnected("timeout", f"{MISSED.get(stage, 'no answer')} within {seconds:g} s") from None


class Probe:
    """One connection from the name of its host to its first data; `stage` is the step it stands at."""

    def __init__(self, venue: Venue, endpoint: Endpoint, ssl_context: ssl.SSLContext | None, limits: Deadlines) -> None:
        self.endpoint = endpoint
        self.stage = "resolve"
        self.transport = "plain"
        self.proxy: str | None = None
        self.acknowledged = 0
        self.has_data = False
        self.data_after = 0.0
        self.lag_ms: int | None = None
        self._ssl_context = ssl_context
        self._limits = limits
        self._news = asyncio.Event()
        self._lost: Disconnected | None = None
        self._connection = Connection(
            venue,
            endpoint,
            on_events=self._take,
            on_state=self._changed,
            ssl_context=ssl_context,
            connect_timeout=limits.handshake,
        )

    async def run(self, until: float) -> None:
        """Go through all steps, until the loop's time is `until`; raises Lost at the one that fails."""
        try:
            async with asyncio.timeout_at(until):
                await self._reach()
                await self._talk()
        except TimeoutError:
            raise Disconnected("timeout", f"no time left; {self._limits.whole:g} s for all steps") from None

    async def _reach(self) -> None:
        """Try name, TCP and TLS by themselves, each with a deadline of its own; of a proxy its name and TCP."""
        try:
            self.proxy = proxy_of(self.endpoint.url)
            url = self.proxy or self.endpoint.url
            host, port = urlsplit(url).hostname or "", _port(url)
        except ValueError as error:
            raise Disconnected("address", str(error)) from error
        loop = asyncio.get_running_loop()
        limits = self._limits
        try:
            async with _within(limits.resolve):
                await look_up(host, port)
            self.stage = "connect"
            async with _within(limits.connect):
                sock = await dial(host, port)
        except (OSError, UnicodeError) as error:
            raise named(error) from error
        try:
            if self.proxy is not None:
                self.transport = f"through {shown_proxy(self.proxy)}"
            elif self.endpoint.url.startswith("wss:"):
                self.stage = "TLS"
                context = self._ssl_context or verifying_context()
                async with _within(limits.tls):
                    transport, _ = await loop.create_connection(
                        asyncio.Protocol, sock=sock, ssl=context, server_hostname=host
                    )
                self.transport = transport.get_extra_info("ssl_object").version()
                transport.abort()
        except OSError as error:
            raise named(error) from error
        finally:
            await release(sock)

    async def _talk(self) -> None:
        connection, limits = self._connection, self._limits
        task = asyncio.get_running_loop().create_task(connection.run())
        began = time.monotonic()
        try:
            await self._until("handshake", limits.handshake, lambda: connection.status.state in _CONNECTED)
            await self._until("subscription", limits.subscription, lambda: connection.session.confirmed)
            self.acknowledged = len(self.endpoint.topics) - len(connection.session.refused)
            await self._first_data()
            self.data_after = time.monotonic() - began
            await asyncio.sleep(_LAG_SECONDS)
        finally:
            await connection.stop()
            await asyncio.gather(task, return_exceptions=True)

    async def _first_data(self) -> None:
        try:
            await self._until("first data", self._limits.first_data, lambda: self._connection.status.state == "live")
        except Disconnected:
            if self._lost is None and self.endpoint.silence_limit >= _MAY_BE_QUIET:
                return
            raise
        self.has_data = True

    async def _until(self, stage: str, seconds: float, reached: Callable[[], bool]) -> None:
        self.stage = stage
        async with _within(seconds, stage):
            while not reached():
                if self._lost is not None:
                    self.stage = "subscription" if self._lost.cause == "subscription" else stage
                    raise self._lost
                self._news.clear()
                await self._news.wait()

    def _take(self, events: list[Event]) -> None:
        self._news.set()
        for event in events:
            if isinstance(event, PriceTick) and event.receive_ms is not None:
                lag_ms = event.receive_ms - event.event_ms
                self.lag_ms = lag_ms if self.lag_ms is None else min(self.lag_ms, lag_ms)

    def _changed(self, _: Connection, status: Status) -> None:
        self._news.set()
        if status.state in {"stalled", "waiting"} and self._lost is None:
            self._lost = Disconnected(status.cause, status.reason)
