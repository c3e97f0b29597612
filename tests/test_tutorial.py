"""The commands of the tutorials are run as they stand, by a shell, in an empty directory."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(os.name != "posix", reason="the tutorial is for a POSIX shell")
def test_record_and_replay_runs_as_written(tmp_path: Path) -> None:
    page = (_ROOT / "docs/tutorial/record-and-replay.md").read_text("utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(commands) == 7
    tools = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIQTAPE_")}
    environment |= {"PATH": f"{tools}{os.pathsep}{environment['PATH']}", "HOME": str(tmp_path)}
    shell = subprocess.Popen(
        ["bash", "-euc", "\n".join(commands)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that the simulator ends with the test, whatever fails
    )
    try:
        told, errors = shell.communicate(timeout=180)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    assert shell.returncode == 0, errors
    assert re.search(r"recorded in week: [\d,]+ frames in 1 segments, \d+% of their bytes, 0 dropped", told)
    assert "000001.liqrec" in told
    assert "\nthe same\n" in told
    assert "velocity_10s" in told
    assert "usd_300s" in told
