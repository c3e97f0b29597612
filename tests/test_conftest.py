import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_CASE = """
def test_needs_a_server(require_server):
    require_server("no-such-server")

def test_needs_python(require_server):
    assert require_server({python!r}).exists()
"""


def _run(directory: Path, *, servers_required: bool) -> subprocess.CompletedProcess[str]:
    shutil.copy(Path(__file__).with_name("conftest.py"), directory)
    (directory / "test_case.py").write_text(_CASE.format(python=sys.executable), encoding="utf-8")
    environment = {name: text for name, text in os.environ.items() if name != "LIQTAPE_REQUIRE_SERVERS"}
    if servers_required:
        environment["LIQTAPE_REQUIRE_SERVERS"] = "1"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(directory), str(directory)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_absent_server_skips_and_is_named_at_the_end(tmp_path: Path) -> None:
    run = _run(tmp_path, servers_required=False)

    assert run.returncode == pytest.ExitCode.OK
    assert "NOT PROVED test_case.py::test_needs_a_server: server program not found: no-such-server" in run.stdout
    assert "1 passed, 1 skipped" in run.stdout


def test_absent_server_fails_where_servers_are_required(tmp_path: Path) -> None:
    run = _run(tmp_path, servers_required=True)

    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 1 passed" in run.stdout
