"""A Redis of the world: its bytes are real, its data are dictionaries; it can die, hang and refuse."""

import asyncio
from collections.abc import Callable
from typing import Any

import hiredis
from chaos.virtual.world import VirtualWorld

__all__ = ["VirtualRedis"]

_EVENTS = 1_000


class _Transport(asyncio.Transport):
    """The client's end of a connection."""

    def __init__(self, server: "VirtualRedis", protocol: asyncio.BaseProtocol, soon: Callable[..., object]) -> None:
        super().__init__()
        self._server = server
        self._protocol: Any = protocol
        self._soon = soon
        self._closing = False
        self.reader = hiredis.Reader()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol  # type: ignore[no-any-return]

    def is_closing(self) -> bool:
        return self._closing

    def write(self, data: Any) -> None:
        payload = bytes(data)
        if not self._closing:
            self._server.world.after(0.0005, lambda: self._server.hear(self, payload))

    def close(self) -> None:
        self.end(None)

    abort = close

    def answer(self, data: bytes) -> None:
        """Bring the server's answer."""
        if not self._closing:
            self._soon(self._protocol.data_received, data)

    def end(self, error: Exception | None) -> None:
        """End the connection."""
        if not self._closing:
            self._closing = True
            self._server.connections.pop(self, None)
            self._soon(self._protocol.connection_lost, error)


class VirtualRedis:
    """`fault` is "", dead, stuck, readonly or full. A restart forgets all data."""

    def __init__(self, world: VirtualWorld) -> None:
        self.world = world
        self.fault = ""
        self.unknown: set[bytes] = set()
        self.published = 0
        self.values: dict[bytes, bytes] = {}
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self.lists: dict[bytes, list[bytes]] = {}
        self.connections: dict[_Transport, None] = {}

    def dial(self, protocol: asyncio.BaseProtocol, loop: asyncio.AbstractEventLoop) -> asyncio.Transport:
        """Accept a connection."""
        if self.fault == "dead":
            raise ConnectionRefusedError(111, "connection refused")
        transport = _Transport(self, protocol, loop.call_soon)
        self.connections[transport] = None
        return transport

    def die(self, *, forgets: bool) -> None:
        """End all connections."""
        for transport in list(self.connections):
            transport.end(ConnectionResetError("the server died"))
        if forgets:
            self.values.clear()
            self.hashes.clear()
            self.lists.clear()

    def hear(self, transport: _Transport, payload: bytes) -> None:
        """Take in commands, and answer them together."""
        if transport.is_closing() or self.fault in {"dead", "stuck"}:
            return
        transport.reader.feed(payload)
        answers = []
        while (words := transport.reader.gets()) is not False:
            answers.append(self._obey(words))
        if answers:
            data = b"".join(answers)
            self.world.after(0.0005, lambda: transport.answer(data))

    def _obey(self, words: list[bytes]) -> bytes:  # noqa: C901, PLR0911 - one answer a command
        verb = words[0].upper()
        if self.fault == "readonly" and verb in {b"SET", b"HSET", b"HDEL", b"LPUSH", b"LTRIM", b"EXPIRE"}:
            return b"-READONLY You can't write against a read only replica.\r\n"
        if self.fault == "full" and verb in {b"SET", b"HSET", b"LPUSH"}:
            return b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
        if verb == b"SET":
            self.values[words[1]] = words[2]
            return b"+OK\r\n"
        if verb == b"HSET":
            known = self.hashes.setdefault(words[1], {})
            before = len(known)
            known.update(zip(words[2::2], words[3::2], strict=True))
            return b":%d\r\n" % (len(known) - before)
        if verb == b"HDEL":
            known = self.hashes.get(words[1], {})
            return b":%d\r\n" % sum(known.pop(field, None) is not None for field in words[2:])
        if verb == b"LPUSH":
            kept = self.lists.setdefault(words[1], [])
            kept[:0] = words[:1:-1]
            return b":%d\r\n" % len(kept)
        if verb == b"LTRIM":
            kept, first, last = self.lists.get(words[1], []), int(words[2]), int(words[3])
            self.lists[words[1]] = kept[first : last + 1] if last >= first else []
            return b"+OK\r\n"
        if verb == b"PUBLISH":
            self.published += 1
            return b":0\r\n"
        if verb == b"EXPIRE":
            return b":%d\r\n" % (words[1] in self.hashes or words[1] in self.values)
        if verb in {b"SELECT", b"CLIENT", b"PING", b"AUTH"}:
            return b"+OK\r\n"
        self.unknown.add(verb)
        return b"-ERR unknown command\r\n"
