"""Every benchmark runs and prints a figure; what the figures are is not a test's business."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.__main__ import NAMES

_ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", NAMES)
def test_benchmark_prints_its_figures(name: str, require_server: Callable[[str], Path]) -> None:
    if name == "postgres_copy":
        require_server("initdb")
    command = [sys.executable, "-W", "error", "-m", "benchmarks", name, "--tiny"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"repeat: python -m benchmarks {name}" in done.stdout
    figures = [line for line in done.stdout.splitlines() if " .. " in line]
    assert figures


def test_table_for_the_readme_has_a_row_for_each_figure() -> None:
    command = [sys.executable, "-m", "benchmarks", "redis_write", "--tiny", "--markdown"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60, check=True)
    rows = [line for line in done.stdout.splitlines() if line.startswith("| `redis_write` ")]
    assert rows
    assert all(row.count("|") == 7 for row in rows)


def test_every_benchmark_file_is_run_by_default() -> None:
    parts = {"__init__", "__main__", "frames", "measure", "sender", "wire"}
    assert {path.stem for path in (_ROOT / "benchmarks").glob("*.py")} - parts == set(NAMES)


def test_unknown_benchmark_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks", "nonsense"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "there are decode" in done.stderr
