import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
import struct
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from liqtape.feeds.disconnects import Disconnected
from liqtape.feeds.transport import MAX_MESSAGE, WebSocket, open_socket

Server = Callable[..., Awaitable[str]]


class Heard:
    """What a connection delivered, and whether it is gone."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.news = asyncio.Event()
        self.gone = asyncio.Event()

    def receive(self, payload: bytes) -> None:
        self.messages.append(payload)
        self.news.set()

    async def connect(self, url: str, tls: ssl.SSLContext | None = None) -> WebSocket:
        return await open_socket(url, self.receive, self.gone.set, tls)

    async def until(self, count: int) -> list[bytes]:
        while len(self.messages) < count:
            self.news.clear()
            await patiently(self.news)
        return self.messages


@pytest.fixture
def heard() -> Heard:
    return Heard()


async def patiently(event: asyncio.Event) -> None:
    """A peer that never comes to the point fails the test by name and not by a hanging run."""
    await asyncio.wait_for(event.wait(), 10)


async def shake_hands(reader: Reader, writer: Writer) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + struct.pack("!H", len(payload))
    return bytes([opcode | (0x80 if fin else 0)]) + size + payload


async def test_text_and_binary_messages_are_delivered_as_bytes(venue_server: Server, heard: Heard) -> None:
    async def talk(peer: ServerConnection) -> None:
        await peer.send('{"coin": "牛来"}')
        await peer.send(b"\x00\x01")
        await peer.wait_closed()

    connection = await heard.connect(await venue_server(talk))

    assert await heard.until(2) == ['{"coin": "牛来"}'.encode(), b"\x00\x01"]
    await connection.close()


async def test_fragments_are_joined_around_a_ping(raw_server: Server, heard: Heard) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await shake_hands(reader, writer)
        writer.write(frame(1, b"one, ", fin=False) + frame(9, b"ping") + frame(0, b"two, ", fin=False))
        writer.write(frame(0, b"three") + frame(1, b"next"))
        await reader.read()

    connection = await heard.connect(await raw_server(talk))

    assert await heard.until(2) == [b"one, two, three", b"next"]
    await connection.close()


async def test_a_ping_is_answered(venue_server: Server, heard: Heard) -> None:
    answered = asyncio.Event()

    async def talk(peer: ServerConnection) -> None:
        await (await peer.ping(b"1790000000000"))
        answered.set()
        await peer.wait_closed()

    connection = await heard.connect(await venue_server(talk))

    await patiently(answered)
    assert heard.messages == []
    await connection.close()


async def test_no_compression_is_offered(venue_server: Server, heard: Heard) -> None:
    offered: list[str | None] = []

    async def talk(peer: ServerConnection) -> None:
        assert peer.request is not None
        offered.append(peer.request.headers.get("Sec-WebSocket-Extensions"))
        await peer.wait_closed()

    connection = await heard.connect(await venue_server(talk, compression="deflate"))
    await connection.close()

    assert offered == [None]


@pytest.mark.parametrize(
    "fragments",
    [[b"x" * (16 << 20)], [b"x" * (MAX_MESSAGE + 1)], [b"x" * (1 << 20)] * 5],
    ids=["one frame of 16 MiB", "one byte more than allowed", "fragments of 1 MiB each"],
)
async def test_a_message_too_big_ends_the_connection(
    venue_server: Server, heard: Heard, fragments: list[bytes]
) -> None:
    async def talk(peer: ServerConnection) -> None:
        await peer.send(fragments if len(fragments) > 1 else fragments[0])
        await peer.wait_closed()

    connection = await heard.connect(await venue_server(talk))
    await patiently(heard.gone)

    assert connection.lost is not None
    assert connection.lost.cause == "too_big"
    assert str(MAX_MESSAGE) in str(connection.lost)
    assert heard.messages == []
    await connection.close()


async def test_fragments_without_end_are_not_collected(venue_server: Server, heard: Heard) -> None:
    async def endless(peer: ServerConnection) -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * (1 << 20)
        await peer.wait_closed()

    async def talk(peer: ServerConnection) -> None:
        await peer.send(endless(peer))

    connection = await heard.connect(await venue_server(talk))
    await patiently(heard.gone)

    assert connection.lost is not None
    assert connection.lost.cause == "too_big"
    await connection.close()


async def test_a_message_of_just_the_allowed_size_passes(venue_server: Server, heard: Heard) -> None:
    async def talk(peer: ServerConnection) -> None:
        await peer.send("x" * MAX_MESSAGE)
        await peer.send([b"y" * (MAX_MESSAGE // 2)] * 2)
        await peer.wait_closed()

    connection = await heard.connect(await venue_server(talk))

    assert [len(message) for message in await heard.until(2)] == [MAX_MESSAGE, MAX_MESSAGE]
    await connection.close()


@pytest.mark.parametrize(
    "frames",
    [frame(0, b"a continuation of nothing"), frame(1, b"a", fin=False) + frame(1, b"b"), frame(3, b"no such opcode")],
    ids=["continuation first", "text inside a message", "unknown opcode"],
)
async def test_frames_against_the_protocol_end_the_connection(raw_server: Server, heard: Heard, frames: bytes) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await shake_hands(reader, writer)
        writer.write(frames)
        await reader.read()

    connection = await heard.connect(await raw_server(talk))
    await patiently(heard.gone)

    assert connection.lost is not None
    assert connection.lost.cause == "protocol"
    assert heard.messages == []
    await connection.close()


@pytest.mark.parametrize("code", [1000, 1001, 1012, 4001])
async def test_a_close_frame_is_named_by_its_code(venue_server: Server, heard: Heard, code: int) -> None:
    async def talk(peer: ServerConnection) -> None:
        await peer.close(code, "upgrade\x1b[2J at noon")

    connection = await heard.connect(await venue_server(talk))
    await patiently(heard.gone)

    assert connection.lost is not None
    assert connection.lost.cause == f"closed_{code}"
    assert str(connection.lost) == f"closed by the venue with code {code}: upgrade?[2J at noon"
    await connection.close()


async def test_a_close_frame_without_a_code_is_1005(raw_server: Server, heard: Heard) -> None:
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def talk(reader: Reader, writer: Writer) -> None:
        await shake_hands(reader, writer)
        writer.write(frame(8, b""))
        answer.set_result(await reader.read())

    connection = await heard.connect(await raw_server(talk))
    await patiently(heard.gone)

    assert connection.lost is not None
    assert connection.lost.cause == "closed_1005"
    await connection.close()
    assert (await answer)[:1] == b"\x88"


def _reset(writer: Writer) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("end", [lambda writer: writer.close(), _reset], ids=["cut inside a frame", "reset"])
async def test_a_connection_without_a_farewell_is_closed_1006(
    raw_server: Server, heard: Heard, end: Callable[[Writer], None]
) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await shake_hands(reader, writer)
        writer.write(frame(1, b"whole") + frame(1, b"torn off")[:5])
        await writer.drain()
        await heard.until(1)
        end(writer)

    connection = await heard.connect(await raw_server(talk))
    await patiently(heard.gone)

    assert connection.lost is not None
    assert connection.lost.cause == "closed_1006"
    assert heard.messages == [b"whole"]
    await connection.close()


async def test_a_frame_that_drips_in_byte_by_byte_is_whole(raw_server: Server, heard: Heard) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await shake_hands(reader, writer)
        for byte in frame(1, b"drop by drop"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.002)
        await reader.read()

    connection = await heard.connect(await raw_server(talk))

    assert await heard.until(1) == [b"drop by drop"]
    await connection.close()


async def test_an_error_of_the_receiver_ends_the_connection_once(raw_server: Server) -> None:
    calls: list[bytes] = []
    gone = asyncio.Event()

    def receive(payload: bytes) -> None:
        calls.append(payload)
        raise ValueError("ours")

    async def talk(reader: Reader, writer: Writer) -> None:
        await shake_hands(reader, writer)
        writer.write(frame(1, b"first") + frame(1, b"second"))
        await reader.read()

    connection = await open_socket(await raw_server(talk), receive, gone.set)
    await patiently(gone)

    assert calls == [b"first"]
    assert connection.lost is not None
    assert connection.lost.cause == "internal"
    assert isinstance(connection.lost.__cause__, ValueError)
    await connection.close()


def _refuse(status: int) -> Callable[[ServerConnection, Request], Response]:
    return lambda peer, _: peer.respond(status, "not from\nhere")


async def _no_talk(peer: ServerConnection) -> None:
    await peer.wait_closed()


@pytest.mark.parametrize("status", [302, 403, 429, 451, 503])
async def test_a_refused_handshake_names_the_status(venue_server: Server, heard: Heard, status: int) -> None:
    url = await venue_server(_no_talk, process_request=_refuse(status))

    with pytest.raises(Disconnected, match=f"HTTP {status} at the handshake") as lost:
        await heard.connect(url)

    assert lost.value.cause == f"http_{status}"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"HTTP/1.0 451 Unavailable\r\n\r\nEligibility", "http_451"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "handshake"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "handshake"),
        (b"\xff" * 40_000, "handshake"),
        (b"", "closed_1006"),
        (b"HTTP/1.1 101 Swi", "closed_1006"),
    ],
    ids=["HTTP/1.0", "another protocol", "no accept key", "garbage", "nothing", "cut"],
)
async def test_what_is_not_a_websocket_is_named(raw_server: Server, heard: Heard, answer: bytes, cause: str) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    with pytest.raises(Disconnected) as lost:
        await heard.connect(await raw_server(talk))

    assert lost.value.cause == cause


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("ws://nowhere.invalid/stream", "dns"),
        (f"ws://{'long' * 20}.example/stream", "dns"),
        ("https://127.0.0.1/stream", "address"),
        ("ws:///stream", "address"),
    ],
)
async def test_an_address_that_leads_nowhere_is_named(heard: Heard, url: str, cause: str) -> None:
    with pytest.raises(Disconnected) as lost:
        await heard.connect(url)

    assert lost.value.cause == cause


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port on which nobody listens: bound, so that nobody else takes it meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


async def test_a_refused_port_is_named(heard: Heard, free_port: int) -> None:
    with pytest.raises(Disconnected) as lost:
        await heard.connect(f"ws://127.0.0.1:{free_port}/")

    assert lost.value.cause == "refused"


async def test_tls_with_a_trusted_certificate_carries_frames(
    venue_server: Server, heard: Heard, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def talk(peer: ServerConnection) -> None:
        await peer.send(await peer.recv())
        await peer.wait_closed()

    connection = await heard.connect(await venue_server(talk, ssl=server_tls), client_tls)
    connection.send(b'{"op":"ping"}')

    assert await heard.until(1) == [b'{"op":"ping"}']
    await connection.close()


async def test_certificates_are_verified_by_default(
    venue_server: Server, heard: Heard, server_tls: ssl.SSLContext
) -> None:
    with pytest.raises(Disconnected, match="certificate") as lost:
        await heard.connect(await venue_server(_no_talk, ssl=server_tls))

    assert lost.value.cause == "tls"


async def test_a_certificate_of_another_host_is_refused(
    venue_server: Server, heard: Heard, authority: trustme.CA, client_tls: ssl.SSLContext
) -> None:
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("stream.example").configure_cert(stranger)

    with pytest.raises(Disconnected, match="mismatch") as lost:
        await heard.connect(await venue_server(_no_talk, ssl=stranger), client_tls)

    assert lost.value.cause == "tls"


async def test_tls_to_a_plain_server_is_named(raw_server: Server, heard: Heard) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    url = await raw_server(talk)

    with pytest.raises(Disconnected) as lost:
        await heard.connect(url.replace("ws:", "wss:"))

    assert lost.value.cause == "tls"


@pytest.mark.parametrize("secure", [False, True], ids=["no answer to the upgrade", "no answer to the TLS hello"])
async def test_a_handshake_given_up_leaves_no_connection(raw_server: Server, heard: Heard, secure: bool) -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def talk(reader: Reader, _: Writer) -> None:
        await reader.read(1)
        asked.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        hung_up.set()

    url = await raw_server(talk)
    attempt = asyncio.create_task(heard.connect(url.replace("ws:", "wss:") if secure else url))
    await patiently(asked)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt

    await patiently(hung_up)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_close_does_not_wait_for_a_peer_that_neither_reads_nor_answers(
    raw_server: Server, heard: Heard, secure: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await shake_hands(reader, writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    options: dict[str, Any] = {"ssl": server_tls} if secure else {}
    connection = await heard.connect(await raw_server(talk, **options), client_tls)
    for _ in range(200):  # until the kernel's buffers are full and the rest waits in ours
        connection.send(b"x" * 60_000)
    async with asyncio.timeout(3):
        await connection.close()

    assert heard.gone.is_set()


async def test_close_is_a_close_frame_and_may_be_repeated(venue_server: Server, heard: Heard) -> None:
    codes: list[int | None] = []
    done = asyncio.Event()

    async def talk(peer: ServerConnection) -> None:
        await peer.wait_closed()
        codes.append(peer.close_code)
        done.set()

    connection = await heard.connect(await venue_server(talk))
    await connection.close()
    await connection.close()
    connection.send(b"into the void")
    await patiently(done)

    assert codes == [1000]


@pytest.mark.parametrize("code", [1000, 1001])
async def test_the_answer_to_our_close_frame_is_the_venues_and_no_fault_of_it(
    venue_server: Server, heard: Heard, code: int
) -> None:
    connection = await heard.connect(await venue_server(lambda peer: peer.wait_closed()))
    await connection.close(code)

    assert connection.lost is not None
    assert connection.lost.cause == f"closed_{code}"


async def test_pings_are_answered_with_what_they_say(raw_server: Server, heard: Heard) -> None:
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def talk(reader: Reader, writer: Writer) -> None:
        await shake_hands(reader, writer)
        for word in (b"one", b"two"):
            writer.write(b"\x89" + bytes([len(word)]) + word)
            head = await reader.readexactly(2)
            mask = await reader.readexactly(4)
            masked = await reader.readexactly(head[1] & 0x7F)
            assert head[0] == 0x8A
            answers.put_nowait(bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked)))
        await reader.read()

    socket_ = await heard.connect(await raw_server(talk))
    said = [await asyncio.wait_for(answers.get(), 10) for _ in range(2)]
    await socket_.close()

    assert said == [b"one", b"two"]


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_peer_that_pings_and_reads_no_answer_is_hung_up_on(
    raw_server: Server, heard: Heard, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, *, is_tls: bool
) -> None:
    """Each answer waited in memory, without a bound, for as long as the peer lived."""

    async def talk(reader: Reader, writer: Writer) -> None:
        await shake_hands(reader, writer)
        ping = b"\x89\x7d" + bytes(125)
        while not writer.is_closing():  # ends with the connection, or with the test
            writer.write(ping * 200)
            await writer.drain()
            await asyncio.sleep(0)

    options = {"ssl": server_tls} if is_tls else {}
    socket_ = await heard.connect(await raw_server(talk, **options), client_tls if is_tls else None)
    await asyncio.wait_for(heard.gone.wait(), 60)
    await socket_.close()

    assert socket_.lost is not None
    assert socket_.lost.cause == "unread"
