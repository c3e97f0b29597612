"""The Redis sink against redis-py's own pipeline of the same commands, alternating in one run.

    python benchmarks/redis_write.py [--url URL] [--rounds N] [--pack]     (or as one of `python -m benchmarks`)

Without a URL on an embedded server of its own. Each round publishes a batch, metrics of 100 instruments, all of them
changed (so that the sink cannot leave out what it wrote before), once by each writer, and waits for every reply; the
ratio is taken round by round. `--pack` times the packing alone.
"""

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import redis.asyncio

from benchmarks.measure import Figure, Scale, figure
from liqtape.embedded import EmbeddedServer
from liqtape.events import VelocityMetrics
from liqtape.sinks.redis.redissink import RedisSink
from liqtape.sinks.redis.resp import RowPacker, command
from liqtape.sinks.sink import Batch

INSTRUMENTS = 100
WARM_UP = 5
FIELDS = len(VelocityMetrics.__struct_fields__)


def metrics(number: int, version: int = 0) -> VelocityMetrics:
    """A row of the instrument with that number; in another version nearly every number is another one."""
    draw = random.Random(number + 1_000 * version)
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(VelocityMetrics):
        values[field.name] = draw.randrange(300) if field.type is int else draw.lognormvariate(5, 3)
    known = {"symbol": f"COIN{number}USDT", "level": "NONE", "saturated": False, "partial": False}
    return VelocityMetrics(**(values | known | {"volatility_factor": None, "surprise": None}))


def as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def with_repr(key: bytes, row: VelocityMetrics) -> tuple[bytes, tuple[bytes, ...]]:
    """The plain way to pack a row, for comparison."""
    known: list[bytes] = []
    absent: list[bytes] = []
    for name, value in zip(row.__struct_fields__, msgspec.structs.astuple(row), strict=True):
        if value is None:
            absent.append(name.encode())
        else:
            known += (name.encode(), as_text(value).encode())
    return command(b"HSET", key, *known), tuple(absent)


async def by_pipeline(client: "redis.asyncio.Redis", rows: list[VelocityMetrics]) -> None:
    async with client.pipeline(transaction=False) as pipeline:
        for row in rows:
            key = f"velocity:{row.symbol}:current"
            fields = msgspec.structs.asdict(row)
            pipeline.hset(key, mapping={name: as_text(value) for name, value in fields.items() if value is not None})
        await pipeline.execute()


async def write_rounds(url: str, rounds: int) -> tuple[list[float], list[float]]:
    batches = [[metrics(number, version) for number in range(INSTRUMENTS)] for version in range(2)]
    sink = RedisSink(url)
    client = redis.asyncio.Redis.from_url(url)
    await sink.open()
    ours: list[float] = []
    theirs: list[float] = []
    try:
        for turn in range(WARM_UP + rounds):
            rows = batches[turn % 2]
            start = time.perf_counter()
            await sink.publish(Batch(metrics=rows))
            between = time.perf_counter()
            await by_pipeline(client, rows)
            ours.append(between - start)
            theirs.append(time.perf_counter() - between)
    finally:
        await sink.close()
        await client.aclose()
    return ours[WARM_UP:], theirs[WARM_UP:]


def pack_rounds(rounds: int) -> tuple[list[float], list[float]]:
    rows = [metrics(number) for number in range(INSTRUMENTS)]
    packer = RowPacker(VelocityMetrics)

    def timed(pack: Callable[[bytes, Any], object]) -> float:
        start = time.perf_counter()
        for row in rows:
            pack(b"velocity:COINUSDT:current", row)
        return time.perf_counter() - start

    whole = [True] * FIELDS

    def packed(key: bytes, row: VelocityMetrics) -> tuple[bytes, tuple[bytes, ...]]:
        return packer.pack(key, msgspec.structs.astuple(row), whole)

    if packed(b"key", rows[0]) != with_repr(b"key", rows[0]):
        sys.exit("the two ways to pack differ")
    pairs = [(timed(packed), timed(with_repr)) for _ in range(WARM_UP + rounds)][WARM_UP:]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def report(names: tuple[str, str], ours: list[float], theirs: list[float]) -> None:
    for name, seconds in zip(names, (ours, theirs), strict=True):
        per_row = statistics.median(seconds) / INSTRUMENTS * 1e6
        print(f"{name:<22} median {statistics.median(seconds) * 1e3:7.2f} ms a batch, {per_row:6.1f} us a row")
    low, middle, high = statistics.quantiles([b / a for a, b in zip(ours, theirs, strict=True)], n=4)
    print(f"ratio median {middle:.2f} (quartiles {low:.2f} to {high:.2f}, {len(ours)} rounds)")
    print(f"repeat: python {' '.join(sys.argv)}")


async def _on_embedded(rounds: int) -> tuple[list[float], list[float]]:
    server = EmbeddedServer()
    await server.start()
    try:
        return await write_rounds(server.url, rounds)
    finally:
        await server.stop()


def run(scale: Scale) -> list[Figure]:
    """For `python -m benchmarks`: the write and the packing."""
    figures = []
    rounds = scale.size(100)
    for name, at_least, (ours, theirs) in (
        ("a batch of 100 instruments against redis-py's pipeline", 2.2, asyncio.run(_on_embedded(rounds))),
        ("packing a row against repr() for each field", None, pack_rounds(rounds)),
    ):
        row, other = (statistics.median(seconds) / INSTRUMENTS * 1e6 for seconds in (ours, theirs))
        measured = f"{rounds} rounds, {row:.1f} against {other:.1f} us a row of {FIELDS} fields"
        values = [b / a for a, b in zip(ours, theirs, strict=True)]
        figures.append(figure(name, values, "x faster", measured, at_least=at_least))
    return figures


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--url", help="an existing server (its database 1 is written to)")
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--pack", action="store_true", help="time the packing alone")
    chosen = options.parse_args()
    if chosen.pack:
        report(("RowPacker", "repr() for each"), *pack_rounds(chosen.rounds))
        return
    server = EmbeddedServer(port=None)
    if chosen.url is None:
        await server.start()
    try:
        report(("liqtape sink", "redis-py pipeline"), *await write_rounds(chosen.url or server.url, chosen.rounds))
    finally:
        await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
