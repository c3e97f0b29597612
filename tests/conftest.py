"""What tests share: real servers, the history and wire data beside the checkout, hypothesis without deadlines."""

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import hypothesis
import pytest

# Tests that are started in the background, or by a service, have SIGINT ignored, and so has each process they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_POSTGRES_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))  # where Debian keeps them, out of the PATH
_NO_SERVER = "server program not found: "

# A busy machine is not a failing property. CI judges a change, not a draw: there the examples are the same each time;
# on a developer's machine, and in `make fuzz`, they are new ones.
hypothesis.settings.register_profile("liqtape", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("liqtape"), derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("LIQTAPE_REQUIRE_SERVERS") else "liqtape")


@pytest.fixture(scope="session")
def require_server() -> Callable[[str], Path]:
    """`require_server("redis-server")`: its path, else a skip, or a failure where LIQTAPE_REQUIRE_SERVERS is set."""

    def require(program: str) -> Path:
        found = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, _POSTGRES_PROGRAMS)]))
        if found is None:
            refuse = pytest.fail if os.environ.get("LIQTAPE_REQUIRE_SERVERS") else pytest.skip
            refuse(_NO_SERVER + program)
        return Path(found)

    return require


@pytest.fixture(scope="session")
def refused_frames() -> Callable[[Path], int]:
    """`refused_frames(path)`: how many frames of a fixture no decoder takes, by the `SOURCE.md` beside it.

    The line of the file says so, as in "refused: 8" or "refused: 3, 4".
    """

    def count_refused(path: Path) -> int:
        source = (path.parent / "SOURCE.md").read_text(encoding="utf-8")
        found = re.search(rf"^\|[^|]*`{re.escape(path.name)}`.*refused: (\d+(?:, \d+)*)", source, re.MULTILINE)
        return len(found[1].split(", ")) if found else 0

    return count_refused


class PostgresServer:
    """A PostgreSQL server on a free port of its own, which the test may stop, kill and start again."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # The server refuses to run as root; Debian's package brings a user for it.
        self.user = "postgres" if os.geteuid() == 0 else getpass.getuser()
        self.directory = Path(tempfile.mkdtemp(prefix="liqtape-postgres-"))
        if os.geteuid() == 0:
            shutil.chown(self.directory, self.user)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self._numbers = count()
        self._run("initdb", "-D", "data", "-U", "liqtape", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale")
        with (self.directory / "data" / "postgresql.conf").open("a") as settings:
            # Without fsync a SIGKILL of the server loses nothing; only a power cut would.
            settings.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n"
            )

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self.directory,
            user=self.user if os.geteuid() == 0 else None,
            stdin=subprocess.DEVNULL,
            capture_output=program != "pg_ctl",  # the server it leaves behind would keep the pipe open
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self) -> None:
        self._run("pg_ctl", "-D", "data", "-l", "log", "-s", "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends sessions in order, `immediate` as a crash would."""
        self._run("pg_ctl", "-D", "data", "-s", "-w", "-m", mode, "stop")

    def reload(self) -> None:
        self._run("pg_ctl", "-D", "data", "-s", "reload")

    def children(self) -> list[int]:
        """The server's processes, itself last."""
        own = int((self.directory / "data" / "postmaster.pid").read_text().split()[0])
        return [*map(int, Path(f"/proc/{own}/task/{own}/children").read_text().split()), own]

    def url(self, database: str, user: str = "liqtape") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints, rows a line each, fields separated by `|`."""
        return self._run("psql", "-d", self.url(database), "-X", "-q", "-A", "-t", "-c", statement).strip()

    def new_database(self) -> str:
        name = f"liqtape_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def remove(self) -> None:
        if (self.directory / "data" / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.directory)


@pytest.fixture(scope="session")
def postgres_server(require_server: Callable[[str], Path]) -> Iterator[PostgresServer]:
    """One server for all tests; who stops it starts it again."""
    server = PostgresServer(require_server("initdb").resolve().parent)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _file_below(directory: Path) -> Callable[[str], Path]:
    def locate(name: str) -> Path:
        if not (path := directory / name).exists():
            pytest.skip(f"not beside the checkout: shared/data/{directory.name}/{name}")
        return path

    return locate


@pytest.fixture(scope="session")
def history_file() -> Callable[[str], Path]:
    """`history_file("x.parquet")`: a file of past liquidations, kept beside the checkout and not in it."""
    return _file_below(_DATA / "history")


@pytest.fixture(scope="session")
def wire_file() -> Callable[[str], Path]:
    """`wire_file("bybit/x.jsonl")`: captured frames, kept beside the checkout and not in it."""
    return _file_below(_DATA / "wire")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was not proved for want of a server."""
    for report in terminalreporter.getreports("skipped"):
        if isinstance(report.longrepr, tuple) and _NO_SERVER in (reason := report.longrepr[2]):
            terminalreporter.write_line(f"NOT PROVED {report.nodeid}: {reason.removeprefix('Skipped: ')}", yellow=True)
