"""Whether a PostgreSQL server can take the history; changes nothing there."""

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from liqtape.errors import ConfigurationError
from liqtape.postgresql import connected, explained, failures
from liqtape.sinks.postgres.schema import Capability, Tables, look
from liqtape.sinks.postgres.sql import VERSION

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["PostgresCheck", "check_postgres"]

_ANSWER_SECONDS = 4.0
# Never the URL, which may bear a password.
_WHERE = (
    "SELECT coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'its socket') || '/' || current_database()"
)


class PostgresCheck(Struct, frozen=True):
    """`failed_stage` is empty where all is well; `features` are those of TimescaleDB, where it is installed."""

    failed_stage: str
    detail: str
    features: tuple[Capability, ...] = ()


async def check_postgres(url: str) -> PostgresCheck:
    """Check that it can be reached and written, which tables and capabilities it has; raises MissingExtra only."""
    broken: tuple[type[Exception], ...] = (*failures(), ConfigurationError)
    stage = "connect"
    try:
        async with connected(url, _ANSWER_SECONDS) as connection:
            stage = "read"
            tables = await look(connection)
            refusal = await _refusal(connection, tables)
            where = await connection.fetchval(_WHERE)
    except broken as error:
        return PostgresCheck(stage, explained(error))
    said = f"PostgreSQL {tables.server} at {where}, {_spoken(tables)}"
    return PostgresCheck(refusal and "write", f"{said}; {refusal}" if refusal else said, _features(tables))


async def _refusal(connection: "Connection", tables: Tables) -> str:
    """Return why the sink could not write there; empty where it can."""
    if tables.version > VERSION:
        return f"the tables are of a newer liqtape (version {tables.version}, ours is {VERSION})"
    if await connection.fetchval("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"):
        return "it is read-only"
    if not await connection.fetchval("SELECT has_database_privilege(current_database(), 'TEMPORARY')"):
        return "this user may not make temporary tables"
    if not await connection.fetchval("SELECT has_schema_privilege(current_schema(), 'CREATE')"):
        return "this user may not make tables in its schema"
    if tables.version and not await connection.fetchval("SELECT has_table_privilege('liquidations', 'INSERT')"):
        return "this user may not write into the tables"
    return ""


def _spoken(tables: Tables) -> str:
    if not tables.version:
        kind = "a hypertable, if it can be made" if tables.timescale else "partitions"
        return f"no tables yet: `liqtape run` makes them (version {VERSION}, {kind})"
    layout = "a hypertable" if tables.layout == "timescale" else "partitions, BRIN, minutes kept by upsert"
    current = "current" if tables.version == VERSION else f"`liqtape run` brings them to {VERSION}"
    return f"tables of version {tables.version} ({current}), {layout}"


def _features(tables: Tables) -> tuple[Capability, ...]:
    if tables.timescale is None:
        return ()
    extension = Capability("timescaledb", works=True, detail=f"version {tables.timescale} is installed")
    tried = (replace(one, detail="works" if one.works else one.detail) for one in tables.capabilities)
    return (extension, *tried)
