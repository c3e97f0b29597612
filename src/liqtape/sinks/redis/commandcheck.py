"""Whether a Redis server takes every command that will be used; changes nothing there."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import Connection

from liqtape.cascades.runningcascade import Rise, RunningCascade
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.events import Alert, Liquidation, PriceTick, VelocityMetrics, VenueHealth
from liqtape.sinks.redis.redissink import RedisSink, pool_of
from liqtape.sinks.redis.resp import command, verb_and_key
from liqtape.sinks.sink import Batch

__all__ = ["RedisCheck", "check_redis"]

_ANSWER_SECONDS = 4.0
_SHOWN = 3  # refusals named in full


class RedisCheck(Struct, frozen=True):
    """`failed_stage` is empty where all is well."""

    failed_stage: str
    detail: str


async def check_redis(url: str, prefix: str) -> RedisCheck:
    """Connect, authenticate, and let the server queue every command of the sink, which are then discarded.

    A command that is queued has passed all that a server refuses it for: rights to it, to its key or channel, memory,
    read-only, a disk that is full. Nothing is written or published. Where the user has no MULTI a row of our own is
    written and taken away again. Raises ConfigurationError for an unusable URL.
    """
    client: Any = Redis.from_pool(pool_of(url))  # not annotated where it matters
    place = client.connection_pool.connection_kwargs
    where = f"{place.get('path') or '{}:{}'.format(place.get('host'), place.get('port'))}/{place.get('db')}"
    stage = "connect"
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            connection = await client.connection_pool.get_connection()
            stage = "write"
            is_queued = await _is_queueing(connection)
            refused = await _refused(connection, _commands(prefix) if is_queued else _harmless(prefix))
            await connection.disconnect()  # what is queued is discarded with it
            version = await _version(client)
    except exceptions.AuthenticationError as error:
        return RedisCheck("AUTH", f"{where}: {error}")
    except (exceptions.RedisError, OSError, TimeoutError) as error:
        return RedisCheck(stage, f"{where}: {str(error) or f'no answer within {_ANSWER_SECONDS:g} s'}")
    finally:
        with suppress(exceptions.RedisError, OSError):
            await client.aclose()
    if refused:
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        return RedisCheck("write", f"{version} at {where} refuses {'; '.join(refused[:_SHOWN])}{more}")
    if not is_queued:
        return RedisCheck("", f"{version} at {where} answers and takes rows; the rest was not tried, that needs MULTI")
    return RedisCheck("", f"{version} at {where} answers and takes every command that will be used")


def _commands(prefix: str) -> list[bytes]:
    """Return all that the sink may send, as it sends it."""
    fields: dict[str, Any] = {field.name: _SAMPLES.get(field.type) for field in msgspec.structs.fields(VelocityMetrics)}
    row = VelocityMetrics(**(fields | {"symbol": "BTCUSDT", "level": "WATCH"}))
    batch = Batch(
        [row],
        [Liquidation("binance", "BTCUSDT", "BTCUSDT", "long", 1.0, "fill", 1.0, 1.0, 0)],
        [Alert("BTCUSDT", "WATCH", "NONE", 0, 0.0, 0.0, 0, 0.0, "")],
        PriceTick("binance", "BTCUSDT", 1.0, 1.0, 0),
        [VenueHealth("binance", "live", 0, 0.0, 0, 1.0)],
        resync=True,
        cascades=[_CASCADE],
        standing_cascades=[_CASCADE],
    )
    return RedisSink("redis://", prefix=prefix).commands(batch)


_NOW = Rise(StreamKey(None, "BTCUSDT"), "", 0, "")
_CASCADE = RunningCascade(_NOW, ("instrument", "BTCUSDT"), (), ((), ())).record()
_SAMPLES: dict[Any, Any] = {int: 1, float: 1.0, bool: False}  # the others may be None, which takes HDEL


def _harmless(prefix: str) -> list[bytes]:
    """Return a hash that is gone with its only field."""
    key = f"{prefix}velocity:liqtape-check-{os.getpid()}:current".encode()
    return [command(b"HSET", key, b"symbol", b""), command(b"EXPIRE", key, b"10"), command(b"HDEL", key, b"symbol")]


async def _is_queueing(connection: Connection) -> bool:
    """Return whether commands are only queued from now on; else they would be done."""
    try:
        await _ask(connection, command(b"MULTI"))
    except exceptions.ResponseError:
        return False
    return True


async def _refused(connection: Connection, commands: Sequence[bytes]) -> list[str]:
    """Return what the server refuses, in its words."""
    refused: dict[str, None] = {}
    for packed in commands:
        try:
            await _ask(connection, packed)
        except exceptions.ResponseError as error:
            verb, key = verb_and_key(packed)
            refused[f"{verb.decode()} {key.decode(errors='replace')}: {error}"] = None
    return list(refused)


async def _ask(connection: Connection, packed: bytes) -> Any:
    await connection.send_packed_command([packed])
    return await connection.read_response()


async def _version(client: Any) -> str:
    """Return name and version as the server tells them; a user who may write need not be allowed to ask."""
    try:
        told = await client.info("server")
    except exceptions.ResponseError:
        return "a server of unknown version"
    if "valkey_version" in told:
        return f"Valkey {told['valkey_version']}"
    return f"Redis {told.get('redis_version', 'of unknown version')}"
