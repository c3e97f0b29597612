"""Every benchmark runs and prints a figure; what the figures are is not a test's business."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.__main__ import CHECKS, NAMES, markdown, text
from benchmarks.goals import GOALS, rows
from benchmarks.measure import Figure
from benchmarks.operations import OPERATIONS

_ROOT = Path(__file__).parents[1]


_NEEDED = {"postgres_copy": "initdb", "floor": "cc", "instructions": "valgrind"}


@pytest.mark.parametrize("name", NAMES + CHECKS)
def test_benchmark_prints_its_figures(
    name: str, require_server: Callable[[str], Path], history_file: Callable[[str], Path]
) -> None:
    if name in _NEEDED:
        require_server(_NEEDED[name])
    if name == "realdays":
        history_file("binance_all_20251211_0136_0230.parquet")
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


def test_every_benchmark_file_is_run_by_default_or_a_check() -> None:
    parts = {"__init__", "__main__", "counted", "counting", "frames", "goals", "measure", "operations", "sender"}
    parts |= {
        "exam",
        "freshstart",
        "hostilefloods",
        "hostilepeer",
        "marketdays",
        "page",
        "stationary",
        "stream",
        "surprises",
        "wire",
    }
    assert {path.stem for path in (_ROOT / "benchmarks").glob("*.py")} - parts == set(NAMES + CHECKS)


def _figure(goal: str, median: float, most: float | None = 1.5, unit: str = "x") -> Figure:
    return Figure(f"figure of {goal}", median, median, median, unit, "made up", at_most=most, goal=goal)


def test_target_is_met_when_all_its_figures_are() -> None:
    measured = [_figure("growth", 1.2), _figure("callback", 1.4), _figure("", 9.0), _figure("growth", 1.6)]

    assert [(row.goal.key, row.measured, row.verdict) for row in rows(measured)] == [
        ("growth", "1.2 x; 1.6 x", "missed"),
        ("callback", "1.4 x", "met"),
    ]


def test_targets_come_first_in_their_own_order() -> None:
    figures = {"latency": [_figure("callback", 2.0)], "engine": [_figure("scan", 1.0), _figure("", 3.0)]}
    goals = {goal.key: goal for goal in GOALS}

    as_text, as_markdown = text(figures), markdown(figures).splitlines()
    assert as_markdown[:4] == [
        "| figure | target | measured | verdict |",
        "|---|---|---|---|",
        f"| {goals['scan'].text} | {goals['scan'].target} | 1 x | met |",
        f"| {goals['callback'].text} | {goals['callback'].target} | 2 x | missed |",
    ]
    assert (
        as_text.index("bounded-deque") < as_text.index("paced") < as_text.index("repeat: python -m benchmarks latency")
    )


def test_goal_nobody_set_is_refused() -> None:
    with pytest.raises(ValueError, match="no such goal: nonsense"):
        rows([_figure("nonsense", 1.0)])


@pytest.mark.parametrize("goal", [goal.key for goal in GOALS])
def test_every_target_is_measured_somewhere(goal: str) -> None:
    sources = [path for path in (_ROOT / "benchmarks").glob("*.py") if path.stem != "goals"]
    assert any(f'"{goal}"' in path.read_text(encoding="utf-8") for path in sources)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_whose_instructions_are_counted_can_be_done(name: str) -> None:
    work, things = OPERATIONS[name](20)

    assert len(things) == 20
    work(things[:10])
    work(things[10:])


def test_unknown_benchmark_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks", "nonsense"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "there are decode" in done.stderr
