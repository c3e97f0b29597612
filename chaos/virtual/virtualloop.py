"""An event loop whose time is the world's: where a selector would wait for sockets, the world goes on instead."""

import asyncio
import math
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from typing import Any

from chaos.virtual.strands import Strands
from chaos.virtual.world import VirtualWorld

__all__ = ["ProcessKilled", "VirtualLoop"]

Dial = Callable[[asyncio.BaseProtocol, str, int], asyncio.Transport]


class ProcessKilled(BaseException):
    """The process is no more; nobody in it may notice."""


class _Selector:
    """What `BaseEventLoop` asks for events; there are none but those of the world."""

    def __init__(self, loop: "VirtualLoop", world: VirtualWorld) -> None:
        self._loop = loop
        self._world = world

    def select(self, timeout: float | None) -> list[Any]:
        """Let the world go on for so long, or until the loop has something to do."""
        world, loop = self._world, self._loop
        if loop.frozen_until_ns > world.now_ns:
            world.advance(loop.frozen_until_ns, loop.is_killed)
        until_ns = None if timeout is None else world.now_ns + math.ceil(timeout * 1e9) + (timeout > 0)
        world.advance(until_ns, loop.is_wanted)
        if loop.killed:
            raise ProcessKilled
        return []

    def close(self) -> None:
        """Do nothing; there is nothing to close."""


class VirtualLoop(BaseEventLoop):
    """The loop of one process. Work for threads is done in strands, TCP connections are made by `dial`."""

    def __init__(self, world: VirtualWorld, strands: Strands, dial: Dial) -> None:
        super().__init__()
        self.killed = False
        self.unforeseen: list[str] = []
        self._world = world
        self._strands = strands
        self._dial = dial
        self._selector = _Selector(self, world)
        self._clock_resolution = 1e-9
        self.set_exception_handler(self._note_unforeseen)

    def time(self) -> float:
        """Return the world's time."""
        return self._world.seconds

    def is_wanted(self) -> bool:
        """Return whether something waits to be done now."""
        return bool(self._ready) or self.killed  # type: ignore[attr-defined]

    def is_killed(self) -> bool:
        """Return whether it ends now."""
        return self.killed

    @property
    def frozen_until_ns(self) -> int:
        """Until when the process is stopped."""
        return self._strands.frozen_until_ns

    def kill(self) -> None:
        """End here and now."""
        self.killed = True

    def run_in_executor(  # type: ignore[override] # of whatever type
        self,
        executor: Any,  # noqa: ARG002 - as it is there
        func: Any,
        *args: Any,
    ) -> Any:
        """Do the work in a strand."""
        future = self.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if not future.done():
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)

        def work() -> None:
            result, error = None, None
            try:
                result = func(*args)
            except Exception as raised:  # noqa: BLE001 - whoever awaits it gets it
                error = raised
            self.call_soon(settle, result, error)

        self._strands.begin(work)
        return future

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """Connect to a server of the world."""
        await asyncio.sleep(0.001)
        protocol = protocol_factory()
        transport = self._dial(protocol, str(host), int(port or 0))
        protocol.connection_made(transport)
        return transport, protocol

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as it is there
        """Do nothing; there are no threads."""

    def _process_events(self, event_list: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _note_unforeseen(self, _: Any, context: dict[str, Any]) -> None:
        if not self.killed:
            self.unforeseen.append(f"{context.get('message')}: {context.get('exception')!r}")
