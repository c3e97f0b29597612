"""What a flood costs: CPU and time from the first event to the last."""

import asyncio
import time

from msgspec import Struct

__all__ = ["Counter", "Spent"]

_PATIENCE = 60.0


class Spent(Struct, frozen=True):
    """One flood: CPU time of this process and time passed, in ns per event (or frame)."""

    cpu: float
    wall: float


class Counter:
    """Counts to the end; the time begins with the first."""

    def __init__(self, until: int) -> None:
        self._until = self._left = until
        self._began = self._took = (0, 0)
        self._ended = asyncio.Event()

    def __call__(self, _: object) -> None:
        if self._left == self._until:
            self._began = time.process_time_ns(), time.perf_counter_ns()
        self._left -= 1
        if not self._left:
            self._took = time.process_time_ns() - self._began[0], time.perf_counter_ns() - self._began[1]
            self._ended.set()

    async def spent(self) -> Spent:
        async with asyncio.timeout(_PATIENCE):
            await self._ended.wait()
        return Spent(self._took[0] / self._until, self._took[1] / self._until)
