"""Metric rows as hashes: of each row what changed since it was last written."""

from collections.abc import Sequence
from itertools import compress
from math import inf
from operator import ne

from msgspec.structs import astuple, replace

from liqtape.events import VelocityMetrics
from liqtape.sanitize import percent_encoded
from liqtape.sinks.redis.resp import RowPacker, command

__all__ = ["TTL_SECONDS", "Hashes", "WrittenRow"]

TTL_SECONDS = 600

_RENEW_SECONDS = 0.9  # a row's time to live is renewed at most so often, and with each second's republishing
_MOST_WRITTEN = 10_000
_UNKNOWN = object()


class WrittenRow:
    """A row as the server has it when it did what it was sent.

    `added` is the number of fields the last HSET should have made anew, which is what the server replies; None where
    there was none, or nobody knew what the server had.
    """

    __slots__ = ("added", "key", "renewed", "symbol", "values")

    def __init__(self, symbol: str, key: bytes, values: Sequence[object]) -> None:
        self.symbol = symbol
        self.key = key
        self.values = values
        self.renewed = -inf
        self.added: int | None = None


class Hashes:
    """What a connection wrote of each row, and what the next write of it must say.

    An event changes less than half of the fields, and packing, sending and storing them is most of what a write costs.
    The server's reply tells when the row was not there, because somebody deleted or evicted it: `is_whole` forgets it
    then, and the next write is all of it. A row without events is the last of its kind and forgotten too, so that there
    are no more of them than instruments with an event in their largest window.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._packer = RowPacker(VelocityMetrics)
        self._unknown = (_UNKNOWN,) * len(VelocityMetrics.__struct_fields__)
        self._written: dict[str, WrittenRow] = {}

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._written

    def write(self, row: VelocityMetrics, now: float) -> tuple[WrittenRow, list[bytes]]:
        """Return the commands, HSET first: HDEL and EXPIRE only where they change something, as each costs an HSET.

        `now` is in seconds of any clock that does not go back.
        """
        written = self._written.get(row.symbol)
        if written is None:
            key = f"{self._prefix}velocity:{percent_encoded(row.symbol)}:current".encode()
            written = self._written[row.symbol] = WrittenRow(row.symbol, key, self._unknown)
            if len(self._written) > _MOST_WRITTEN:  # forgotten without a last row; at worst the next write is all of it
                del self._written[next(iter(self._written))]
        symbol, before = row.symbol, written.values
        # The row says the symbol as its key does; venues' symbols are printable, and so is nearly every other.
        values = astuple(row if symbol.isprintable() else replace(row, symbol=percent_encoded(symbol)))
        changed = list(map(ne, values, before))
        written.values, written.added = values, None
        commands: list[bytes] = []
        if True in changed:
            added = list(compress(before, changed)).count(None)
            if added == sum(changed):  # only fields the server should not have: a known one says whether it has the row
                changed[0] = True
            fields, absent = self._packer.pack(written.key, values, changed)
            if fields:
                commands.append(fields)
                if before is not self._unknown:
                    written.added = added
            if absent:
                commands.append(command(b"HDEL", written.key, *absent))
        if now - written.renewed >= _RENEW_SECONDS:
            commands.append(command(b"EXPIRE", written.key, b"%d" % TTL_SECONDS))
            written.renewed = now
        if not row.event_count_300s:
            del self._written[symbol]
        return written, commands

    def is_whole(self, written: WrittenRow, reply: object) -> bool:
        """Return whether the server has all of the row now, by its reply to the first of the commands."""
        if written.added is None or reply == written.added:
            return True
        self._written.pop(written.symbol, None)
        return False

    def forget(self) -> None:
        """Forget what the server has."""
        self._written.clear()
