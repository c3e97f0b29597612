"""The far end of an alarm channel: it takes messages over HTTP, refuses, hangs, or fails after it has taken one."""

import asyncio
from typing import Any

import aiohttp
from chaos.virtual.world import VirtualWorld
from msgspec import Struct

__all__ = ["VirtualAlarmEnd", "VirtualHttp"]

_WAY_SECONDS = 0.03
_STATUSES = {"http_500": 500, "http_429": 429, "http_404": 404, "taken_500": 500}


class TakenMessage(Struct):
    """A message that the end took: its key, when in true time, and whether the sender heard that."""

    key: str
    at_ms: int
    is_known: bool = False


class VirtualAlarmEnd:
    """`fault` is "", or one of `ALARM_FAULTS`; `taken` is in the order it came."""

    def __init__(self, world: VirtualWorld) -> None:
        self.world = world
        self.fault = ""
        self.taken: list[TakenMessage] = []

    def calm(self) -> None:
        """Let the fault end."""
        self.fault = ""

    async def answer(self, key: str, seconds: float) -> int:
        """Take a message, or not; return what the sender hears, a status."""
        await asyncio.sleep(_WAY_SECONDS)
        fault = self.fault
        if fault == "refused":
            raise aiohttp.ClientConnectionError("connection refused")
        if fault == "hanging":
            await asyncio.sleep(seconds)
            raise TimeoutError
        if fault in {"http_500", "http_429", "http_404"}:
            await asyncio.sleep(_WAY_SECONDS)
            return _STATUSES[fault]
        message = TakenMessage(key, self.world.now_ms)
        self.taken.append(message)
        self.world.note(f"alarm taken {key} {fault}")
        await asyncio.sleep(seconds if fault == "taken_hanging" else _WAY_SECONDS)
        if fault == "taken_hanging":
            raise TimeoutError
        if fault == "taken_reset":
            raise aiohttp.ServerDisconnectedError
        message.is_known = fault == ""
        return _STATUSES.get(fault, 200)


class _Said:
    async def read(self, _: int) -> bytes:
        return b"the world says so"


class _Answer:
    """What `post` returns: the answer comes when it is entered."""

    content = _Said()

    def __init__(self, end: VirtualAlarmEnd, key: str, seconds: float) -> None:
        self.status = 0
        self._end, self._key, self._seconds = end, key, seconds

    async def __aenter__(self) -> "_Answer":
        self.status = await self._end.answer(self._key, self._seconds)
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class VirtualHttp:
    """`aiohttp`, whose sessions reach the end and nobody else."""

    def __init__(self, end: VirtualAlarmEnd) -> None:
        self._end = end

    def __getattr__(self, name: str) -> Any:
        return getattr(aiohttp, name)

    def ClientSession(self, *, timeout: aiohttp.ClientTimeout, **_: Any) -> Any:  # noqa: N802 - the class's name
        """Return a session."""
        return _HttpSession(self._end, timeout.total or 0.0)


class _HttpSession:
    def __init__(self, end: VirtualAlarmEnd, seconds: float) -> None:
        self._end, self._seconds = end, seconds

    def post(self, _: str, *, headers: dict[str, str], **__: Any) -> _Answer:
        return _Answer(self._end, headers["Idempotency-Key"], self._seconds)

    async def close(self) -> None:
        pass
