# ruff: noqa: ASYNC251 - callbacks that block are what is proved here
import asyncio
import gc
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
from tests.polling import until

from liqtape.sinks import callback as callback_module
from liqtape.sinks.callback import QUEUE_LIMIT, CallbackQueue

BOUND_SECONDS = 10.0


@asynccontextmanager
async def started(callback: Callable[[int], object], **options: Any) -> AsyncIterator[CallbackQueue[int]]:
    queue: CallbackQueue[int] = CallbackQueue(callback, **options)
    queue.start()
    try:
        yield queue
    finally:
        await queue.stop()


class Recorder:
    """Every way a callback may be written, all of them writing down what they got."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.threads: set[str] = set()

    def _note(self, item: int) -> None:
        self.got.append(item)
        self.threads.add(threading.current_thread().name)

    def sync_method(self, item: int) -> None:
        self._note(item)

    async def async_method(self, item: int) -> None:
        await asyncio.sleep(0)
        self._note(item)

    async def with_prefix(self, _prefix: str, item: int) -> None:
        self._note(item)

    def sync_returning_a_coroutine(self, item: int) -> Awaitable[None]:
        return self.async_method(item)

    def sync_returning_a_plain_awaitable(self, item: int) -> Awaitable[None]:
        recorder = self

        class Plain:
            def __await__(self) -> Iterator[None]:
                recorder._note(item)
                return iter([None])

        return Plain()  # type: ignore[return-value]


class AsyncObject:
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    async def __call__(self, item: int) -> None:
        await self.recorder.async_method(item)


class SyncObject:
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def __call__(self, item: int) -> None:
        self.recorder.sync_method(item)


KINDS: dict[str, Callable[[Recorder], Callable[[int], object]]] = {
    "bound method": lambda r: r.sync_method,
    "async bound method": lambda r: r.async_method,
    "partial of async": lambda r: partial(r.with_prefix, "p"),
    "object": SyncObject,
    "async object": AsyncObject,
    "partial of async object": lambda r: partial(AsyncObject(r)),
    "sync returning a coroutine": lambda r: r.sync_returning_a_coroutine,
    "lambda returning a coroutine": lambda r: lambda item: r.with_prefix("p", item),
    "sync returning a plain awaitable": lambda r: r.sync_returning_a_plain_awaitable,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_callable_gets_every_item_in_order(kind: str) -> None:
    recorder = Recorder()
    async with started(KINDS[kind](recorder)) as queue:
        for item in range(500):
            queue.offer(item)
        await until(lambda: len(recorder.got) == 500)

    assert recorder.got == list(range(500))
    assert queue.called_total == 500
    assert (queue.dropped_total, sum(queue.errors.values())) == (0, 0)
    gc.collect()  # a coroutine never awaited would warn here


async def test_async_callback_runs_on_the_loop_and_a_sync_one_in_one_thread_of_its_own() -> None:
    on_loop, in_thread = Recorder(), Recorder()
    async with started(on_loop.async_method) as first, started(in_thread.sync_method, name="mine") as second:
        for item in range(20):
            first.offer(item)
            second.offer(item)
        await until(lambda: len(on_loop.got) == len(in_thread.got) == 20)

    assert on_loop.threads == {threading.current_thread().name}
    assert in_thread.threads == {"callback mine"}


async def idle(queue: CallbackQueue[Any]) -> None:
    await until(lambda: queue._is_idle)


def from_the_loop(work: Callable[[], object]) -> None:
    """As a socket's data comes in: in no task."""
    asyncio.get_running_loop().call_soon(work)


async def test_idle_async_callback_is_called_within_the_offer() -> None:
    recorder = Recorder()
    seen: list[list[int]] = []
    async with started(partial(recorder.with_prefix, "p")) as queue:
        await idle(queue)

        def offer() -> None:
            for item in range(3):
                queue.offer(item)
                seen.append([*recorder.got])

        from_the_loop(offer)
        await until(lambda: len(seen) == 3)

    assert seen == [[0], [0, 1], [0, 1, 2]]
    assert (queue.called_total, len(queue)) == (3, 0)


