"""Proxies of the environment: real ones on loopback that lead every name to one server here."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
import trustme
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from liqtape.errors import RestError
from liqtape.feeds.disconnects import Disconnected
from liqtape.feeds.proxies import proxy_of, shown_proxy
from liqtape.feeds.rest import fetch
from liqtape.feeds.restconnector import RestConnector
from liqtape.feeds.transport import open_socket

_NAMES = [f"{key}_proxy" for key in ("wss", "ws", "https", "http", "all", "no")]

Env = Callable[..., None]


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Env:
    """`env(HTTPS_PROXY=...)`: these proxies and no others."""
    for name in _NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def put(**named: str) -> None:
        for name, value in named.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.mark.parametrize(
    ("named", "url", "expected"),
    [
        ({}, "wss://venue.test/ws", None),
        ({"HTTPS_PROXY": "http://p:1"}, "wss://venue.test/ws", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "https://venue.test/x", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "ws://venue.test/ws", None),
        ({"HTTP_PROXY": "http://p:1"}, "ws://venue.test/ws", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "wss://venue.test/ws", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "https://venue.test/ws", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "wss://venue.test/ws", "http://q:2"),
        ({"https_proxy": "http://p:1"}, "wss://venue.test/ws", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "wss://venue.test/ws", "http://p:1"),
        ({"HTTPS_PROXY": "HTTP://p:1/"}, "wss://venue.test/ws", "http://p:1"),
        ({"ALL_PROXY": "socks5h://p"}, "wss://venue.test/ws", "socks5://p:1080"),
        ({"ALL_PROXY": "socks5://u:w@p:9"}, "wss://venue.test/ws", "socks5://u:w@p:9"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "venue.test"}, "wss://venue.test/ws", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".test"}, "wss://venue.test/ws", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "venue.test:8443"}, "wss://venue.test:8443/ws", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.test"}, "wss://venue.test/ws", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "wss://venue.test/ws", None),
        ({"ALL_PROXY": "http://p:1"}, "ws://127.0.0.1:80/ws", None),
        ({"ALL_PROXY": "http://p:1"}, "ws://[::1]:80/ws", None),
        ({"ALL_PROXY": "http://p:1"}, "http://localhost:80/ws", None),
    ],
)
def test_the_proxy_of_an_address(env: Env, named: dict[str, str], url: str, expected: str | None) -> None:
    env(**named)
    assert proxy_of(url) == expected


def test_a_proxy_is_shown_without_its_password() -> None:
    assert shown_proxy("http://me:secret@proxy:3128") == "http://proxy:3128"


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
    writer.close()


class _Proxy:
    """A proxy that leads wherever it is asked to one port of this machine; `asked` is what for."""

    def __init__(self, to: int, answer: bytes = b"") -> None:
        self.asked: list[str] = []
        self._to, self._answer = to, answer

    @asynccontextmanager
    async def serving(self, take: Callable[..., Awaitable[None]]) -> AsyncIterator[str]:
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(take(reader, writer))
            tasks.add(task)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """HTTP's CONNECT."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split("\r\n")[0])
        if self._answer:
            writer.write(self._answer)
            writer.close()
            return
        await self._through(b"HTTP/1.1 200 OK\r\n\r\n", reader, writer)

    async def socks5(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """SOCKS 5 without a password, by name."""
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        *_, kind, length = await reader.readexactly(5)
        name = await reader.readexactly(length)
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        self.asked.append(f"{kind} {name.decode()}:{port}")
        await self._through(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00", reader, writer)

    async def _through(self, said: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to)
        writer.write(said)
        try:
            await asyncio.gather(_pipe(reader, up_writer), _pipe(up_reader, writer))
        finally:
            up_writer.close()
            writer.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def _greeting(authority: trustme.CA) -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """A venue of the name venue.test that says hello; its port, and what trusts it."""
    served, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("venue.test").configure_cert(served)
    authority.configure_trust(trusting)

    async def greet(connection: ServerConnection) -> None:
        await connection.send("hello")
        await connection.wait_closed()

    async with serve(greet, "127.0.0.1", 0, ssl=served) as server:
        yield next(iter(server.sockets)).getsockname()[1], trusting


async def _hello(trusting: ssl.SSLContext) -> bytes:
    came: asyncio.Queue[bytes] = asyncio.Queue()
    opened = await open_socket("wss://venue.test:8443/ws", came.put_nowait, lambda: None, trusting)
    said = await asyncio.wait_for(came.get(), 10)
    await opened.close()
    return said


async def test_a_websocket_goes_through_an_http_proxy(env: Env, authority: trustme.CA) -> None:
    async with _greeting(authority) as (port, trusting):
        proxy = _Proxy(port)
        async with proxy.serving(proxy.connect) as place:
            env(HTTPS_PROXY=f"http://me:secret@{place}")
            assert await _hello(trusting) == b"hello"
    assert proxy.asked == ["CONNECT venue.test:8443 HTTP/1.1"]


async def test_a_websocket_goes_through_a_socks_proxy_that_resolves_the_name(env: Env, authority: trustme.CA) -> None:
    async with _greeting(authority) as (port, trusting):
        proxy = _Proxy(port)
        async with proxy.serving(proxy.socks5) as place:
            env(ALL_PROXY=f"socks5h://{place}")
            assert await _hello(trusting) == b"hello"
    assert proxy.asked == ["3 venue.test:8443"]


@pytest.mark.parametrize(
    ("scheme", "asked"), [("http", "CONNECT venue.test:443 HTTP/1.1"), ("socks5h", "3 venue.test:443")]
)
async def test_a_list_goes_through_the_proxy_for_all(env: Env, authority: trustme.CA, scheme: str, asked: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"[]")

    served, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("venue.test").configure_cert(served)
    authority.configure_trust(trusting)
    app = web.Application()
    app.router.add_get("/list", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=served)
    await site.start()
    proxy = _Proxy(runner.addresses[0][1])
    try:
        async with proxy.serving(proxy.connect if scheme == "http" else proxy.socks5) as place:
            env(ALL_PROXY=f"{scheme}://{place}")
            async with aiohttp.ClientSession(connector=RestConnector(trusting)) as session:
                assert await fetch("https://venue.test/list", b"", session) == b"[]"
    finally:
        await runner.cleanup()
    assert proxy.asked == [asked]


@pytest.mark.parametrize(
    "says", [b"\x05\xff", b"\x05\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x00", b"HTTP/1.1 400\r\n"]
)
async def test_a_socks_proxy_that_refuses_is_a_reason_like_any_other(env: Env, says: bytes) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        writer.close()

    async with _Proxy(0).serving(refuse) as place:
        env(ALL_PROXY=f"socks5://me:secret@{place}")
        async with aiohttp.ClientSession(connector=RestConnector()) as session:
            with pytest.raises(RestError) as refused:
                await fetch("https://venue.test/list", b"", session)
    assert "secret" not in str(refused.value)


async def test_a_proxy_that_refuses_is_named_and_its_password_is_not(env: Env) -> None:
    proxy = _Proxy(0, b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    async with proxy.serving(proxy.connect) as place:
        env(HTTPS_PROXY=f"http://me:secret@{place}")
        with pytest.raises(Disconnected, match=r"proxy of the environment.*407") as refused:
            await open_socket("wss://venue.test/ws", lambda _: None, lambda: None)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(RestError, match="407") as unlisted:
                await fetch("https://venue.test/list", b"", session)
    assert refused.value.cause == "proxy"
    assert "secret" not in str(refused.value) + str(unlisted.value)


@pytest.mark.parametrize("named", ["ftp://p:1", "http://", "http://p:port", "socks5://"])
async def test_a_proxy_that_is_no_address_is_a_reason_like_any_other(env: Env, named: str) -> None:
    env(HTTPS_PROXY=named)
    with pytest.raises(Disconnected):
        await open_socket("wss://venue.test/ws", lambda _: None, lambda: None)
    async with aiohttp.ClientSession(connector=RestConnector()) as session:
        with pytest.raises(RestError):
            await fetch("https://venue.test/list", b"", session)
