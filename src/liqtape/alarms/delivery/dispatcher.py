"""From the policy to the channels: written to disk first, then sent, each channel by itself; nothing waits for one."""

import asyncio
import contextlib
import logging
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from liqtape.alarms.delivery.messagechannel import DeliveryError, DeliveryRefused, MessageChannel
from liqtape.alarms.delivery.outbox import DeadLetter, Outbox, OutboxEntry
from liqtape.alarms.policy.messages import AddressedMessage
from liqtape.ourtime import our_ms

__all__ = ["MOST_AGE_MS", "Dispatcher"]

MOST_AGE_MS = 86_400_000
"""A message that could not be sent for so long is a dead letter: a day later it wakes nobody for a reason."""

_MOST_PENDING = 10_000
_SEND_SECONDS = 30.0
_FIRST_RETRY_MS, _LAST_RETRY_MS = 1_000, 300_000
_REFRESH_SECONDS = 60.0
_PRUNE_MS = 3_600_000
_DRAIN_SECONDS = 0.02

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Dispatcher:
    """Takes messages by `submit`, which never waits, and sends them until `stop`.

    At least once: a message of which nobody knows whether it arrived is sent again, with the same key. Messages of a
    channel are sent in order. `counts` are by (channel, `sent`, `failed` or `dead`); `detail` says what is wrong.
    """

    def __init__(
        self, channels: Sequence[MessageChannel], path: Path | None = None, now: Callable[[], int] = our_ms
    ) -> None:
        self.channels = list(channels)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.dropped_total = 0
        self.detail = ""
        self.failing: dict[str, str] = {}  # by channel, why
        self._path, self._now = path, now
        self._pending: list[AddressedMessage] = []
        self._state: bytes | None = None
        self._outbox: Outbox | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="alarms")
        self._wake = asyncio.Event()
        self._awake = {channel.name: asyncio.Event() for channel in self.channels}
        self._tasks: list[asyncio.Task[None]] = []
        self._pruned_ms = 0

    async def open(self) -> bytes | None:
        """Open the queue, if there is one, and return the state of the policy that is kept in it."""
        if self._path is not None and not self._path.exists():
            return None  # it is made with the first thing that is to be kept
        try:
            self._outbox = await self._call(Outbox, self._path)
        except sqlite3.Error as error:
            await self._give_up_disk(error)
        for channel in self.channels:
            channel.resume(await self._call(self._box.sent, channel.name))
        return await self._call(self._box.state)

    def start(self) -> None:
        """Begin to write and to send."""
        self._spawn("alarms queue", self._write)
        for channel in self.channels:
            self._spawn(f"alarms {channel.name}", lambda channel=channel: self._serve(channel))  # type: ignore[misc]

    def submit(self, messages: Sequence[AddressedMessage], state: bytes | None = None) -> None:
        """Take messages, and the state of the policy that made them."""
        if len(self._pending) + len(messages) > _MOST_PENDING:
            self.dropped_total += len(messages)
            return
        self._pending += messages
        if state is not None:
            self._state = state
        self._wake.set()

    async def stop(self, seconds: float = 2.0) -> None:
        """Write what is pending and leave; what is not sent is in the queue, for the next start.

        Where the queue is in memory there is none: what waits is given half of the time.
        """
        with contextlib.suppress(TimeoutError, sqlite3.Error):
            async with asyncio.timeout(seconds / 2):
                while self._tasks and self._path is None:
                    if not self._pending and not await self.waiting():
                        break
                    await asyncio.sleep(_DRAIN_SECONDS)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        with contextlib.suppress(TimeoutError, sqlite3.Error):
            async with asyncio.timeout(seconds):
                await self._flush()
                if self._outbox is not None:
                    await self._call(self._outbox.close)
                for channel in self.channels:
                    await channel.close()
        self._thread.shutdown(wait=False)

    async def waiting(self) -> dict[str, int]:
        """Return how many messages wait, by channel."""
        return {} if self._outbox is None else await self._call(self._box.waiting)

    async def dead(self) -> list[DeadLetter]:
        """Return the newest dead letters."""
        return [] if self._outbox is None else await self._call(self._box.dead)

    @property
    def _box(self) -> Outbox:
        if self._outbox is None:
            raise RuntimeError("the dispatcher is not open")
        return self._outbox

    async def _call(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work(), name=name))

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._flush()
            except sqlite3.Error as error:
                await self._give_up_disk(error)

    async def _flush(self) -> None:
        if not self._pending and self._state is None:
            return
        messages, state = self._pending, self._state
        self._pending, self._state = [], None
        try:
            if self._outbox is None:
                self._outbox = await self._call(Outbox, self._path)
            await self._call(self._box.add, messages, state, self._now())
        except BaseException:
            self._take_back(messages, state)
            raise
        for name in {one.channel for one in messages} & self._awake.keys():
            self._awake[name].set()
        if self._now() - self._pruned_ms >= _PRUNE_MS:
            self._pruned_ms = self._now()
            await self._call(self._box.prune, self._now())

    def _take_back(self, messages: list[AddressedMessage], state: bytes | None) -> None:
        self._pending[:0] = messages
        if self._state is None:
            self._state = state

    async def _give_up_disk(self, error: sqlite3.Error) -> None:
        """Go on in memory: that the disk is full is just what somebody must be told."""
        self.detail = f"the queue cannot be written ({error}); messages are kept in memory until the next start"
        _log.error("%s: %s", self._path, self.detail)
        self._outbox = await self._call(Outbox)
        self._wake.set()

    async def _serve(self, channel: MessageChannel) -> None:
        loop = asyncio.get_running_loop()
        awake = self._awake[channel.name]
        await self._refresh(channel)
        refreshed = loop.time()
        while True:
            awake.clear()
            try:
                entry = None if self._outbox is None else await self._call(self._box.first, channel.name)
                wait = _REFRESH_SECONDS if entry is None else (entry.due_ms - self._now()) / 1_000
                if entry is not None and wait <= 0:
                    await self._attempt(channel, entry)
                    continue
            except sqlite3.Error as error:
                await self._give_up_disk(error)
                continue
            wait = max(0.0, min(wait, refreshed + _REFRESH_SECONDS - loop.time()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await awake.wait()
            if loop.time() - refreshed >= _REFRESH_SECONDS:
                refreshed = loop.time()
                await self._refresh(channel)

    async def _attempt(self, channel: MessageChannel, entry: OutboxEntry) -> None:
        name = channel.name
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await channel.send(entry.message)
        except DeliveryRefused as error:
            await self._bury(name, entry, str(error))
        except (DeliveryError, TimeoutError) as error:
            text = str(error) or "no answer"
            self.counts[name, "failed"] += 1
            if name not in self.failing:
                _log.warning("alarm channel %s: %s; trying again", name, text)
            self.failing[name] = text
            if self._now() - entry.made_ms >= MOST_AGE_MS:
                await self._bury(name, entry, f"waited a day: {text}")
            else:
                pause_ms = min(_LAST_RETRY_MS, _FIRST_RETRY_MS << min(entry.attempts, 20))
                due_ms = self._now() + round(pause_ms * random.uniform(0.5, 1.0))
                await self._call(self._box.postpone, entry.seq, due_ms, text)
        else:
            self.counts[name, "sent"] += 1
            # Shielded: at a stop it would be sent again by the next run.
            await asyncio.shield(self._call(self._box.settle, entry.seq, "sent", self._now()))
            if self.failing.pop(name, None) is not None:
                _log.info("alarm channel %s: well again", name)
                await self._refresh(channel)  # it may have forgotten all meanwhile

    async def _bury(self, name: str, entry: OutboxEntry, text: str) -> None:
        await self._call(self._box.settle, entry.seq, "dead", self._now(), text)
        self.counts[name, "dead"] += 1
        _log.error("alarm channel %s: %s will not be sent: %s", name, entry.message.key, text)

    async def _refresh(self, channel: MessageChannel) -> None:
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await channel.refresh()
        except (DeliveryError, TimeoutError) as error:
            self.failing.setdefault(channel.name, str(error) or "no answer")
        else:
            self.failing.pop(channel.name, None)
