"""Peers for the input edge: scripted servers on loopback, plain or TLS, that are not made of our own code."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Talk = Callable[[ServerConnection], Awaitable[None]]
RawTalk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def venue_server() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """`await venue_server(talk, ssl=...)`: the url of a WebSocket server whose every connection runs `talk`."""
    async with AsyncExitStack() as stack:

        async def start(talk: Talk, **options: Any) -> str:
            async def guarded(peer: ServerConnection) -> None:
                with suppress(ConnectionClosed):
                    await talk(peer)

            options = {"compression": None, "ping_interval": None, "close_timeout": 0.5} | options
            server = await stack.enter_async_context(serve(guarded, "127.0.0.1", 0, **options))
            port = next(iter(server.sockets)).getsockname()[1]
            return f"{'wss' if 'ssl' in options else 'ws'}://127.0.0.1:{port}/stream"

        yield start


@pytest.fixture
async def raw_server() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """`await raw_server(talk)`: the url of a TCP server that says whatever `talk` writes."""
    servers: list[asyncio.Server] = []
    talks: set[asyncio.Task[None]] = set()

    async def start(talk: RawTalk, **options: Any) -> str:
        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            talks.add(task)
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await talk(reader, writer)
            writer.transport.abort()
            talks.discard(task)

        server = await asyncio.start_server(guarded, "127.0.0.1", 0, **options)
        servers.append(server)
        return f"{'wss' if 'ssl' in options else 'ws'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/stream"

    yield start
    for server in servers:
        server.close()
    for task in list(talks):
        task.cancel()
    await asyncio.gather(*talks, return_exceptions=True)
    for _ in range(5):  # aborted transports close in the next rounds of the loop
        await asyncio.sleep(0)
