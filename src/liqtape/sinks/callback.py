"""User callbacks: each behind its own bounded queue, so that none can delay a feed or another callback."""

import asyncio
import inspect
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

__all__ = ["QUEUE_LIMIT", "Tap"]

QUEUE_LIMIT = 10_000
BLOCKING_SECONDS = 0.1

_log = logging.getLogger(__name__)
T = TypeVar("T")


class _Stepwise:
    """Awaits like the coroutine it wraps, and remembers its longest step: the time it kept the loop to itself."""

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable
        self.longest = 0.0

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._awaitable.__await__()
        sent: Any = None
        error: BaseException | None = None
        while True:
            began = time.perf_counter()
            try:
                yielded = steps.send(sent) if error is None else steps.throw(error)
            except StopIteration:
                return
            finally:
                self.longest = max(self.longest, time.perf_counter() - began)
            sent = error = None
            try:
                sent = yield yielded
            except BaseException as exc:  # noqa: BLE001 - whatever comes in is the inner coroutine's to see
                error = exc


class Tap(Generic[T]):
    """One callback and its queue. `offer` never blocks: what does not fit is dropped and counted.

    Async callbacks run as one task on the loop, sync ones in one worker thread. An exception is logged once per cause
    and counted; an async callback that blocks the loop is counted in `blocked_total` (it cannot be prevented).
    """

    def __init__(self, callback: Callable[[T], object], name: str = "", limit: int = QUEUE_LIMIT) -> None:
        self.name = name or getattr(callback, "__qualname__", repr(callback))
        self.dropped_total = 0
        self.called_total = 0
        self.blocked_total = 0
        self.longest_block_seconds = 0.0
        self.errors: Counter[str] = Counter()
        self._callback = callback
        self._limit = limit
        self._queue: deque[T] = deque()
        self._stopping = False
        self._wake = asyncio.Event()
        self._ready = threading.Condition()
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._is_async = inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(
            getattr(callback, "__call__", None)  # noqa: B004 - the method, not whether it is callable
        )

    def __len__(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        """Begin calling; needs a running loop for an async callback."""
        if self._is_async:
            self._task = asyncio.get_running_loop().create_task(self._run_async(), name=f"callback {self.name}")
        else:
            self._thread = threading.Thread(target=self._run_thread, name=f"callback {self.name}", daemon=True)
            self._thread.start()

    def offer(self, item: T) -> None:
        """Queue one item for the callback."""
        if len(self._queue) >= self._limit:
            if not self.dropped_total:
                _log.warning("callback %s is too slow: its queue of %d is full", self.name, self._limit)
            self.dropped_total += 1
            return
        self._queue.append(item)
        if self._is_async:
            self._wake.set()
        else:
            with self._ready:
                self._ready.notify()

    async def stop(self, patience: float = 2.0) -> None:
        """Let the queue drain for `patience` seconds, then leave; what is still queued counts as dropped.

        A sync callback that hangs keeps its (daemon) thread; nothing waits for it.
        """
        self._stopping = True
        self._wake.set()
        with self._ready:
            self._ready.notify()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=patience)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        elif self._thread is not None:
            await asyncio.to_thread(self._thread.join, patience)
        self.dropped_total += len(self._queue)
        self._queue.clear()

    async def _run_async(self) -> None:
        while True:
            if not self._queue:
                if self._stopping:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._call_async(self._queue.popleft())

    async def _call_async(self, item: T) -> None:
        self.called_total += 1
        try:
            result = self._callback(item)
            if inspect.isawaitable(result):
                steps = _Stepwise(result)
                try:
                    await steps
                finally:
                    self._note_block(steps.longest)
        except Exception as error:  # noqa: BLE001 - callback guard: a user's error is counted, never ours to die of
            self._note_error(error)

    def _run_thread(self) -> None:
        while True:
            with self._ready:
                while not self._queue:
                    if self._stopping:
                        return
                    self._ready.wait()
                item = self._queue.popleft()
            self.called_total += 1
            try:
                self._callback(item)
            except Exception as error:  # noqa: BLE001 - callback guard, as above
                self._note_error(error)

    def _note_block(self, seconds: float) -> None:
        if seconds > BLOCKING_SECONDS:
            if not self.blocked_total:
                _log.warning("async callback %s blocked the event loop for %.0f ms", self.name, seconds * 1000)
            self.blocked_total += 1
            self.longest_block_seconds = max(self.longest_block_seconds, seconds)

    def _note_error(self, error: Exception) -> None:
        cause = f"{type(error).__name__}: {error}"[:200]
        if len(self.errors) >= 100 and cause not in self.errors:
            cause = type(error).__name__
        if not self.errors[cause]:
            _log.warning("callback %s raised %s; further errors of this cause are only counted", self.name, cause)
        self.errors[cause] += 1
