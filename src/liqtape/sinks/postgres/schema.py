"""The tables in PostgreSQL: migrations, and what of TimescaleDB works on this server."""

import logging
from typing import TYPE_CHECKING

from msgspec import Struct

from liqtape.errors import ConfigurationError
from liqtape.postgresql import committed, explained, failures
from liqtape.sinks.postgres.sql import VERSION, sql

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["Capability", "Tables", "look", "prepare"]

LOCK = 0x6C697174617065  # of all that change tables, a transaction at a time
_RETRY_LOCK_SECONDS = 5
_IDLE_MS = 30_000  # of a transaction; as long as the sink waits for an answer

_log = logging.getLogger(__name__)

# Each is tried alone: licence and version decide which of them a server knows. The older names come second.
_FEATURES = {
    "integer_now": ("timescale/integer_now",),
    "columnstore": ("timescale/columnstore", "timescale/columnstore_older"),
    "columnstore_policy": ("timescale/columnstore_policy", "timescale/columnstore_policy_older"),
    "aggregate": ("timescale/aggregate",),
    "aggregate_policy": ("timescale/aggregate_policy",),
}


class Capability(Struct, frozen=True):
    """A feature of TimescaleDB as it was tried on this server; `detail` says why it does not work."""

    name: str
    works: bool
    detail: str


class Tables(Struct, frozen=True):
    """What there is: `version` 0 before the first migration; `layout` is plain, timescale, or empty."""

    server: str
    version: int
    layout: str
    timescale: str | None
    capabilities: tuple[Capability, ...]

    def can(self, name: str) -> bool:
        """Return whether this capability was tried and works."""
        return any(one.works for one in self.capabilities if one.name == name)


async def look(connection: "Connection") -> Tables:
    """Look what there is, and change nothing."""
    server = await connection.fetchval("SELECT current_setting('server_version')")
    timescale = await connection.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    if await connection.fetchval("SELECT to_regclass('liqtape_migrations') IS NULL"):
        return Tables(server, 0, "", timescale, ())
    newest = await connection.fetchrow("SELECT version, layout FROM liqtape_migrations ORDER BY version DESC LIMIT 1")
    if newest is None:
        return Tables(server, 0, "", timescale, ())
    rows = await connection.fetch("SELECT name, works, detail FROM liqtape_capabilities ORDER BY tried_at, name")
    capabilities = tuple(Capability(*row) for row in rows)
    return Tables(server, newest["version"], newest["layout"], timescale, capabilities)


async def prepare(connection: "Connection") -> Tables:
    """Bring the tables to this version, and try what of TimescaleDB does not work yet.

    Raises ConfigurationError where a newer liqtape has been here, and any of `failures()`.
    """
    # Where the network was lost in a transaction, the server keeps that open, with its locks, until it misses the
    # client: two hours by default. The next session would wait for them.
    await connection.execute(f"SET idle_in_transaction_session_timeout = {_IDLE_MS}")
    while (tables := await look(connection)).version < VERSION:
        await _step(connection, tables)
    if tables.version > VERSION:
        raise ConfigurationError(
            f"the tables were made by a newer liqtape (version {tables.version}, ours is {VERSION}); update this one"
        )
    if tables.timescale is not None:
        await _try_features(connection, tables)
        return await look(connection)
    return tables


async def _step(connection: "Connection", tables: Tables) -> None:
    """Bring the tables to the next version. Where no hypertable can be made, the first is that of plain PostgreSQL."""
    layout = tables.layout or ("plain" if tables.timescale is None else "timescale")
    try:
        await _migrate(connection, tables.version + 1, layout)
    except failures() as error:
        if layout == "plain" or tables.version or connection.is_closed():
            raise
        _log.warning("history: no hypertable, going on with partitions: %s", explained(error))
        await _migrate(connection, 1, "plain")
        await _record(connection, "hypertable", explained(error))
    else:
        if layout == "timescale" and not tables.version:
            await _record(connection, "hypertable", "")


async def _migrate(connection: "Connection", version: int, layout: str) -> None:
    async with committed(connection):
        await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS liqtape_migrations "
            "(version int PRIMARY KEY, layout text NOT NULL, made_at timestamptz NOT NULL DEFAULT now())"
        )
        if await connection.fetchval("SELECT count(*) FROM liqtape_migrations WHERE version >= $1", version):
            return  # somebody else was quicker
        await connection.execute(sql(f"common/{version:03}"))
        await connection.execute(sql(f"{layout}/{version:03}"))
        await connection.execute("INSERT INTO liqtape_migrations VALUES ($1, $2)", version, layout)


async def _try_features(connection: "Connection", tables: Tables) -> None:
    if tables.layout != "timescale":
        if not any(one.name == "hypertable" for one in tables.capabilities):
            await _record(connection, "hypertable", "the tables were made before the extension")
        return
    for name, files in _FEATURES.items():
        if not tables.can(name):
            await _record(connection, name, await _tried(connection, files))


async def _tried(connection: "Connection", files: tuple[str, ...]) -> str:
    """Try these in turn until one works; return why none does, empty where one did."""
    why: list[str] = []
    for file in files:
        try:
            async with committed(connection):
                await connection.execute(f"SET LOCAL lock_timeout = '{_RETRY_LOCK_SECONDS}s'")
                await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
                await connection.execute(sql(file))
        except failures() as error:
            if connection.is_closed():
                raise
            why.append(explained(error))
        else:
            return ""
    return "; ".join(why)


async def _record(connection: "Connection", name: str, why_not: str) -> None:
    await connection.execute(
        "INSERT INTO liqtape_capabilities (name, works, detail) VALUES ($1, $2, $3) "
        "ON CONFLICT (name) DO UPDATE SET works = excluded.works, detail = excluded.detail, tried_at = now()",
        name,
        not why_not,
        why_not,
    )
