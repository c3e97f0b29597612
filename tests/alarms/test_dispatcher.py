"""The queue and its workers: order, retries, dead letters, what a kill leaves."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from liqtape.alarms.delivery.dispatcher import MOST_AGE_MS, Dispatcher
from liqtape.alarms.delivery.messagechannel import DeliveryError, DeliveryRefused
from liqtape.alarms.delivery.outbox import Outbox
from liqtape.alarms.policy.messages import AddressedMessage, AlarmMessage
from liqtape.errors import ConfigurationError

_SECONDS = 15.0  # before a test gives up


class _Scripted:
    """A channel that takes what it is sent, or raises what the script says."""

    def __init__(self, name: str = "phone", *script: Exception | None) -> None:
        self.name = name
        self.script = list(script)
        self.sent: list[str] = []
        self.resumed: list[str] = []
        self.tried = 0

    async def send(self, message: AlarmMessage) -> None:
        self.tried += 1
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        self.sent.append(message.key)

    def resume(self, sent: Iterable[AlarmMessage]) -> None:
        self.resumed = [message.key for message in sent]

    async def refresh(self) -> None:
        pass

    async def close(self) -> None:
        pass


class _Clock:
    """Our time, which a test sets."""

    def __init__(self) -> None:
        self.ms = 1_790_000_000_000

    def __call__(self) -> int:
        return self.ms


def _message(number: int, channel: str = "phone") -> AddressedMessage:
    message = AlarmMessage(f"event-1/{number}", "update", "market", "ALERT", 1, "title", "text", "event-1", number)
    return AddressedMessage(channel, message)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(_SECONDS):
        while not holds():  # noqa: ASYNC110 - what it waits for is in another task's hands
            await asyncio.sleep(0.005)


async def test_messages_are_sent_in_order_and_once(tmp_path: Path) -> None:
    channel = _Scripted()
    dispatcher = Dispatcher([channel], tmp_path / "alarms.sqlite")
    await dispatcher.open()
    dispatcher.start()

    dispatcher.submit([_message(1), _message(2)])
    dispatcher.submit([_message(2), _message(3)])
    await _until(lambda: len(channel.sent) == 3)
    await dispatcher.stop()

    assert channel.sent == ["event-1/1", "event-1/2", "event-1/3"]
    assert dispatcher.counts["phone", "sent"] == 3


async def test_a_channel_that_is_away_gets_all_when_it_is_back_and_the_others_do_not_wait(tmp_path: Path) -> None:
    clock = _Clock()
    away, other = _Scripted("away", *[DeliveryError("refused")] * 3), _Scripted("other")
    dispatcher = Dispatcher([away, other], tmp_path / "alarms.sqlite", clock)
    await dispatcher.open()
    dispatcher.start()

    dispatcher.submit([_message(number, channel) for number in (1, 2) for channel in ("away", "other")])
    await _until(lambda: len(other.sent) == 2 and away.tried == 1)
    assert dispatcher.failing == {"away": "refused"}
    for tried in (2, 3, 4):
        clock.ms += 10_000  # the pause is over; what wakes the worker is the next message
        dispatcher.submit([_message(10 + tried, "away")])
        await _until(lambda tried=tried: away.tried >= tried)  # type: ignore[misc]
    await _until(lambda: len(away.sent) == 5)
    await dispatcher.stop()

    assert away.sent[:2] == ["event-1/1", "event-1/2"]
    assert dispatcher.failing == {}


async def test_what_is_refused_or_too_old_becomes_a_dead_letter_and_the_next_goes_on(tmp_path: Path) -> None:
    clock = _Clock()
    channel = _Scripted("phone", DeliveryRefused("answered 404"), DeliveryError("no route"))
    dispatcher = Dispatcher([channel], tmp_path / "alarms.sqlite", clock)
    await dispatcher.open()
    dispatcher.submit([_message(1), _message(2)])
    await dispatcher._flush()
    clock.ms += MOST_AGE_MS
    dispatcher.start()

    await _until(lambda: dispatcher.counts["phone", "dead"] == 2)
    dispatcher.submit([_message(3)])
    await _until(lambda: channel.sent == ["event-1/3"])
    dead = await dispatcher.dead()
    await dispatcher.stop()

    assert [(letter.key, letter.error) for letter in dead] == [
        ("event-1/2", "waited a day: no route"),
        ("event-1/1", "answered 404"),
    ]


async def test_what_was_written_and_not_sent_is_sent_by_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "alarms.sqlite"
    first = Dispatcher([_Scripted()], path)
    await first.open()
    first.submit([_message(1)], b"{}")
    await first.stop()  # which writes, and sends nothing: it was never started

    channel = _Scripted()
    second = Dispatcher([channel], path)
    assert await second.open() == b"{}"
    second.start()
    await _until(lambda: channel.sent == ["event-1/1"])
    await second.stop()

    third = Dispatcher([channel], path)
    await third.open()
    third.submit([_message(1)])
    assert await third.waiting() == {}
    await third.stop()
    assert channel.resumed == ["event-1/1"]


async def test_a_disk_that_fails_does_not_keep_messages_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = _Scripted()
    dispatcher = Dispatcher([channel], tmp_path / "alarms.sqlite")
    await dispatcher.open()
    real = Outbox.add
    failing = [True]

    def add(self: Outbox, messages: list[AddressedMessage], state: bytes | None, now_ms: int) -> None:
        if failing:
            failing.clear()
            raise sqlite3.OperationalError("database or disk is full")
        real(self, messages, state, now_ms)

    monkeypatch.setattr(Outbox, "add", add)
    dispatcher.start()

    dispatcher.submit([_message(1)])
    await _until(lambda: channel.sent == ["event-1/1"])
    await dispatcher.stop()

    assert "disk is full" in dispatcher.detail


def test_a_message_and_the_state_behind_it_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "alarms.sqlite")
    outbox.add([_message(1)], b"one", 1)

    with pytest.raises(sqlite3.Error):
        outbox.add([_message(2)], object(), 2)  # type: ignore[arg-type]

    assert outbox.state() == b"one"
    assert outbox.waiting() == {"phone": 1}
    outbox.close()


def test_what_was_sent_long_ago_is_removed_and_dead_letters_stay(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "alarms.sqlite")
    outbox.add([_message(1), _message(2), _message(3)], None, 1)
    for state in ("sent", "dead"):
        entry = outbox.first("phone")
        assert entry is not None
        outbox.settle(entry.seq, state, 1, "why")

    outbox.prune(8 * 86_400_000)

    assert outbox.sent("phone") == []
    assert [letter.error for letter in outbox.dead()] == ["why"]
    assert outbox.waiting() == {"phone": 1}
    outbox.close()


def test_a_damaged_queue_is_set_aside_and_a_new_one_begins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "alarms.sqlite"
    content = b"not a database, " * 100
    path.write_bytes(content)

    outbox = Outbox(path)

    assert outbox.waiting() == {}
    outbox.close()
    (aside,) = tmp_path.glob("alarms.damaged-*.sqlite")
    assert aside.read_bytes() == content
    assert f"is damaged (file is not a database): it is kept as {aside}" in caplog.text


def test_a_file_that_is_newer_is_refused_in_one_line(tmp_path: Path) -> None:
    newer = tmp_path / "newer.sqlite"
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(ConfigurationError, match="written by a newer liqtape"):
        Outbox(newer)
