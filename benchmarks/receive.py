"""Receiving frames through TLS on loopback, nothing decoded: our transport against the `websockets` library."""

import asyncio
from statistics import median

from websockets.asyncio.client import connect

from benchmarks.counting import Counter, Spent
from benchmarks.measure import Figure, Scale, figure, ratio
from benchmarks.wire import Sender, subscription
from liqtape.feeds.transport import open_socket

_FRAMES = 40_000
_ROUNDS = 4
_RATE = 100_000.0


class _Receiver:
    """What the transport calls: a counter that can be replaced."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def __call__(self, payload: bytes) -> None:
        self.counter(payload)


async def _through_transport(sender: Sender, count: int) -> Spent:
    receiver = _Receiver(Counter(2))
    lost = asyncio.Event()
    socket = await open_socket(sender.url("binance"), receiver, lost.set, ssl_context=sender.context)
    socket.send(subscription("binance"))
    await receiver.counter.spent()  # the answer and the trade
    receiver.counter = Counter(count)
    sender.ask("flood")
    spent = await receiver.counter.spent()
    sender.answer()
    await socket.close()
    return spent


async def _through_websockets(sender: Sender, count: int) -> Spent:
    url = sender.url("binance")
    async with connect(url, ssl=sender.context, compression=None, ping_interval=None, proxy=None) as socket:
        await socket.send(subscription("binance").decode())
        await socket.recv()
        await socket.recv()
        counter = Counter(count)
        sender.ask("flood")
        for _ in range(count):
            counter(await socket.recv())
        spent = await counter.spent()
        sender.answer()
    return spent


async def _rounds(scale: Scale) -> list[tuple[Spent, Spent]]:
    count = scale.size(_FRAMES)
    with Sender() as sender:
        sender.make("binance", count, 1, per_second=_RATE)
        rounds = 1 + min(scale.rounds, _ROUNDS)
        got = [
            (await _through_transport(sender, count), await _through_websockets(sender, count)) for _ in range(rounds)
        ]
    return got[1:]  # the first warms up


def run(scale: Scale) -> list[Figure]:
    """How much less CPU a frame costs."""
    rounds = asyncio.run(_rounds(scale))
    ours, theirs = [one.cpu for one, _ in rounds], [other.cpu for _, other in rounds]
    measured = f"{median(ours):,.0f} against {median(theirs):,.0f} ns CPU a frame, nothing decoded"
    values = ratio(theirs, ours)
    return [figure("receiving against websockets", values, "x less", measured, at_least=5, goal="receive")]
