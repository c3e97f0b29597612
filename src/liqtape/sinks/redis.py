"""The Redis sink: every flush is one write of pre-packed commands, its replies are read to the last."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import hiredis
from msgspec import Struct, json
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import RedisError

from liqtape.errors import ConfigurationError, SinkError, SinkUnavailable
from liqtape.events import SCHEMA, Alert, Liquidation, PriceTick, VenueHealth
from liqtape.sinks.base import Batch
from liqtape.sinks.conversation import Conversation, StreamConnection
from liqtape.sinks.hashes import Hashes, Written
from liqtape.sinks.resp import command

__all__ = ["EVENTS_KEPT", "RedisSink", "pool_of"]

EVENTS_KEPT = 1000
PRICE_TTL_SECONDS = 60
HEALTH_TTL_SECONDS = 30

_CONNECT_SECONDS = 2.0
_REPLY_SECONDS = 5.0
_DATABASE = 1
_SYMBOL = re.compile(r"[\w:.@#-]{1,64}")  # \w: letters and digits of any script
_CODE = re.compile(r": ([A-Z]+)\b")  # of an error reply
# A server that ends is first lost and then not there, one that hangs does not answer to a connection either.
_CAUSES = dict.fromkeys(("ConnectionError", "ConnectionRefusedError", "ConnectionResetError"), "lost")
_CAUSES["TimeoutError"] = "no reply"
_SCHEMA_HEAD = b'{"schema":%d,' % SCHEMA
_NEEDS_REOPENING = ("READONLY", "LOADING", "MASTERDOWN", "NOAUTH")


class _Price(Struct):
    price: float
    timestamp: float
    volume: float | None
    source: str


class RedisSink:
    """Writes batches to the documented keys of a Redis or Valkey server.

    `server` is a URL (`redis://`, `rediss://`, `unix://`; database 1 unless it names another) or a pool of redis-py,
    for instance a Sentinel one. `publish` raises `SinkError` when the server refused commands (the others of the batch
    were done, the connection stays usable) and `SinkUnavailable` when it cannot be used; then `open` again and publish
    the newest state. A batch with `resync` replaces the list of events, so that what a lost reply left unknown is not
    listed twice, and nothing of an earlier run stays.

    `refused_keys_total` counts rows whose symbol is unfit for a key: a venue's text never becomes another key.
    """

    name = "redis"

    def __init__(self, server: str | ConnectionPool, *, prefix: str = "") -> None:
        self.refused_keys_total = 0
        pool = pool_of(server) if isinstance(server, str) else server
        self._make_connection = _maker_of(pool)
        self._prefix = prefix
        self._hashes = Hashes(prefix)
        self._encode = json.Encoder().encode
        self._connection: StreamConnection | None = None
        self._conversation: Conversation | None = None
        self._levels: dict[str, str] = {}  # as this connection last wrote them

    def __repr__(self) -> str:
        return f"RedisSink({_address(self._connection or self._make_connection())})"

    async def open(self) -> None:
        """Connect, authenticate and select the database; does nothing when already open."""
        if self._connection is not None:
            return
        connection = self._make_connection()
        try:
            await connection.connect()
        except (RedisError, OSError) as error:
            await _disconnect(connection)
            kind = type(error).__name__
            raise SinkUnavailable(f"Redis at {_address(connection)}: {error}", _CAUSES.get(kind, kind)) from error
        except BaseException:
            await _disconnect(connection)
            raise
        self._forget_written()
        self._conversation = Conversation(connection)
        self._connection = connection

    async def publish(self, batch: Batch) -> None:
        """Write the batch and wait until the server has acknowledged all of it."""
        connection, conversation = self._connection, self._conversation
        if connection is None or conversation is None:
            raise SinkUnavailable("the Redis sink is not open")
        levels = self._changed_levels(batch)
        rows: dict[int, Written] = {}
        commands = self._commands(batch, levels, rows)
        if not commands:
            return
        try:
            replies = await conversation.ask(b"".join(commands), len(commands), _REPLY_SECONDS)
        except TimeoutError as error:
            await self.close()
            text = f"Redis at {_address(connection)}: no reply in {_REPLY_SECONDS:g} s"
            raise SinkUnavailable(text, "no reply") from error
        except (OSError, hiredis.ProtocolError) as error:
            await self.close()
            raise SinkUnavailable(f"Redis at {_address(connection)}: connection lost: {error}", "lost") from error
        except BaseException:
            await self.close()  # cancelled between write and reply: the connection is out of step
            raise
        torn = {row.symbol for at, row in rows.items() if not self._hashes.is_whole(row, replies[at])}
        if any(isinstance(reply, hiredis.ReplyError) for reply in replies):
            await self._refused(connection, commands, replies)
        self._levels.update(levels)
        if torn:  # somebody deleted or evicted them: now the whole rows
            await self.publish(Batch(metrics=[row for row in batch.metrics if row.symbol in torn]))

    async def close(self) -> None:
        """Disconnect; may be called at any time and more than once."""
        connection, self._connection, self._conversation = self._connection, None, None
        if connection is not None:
            await _disconnect(connection)

    async def _refused(self, connection: StreamConnection, commands: list[bytes], replies: list[Any]) -> None:
        self._forget_written()
        refusals = [
            f"{_spoken(packed)}: {reply}"
            for packed, reply in zip(commands, replies, strict=True)
            if isinstance(reply, hiredis.ReplyError)
        ]
        count = f"{len(refusals)} of {len(commands)}"
        text = f"Redis at {_address(connection)} refused {count} commands, first {refusals[0]}"
        code = _CODE.search(refusals[0])
        cause = code[1] if code else "refused"
        if any(f": {code}" in refusal for refusal in refusals for code in _NEEDS_REOPENING):
            # A demoted, loading or re-secured server: a new connection asks Sentinel and authenticates again.
            await self.close()
            raise SinkUnavailable(text, cause)
        raise SinkError(text, cause)

    def _changed_levels(self, batch: Batch) -> dict[str, str]:
        """The newest level of each instrument where it is not what this connection wrote last."""
        levels: dict[str, str] = {alert.instrument: alert.level for alert in batch.alerts}
        levels.update({row.symbol: row.level for row in batch.metrics})
        return {
            symbol: level
            for symbol, level in levels.items()
            if self._levels.get(symbol) != level and _SYMBOL.fullmatch(symbol) is not None
        }

    def _commands(self, batch: Batch, levels: dict[str, str], rows: dict[int, Written]) -> list[bytes]:
        """Everything to be written; `rows` gets the place of each row's first command."""
        commands: list[bytes] = []
        now = monotonic()
        for row in batch.metrics:
            if row.symbol in self._hashes or _SYMBOL.fullmatch(row.symbol) is not None:
                written, more = self._hashes.write(row, now)
                if more:  # else the next command's reply, or none at all, would be taken for this row's
                    rows[len(commands)] = written
                    commands += more
            else:
                self.refused_keys_total += 1
        if batch.price is not None:
            commands.append(self._price(batch.price))
        if batch.resync and not batch.events:
            commands.append(command(b"DEL", self._key("cascade:events:buffer")))
        elif batch.events:
            commands += self._events(batch.events, kept=len(batch.events) if batch.resync else EVENTS_KEPT)
        for symbol, level in levels.items():
            commands.append(command(b"SET", self._key(f"cascade:{symbol}:level"), level.encode()))
        commands += self._alerts(batch.alerts)
        if batch.health:
            commands += self._health(batch.health)
        return commands

    def _forget_written(self) -> None:
        self._levels = {}
        self._hashes.forget()

    def _price(self, tick: PriceTick) -> bytes:
        price = _Price(tick.price, tick.event_ms / 1000, tick.quantity, tick.venue)
        text = json.format(self._encode(price), indent=0)  # one line with the spaces of the documented example
        return command(b"SET", self._key("btc:price:current"), text, b"EX", b"%d" % PRICE_TTL_SECONDS)

    def _events(self, events: Sequence[Liquidation], kept: int) -> list[bytes]:
        key = self._key("cascade:events:buffer")
        # LPUSH puts each of its words before the last: oldest first in, newest first in the list. Trimmed to just what
        # was pushed, the list is replaced without ever being empty.
        texts = [_SCHEMA_HEAD + self._encode(event)[1:] for event in events[-EVENTS_KEPT:]]
        return [command(b"LPUSH", key, *texts), command(b"LTRIM", key, b"0", b"%d" % (min(kept, EVENTS_KEPT) - 1))]

    def _alerts(self, alerts: Sequence[Alert]) -> list[bytes]:
        channel = self._key("cascade:alerts")
        return [command(b"PUBLISH", channel, self._encode(alert)) for alert in alerts]

    def _health(self, health: Sequence[VenueHealth]) -> list[bytes]:
        key = self._key("liqtape:health")
        words = [word for venue in health for word in (venue.venue.encode(), self._encode(venue))]
        return [command(b"HSET", key, *words), command(b"EXPIRE", key, b"%d" % HEALTH_TTL_SECONDS)]

    def _key(self, key: str) -> bytes:
        return (self._prefix + key).encode()