async def test_items_keep_their_order_however_they_come() -> None:
    got: list[int] = []

    async def sometimes_waits(item: int) -> None:
        if item % 7 == 3:
            await asyncio.sleep(0)
        if item % 50 == 49 and item < 1_000:
            queue.offer(item + 1_000)  # from within
        got.append(item)

    def offer(items: Iterable[int]) -> None:
        for item in items:
            queue.offer(item)

    async with started(sometimes_waits) as queue:
        for start in range(0, 1_000, 10):
            if start % 70 == 0:
                await idle(queue)
            if start % 20:
                from_the_loop(partial(offer, range(start, start + 10)))
                await asyncio.sleep(0)
            else:
                offer(range(start, start + 10))
        await until(lambda: len(got) == 1_020)

    assert [item for item in got if item < 1_000] == list(range(1_000))
    assert [item for item in got if item >= 1_000] == [item + 1_000 for item in range(49, 1_000, 50)]


async def test_nothing_overtakes_what_waits_for_the_task() -> None:
    recorder = Recorder()
    async with started(partial(recorder.with_prefix, "p")) as queue:
        await idle(queue)
        from_the_loop(partial(queue.offer, 2))
        queue.offer(1)  # in a task: queued
        await until(lambda: len(recorder.got) == 2)

    assert recorder.got == [1, 2]


async def test_first_step_and_the_rest_are_one_task_in_one_context() -> None:
    tasks: list[asyncio.Task[None] | None] = []
    number: ContextVar[int] = ContextVar("number", default=0)

    async def callback(item: int) -> None:
        tasks.append(asyncio.current_task())
        token = number.set(item)
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())
        assert number.get() == item
        number.reset(token)  # raises in another context than that of the set

    async with started(callback) as queue:
        for item in range(1, 4):
            await idle(queue)
            from_the_loop(partial(queue.offer, item))
            await until(lambda: len(tasks) == 2 * item)  # noqa: B023 - waited for at once

    assert set(tasks) == {queue._task}
    assert number.get() == 0
    assert sum(queue.errors.values()) == 0


async def test_error_of_the_first_step_is_counted_and_stays_away_from_who_offers() -> None:
    def offer() -> None:
        queue.offer(1)
        queue.offer(2)
        returned.append(True)

    async def fail(item: int) -> None:
        raise KeyError(item)

    returned: list[bool] = []
    async with started(fail) as queue:
        await idle(queue)
        from_the_loop(offer)
        await until(lambda: sum(queue.errors.values()) == 2)

    assert returned == [True]


async def test_first_step_may_set_a_timeout_that_is_over_at_once() -> None:
    seen: list[str] = []

    async def callback(_item: int) -> None:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append("timeout")

    async with started(callback) as queue:
        for count in (1, 2):
            await idle(queue)
            from_the_loop(partial(queue.offer, count))
            await until(lambda: len(seen) == count)  # noqa: B023 - waited for at once

    assert sum(queue.errors.values()) == 0


async def test_first_step_may_start_tasks_that_fail_at_once() -> None:
    seen: list[object] = []

    async def fail() -> None:
        raise KeyError("child")

    async def callback(_item: int) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.Event().wait()
        except* KeyError as errors:
            seen.append(errors.exceptions[0].args)

    async with started(callback) as queue:
        for count in (1, 2):
            await idle(queue)
            from_the_loop(partial(queue.offer, count))
            await until(lambda: len(seen) == count)  # noqa: B023 - waited for at once

    assert seen == [("child",)] * 2
    assert sum(queue.errors.values()) == 0


async def test_call_that_waits_since_its_first_step_is_cancelled_with_the_task() -> None:
    ended: list[int] = []

    async def wait(item: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item)

    queue: CallbackQueue[int] = CallbackQueue(wait)
    queue.start()
    await idle(queue)

    def offer_and_cancel() -> None:
        queue.offer(1)
        assert queue._task is not None
        queue._task.cancel()

    from_the_loop(offer_and_cancel)
    await until(lambda: ended == [1])
    await queue.stop()


