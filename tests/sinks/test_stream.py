import asyncio
import gc
from collections.abc import Callable

from liqtape.sinks.stream import Subscription


class Queues(list[Callable[[int], None]]):
    """Who gets the items."""

    def join(self, offer: Callable[[int], None]) -> Callable[[], None]:
        self.append(offer)
        return lambda: self.remove(offer)


def give(queues: Queues, *items: int) -> None:
    for queue in tuple(queues):
        for item in items:
            queue(item)


async def test_items_come_in_order_until_the_end() -> None:
    queues = Queues()
    subscription: Subscription[int] = Subscription(queues.join)
    give(queues, 1, 2)

    subscription.end()
    give(queues, 3)

    assert [item async for item in subscription] == [1, 2]
    assert queues == []


async def test_waiting_reader_is_woken_by_an_item_and_by_the_end() -> None:
    queues = Queues()
    subscription: Subscription[int] = Subscription(queues.join)
    got: list[int] = []

    async def read() -> None:
        async for item in subscription:
            got.append(item)  # noqa: PERF401 - seen one by one from outside

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    give(queues, 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert got == [1]

    subscription.end()
    await asyncio.wait_for(reader, 10)


async def test_forgotten_subscription_leaves_the_stream() -> None:
    queues = Queues()
    subscription: Subscription[int] = Subscription(queues.join)
    give(queues, 1, 2, 3)
    async for item in subscription:
        assert item == 1
        break
    assert len(queues) == 1

    del subscription
    gc.collect()

    assert queues == []


async def test_break_without_a_name_leaves_the_stream() -> None:
    queues = Queues()

    def subscribe() -> Subscription[int]:
        made: Subscription[int] = Subscription(queues.join)
        give(queues, 1)
        return made

    async for _ in subscribe():
        break
    gc.collect()

    assert queues == []


async def test_break_and_on_again_loses_nothing() -> None:
    queues = Queues()
    subscription: Subscription[int] = Subscription(queues.join)
    give(queues, 1, 2, 3)
    async for _ in subscription:
        break

    subscription.end()

    assert [item async for item in subscription] == [2, 3]


async def test_two_at_once_get_everything() -> None:
    queues = Queues()
    first: Subscription[int] = Subscription(queues.join)
    second: Subscription[int] = Subscription(queues.join)
    give(queues, 1, 2)
    await first.aclose()
    give(queues, 3)
    second.end()

    assert [item async for item in first] == [1, 2]
    assert [item async for item in second] == [1, 2, 3]


async def test_what_does_not_fit_is_dropped_and_counted() -> None:
    queues = Queues()
    subscription: Subscription[int] = Subscription(queues.join, limit=3)
    give(queues, *range(10))
    subscription.end()

    assert [item async for item in subscription] == [0, 1, 2]
    assert subscription.dropped_total == 7


async def test_impatient_reader_loses_nothing() -> None:
    queues = Queues()
    subscription: Subscription[int] = Subscription(queues.join)
    reading = asyncio.create_task(anext(subscription))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    give(queues, 1)

    assert await anext(subscription) == 1


async def test_end_may_be_told_twice() -> None:
    subscription: Subscription[int] = Subscription(Queues().join)
    subscription.end()
    subscription.end()

    assert [item async for item in subscription] == []
