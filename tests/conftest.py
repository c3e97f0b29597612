"""What tests share: real servers, the history and wire data beside the checkout, hypothesis without deadlines."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_NO_SERVER = "server program not found: "

# A busy machine is not a failing property.
hypothesis.settings.register_profile("liqtape", deadline=None, print_blob=True)
hypothesis.settings.load_profile("liqtape")


@pytest.fixture(scope="session")
def require_server() -> Callable[[str], Path]:
    """`require_server("redis-server")`: its path, else a skip, or a failure where LIQTAPE_REQUIRE_SERVERS is set."""

    def require(program: str) -> Path:
        found = shutil.which(program)
        if found is None:
            refuse = pytest.fail if os.environ.get("LIQTAPE_REQUIRE_SERVERS") else pytest.skip
            refuse(_NO_SERVER + program)
        return Path(found)

    return require


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
