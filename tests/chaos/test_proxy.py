import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trustme
from chaos.proxy import FaultProxy, Weather
from chaos.wire import Messages

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
Send = Callable[[bytes], Awaitable[None]]
Dial = Callable[[FaultProxy], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


def frame(payload: bytes, opcode: int = 1) -> bytes:
    if len(payload) < 126:
        return bytes([0x80 | opcode, len(payload)]) + payload
    return bytes([0x80 | opcode, 126]) + struct.pack("!H", len(payload)) + payload


class Server:
    """Sends what it is told to all who came; notes what it heard."""

    def __init__(self) -> None:
        self.peers: list[asyncio.StreamWriter] = []
        self.heard = bytearray()
        self.came = asyncio.Event()
        self._news = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(writer)
        self.came.set()
        try:
            while data := await reader.read(1_000):
                self.heard += data
                self._news.set()
        except ConnectionError:
            pass
        finally:
            self.peers.remove(writer)
            writer.close()

    async def until_heard(self, last: bytes) -> None:
        while not self.heard.endswith(last):
            self._news.clear()
            await self._news.wait()

    async def send(self, data: bytes) -> None:
        await self.came.wait()
        for peer in self.peers:
            peer.write(data)
            await peer.drain()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, int]]:
    served = Server()
    listening = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    async with listening:
        yield served, listening.sockets[0].getsockname()[1]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    opened: list[asyncio.StreamWriter] = []

    async def connect(proxy: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        opened.append(writer)
        return reader, writer

    yield connect
    for writer in opened:
        writer.close()


async def test_messages_are_counted_where_they_end_and_control_frames_are_not() -> None:
    stream = HEAD + frame(b"a") + frame(b"", 9) + frame(b"b" * 300) + frame(b"\x03\xe8", 8) + frame(b"c")
    whole, pieces = Messages(), Messages()

    whole.feed(stream, 0.0)
    for byte in stream:
        pieces.feed(bytes([byte]), 0.0)

    ends = [message.end for message in whole.messages]
    assert ends == [len(HEAD) + 3, len(HEAD) + 3 + 2 + 304, len(stream)]
    assert [message.end for message in pieces.messages] == ends
    assert whole.closes_at == pieces.closes_at == len(stream) - 3


async def test_plain_http_has_no_messages() -> None:
    messages = Messages()
    messages.feed(b"HTTP/1.1 200 OK\r\n\r\n" + frame(b"a"), 0.0)
    assert messages.messages == []


async def test_a_message_is_delivered_once_its_last_byte_passed(server: tuple[Server, int], dial: Dial) -> None:
    served, port = server
    async with FaultProxy(port) as proxy:
        reader, _ = await dial(proxy)
        await served.send(HEAD + frame(b"first") + frame(b"second")[:-1])
        await reader.readexactly(len(HEAD) + 7 + 7)

        (link,) = proxy.links
        assert len(link.delivered()) == 1

        await served.send(frame(b"second")[-1:])
        await reader.readexactly(1)
        assert len(link.delivered()) == 2


async def test_nothing_counts_as_delivered_after_the_client_said_goodbye(
    server: tuple[Server, int], dial: Dial
) -> None:
    served, port = server
    async with FaultProxy(port) as proxy:
        reader, writer = await dial(proxy)
        await served.send(HEAD + frame(b"first"))
        await reader.readexactly(len(HEAD) + 7)
        writer.write(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n" + bytes([0x88, 0x80]) + b"mask")
        await served.until_heard(b"mask")
        await served.send(frame(b"later"))
        await reader.readexactly(7)

        assert len(proxy.links[0].delivered()) == 1
        assert proxy.living == []


async def test_cut_ends_inside_of_a_message_and_reset_is_a_reset(server: tuple[Server, int], dial: Dial) -> None:
    served, port = server
    async with FaultProxy(port, seed=3) as proxy:
        reader, _ = await dial(proxy)
        await served.send(HEAD)
        await reader.readexactly(len(HEAD))
        proxy.cut()
        await served.send(frame(b"x" * 100))
        assert 0 < len(await reader.read()) < 102
        assert proxy.links[0].delivered() == []

        served.came.clear()
        reader, _ = await dial(proxy)
        await served.send(b"hello")
        await reader.readexactly(5)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_half_open_says_nothing_to_the_client(server: tuple[Server, int], dial: Dial) -> None:
    served, port = server
    async with FaultProxy(port) as proxy:
        reader, writer = await dial(proxy)
        await served.send(b"hello")
        await reader.readexactly(5)
        proxy.half_open()

        writer.write(b"anybody?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert not served.heard


async def test_black_hole_holds_both_ways_and_lets_go(server: tuple[Server, int], dial: Dial) -> None:
    served, port = server
    async with FaultProxy(port) as proxy:
        reader, writer = await dial(proxy)
        await served.send(b"hello")
        await reader.readexactly(5)
        proxy.close_way()
        writer.write(b"up")
        await served.send(b"down")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert not served.heard

        proxy.open_way()
        assert await reader.readexactly(4) == b"down"
        await served.until_heard(b"up")


async def test_refusal_resets_whoever_comes(server: tuple[Server, int], dial: Dial) -> None:
    _, port = server
    async with FaultProxy(port) as proxy:
        proxy.refuse()
        reader, _ = await dial(proxy)
        with pytest.raises(ConnectionResetError):
            await reader.read()


@pytest.mark.parametrize(
    "weather", [Weather(drip=True), Weather(rate=20_000), Weather(delay=0.01, jitter=0.02)], ids=str
)
async def test_bad_weather_changes_no_byte(server: tuple[Server, int], dial: Dial, weather: Weather) -> None:
    served, port = server
    sent = bytes(range(256)) * 4
    async with FaultProxy(port) as proxy:
        proxy.weather = weather
        reader, _ = await dial(proxy)
        await served.send(sent)
        assert await reader.readexactly(len(sent)) == sent


async def test_tls_that_ends_in_the_proxy_can_be_read(server: tuple[Server, int]) -> None:
    served, port = server
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with FaultProxy(port, ssl_context=context) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=trusting)
        for data in (HEAD, frame(b"one"), frame(b"two")):  # an empty buffer must not be taken for a full one
            await served.send(data)
            await reader.readexactly(len(data))
        assert len(proxy.links[0].delivered()) == 2
        writer.close()
