"""The Redis sink: every flush is one write of pre-packed commands, its replies are read to the last."""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from time import monotonic
from urllib.parse import urlsplit

import hiredis
from msgspec import Struct, json
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import RedisError

from liqtape.errors import ConfigurationError, SinkError, SinkUnavailable
from liqtape.events import SCHEMA, Alert, Liquidation, PriceTick, VelocityMetrics, VenueHealth
from liqtape.sinks.base import Batch
from liqtape.sinks.conversation import Conversation, StreamConnection
from liqtape.sinks.resp import RowPacker, command

__all__ = ["EVENTS_KEPT", "RedisSink", "pool_of"]

EVENTS_KEPT = 1000
METRICS_TTL_SECONDS = 600
PRICE_TTL_SECONDS = 60
HEALTH_TTL_SECONDS = 30

_CONNECT_SECONDS = 2.0
_REPLY_SECONDS = 5.0
_DATABASE = 1
_RENEW_SECONDS = 0.9  # a row's time to live is renewed at most so often, and with each second's republishing
_SYMBOL = re.compile(r"[\w:.@#-]{1,64}")  # \w: letters and digits of any script
_CODE = re.compile(r": ([A-Z]+)\b")  # of an error reply
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
        self._rows = RowPacker(VelocityMetrics)
        self._encode = json.Encoder().encode
        self._connection: StreamConnection | None = None
        self._conversation: Conversation | None = None
        self._levels: dict[str, str] = {}  # as this connection last wrote them
        self._absent: dict[str, tuple[bytes, ...]] = {}  # fields of a row it last deleted
        self._renewed: dict[str, float] = {}  # when it last gave the row its time to live

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
            raise SinkUnavailable(f"Redis at {_address(connection)}: {error}", type(error).__name__) from error
        except BaseException:
            await _disconnect(connection)
            raise
        self._forget_written()
        self._conversation = Conversation(connection)
        self._connection = connection

    async def publish(self, batch: Batch) -> None:
        """Write the batch and wait until the server has acknowledged all of it."""
        connection = self._connection
        if connection is None:
            raise SinkUnavailable("the Redis sink is not open")
        levels = self._changed_levels(batch)
        commands = self._commands(batch, levels)
        if not commands:
            return
        try:
            async with asyncio.timeout(_REPLY_SECONDS):
                refusals = await self._exchange(commands)
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
        if refusals:
            await self._refused(connection, refusals, len(commands))
        self._levels.update(levels)

    async def close(self) -> None:
        """Disconnect; may be called at any time and more than once."""
        connection, self._connection, self._conversation = self._connection, None, None
        if connection is not None:
            await _disconnect(connection)

    async def _exchange(self, commands: list[bytes]) -> list[str]:
        """Send all commands in one write, read all replies; returns the refusals."""
        conversation = self._conversation
        if conversation is None:
            raise ConnectionResetError("closed")
        replies = await conversation.ask(b"".join(commands), len(commands))
        return [
            f"{_spoken(packed)}: {reply}"
            for packed, reply in zip(commands, replies, strict=True)
            if isinstance(reply, hiredis.ReplyError)
        ]

    async def _refused(self, connection: StreamConnection, refusals: list[str], total: int) -> None:
        self._forget_written()
        text = f"Redis at {_address(connection)} refused {len(refusals)} of {total} commands, first {refusals[0]}"
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
        levels.update((row.symbol, row.level) for row in batch.metrics)
        return {
            symbol: level
            for symbol, level in levels.items()
            if self._levels.get(symbol) != level and _SYMBOL.fullmatch(symbol) is not None
        }

    def _commands(self, batch: Batch, levels: dict[str, str]) -> list[bytes]:
        commands: list[bytes] = []
        for row in batch.metrics:
            if _SYMBOL.fullmatch(row.symbol) is None:
                self.refused_keys_total += 1
            else:
                commands += self._row(row)
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

    def _row(self, row: VelocityMetrics) -> list[bytes]:
        """HSET of what is defined; HDEL and EXPIRE only where they change something: each costs as much as the HSET."""
        symbol, now = row.symbol, monotonic()
        key = self._key(f"velocity:{symbol}:current")
        fields, absent = self._rows.pack(key, row)
        commands = [fields]
        if absent and self._absent.get(symbol) != absent:
            commands.append(command(b"HDEL", key, *absent))
        self._absent[symbol] = absent
        if now - self._renewed.get(symbol, -inf) >= _RENEW_SECONDS:
            commands.append(command(b"EXPIRE", key, b"%d" % METRICS_TTL_SECONDS))
            self._renewed[symbol] = now
        return commands

    def _forget_written(self) -> None:
        self._levels, self._absent, self._renewed = {}, {}, {}

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
