"""Hold each source file of engine/ and venues/ to a floor: what its own tests execute of its lines and branches.

The own tests of `engine/windows/coverage.py` are those of `tests/engine/test_coverage.py`; files that are tested
together with another one are listed below. What only other files' tests execute is covered by accident, and nobody sees
when that ends.
"""

import io
import os
import pkgutil
import sys
from importlib import import_module
from pathlib import Path

import coverage
import pytest

_ROOT = Path(__file__).resolve().parents[1]
_SOURCE = _ROOT / "src" / "liqtape"
_ROOMS = ("engine", "venues")
_FLOOR = 90
# What was measured of files that other files' tests execute as well, rounded down: raise a figure, never lower it.
_LOWER = {
    "instrumentwindows": 45,
    "venuewindows": 62,
    "velocity": 63,
    "eventcolumn": 75,
    "coverage": 78,
    "decayedwindows": 80,
    "updater": 81,
    "session": 81,
    "okx": 83,
    "episodes": 84,
    "binstatistics": 85,
    "surpriselevels": 87,
}
# The tracer's own memory would be measured as well.
_UNTRACED = ("tests/engine/test_velocity.py::test_memory_returns_after_a_burst",)
# Tested by the files of what they are parts of.
_WITH = {
    "decayedwindows": ("forms",),
    "episodes": ("returnperiods",),
    "instrumentwindows": ("velocity",),
    "metricrow": ("velocity",),
    "streamlevel": ("returnperiods",),
    "surpriselevels": ("levels",),
    "tables": ("binance", "bybit", "okx", "hyperliquid"),
    "updater": ("velocity",),
}


class _ByTestFile:
    """Tells the coverage which file's tests run."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._measured.switch_context(nodeid.partition("::")[0])


def main() -> int:
    """Run the tests of both rooms, print what lies below the floor, and return 1 if anything does."""
    os.chdir(_ROOT)
    sources = [str(_SOURCE / room) for room in _ROOMS]
    measured = coverage.Coverage(data_file=None, branch=True, source=sources, config_file=str(_ROOT / "pyproject.toml"))
    measured.start()
    for room in _ROOMS:  # what an import executes belongs to no test
        for module in pkgutil.walk_packages([str(_SOURCE / room)], f"liqtape.{room}."):
            import_module(module.name)
    tests = sorted({test for path in _files() for test in _own_tests(path)})
    options = ["-q", "-p", "no:cacheprovider", *(f"--deselect={test}" for test in _UNTRACED)]
    code = pytest.main([*options, *tests, *sys.argv[1:]], plugins=[_ByTestFile(measured)])
    measured.stop()
    shares = {path: _own_share(measured, path) for path in _files()}
    for path, share in sorted(shares.items(), key=lambda pair: pair[1]):
        if share < 100.0:
            print(f"{share:6.1f} %  {path.relative_to(_SOURCE)}  {' '.join(_own_tests(path)) or 'no test file'}")
    low = [path for path, share in shares.items() if share < _LOWER.get(path.stem, _FLOOR)]
    print(f"{len(shares)} files of {' and '.join(_ROOMS)}, below their floors: {[path.stem for path in low] or 'none'}")
    return int(code) or (1 if low else 0)


def _files() -> list[Path]:
    return [path for room in _ROOMS for path in (_SOURCE / room).rglob("*.py") if path.name != "__init__.py"]


def _own_tests(path: Path) -> list[str]:
    room = path.relative_to(_SOURCE).parts[0]
    tests = [f"tests/{room}/test_{name}.py" for name in _WITH.get(path.stem, (path.stem,))]
    return [test for test in tests if (_ROOT / test).exists()]


def _own_share(measured: coverage.Coverage, path: Path) -> float:
    contexts = ["^$", *(f"^{test}$" for test in _own_tests(path))]
    return measured.report(morfs=[str(path)], contexts=contexts, file=io.StringIO(), skip_covered=False)


if __name__ == "__main__":
    sys.exit(main())
