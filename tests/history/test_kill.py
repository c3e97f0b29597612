"""SIGKILL of the writer at random moments, a hundred times: nothing acknowledged is lost, the log opens each time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).with_name("killed_writer.py")


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_acknowledged_is_lost_by_sigkill(seed: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), str(tmp_path), "50", str(seed)], check=True, stdout=subprocess.PIPE, timeout=120
    )
    told = json.loads(done.stdout)
    assert (told["lost"], told["doubled"]) == (0, 0)
    assert told["found"] >= told["acknowledged"] > 1_000
