"""User callbacks: each behind its own bounded queue, so that none can delay a feed or another callback."""

import asyncio
import inspect
import logging
import threading
import traceback
from asyncio.tasks import _enter_task, _leave_task  # documented for who runs the steps of a task: asyncio-extending
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from pathlib import PurePath
from typing import Any, Generic, TypeVar

from liqtape.sinks.eagerstep import EagerStep

__all__ = ["QUEUE_LIMIT", "CallbackQueue"]

QUEUE_LIMIT = 10_000

_CAUSES_REMEMBERED = 100
_CANCEL_SECONDS = 0.5

_log = logging.getLogger(__name__)
T = TypeVar("T")


class CallbackQueue(Generic[T]):
    """One callback and its queue. `offer` never blocks: what does not fit is dropped and counted.

    Async callbacks run as one task on the loop, sync ones in one worker thread; what a sync one returns to be awaited
    is awaited on the loop before the next call. Where the task has nothing to do, `offer` takes the first step of the
    call itself, as that task and in its context: waking the task costs a turn of the loop, and most callbacks end
    without waiting for anything. An exception is logged once per cause (type and place) and counted in `errors`; each
    step of an async callback that blocks the loop is counted in `blocked_total` (it cannot be prevented).
    """

    def __init__(self, callback: Callable[[T], object], name: str = "", limit: int = QUEUE_LIMIT) -> None:
        self.name = name or _name_of(callback)
        self.dropped_total = 0
        self.called_total = 0
        self.blocked_total = 0
        self.longest_block_seconds = 0.0
        self.errors: Counter[str] = Counter()
        self._callback = callback
        self._limit = limit
        self._queue: deque[T] = deque()
        self._stopping = self._left = False
        self._wake = asyncio.Event()
        self._ready = threading.Condition()
        self._task: asyncio.Task[None] | None = None
        self._context = copy_context()
        self._is_idle = False  # the task waits for something to do
        self._unfinished: EagerStep | None = None  # a call whose first step was taken
        self._handed: asyncio.Task[None] | None = None  # awaits what a sync callback returned
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._thread_ended = asyncio.Event()
        self._is_async = _is_async(callback)

    def __repr__(self) -> str:
        counts = f"{self.called_total} calls, {len(self._queue)} waiting, {self.dropped_total} dropped"
        return f"<CallbackQueue {self.name}: {counts}>"

    def __len__(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        """Begin calling; needs a running loop. Does nothing the second time."""
        if self._task is not None or self._thread is not None:
            return
        self._loop = asyncio.get_running_loop()
        if self._is_async:
            self._context = copy_context()
            name = f"callback {self.name}"
            self._task = self._loop.create_task(self._run_async(), name=name, context=self._context)
        else:
            self._thread = threading.Thread(target=self._run_thread, name=f"callback {self.name}", daemon=True)
            self._thread.start()

    def offer(self, item: T) -> None:
        """Hand one item to the callback, or to its queue."""
        if self._is_idle and self._task is not None and asyncio.current_task(self._loop) is None:
            self._begin_as(self._task, item)
            return
        if len(self._queue) >= self._limit:
            if not self.dropped_total:
                _log.warning("callback %s is too slow: its queue of %d is full", self.name, self._limit)
            self.dropped_total += 1
            return
        self._queue.append(item)
        if self._is_async:
            self._is_idle = False
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
            await self._end_task(self._task, patience)
        elif self._thread is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._thread_ended.wait(), patience)
            self._left = True
            if self._handed is not None:
                await self._end_task(self._handed, 0.0)
        self._drop_queue()

    async def _end_task(self, task: asyncio.Task[None], patience: float) -> None:
        _, late = await asyncio.wait([task], timeout=patience)
        if late:
            self._drop_queue()
            task.cancel()
            _, late = await asyncio.wait([task], timeout=_CANCEL_SECONDS)
        if late:
            _log.warning("callback %s does not end when cancelled; leaving it behind", self.name)

    def _drop_queue(self) -> None:
        self.dropped_total += len(self._queue)
        self._queue.clear()

    def _begin_as(self, task: asyncio.Task[None], item: T) -> None:
        """Begin from outside of any task as if the task were running."""
        self._is_idle = False
        loop = task.get_loop()
        _enter_task(loop, task)
        try:
            self._context.run(self._begin, item)
        finally:
            _leave_task(loop, task)
        if self._unfinished is None and not self._queue:
            self._is_idle = True
        else:
            self._wake.set()

    async def _run_async(self) -> None:
        while True:
            if self._unfinished is not None:
                steps, self._unfinished = self._unfinished, None
                await steps
            elif self._queue:
                self._begin(self._queue.popleft())
            elif self._stopping:
                return
            else:
                await self._pause()

    async def _pause(self) -> None:
        """Wait until there is something to do."""
        self._wake.clear()
        self._is_idle = True
        try:
            await self._wake.wait()
        except asyncio.CancelledError as error:
            if self._unfinished is None:
                raise
            self._unfinished.interrupt(error)  # a call's own timeout, say, that is over at once
        finally:
            self._is_idle = False

    def _begin(self, item: T) -> None:
        """Do the first step of a call; if it does not end there, the rest is `_unfinished`."""
        steps = EagerStep(self._call_async(item), self._note_block)
        if not steps.begin():
            self._unfinished = steps

    async def _call_async(self, item: T) -> None:
        self.called_total += 1
        try:
            result = self._callback(item)
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._note_error(error)  # not ours that was cancelled, but something the callback waited for
        except (Exception, SystemExit) as error:  # noqa: BLE001 - callback guard: a user's error is never ours to die of
            self._note_error(error)

    def _run_thread(self) -> None:
        try:
            while True:
                with self._ready:
                    while not self._queue:
                        if self._stopping:
                            return
                        self._ready.wait()
                    item = self._queue.popleft()
                self._call_sync(item)
        finally:
            if self._loop is not None:
                with suppress(RuntimeError):  # the loop may be gone when a hanging callback returns at last
                    self._loop.call_soon_threadsafe(self._thread_ended.set)

    def _call_sync(self, item: T) -> None:
        self.called_total += 1
        try:
            result = self._callback(item)
            if inspect.isawaitable(result):
                self._await_on_loop(result)
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 - callback guard, as above
            self._note_error(error)

    def _await_on_loop(self, awaitable: Awaitable[Any]) -> None:
        """Wait in the worker thread until the loop has awaited it."""
        step = self._await_for_thread(awaitable)
        try:
            if self._left or self._loop is None:
                raise RuntimeError("the tracker has stopped")
            future = asyncio.run_coroutine_threadsafe(step, self._loop)
        except RuntimeError:
            step.close()
            if inspect.iscoroutine(awaitable):
                awaitable.close()
            raise
        ended = future.result()
        if ended is not None:
            raise ended

    async def _await_for_thread(self, awaitable: Awaitable[Any]) -> SystemExit | None:
        """Return what would end the loop if it were raised in a task."""
        self._handed = asyncio.current_task()
        steps = EagerStep(awaitable, self._note_block)
        try:
            if not steps.begin():
                await steps
        except SystemExit as error:
            return error
        finally:
            self._handed = None
        return None

    def _note_block(self, seconds: float) -> None:
        if not self.blocked_total:
            _log.warning("async callback %s blocked the event loop for %.0f ms", self.name, seconds * 1000)
        self.blocked_total += 1
        self.longest_block_seconds = max(self.longest_block_seconds, seconds)

    def _note_error(self, error: BaseException) -> None:
        # Not the message: it often names the event, and each would be a cause of its own.
        places = traceback.extract_tb(error.__traceback__)
        cause = type(error).__name__
        if places and len(self.errors) < _CAUSES_REMEMBERED:
            cause += f" at {PurePath(places[-1].filename).name}:{places[-1].lineno}"
        if not self.errors[cause]:
            _log.warning("callback %s: %s; more of this cause are only counted", self.name, cause, exc_info=error)
        self.errors[cause] += 1


def _is_async(callback: Callable[..., object]) -> bool:
    while isinstance(callback, partial):
        callback = callback.func
    call = getattr(callback, "__call__", None)  # noqa: B004 - the method, not whether it is callable
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(call)


def _name_of(callback: Callable[..., object]) -> str:
    while isinstance(callback, partial):
        callback = callback.func
    name = getattr(callback, "__qualname__", None)
    return name if isinstance(name, str) else type(callback).__qualname__
