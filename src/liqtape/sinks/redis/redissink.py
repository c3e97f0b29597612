"""The Redis sink: every flush is one write of pre-packed commands, its replies are read to the last."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import hiredis
from msgspec import Struct, json
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import RedisError

from liqtape.cascades.cascade import Cascade
from liqtape.errors import ConfigurationError, SinkError, SinkUnavailable
from liqtape.events import SCHEMA, Alert, Level, Liquidation, PriceTick, VenueHealth
from liqtape.redisreplies import FlatParser
from liqtape.sanitize import percent_encoded
from liqtape.sinks.redis.hashes import Hashes, WrittenRow
from liqtape.sinks.redis.replyreader import ReplyReader, StreamConnection
from liqtape.sinks.redis.resp import command, verb_and_key
from liqtape.sinks.sink import Batch, Refusal

__all__ = ["ALERTS", "CASCADES", "EVENTS_KEPT", "RedisSink", "pool_of"]

ALERTS = "liqtape:alerts"
"""The channel of level changes, after the prefix."""

CASCADES = "liqtape:cascades"
"""The key of the cascades that go on and of the last that ended, and the channel of each as it changes."""

EVENTS_KEPT = 1000
CASCADES_TTL_SECONDS = 600
LEVEL_TTL_SECONDS = 600
PRICE_TTL_SECONDS = 60
HEALTH_TTL_SECONDS = 30

_CONNECT_SECONDS = 2.0
_REPLY_SECONDS = 5.0
_DATABASE = 1
_PROTOCOL = 2
_MOST_LEVELS = 50_000
_CODE = re.compile(r"[A-Z]+\b")  # of an error reply
# A server that ends is first lost and then not there, one that hangs does not answer to a connection either.
_CAUSES = dict.fromkeys(("ConnectionError", "ConnectionRefusedError", "ConnectionResetError"), "lost")
_CAUSES["TimeoutError"] = "no reply"
_SCHEMA_HEAD = b'{"schema":%d,' % SCHEMA
_NEEDS_REOPENING = frozenset({"READONLY", "LOADING", "MASTERDOWN", "NOAUTH"})


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

    What a server refused stands until all that is written to the same key, or announced on the same channel, was taken:
    `publish` returns it as long. `refused_keys_total` counts rows whose symbol cannot be a key: 0, for each can.
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
        self._reply_reader: ReplyReader | None = None
        self._levels: dict[str, Level] = {}  # as this connection last wrote them
        self._refused: dict[tuple[bool, bytes], Refusal] = {}  # by whether it is a channel, and its name

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
        self._reply_reader = ReplyReader(connection)
        self._connection = connection

    async def publish(self, batch: Batch) -> Refusal | None:
        """Write the batch, wait until the server has acknowledged all of it, and return what it still refuses."""
        connection, replies_of = self._connection, self._reply_reader
        if connection is None or replies_of is None:
            raise SinkUnavailable("the Redis sink is not open")
        levels = self._levels_to_write(batch)
        rows: dict[int, WrittenRow] = {}
        commands = self._commands(batch, levels, rows)
        if not commands:
            return self._standing()
        replies = await self._ask(connection, replies_of, commands)
        lost: Sequence[Alert] = ()
        if self._refused or any(isinstance(reply, hiredis.ReplyError) for reply in replies):
            lost = await self._take_refusals(connection, batch, commands, replies)
        self._levels.update(levels)
        if len(self._levels) > _MOST_LEVELS:  # at worst they are written once more
            self._levels = {}
        for row in batch.metrics:
            if not row.event_count_300s and row.level == "NONE":  # perhaps the last of its kind
                self._levels.pop(row.symbol, None)
        torn = {row.symbol for at, row in rows.items() if not self._hashes.is_whole(row, replies[at])}
        if torn:  # somebody deleted or evicted them: now the whole rows
            try:
                await self.publish(Batch(metrics=[row for row in batch.metrics if row.symbol in torn]))
            except SinkError as error:
                error.unannounced = lost
                raise
        return self._standing(len(lost))

    def commands(self, batch: Batch) -> list[bytes]:
        """Return what `publish` would send of this batch if it had sent nothing before."""
        known, self._hashes = self._hashes, Hashes(self._prefix)
        try:
            return self._commands(batch, {alert.instrument: alert.level for alert in batch.alerts}, {})
        finally:
            self._hashes = known

    async def close(self) -> None:
        """Disconnect; may be called at any time and more than once."""
        connection, self._connection, self._reply_reader = self._connection, None, None
        if connection is not None:
            await _disconnect(connection)

    async def _ask(self, connection: StreamConnection, replies_of: ReplyReader, commands: Sequence[bytes]) -> list[Any]:
        try:
            return await replies_of.ask(b"".join(commands), len(commands), _REPLY_SECONDS)
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

    async def _take_refusals(
        self, connection: StreamConnection, batch: Batch, commands: Sequence[bytes], replies: Sequence[Any]
    ) -> list[Alert]:
        """Note what was refused and what is no longer; returns alerts not announced, raises where more was refused."""
        spoken = [verb_and_key(packed) for packed in commands]
        refused = [
            (*words, str(reply))
            for words, reply in zip(spoken, replies, strict=True)
            if isinstance(reply, hiredis.ReplyError)
        ]
        alerts = (b"PUBLISH", self._key(ALERTS))
        announced = [reply for words, reply in zip(spoken, replies, strict=True) if words == alerts]
        lost = [
            alert for alert, reply in zip(batch.alerts, announced, strict=True) if isinstance(reply, hiredis.ReplyError)
        ]
        for target in {_target(*words) for words in spoken} - {_target(verb, key) for verb, key, _ in refused}:
            self._refused.pop(target, None)
        place = f"Redis at {_address(connection)}"
        for verb, key, reply in reversed(refused):  # of a key the first
            self._refused[_target(verb, key)] = Refusal(f"{place} refuses {_shown(verb, key)}: {reply}", _code(reply))
        reopen = [one for one in refused if _code(one[2]) in _NEEDS_REOPENING]
        written = [one for one in refused if one[0] != b"PUBLISH"]
        if not reopen and not written:
            return lost
        self._forget_written()
        verb, key, reply = (reopen or written)[0]
        text = f"{place} refused {len(refused)} of {len(commands)} commands, first {_shown(verb, key)}: {reply}"
        if reopen:
            # A demoted, loading or re-secured server: a new connection asks Sentinel and authenticates again.
            await self.close()
            raise SinkUnavailable(text, _code(reply), lost)
        raise SinkError(text, _code(reply), lost)

    def _standing(self, alerts_lost: int = 0) -> Refusal | None:
        if not self._refused:
            return None
        first, others = next(iter(self._refused.values())), len(self._refused) - 1
        return Refusal(f"{first.text}{f' (and {others} keys more)' * bool(others)}", first.cause, alerts_lost)

    def _levels_to_write(self, batch: Batch) -> dict[str, Level]:
        """Return the newest level of each instrument unless this connection wrote it last, and those asked for."""
        levels: dict[str, Level] = {alert.instrument: alert.level for alert in batch.alerts}
        levels.update(batch.levels)
        levels.update({row.symbol: row.level for row in batch.metrics})
        written, asked = self._levels, batch.levels
        return {symbol: level for symbol, level in levels.items() if symbol in asked or written.get(symbol) != level}

    def _commands(self, batch: Batch, levels: Mapping[str, Level], rows: dict[int, WrittenRow]) -> list[bytes]:
        """Return everything to be written; `rows` gets the place of each row's first command."""
        commands: list[bytes] = []
        now = monotonic()
        for row in batch.metrics:
            written, more = self._hashes.write(row, now)
            if more:  # else the next command's reply, or none at all, would be taken for this row's
                rows[len(commands)] = written
                commands += more
        if batch.price is not None:
            commands.append(self._price(batch.price))
        if batch.resync or batch.events:
            commands += self._events(batch.events, kept=len(batch.events) if batch.resync else EVENTS_KEPT)
        for symbol, level in levels.items():
            key = self._key(f"cascade:{percent_encoded(symbol)}:level")
            commands.append(command(b"SET", key, level.encode(), b"EX", b"%d" % LEVEL_TTL_SECONDS))
        commands += self._alerts(batch.alerts)
        commands += self._cascades(batch.cascades, batch.standing_cascades)
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
        if not texts:
            return [command(b"LTRIM", key, b"1", b"0")]  # keeps nothing
        return [command(b"LPUSH", key, *texts), command(b"LTRIM", key, b"0", b"%d" % (min(kept, EVENTS_KEPT) - 1))]

    def _alerts(self, alerts: Sequence[Alert]) -> list[bytes]:
        channel = self._key(ALERTS)
        return [command(b"PUBLISH", channel, self._encode(alert)) for alert in alerts]

    def _cascades(self, news: Sequence[Cascade], standing: Sequence[Cascade] | None) -> list[bytes]:
        """Return the commands for the key and the channel; what a channel refuses is in the key all the same."""
        key = self._key(CASCADES)
        commands = [command(b"PUBLISH", key, self._encode(cascade)) for cascade in news]
        if standing:
            commands.append(command(b"SET", key, self._encode(standing), b"EX", b"%d" % CASCADES_TTL_SECONDS))
        return commands

    def _health(self, health: Sequence[VenueHealth]) -> list[bytes]:
        key = self._key("liqtape:health")
        words = [word for venue in health for word in (venue.venue.encode(), self._encode(venue))]
        return [command(b"HSET", key, *words), command(b"EXPIRE", key, b"%d" % HEALTH_TTL_SECONDS)]

    def _key(self, key: str) -> bytes:
        return (self._prefix + key).encode()


