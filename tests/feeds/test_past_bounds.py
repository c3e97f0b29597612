"""Answers about the past that are as long, as many or as deep as a stranger likes, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import repeat

import aiohttp
import pytest

from liqtape.errors import DecodeError, RestError
from liqtape.feeds.rest import PAST, fetch
from liqtape.feeds.restraint import Restraints
from liqtape.venues import hyperliquid, okx

Serve = Callable[[bytes, bytes], Awaitable[str]]

_MIB = 1024 * 1024
_HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.fixture
async def rest() -> AsyncIterator[Serve]:
    """`await rest(head, body)`: the address of a server that answers so; without a body it goes on for ever."""
    servers: list[asyncio.Server] = []

    async def start(head: bytes, body: bytes) -> str:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(head)
                for piece in [body] if body else repeat(b"8000\r\n" + b"[" * 0x8000 + b"\r\n"):
                    writer.write(piece)
                    await writer.drain()
            except ConnectionError:
                pass
            finally:
                writer.close()

        servers.append(await asyncio.start_server(talk, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/info"

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    ("head", "body", "said"),
    [
        (_HEAD + b"\r\n", b"[" + b'"x",' * (5 * _MIB // 4), "more than 4194304 bytes"),
        (_HEAD + b"\r\n", b"[" + b"{}," * 6_001 + b"{}]", "more than 6000 objects"),
        (_HEAD + b"\r\n", b"[" + b"1," * 200_001 + b"1]", "or 200000 values"),
        (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"", "more than 4194304 bytes"),
        (_HEAD + b"".join(b"X-%d: y\r\n" % i for i in range(100_000)) + b"\r\n", b"[]", "headers"),
    ],
    ids=["long", "objects", "values", "without an end", "headers"],
)
async def test_what_is_too_much_is_never_parsed(rest: Serve, head: bytes, body: bytes, said: str) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(RestError, match=said):
            await asyncio.wait_for(fetch(await rest(head, body), b"{}", session, PAST), 30)


@pytest.mark.parametrize("body", [b"[" * (4 * _MIB), b'[{"a":' * 5_000], ids=["lists", "objects"])
async def test_what_is_nested_deep_is_no_answer(rest: Serve, body: bytes) -> None:
    async with aiohttp.ClientSession() as session:
        payload = await fetch(await rest(_HEAD + b"\r\n", body), b"{}", session, PAST)
    account = "0x" + "1" * 40
    for venue, subject in ((hyperliquid, account), (okx, "BTC-USDT-SWAP")):
        (request,) = venue.backfill_requests(1_790_000_000_000, 1_790_000_001_000, [subject])
        with pytest.raises(DecodeError):
            venue.decode_backfill(request, payload, None)


async def test_past_liquidations_are_not_asked_for_where_we_are_to_leave_alone(rest: Serve) -> None:
    restraints = Restraints()
    url = await rest(b"HTTP/1.1 418 I'm a teapot\r\nRetry-After: 900\r\nContent-Length: 2\r\n\r\n", b"no")
    async with aiohttp.ClientSession() as session:
        for said in ("HTTP 418: no; left alone until", "left alone until"):
            with pytest.raises(RestError, match=said):
                await fetch(url, b"{}", session, PAST, restraints)
    assert 890 < restraints.left(url) <= 900
    assert restraints.left("http://127.0.0.1:1/info") == 0  # another address
