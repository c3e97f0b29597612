"""The command that measures: over this checkout, and in turn with an earlier revision."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "liqtape", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_unknown_benchmark_is_refused_by_name() -> None:
    run = _bench("nosuch")

    assert run.returncode == 2
    assert "nosuch" in run.stderr


def test_unknown_revision_is_refused_and_leaves_no_worktree() -> None:
    run = _bench("memory", "--quick", "--compare", "no-such-revision")

    assert run.returncode == 2
    assert "no-such-revision" in run.stderr
    trees = subprocess.run(["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "liqtape-bench" not in trees
