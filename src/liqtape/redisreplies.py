"""What a Redis server may answer: short, flat, and of a bounded number of bytes.

The commands that are sent answer a status, a number, an error or one text. A parser of all of the protocol lets whoever
sits at the port decide how deep it goes and how much it keeps: thirteen bytes announce two billion elements.
"""

from asyncio import LimitOverrunError
from typing import Any

import hiredis
from redis._parsers.base import AsyncBaseParser
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from liqtape.sanitize import sanitize

__all__ = ["LONGEST_LINE", "LONGEST_TEXT", "FlatParser", "reply_of"]

LONGEST_LINE = 4_096
"""Bytes of a status, a number or an error."""

LONGEST_TEXT = 64 * 1024
"""Bytes of a text, as `INFO` answers one."""

_END = b"\r\n"
_SHOWN = 40
_LONGEST_ERROR = 1_000


def reply_of(line: bytes) -> bytes | int | hiredis.ReplyError:
    r"""Return what a line of a reply says, without its end. Raises ProtocolError where it is no whole reply.

    >>> reply_of(b":7"), reply_of(b"+OK"), reply_of(b"-NOPERM no").args
    (7, b'OK', ('NOPERM no',))
    """
    kind = line[:1]
    if len(line) > LONGEST_LINE:
        raise hiredis.ProtocolError(f"an answer of more than {LONGEST_LINE} bytes")
    if kind == b"+":
        return line[1:]
    if kind == b"-":
        return hiredis.ReplyError(sanitize(line[1:].decode(errors="replace"), _LONGEST_ERROR))
    if kind == b":":
        try:
            return int(line[1:])
        except ValueError:
            pass
    raise hiredis.ProtocolError(f"an answer that no command of ours has: {line[:_SHOWN]!r}")


class FlatParser(AsyncBaseParser):
    """For redis-py, which greets a server before the connection is ours, and asks it for its version."""

    def __init__(self, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self._connection: Any = None

    def on_connect(self, connection: AbstractConnection) -> None:
        """Read from its stream."""
        self._connection = connection
        self._stream = connection._reader

    def on_disconnect(self) -> None:
        """Read nothing any more."""
        self._connection = self._stream = None

    async def can_read(self) -> bool:
        """Return whether something came that was not asked for, or the end."""
        stream: Any = self._stream
        if stream is None:
            raise OSError("closed")
        return bool(stream._buffer) or bool(stream.at_eof())

    async def can_read_destructive(self) -> bool:
        """Return the same, under its older name."""
        return await self.can_read()

    async def read_response(self, disable_decoding: bool = False) -> Any:  # noqa: FBT001, FBT002 - redis-py's own
        """Read one reply; an error is returned. Raises redis-py's ConnectionError for what is none of ours."""
        stream = self._stream
        if stream is None:
            raise RedisConnectionError("closed")
        try:
            line = (await stream.readuntil(_END)).removesuffix(_END)
            if line[:1] != b"$":
                reply: Any = reply_of(line)
            elif line == b"$-1":
                reply = None
            else:
                length = int(line[1:]) if len(line) <= _SHOWN else LONGEST_TEXT + 1
                if not 0 <= length <= LONGEST_TEXT:
                    raise hiredis.ProtocolError(f"a text of {length} bytes, {LONGEST_TEXT} are taken")
                reply = (await stream.readexactly(length + 2)).removesuffix(_END)
        except (hiredis.ProtocolError, LimitOverrunError, ValueError, EOFError) as error:
            raise RedisConnectionError(str(error) or "closed by the server") from error
        if isinstance(reply, hiredis.ReplyError):
            parse_error: Any = self.parse_error  # not annotated
            refused = parse_error(str(reply))
            if isinstance(refused, RedisConnectionError):
                raise refused
            return refused
        is_text = isinstance(reply, bytes) and not disable_decoding
        return self._connection.encoder.decode(reply) if is_text else reply
