import asyncio
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from liqtape.cli.check import _database
from liqtape.settings import HistorySettings, Settings
from liqtape.sinks.postgres.schema import prepare
from liqtape.sinks.postgres.servercheck import check_postgres
from liqtape.sinks.postgres.sql import VERSION
from liqtape.venues import VENUES

if TYPE_CHECKING:
    from tests.conftest import PostgresServer

asyncpg: Any = importlib.import_module("asyncpg")  # not annotated


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.fixture
def url(postgres_server: "PostgresServer") -> str:
    return postgres_server.url(postgres_server.new_database())


async def test_empty_database_is_fine_and_stays_empty(postgres_server: "PostgresServer", url: str) -> None:
    found = await check_postgres(url)

    assert not found.failed_stage
    assert f"127.0.0.1:{postgres_server.port}/" in found.detail
    assert "no tables yet" in found.detail
    assert (
        postgres_server.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", url.rpartition("/")[2]) == "0"
    )


async def test_tables_and_capabilities_are_told(url: str) -> None:
    connection = await asyncpg.connect(url)
    await prepare(connection)
    await connection.close()
    assert f"tables of version {VERSION} (current), partitions" in (await check_postgres(url)).detail

    await execute(
        url,
        "SET allow_system_table_mods = on",
        "INSERT INTO pg_extension SELECT 99999, 'timescaledb', 10, 2200, false, '2.99', NULL, NULL",
        "INSERT INTO liqtape_capabilities VALUES ('hypertable', false, 'not here')",
    )
    lines = await _database(Settings(history=HistorySettings(url=url)))

    assert [(line.subject, line.ok) for line in lines] == [
        ("postgres", True),
        ("postgres timescaledb", True),
        ("postgres hypertable", None),
    ]
    assert lines[2].detail == "not here"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER DATABASE {0} SET default_transaction_read_only = on", "read-only"),
        ("REVOKE TEMPORARY ON DATABASE {0} FROM PUBLIC", "temporary tables"),
        ("REVOKE CREATE ON SCHEMA public FROM PUBLIC", "tables in its schema"),
    ],
    ids=["read-only", "temporary", "create"],
)
async def test_what_would_stop_the_sink_is_found(
    postgres_server: "PostgresServer", url: str, statement: str, said: str
) -> None:
    database = url.rpartition("/")[2]
    postgres_server.sql("DO 'BEGIN CREATE ROLE nobody LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END'")
    postgres_server.sql(f"GRANT CREATE ON SCHEMA public TO PUBLIC; {statement.format(database)}", database)

    found = await check_postgres(postgres_server.url(database, "nobody"))

    assert (found.failed_stage, said in found.detail) == ("write", True)


async def test_server_that_is_not_there_is_a_failed_connect_without_the_password() -> None:
    found = await check_postgres("postgresql://liqtape:s3cret@127.0.0.1:1/liqtape")

    assert found.failed_stage == "connect"
    assert "s3cret" not in found.detail


def test_without_a_server_in_the_settings_nothing_is_said() -> None:
    assert asyncio.run(_database(Settings())) == []


def test_command_prints_the_server_and_fails_with_it(tmp_path: Path) -> None:
    file = tmp_path / "liqtape.toml"
    venues = "".join(f"[venues.{name}]\nenabled = false\n" for name in VENUES if name != "bybit")
    file.write_text(
        'redis.url = "off"\nhistory.url = "postgresql://u:s3cret@127.0.0.1:1/x"\n'
        f'{venues}[venues.bybit]\nws_url = "ws://127.0.0.1:1"\nrest_url = "http://127.0.0.1:1"\n'
    )
    command = [sys.executable, "-m", "liqtape", "check", "--config", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, timeout=19, check=False, text=True)

    assert done.returncode == 1, done.stderr
    (line,) = [one for one in json.loads(done.stdout)["checks"] if one["subject"] == "postgres"]
    assert (line["ok"], line["stage"]) == (False, "connect")
    assert "s3cret" not in done.stdout + done.stderr
