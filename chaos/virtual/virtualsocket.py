"""A connection between the service and a venue of the world, both ends of it."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from liqtape.feeds.disconnects import Disconnected
from liqtape.simulator.wire import ClientSession

if TYPE_CHECKING:
    from chaos.virtual.venues import VirtualVenue
    from chaos.virtual.virtualloop import VirtualLoop

__all__ = ["VirtualSocket"]

_CLOSE_SECONDS = 0.2
_CLOSE_AT_MOST_SECONDS = 1.0  # where nobody answers


class VirtualSocket:
    """What `feeds.transport.Socket` is for the product, a client for the venue."""

    def __init__(
        self,
        venue: "VirtualVenue",
        session: ClientSession,
        loop: "VirtualLoop",
        receive: Callable[[bytes], None],
        on_lost: Callable[[], None],
        number: int,
    ) -> None:
        self.lost: Disconnected | None = None
        self.session = session
        self.number = number
        self.said_ns = venue.world.now_ns
        self.is_open = True
        self._venue = venue
        self._loop = loop
        self._receive = receive
        self._on_lost = on_lost
        self._is_paused = False
        self._held: list[tuple[bytes, Callable[[], None] | None]] = []
        self._free_ns = self._said_free_ns = 0  # when the ways are free for the next frame

    # The product's end.

    def send(self, frame: bytes) -> None:
        """Send a text frame to the venue."""
        if self.is_open and not self._loop.killed:
            world = self._venue.world
            at_ns = max(self._said_free_ns, world.now_ns + round(self._venue.way_seconds() * 1e9))
            self._said_free_ns = at_ns
            world.after((at_ns - world.now_ns) / 1e9, lambda: self._venue.hear(self, frame))

    async def close(self, code: int = 1000) -> None:  # noqa: ARG002 - as Socket has it
        """Close."""
        if self.is_open:
            await asyncio.sleep(_CLOSE_AT_MOST_SECONDS if self._venue.is_deaf else _CLOSE_SECONDS)
            self._venue.world.note(f"{self._venue.name} #{self.number} closed")
            self.end(Disconnected("closed_1000", "closed by us"))

    def pause(self) -> None:
        """Read nothing for now."""
        self._is_paused = True

    def resume(self) -> None:
        """Read on."""
        self._is_paused = False
        held, self._held = self._held, []
        for payload, arrived in held:
            self._loop.call_soon(self._deliver, payload, arrived)

    # The venue's end.

    def give(self, payload: bytes, arrived: "Callable[[], None] | None" = None) -> None:
        """Send a message down the way, behind those before it; `arrived` is called when it has come."""
        venue = self._venue
        if not self.is_open:
            return
        world = venue.world
        at_ns = max(self._free_ns, world.now_ns + round(venue.way_seconds() * 1e9), venue.shut_until_ns)
        self._free_ns = at_ns
        world.after((at_ns - world.now_ns) / 1e9, lambda: self._arrive(payload, arrived))

    def end(self, lost: Disconnected) -> None:
        """End the connection, whoever does it."""
        if self.is_open:
            self.is_open = False
            self.lost = lost
            self._venue.forget(self)
            if not self._loop.killed:
                self._loop.call_soon(self._on_lost)

    def _arrive(self, payload: bytes, arrived: "Callable[[], None] | None") -> None:
        if self.is_open and not self._loop.killed:
            self._loop.call_soon(self._deliver, payload, arrived)

    def _deliver(self, payload: bytes, arrived: "Callable[[], None] | None") -> None:
        if not self.is_open or self._venue.is_mute:
            return
        if self._is_paused:
            self._held.append((payload, arrived))
            return
        if arrived is not None:
            arrived()
        try:
            self._receive(payload)
        except Exception as error:  # noqa: BLE001 - as the transport does
            lost = Disconnected("internal", f"our own error: {type(error).__name__}: {error}")
            lost.__cause__ = error
            self.end(lost)
