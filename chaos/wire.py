"""What passes of a WebSocket conversation, byte by byte: where each message ends, without opening it."""

from msgspec import Struct

__all__ = ["Messages", "Passed"]

_HEAD_END = b"\r\n\r\n"
_MOST_HEAD = 65_536
_CLOSE = 8


class Passed(Struct, frozen=True):
    """A message whose last byte stands at `end` of the stream."""

    end: int
    at_ms: float


class Messages:
    """One direction of one connection: feed it what passes. Plain HTTP has no messages, and is left alone.

    `messages` are the text and binary ones, `closes_at` is where the close frame ends, if one was seen.
    """

    def __init__(self) -> None:
        self.messages: list[Passed] = []
        self.closes_at: int | None = None
        self.length = 0
        self._buffer = bytearray()
        self._is_open: bool | None = None

    def feed(self, data: bytes, at_ms: float) -> None:
        """The next bytes of the stream."""
        self.length += len(data)
        if self._is_open is False:
            return
        self._buffer += data
        if self._is_open is None and not self._shake_hands():
            return
        while (size := self._frame_size()) is not None and size <= len(self._buffer):
            self._close_frame(size, at_ms)

    def _shake_hands(self) -> bool:
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            self._is_open = None if len(self._buffer) < _MOST_HEAD else False
            return False
        head = bytes(self._buffer[:end]).lower()
        first = head.split(b"\r\n", 1)[0]
        self._is_open = b"upgrade: websocket" in head and (first.startswith(b"get") or b" 101" in first)
        del self._buffer[: end + len(_HEAD_END)]
        return self._is_open

    def _frame_size(self) -> int | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, length = 2 + 4 * (buffer[1] >> 7), buffer[1] & 0x7F
        if length < 126:
            return size + length
        wide = 2 if length == 126 else 8
        if len(buffer) < 2 + wide:
            return None
        return size + wide + int.from_bytes(buffer[2 : 2 + wide])

    def _close_frame(self, size: int, at_ms: float) -> None:
        opcode, is_last = self._buffer[0] & 0x0F, self._buffer[0] >> 7
        end = self.length - len(self._buffer) + size
        del self._buffer[:size]
        if opcode < _CLOSE and is_last:
            self.messages.append(Passed(end, at_ms))
        elif opcode == _CLOSE and self.closes_at is None:
            self.closes_at = end
