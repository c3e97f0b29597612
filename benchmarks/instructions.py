"""Instructions an operation, counted by callgrind: the same on a busy machine as on a quiet one.

The count of an operation is what 2 N of them execute more than N, divided by N: the interpreter, the imports and the
first times of everything fall out (`benchmarks.counted`). Callgrind leaves what a process executed in a file with its
number.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.counted import EMPTY
from benchmarks.decode import STEPS
from benchmarks.measure import TINY, Figure, Scale, figure
from benchmarks.operations import LOADS, OPERATIONS

_COUNT = 200
_PATIENCE_SECONDS = 900
_TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)


def run(scale: Scale) -> list[Figure]:
    """Counts of each operation; nothing, and a line that says so, without valgrind."""
    if shutil.which("valgrind") is None:
        print("instructions: left out, there is no valgrind (apt-get install valgrind)", file=sys.stderr)
        return []
    names = [EMPTY] if scale == TINY else [EMPTY, *OPERATIONS]
    counts = _counts(names, _COUNT)
    figures = [figure(name, [each], "instructions", f"callgrind, {_COUNT} of them") for name, each in counts.items()]
    for name, each in counts.items():
        venue, _, step = name.partition(": ")
        loads = counts.get(f"{venue}: {LOADS}")
        if step in STEPS and loads is not None:
            measured = f"{each:,.0f} against {loads:,.0f} instructions"
            figures.append(figure(f"{name} against {LOADS}", [loads / each], "x fewer", measured))
    return figures


def _counts(names: Sequence[str], count: int) -> dict[str, float]:
    counts = {}
    with tempfile.TemporaryDirectory(prefix="liqtape-bench-") as directory:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/%p", "--quiet", sys.executable]
        done = subprocess.run(
            [*command, "-m", "benchmarks.counted", str(count), *names],
            env=os.environ | {"PYTHONHASHSEED": "0"},
            stdout=subprocess.PIPE,
            check=True,
            timeout=_PATIENCE_SECONDS,
        )
        for line in done.stdout.splitlines():
            name, *processes = json.loads(line)
            once, twice = (_executed(Path(directory) / str(process)) for process in processes)
            counts[name] = (twice - once) / count
    return counts


def _executed(written: Path) -> int:
    found = _TOTALS.search(written.read_text())
    if found is None:
        raise RuntimeError(f"callgrind left no total in {written.name}")
    return int(found[1])
