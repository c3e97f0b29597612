"""Events into a PostgreSQL server: COPY alone, and the whole idempotent way of the sink, alternating in one run.

    python benchmarks/postgres_copy.py [--url URL] [--events N] [--rounds N]     (or as one of `python -m benchmarks`)

Without a URL on a server of its own (Debian's `postgresql` must be installed), with fsync as it comes. `plain` copies
batches of 10,000 into a table with the columns and indexes of one partition; `sink` is what the sink does with the same
batches: staging, repeats, one-minute sums, position, one transaction each; `follow` reads them from a local event log
besides.
"""

import argparse
import asyncio
import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, Scale, figure, ratio
from benchmarks.wire import others
from liqtape.events import SCHEMA, Liquidation
from liqtape.history.log.logreader import LogReader
from liqtape.history.log.store import Store
from liqtape.postgresql import connected
from liqtape.sinks.postgres.postgressink import PostgresSink
from liqtape.sinks.postgres.schema import prepare
from liqtape.sinks.postgres.writer import Writer
from liqtape.venues import VENUES

BATCH = 10_000
T = 1_790_000_000_000
_VENUES = tuple(VENUES)[:4]  # the figure is one of four
COLUMNS = Liquidation.__struct_fields__
_fields_of = attrgetter(*COLUMNS)
PLAIN = """
DROP TABLE IF EXISTS plain;
CREATE TABLE plain (LIKE liquidations);
CREATE UNIQUE INDEX ON plain (event_ms, venue, id) WHERE id <> '';
CREATE INDEX ON plain (instrument, event_ms);
CREATE INDEX ON plain USING brin (event_ms);
"""


def events(count: int) -> list[Liquidation]:
    """Of 100 instruments at four venues, 100 a second."""
    return [
        Liquidation(
            _VENUES[n % len(_VENUES)],
            f"COIN{n % 100}USDT",
            f"COIN{n % 100}USDT",
            "long" if n % 3 else "short",
            80_000.1 + n,
            "bankruptcy",
            0.01 * (n % 50),
            round(800.001 * (n % 50), 6),
            T + 10 * n,
            T + 10 * n + 40,
            f"COIN{n % 100}USDT:{T + 10 * n:x}:{n:x}:long",
        )
        for n in range(count)
    ]


def installed() -> Path | None:
    """Where PostgreSQL's programs are; Debian keeps them out of the PATH."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = shutil.which("initdb", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, programs)]))
    return None if initdb is None else Path(initdb).resolve().parent


@contextmanager
def own_server() -> Iterator[str]:
    """The URL of a new server on a free port."""
    programs = installed()
    if programs is None:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql, or name a server with --url")
    root = os.geteuid() == 0
    user = "postgres" if root else getpass.getuser()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    directory = tempfile.mkdtemp(prefix="liqtape-benchmark-")

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", f"{directory}/data", *arguments]
        subprocess.run(command, check=True, user=user if root else None, cwd=directory, stdout=subprocess.DEVNULL)

    try:
        if root:
            shutil.chown(directory, user)
        run("initdb", "-U", "liqtape", "-A", "trust", "-E", "UTF8", "--no-locale")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_wal_size=4GB"
        own = os.sched_getaffinity(0) if others() else set()
        if own:  # the server elsewhere than what measures
            os.sched_setaffinity(0, others())
        run("pg_ctl", "-w", "-s", "-l", f"{directory}/log", "-o", options, "start")
        if own:
            os.sched_setaffinity(0, own)
        try:
            yield f"postgresql://liqtape@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-w", "-s", "-m", "fast", "stop")
    finally:
        shutil.rmtree(directory)


async def _plain(connection: Any, batches: Sequence[Sequence[tuple[int, Liquidation]]]) -> None:
    for batch in batches:
        records = ((SCHEMA, *_fields_of(event), number) for number, event in batch)
        await connection.copy_records_to_table("plain", records=records, columns=("schema", *COLUMNS, "seq"))


async def _follow(url: str, directory: Path, count: int) -> None:
    sink = PostgresSink(url, LogReader(directory))
    task = asyncio.create_task(sink.run())
    while sink.health().events_written < count:  # noqa: ASYNC110 - a benchmark may look
        await asyncio.sleep(0.002)
    await sink.stop()
    await task


async def rounds_of(url: str, count: int, rounds: int) -> dict[str, list[float]]:
    """Events a second of each way, a value a round; the first round warms up and is left out."""
    made = events(count)
    numbered = list(enumerate(made, 1))
    batches = [numbered[at : at + BATCH] for at in range(0, count, BATCH)]
    rates: dict[str, list[float]] = {"plain": [], "sink": [], "follow": []}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.write(made)
        store.close()
        async with connected(url) as connection:
            tables = await prepare(connection)
            for turn in range(rounds + 1):
                for name, own in rates.items():
                    await connection.execute(f"TRUNCATE liquidations, liq_1m_kept, liqtape_positions; {PLAIN}")
                    async with connected(url) as session:
                        writer = Writer(session, tables, "benchmark")
                        await writer.begin()
                        await writer._days.need({event.event_ms // 86_400_000 for event in made})
                        began = time.perf_counter()
                        if name == "plain":
                            await _plain(session, batches)
                        elif name == "sink":
                            for batch in batches:
                                await writer.write(batch)
                        else:
                            await _follow(url, Path(folder), count)
                        took = time.perf_counter() - began
                    if turn:
                        own.append(count / took)
    return rates


def _measured(url: str | None, count: int, rounds: int) -> dict[str, list[float]]:
    if url is not None:
        return asyncio.run(rounds_of(url, count, rounds))
    with own_server() as started:
        return asyncio.run(rounds_of(started, count, rounds))


def run(scale: Scale) -> list[Figure]:
    """For `python -m benchmarks`."""
    if installed() is None:
        print("PostgreSQL is not installed: not measured", file=sys.stderr)
        return []
    count = scale.size(200_000)
    rates = _measured(None, count, min(scale.rounds, 5))
    said = f"{count} events, batches of {BATCH}, server and client on the same cores"
    return [
        figure("COPY into a table with our indexes", rates["plain"], "events/s", said, at_least=150_000),
        figure("the idempotent way with minutes and position", rates["sink"], "events/s", said),
        figure("the same, read from the local event log", rates["follow"], "events/s", said),
        figure("COPY against the idempotent way", ratio(rates["plain"], rates["sink"]), "x faster", said),
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--url", help="an existing database, whose liqtape tables are emptied")
    options.add_argument("--events", type=int, default=200_000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    for name, rates in _measured(chosen.url, chosen.events, chosen.rounds).items():
        one = figure(name, rates, "events/s", "")
        print(f"{name:<8} median {one.median:9,.0f} events/s ({one.low:,.0f} to {one.high:,.0f}, {len(rates)} rounds)")
    print(f"repeat: python {' '.join(sys.argv)}")


if __name__ == "__main__":
    main()