def pool_of(url: str) -> ConnectionPool:
    """Connections to the server of a URL: database 1 unless it names another. Raises ConfigurationError."""
    options = {
        "db": _DATABASE,
        "protocol": 2,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "socket_timeout": _REPLY_SECONDS,
    }
    try:
        place = urlsplit(url)
        # redis-py would quietly take another database for a path it cannot read.
        if place.scheme == "unix":  # anything between user and path is a piece of a password
            usable = "@" not in place.path and not place.netloc.rpartition("@")[2]
        else:
            usable = re.fullmatch(r"/?\d*", place.path) is not None
        pool = ConnectionPool.from_url(url, **options)
        _maker_of(pool)()  # only this looks at the options of the query
    except (ValueError, TypeError, RedisError):
        usable = False
    if not usable:
        # Raised here, without a cause: its text may quote a piece of the URL, and that may be a piece of the password.
        raise ConfigurationError(
            "the Redis URL is not usable: write redis://host:port/database, rediss://... or unix:///path?db=1 "
            "(special characters of a password percent-encoded)"
        )
    return pool


def _maker_of(pool: ConnectionPool) -> Callable[[], StreamConnection]:
    return pool.make_connection  # redis-py has not annotated it


def _address(connection: StreamConnection) -> str:
    """Where it leads, without user and password."""
    path = getattr(connection, "path", None)
    place = path if path is not None else f"{getattr(connection, 'host', '?')}:{getattr(connection, 'port', '?')}"
    return f"{place}/{connection.db}"


async def _disconnect(connection: StreamConnection) -> None:
    with suppress(RedisError, OSError):
        await connection.disconnect(nowait=True)


def _spoken(packed: bytes) -> str:
    """Name and key of a packed command, for an error's text."""
    words = packed.split(b"\r\n", 5)
    return b" ".join(words[2:5:2]).decode(errors="replace")
