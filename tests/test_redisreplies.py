"""What sits at the port of Redis may answer what it likes: memory, depth and the loop are ours."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import repeat
from typing import Any

import hiredis
import pytest

from liqtape.errors import SinkError, SinkUnavailable
from liqtape.events import PriceTick
from liqtape.redisreplies import LONGEST_LINE, LONGEST_TEXT, reply_of
from liqtape.sinks.redis.commandcheck import check_redis
from liqtape.sinks.redis.redissink import RedisSink
from liqtape.sinks.sink import Batch

Answers = Callable[[], Iterator[bytes]]

_BATCH = Batch(price=PriceTick("binance", "BTCUSDT", 1.0, 1.0, 0))
_TURNED = "-LOADING full\x1b[2J\u202e\x07 disk\r\n".encode()
_HOSTILE: dict[str, Answers] = {
    "two billion elements": lambda: iter([b"*2147483647\r\n*2147483647\r\n"]),
    "nested for ever": lambda: repeat(b"*1\r\n" * 10_000),
    "a text of a terabyte": lambda: iter([b"$1099511627776\r\n"]),
    "a text for ever": lambda: (b"$1099511627776\r\n" if i == 0 else bytes(65_536) for i, _ in enumerate(repeat(0))),
    "a line for ever": lambda: repeat(b"+" + b"x" * 65_536),
    "answers for ever": lambda: repeat(b"+OK\r\n" * 10_000),
    "no number": lambda: iter([b":" + b"9" * 4_000 + b"x\r\n"]),
    "a map": lambda: iter([b"%2147483647\r\n"]),
    "a push": lambda: iter([b">2147483647\r\n"]),
}
hostile = pytest.mark.parametrize("answer", _HOSTILE.values(), ids=list(_HOSTILE))


@pytest.fixture
async def server() -> AsyncIterator[tuple[Any, list[int]]]:
    """A server that answers OK to the greeting, or not even that, and to what follows what it is told."""
    started: list[asyncio.Server] = []
    sent = [0]

    async def start(answer: Answers, *, greets: bool = True) -> int:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while asked := await reader.read(65_536):
                    commands = asked.count(b"*")
                    if greets and b"btc:price" not in asked and b"MULTI" not in asked:
                        writer.write(b"+OK\r\n" * commands)
                        continue
                    for piece in answer():
                        sent[0] += len(piece)
                        writer.write(piece)
                        await writer.drain()
            except (ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        started.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    yield start, sent
    for one in started:
        one.close()


async def _used(sink: RedisSink) -> None:
    await sink.open()
    for _ in range(3):  # what was not asked for may come after the answer
        await sink.publish(_BATCH)


@hostile
@pytest.mark.parametrize("greets", [True, False], ids=["after the greeting", "as greeting"])
async def test_an_endless_or_nested_answer_ends_the_connection(
    server: tuple[Any, list[int]], answer: Answers, *, greets: bool
) -> None:
    start, sent = server
    sink = RedisSink(f"redis://127.0.0.1:{await start(answer, greets=greets)}")
    spent = time.thread_time()
    with pytest.raises(SinkUnavailable):
        await asyncio.wait_for(_used(sink), 30)
    await sink.close()

    assert sent[0] < 32 * 1024 * 1024  # what the kernel takes, and no more
    assert time.thread_time() - spent < 5  # CPU of this thread, the server's part included


@pytest.mark.parametrize("answer", [made for name, made in _HOSTILE.items() if name != "answers for ever"])
async def test_check_says_what_is_wrong_with_such_a_server(server: tuple[Any, list[int]], answer: Answers) -> None:
    start, _ = server
    check = await check_redis(f"redis://127.0.0.1:{await start(answer)}", "")

    assert check.failed_stage


@pytest.mark.parametrize("line", [b"", b"*1", b"$3", b"_", b":1.5", b"+" + b"x" * LONGEST_LINE])
def test_what_is_no_reply_of_a_command_of_ours_is_an_error(line: bytes) -> None:
    with pytest.raises(hiredis.ProtocolError):
        reply_of(line)


@pytest.mark.parametrize("number", [1, 3], ids=["after the greeting", "as greeting"])
async def test_a_server_writes_nothing_on_a_terminal(server: tuple[Any, list[int]], number: int) -> None:
    start, _ = server
    sink = RedisSink(f"redis://127.0.0.1:{await start(lambda: iter([_TURNED * number]), greets=number == 1)}")
    with pytest.raises(SinkError) as caught:
        await asyncio.wait_for(_used(sink), 30)
    await sink.close()

    assert str(caught.value).isprintable()
    assert "full" in str(caught.value)


def test_the_bounds_leave_room_for_what_servers_say() -> None:
    assert LONGEST_TEXT > 10 * 5_000  # INFO of a server
    assert str(reply_of(b"-" + b"x" * 1_000)) == "x" * 1_000
