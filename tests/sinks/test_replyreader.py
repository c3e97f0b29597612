"""One timer for all questions of a connection: none is given up too early, none waits for ever."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from liqtape.sinks.redis.replyreader import ReplyReader


class Timer:
    def __init__(self, at: float, fire: Callable[[], None]) -> None:
        self.at = at
        self.fire = fire
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class ManualLoop:
    """The clock and the timers of an event loop, turned by the test."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[..., None], *arguments: Any) -> Timer:
        self.timers.append(Timer(self.now + delay, lambda: call(*arguments)))
        return self.timers[-1]

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    def turn_to(self, now: float) -> None:
        self.now = now
        due = [timer for timer in self.timers if timer.at <= now and not timer.is_cancelled]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            timer.fire()


class Talk:
    """A connection on a transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.loop = ManualLoop()
        transport = SimpleNamespace(write=self.written.append, set_protocol=lambda _: None, is_closing=lambda: False)
        connection: Any = SimpleNamespace(_writer=SimpleNamespace(transport=transport))
        self.reader = ReplyReader(connection)
        self.reader._loop = self.loop  # type: ignore[assignment]

    async def ask(self, replies: int = 1, patience: float = 2.0) -> asyncio.Task[list[Any]]:
        task = asyncio.create_task(self.reader.ask(b"?", replies, patience))
        await asyncio.sleep(0)  # it runs up to the answer
        return task


async def given_up(question: asyncio.Task[list[Any]]) -> None:
    async with asyncio.timeout(5):  # of a question that waits for ever
        with pytest.raises(TimeoutError, match="no reply in 2 s"):
            await question


async def test_a_question_without_replies_is_given_up_after_its_patience() -> None:
    talk = Talk()
    question = await talk.ask(patience=2.0)
    talk.loop.turn_to(101.999)
    assert not question.done()
    talk.loop.turn_to(102.0)

    await given_up(question)
    assert talk.loop.timers == []


async def test_a_later_question_has_its_whole_patience_though_it_shares_the_timer() -> None:
    talk = Talk()
    first = await talk.ask()
    talk.reader.data_received(b"+OK\r\n")
    assert await first == [b"OK"]
    talk.loop.turn_to(101.5)
    second = await talk.ask()
    assert [timer.at for timer in talk.loop.timers] == [102.0]

    talk.loop.turn_to(102.0)
    assert not second.done()
    assert [timer.at for timer in talk.loop.timers] == [103.5]
    talk.loop.turn_to(103.5)
    await given_up(second)


async def test_a_timer_that_finds_no_question_ends_and_the_next_question_has_a_new_one() -> None:
    talk = Talk()
    first = await talk.ask()
    talk.reader.data_received(b"+OK\r\n")
    await first
    talk.loop.turn_to(102.0)
    assert talk.loop.timers == []

    talk.loop.turn_to(110.0)
    second = await talk.ask()
    assert [timer.at for timer in talk.loop.timers] == [112.0]
    talk.reader.data_received(b"+OK\r\n")
    assert await second == [b"OK"]


async def test_some_replies_are_not_all() -> None:
    talk = Talk()
    question = await talk.ask(replies=2)
    talk.reader.data_received(b"+OK\r\n:1")
    assert not question.done()
    talk.reader.data_received(b"7\r\n")

    assert await question == [b"OK", 17]


async def test_a_lost_connection_ends_the_question_and_the_timer() -> None:
    talk = Talk()
    question = await talk.ask()
    talk.reader.connection_lost(None)

    with pytest.raises(ConnectionResetError, match="closed by the server"):
        await question
    assert talk.loop.timers[0].is_cancelled
    with pytest.raises(ConnectionResetError):
        await talk.reader.ask(b"?", 1, 2.0)