def pool_of(url: str) -> ConnectionPool:
    """Return connections to the server of a URL: database 1 unless it names another. Raises ConfigurationError."""
    options = {
        "db": _DATABASE,
        "protocol": _PROTOCOL,
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
        if pool.connection_kwargs.get("protocol") == _PROTOCOL:  # else the URL says so
            pool.connection_kwargs["parser_class"] = FlatParser
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
    """Return where it leads, without user and password."""
    path = getattr(connection, "path", None)
    place = path if path is not None else f"{getattr(connection, 'host', '?')}:{getattr(connection, 'port', '?')}"
    return f"{place}/{connection.db}"


async def _disconnect(connection: StreamConnection) -> None:
    with suppress(RedisError, OSError):
        await connection.disconnect(nowait=True)


def _target(verb: bytes, key: bytes) -> tuple[bool, bytes]:
    """Return where a command leads: a channel may bear the name of a key."""
    return verb == b"PUBLISH", key


def _shown(verb: bytes, key: bytes) -> str:
    """Return name and key of a command, for an error's text."""
    return f"{verb.decode()} {key.decode(errors='replace')}"


def _code(reply: str) -> str:
    """Return the word an error reply begins with, where it is a code."""
    code = _CODE.match(reply)
    return code[0] if code else "refused"