async def test_items_offered_before_the_start_are_delivered() -> None:
    recorder = Recorder()
    queue: CallbackQueue[int] = CallbackQueue(recorder.sync_method)
    queue.offer(1)
    queue.start()
    await until(lambda: recorder.got == [1])
    await queue.stop()


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_exception_is_logged_once_a_cause_counted_and_the_next_item_called(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[int] = []

    def fail(item: int) -> None:
        got.append(item)
        if item % 3 == 0:
            raise KeyError(item)
        if item % 3 == 1:
            raise ValueError(f"bad item {item}")

    async def fail_later(item: int) -> None:
        fail(item)

    async with started(fail_later if is_async else fail, name="mine") as queue:
        for item in range(300):
            queue.offer(item)
        await until(lambda: len(got) == 300)
        await until(lambda: sum(queue.errors.values()) == 200)

    assert sorted(cause.partition(" at test_callback.py:")[0] for cause in queue.errors) == ["KeyError", "ValueError"]
    assert sorted(queue.errors.values()) == [100, 100]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert all("callback mine" in record.getMessage() and record.exc_info for record in caplog.records)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_causes_without_end_are_remembered_within_a_bound(is_async: bool) -> None:
    errors = [type(f"Error{number}", (Exception,), {}) for number in range(150)]

    def fail(item: int) -> None:
        raise errors[item](item)

    async def fail_later(item: int) -> None:
        fail(item)

    async with started(fail_later if is_async else fail) as queue:
        for item in range(150):
            queue.offer(item)
        await until(lambda: sum(queue.errors.values()) == 150)

    assert sum(" at " in cause for cause in queue.errors) == 100


async def test_cancelled_error_of_the_callbacks_own_making_does_not_end_it() -> None:
    got: list[int] = []

    async def waits_for_something_cancelled(item: int) -> None:
        got.append(item)
        inner = asyncio.get_running_loop().create_future()
        inner.cancel()
        await inner

    async with started(waits_for_something_cancelled) as queue:
        for item in range(3):
            queue.offer(item)
        await until(lambda: len(got) == 3)

    assert sum(queue.errors.values()) == 3


async def test_sys_exit_in_a_sync_callback_does_not_end_its_thread() -> None:
    def leave(_item: int) -> None:
        raise SystemExit(3)

    async with started(leave) as queue:
        queue.offer(1)
        queue.offer(2)
        await until(lambda: queue.called_total == 2)

    assert sum(queue.errors.values()) == 2


async def test_hanging_sync_callback_delays_nobody_and_drops_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()

    def hang(_item: int) -> None:
        release.wait(BOUND_SECONDS)

    recorder = Recorder()
    hanging: CallbackQueue[int] = CallbackQueue(hang, name="hanging")
    hanging.start()
    async with started(recorder.sync_method) as quick:
        hanging.offer(-1)
        await until(lambda: hanging.called_total == 1)
        for item in range(QUEUE_LIMIT + 500):
            hanging.offer(item)
            quick.offer(item)
            if item % 1_000 == 0:
                await asyncio.sleep(0.001)
        await until(lambda: len(recorder.got) == QUEUE_LIMIT + 500)

    assert len(hanging) == QUEUE_LIMIT
    assert hanging.dropped_total == 500
    assert [record.getMessage() for record in caplog.records] == [
        "callback hanging is too slow: its queue of 10000 is full"
    ]
    await hanging.stop(patience=0.01)
    assert hanging.dropped_total == QUEUE_LIMIT + 500
    release.set()
    assert hanging._thread is not None
    await asyncio.to_thread(hanging._thread.join, BOUND_SECONDS)
    assert hanging.called_total == 1


async def test_stop_lets_the_queue_drain() -> None:
    first, second = Recorder(), Recorder()
    taps: list[CallbackQueue[int]] = [CallbackQueue(first.async_method), CallbackQueue(second.sync_method)]
    for queue in taps:
        queue.start()
        for item in range(200):
            queue.offer(item)
    for queue in taps:
        await queue.stop()

    assert first.got == second.got == list(range(200))
    assert [queue.dropped_total for queue in taps] == [0, 0]


async def test_stop_cancels_a_waiting_async_callback() -> None:
    cancelled: list[int] = []

    async def wait(item: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(item)

    queue: CallbackQueue[int] = CallbackQueue(wait)
    queue.start()
    queue.offer(1)
    queue.offer(2)
    await until(lambda: queue.called_total == 1)
    await queue.stop(patience=0.01)

    assert cancelled == [1]
    assert queue.dropped_total == 1


async def test_stop_leaves_a_callback_that_swallows_its_cancellation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(callback_module, "_CANCEL_SECONDS", 0.01)
    release = asyncio.Event()

    async def stubborn(_item: int) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    queue: CallbackQueue[int] = CallbackQueue(stubborn, name="stubborn")
    queue.start()
    queue.offer(1)
    await until(lambda: queue.called_total == 1)
    await queue.stop(patience=0.01)

    assert "callback stubborn does not end when cancelled" in caplog.text
    release.set()
    assert queue._task is not None
    await asyncio.wait([queue._task], timeout=BOUND_SECONDS)


async def test_stop_ends_what_a_sync_callback_gave_to_be_awaited() -> None:
    ended: list[int] = []

    async def wait(_prefix: str, item: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item)

    queue: CallbackQueue[int] = CallbackQueue(lambda item: wait("p", item))
    queue.start()
    queue.offer(1)
    await until(lambda: queue._handed is not None)
    await queue.stop(patience=0.01)

    assert ended == [1]
    assert queue._thread is not None
    await asyncio.to_thread(queue._thread.join, BOUND_SECONDS)
    assert not queue._thread.is_alive()


async def test_what_is_returned_after_the_stop_is_not_run_and_not_forgotten() -> None:
    release = threading.Event()
    ran: list[int] = []

    async def late(item: int) -> None:
        ran.append(item)

    def slow(item: int) -> Awaitable[None]:
        release.wait(BOUND_SECONDS)
        return late(item)

    queue: CallbackQueue[int] = CallbackQueue(slow)
    queue.start()
    queue.offer(1)
    await until(lambda: queue.called_total == 1)
    await queue.stop(patience=0.01)
    release.set()
    assert queue._thread is not None
    await asyncio.to_thread(queue._thread.join, BOUND_SECONDS)
    gc.collect()  # a coroutine never awaited would warn here

    assert ran == []
    assert sum(queue.errors.values()) == 1


async def test_async_callback_that_blocks_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def block(_item: int) -> None:
        await asyncio.sleep(0)
        time.sleep(0.12)
        await asyncio.sleep(0)

    async with started(block, name="mine") as queue:
        queue.offer(1)
        queue.offer(2)
        await until(lambda: queue.blocked_total == 2)

    assert queue.longest_block_seconds >= 0.12
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("async callback mine blocked the event loop for ")


async def test_async_callback_that_waits_long_blocks_nothing() -> None:
    async def wait(_item: int) -> None:
        await asyncio.sleep(0.11)

    async with started(wait) as queue:
        queue.offer(1)
        await until(lambda: queue.called_total == 1)

    assert queue.blocked_total == 0


async def test_exceptions_thrown_into_the_awaited_reach_it() -> None:
    seen: list[str] = []

    async def callback(_item: int) -> None:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append("timeout")

    async with started(callback) as queue:
        queue.offer(1)
        await until(lambda: seen == ["timeout"])

    assert sum(queue.errors.values()) == 0


async def test_plain_iterator_is_left_when_cancelled() -> None:
    class Forever:
        def __await__(self) -> Generator[None, None, None]:
            return iter(lambda: None, 1)  # type: ignore[return-value]

    async def callback(_item: int) -> None:
        await Forever()

    queue: CallbackQueue[int] = CallbackQueue(callback)
    queue.start()
    queue.offer(1)
    await until(lambda: queue.called_total == 1)
    await queue.stop(patience=0.01)

    assert queue._task is not None
    assert queue._task.cancelled()


@pytest.mark.parametrize(
    ("callback", "name"),
    [
        (Recorder().sync_method, "Recorder.sync_method"),
        (partial(Recorder().with_prefix, "p"), "Recorder.with_prefix"),
        (AsyncObject(Recorder()), "AsyncObject"),
    ],
    ids=["method", "partial", "object"],
)
async def test_callback_is_named_after_its_code(callback: Callable[[int], object], name: str) -> None:
    assert CallbackQueue(callback).name == name


async def test_nothing_is_logged_when_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "liqtape")
    recorder = Recorder()
    async with started(recorder.sync_method) as queue:
        queue.offer(1)
        await until(lambda: recorder.got == [1])

    assert caplog.records == []


async def _exits_at_once(_: int) -> None:
    sys.exit(3)


async def _exits_later(_: int) -> None:
    await asyncio.sleep(0)
    sys.exit(3)


def _behind_a_call(callback: Callable[[int], Any]) -> Callable[[int], Any]:
    """A plain function that gives something to be awaited."""

    def call(item: int) -> Any:
        return callback(item)

    return call


@pytest.mark.parametrize("in_task", [False, True], ids=["from the loop", "from a task"])
@pytest.mark.parametrize(
    "callback", [_exits_at_once, _exits_later, _behind_a_call(_exits_at_once), _behind_a_call(_exits_later)]
)
async def test_an_async_callback_that_exits_ends_only_its_call(
    callback: Callable[[int], Any], *, in_task: bool
) -> None:
    """It ended the loop, and with it the service."""
    async with started(callback) as queue:
        for _ in range(3):
            if in_task:
                queue.offer(1)
            else:
                from_the_loop(lambda: queue.offer(1))
            await asyncio.sleep(0)
        await until(lambda: sum(queue.errors.values()) == 3)
    assert all(cause.startswith("SystemExit") for cause in queue.errors)
