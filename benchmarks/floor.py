"""The engine per event against the same arithmetic in a bare C loop (`floor.c`), which cc compiles where there is one.

Both take the same events of one instrument and evaluate all windows after each; their last evaluations must be equal.
"""

import ctypes
import shutil
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import Case, Figure, Scale, cpu_rounds, figure, ratio
from benchmarks.stream import Stream, endless
from liqtape.engine.windows.window import Totals
from liqtape.events import Liquidation
from liqtape.money import micro_of

_IN_WINDOW = 30_000
_EVENTS = 4_000
_LOOP_EVENTS = 40_000  # a loop over fewer is over before the clock has moved much
_SOURCE = Path(__file__).with_name("floor.c")


class _Columns:
    """Events as C wants them."""

    def __init__(self, events: list[Liquidation]) -> None:
        self.times = array("q", (event.event_ms for event in events))
        self.micro = array("q", (micro_of(event.notional_usd or 0.0) for event in events))
        self.sides = array("b", (event.side == "short" for event in events))

    def __len__(self) -> int:
        return len(self.times)


class _Totals(ctypes.Structure):
    _fields_ = (("counts", ctypes.c_int64 * 4), ("micro", ctypes.c_int64 * 4), ("acceleration", ctypes.c_double))


class _Loop:
    """The columns of one instrument in C."""

    def __init__(self, library: ctypes.CDLL, capacity: int) -> None:
        self._library = library
        library.floor_new.restype = ctypes.c_void_p
        self._lanes = ctypes.c_void_p(library.floor_new(ctypes.c_int64(capacity)))
        if self._lanes.value is None:
            raise MemoryError("floor.c")
        self._totals = _Totals()

    def run(self, columns: _Columns) -> None:
        """Each event added, all windows evaluated after it."""
        pointers = [ctypes.c_void_p(one.buffer_info()[0]) for one in (columns.times, columns.micro, columns.sides)]
        self._library.floor_run(self._lanes, ctypes.c_int64(len(columns)), *pointers, ctypes.byref(self._totals))

    @property
    def totals(self) -> Totals:
        """The last evaluation."""
        last: Any = self._totals
        return Totals(tuple(last.counts), tuple(last.micro), last.acceleration)

    def close(self) -> None:
        """Give the columns back."""
        self._library.floor_free(self._lanes)


@contextmanager
def _compiled(compiler: str) -> Iterator[ctypes.CDLL]:
    with tempfile.TemporaryDirectory(prefix="liqtape-bench-") as directory:
        library = Path(directory) / "floor.so"
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)], check=True)
        yield ctypes.CDLL(str(library))


def run(scale: Scale) -> list[Figure]:
    """How many times longer Python takes; nothing, and a line that says so, without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        print("floor: left out, there is no C compiler (cc)", file=sys.stderr)
        return []
    count, in_loop = scale.size(_EVENTS), scale.size(_LOOP_EVENTS)
    in_window = scale.size(_IN_WINDOW)
    with _compiled(compiler) as library:
        _check(library, in_window, count)
        ours, theirs = Stream(in_window), endless(in_window)
        loop = _Loop(library, in_window + (scale.rounds + 1) * in_loop)
        loop.run(_taken(theirs, in_window))
        cases = {
            "C": Case(loop.run, partial(_taken, theirs, in_loop), in_loop),
            "engine": Case(ours.add_and_totals, partial(ours.next, count), count),
            "engine, add alone": Case(ours.add, partial(ours.next, count), count),
        }
        spent = cpu_rounds(cases, scale.rounds)
        loop.close()
    figures = [figure("C loop", spent["C"], "ns/event", f"cc -O2, {in_window:,} events in 300 s, two lanes")]
    for name, most, goal in (("engine", 50.0, "floor"), ("engine, add alone", None, "")):
        measured = f"{median(spent[name]):,.0f} against {median(spent['C']):.1f} ns/event"
        values = ratio(spent[name], spent["C"])
        figures.append(figure(f"{name} against a C loop", values, "x", measured, at_most=most, goal=goal))
    return figures


def _taken(events: Iterator[Liquidation], count: int) -> _Columns:
    return _Columns(list(islice(events, count)))


def _check(library: ctypes.CDLL, in_window: int, count: int) -> None:
    """The same arithmetic: every last digit."""
    stream = Stream(in_window)
    loop = _Loop(library, in_window + count)
    loop.run(_taken(endless(in_window), in_window))
    events = stream.next(count)
    stream.add(events)
    loop.run(_Columns(events))
    ours = stream.engine.totals(events[-1].instrument, events[-1].event_ms)
    if ours != loop.totals:
        raise RuntimeError(f"not the same arithmetic: {ours} against {loop.totals}")
    loop.close()
