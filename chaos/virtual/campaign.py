"""Many seeds, in some processes, for some minutes; and what is said of them."""

import argparse
import gc
import signal
import time
from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import closing, suppress
from itertools import count
from multiprocessing import active_children, get_context
from pathlib import Path

from chaos.virtual.bugs import BUGS, put_back
from chaos.virtual.execution import Outcome, execute
from chaos.virtual.minimise import kind_of, minimised
from chaos.virtual.scheme import Scheme, scheme
from msgspec import Struct

__all__ = ["bug_table", "campaign", "repeated"]

_MOST_MINIMISED = 3
_LONGEST_SECONDS = 300.0
"""When no seed has ended for so long, none will: most take three seconds."""

_NO_END = "no end"


class Timed(Struct, frozen=True):
    """An outcome, and the seconds of a core that it took."""

    outcome: Outcome
    cpu_seconds: float


def _prepare() -> None:
    """Keep what was imported out of the collections that end each execution: those took a twentieth of it."""
    gc.collect()
    gc.freeze()


def _timed(one: Scheme, bug: str) -> Timed:
    began = time.process_time()
    with put_back(bug):
        outcome = execute(one)
    return Timed(outcome, time.process_time() - began)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_prepare)


def _end_processes() -> None:
    for process in active_children():
        process.terminate()


def _outcomes(first: int, seconds: float, minutes: float, workers: int, bug: str = "") -> Generator[Timed]:
    """Yield the outcomes of one seed after the other, until the time is over or nobody wants more.

    A seed that ends in an error, never ends, or takes its process along has an outcome as well.
    """
    until = time.monotonic() + 60.0 * minutes
    seeds = count(first)
    running: dict[Future[Timed], Scheme] = {}
    pool = _pool(workers)
    try:
        while True:
            while time.monotonic() < until and len(running) < workers:
                one = scheme(next(seeds), seconds)
                running[pool.submit(_timed, one, bug)] = one
            if not running:
                return
            ended, _ = wait(running, _LONGEST_SECONDS, FIRST_COMPLETED)
            if not ended:
                _end_processes()
            is_broken = False
            for future in ended:
                error, one = future.exception(), running.pop(future)
                is_broken |= isinstance(error, BrokenExecutor)
                yield future.result() if error is None else Timed(_without_end(one, error), 0.0)
            if is_broken:
                pool.shutdown(wait=False)
                pool = _pool(workers)
    finally:
        _end_processes()  # what runs still is not wanted any more
        pool.shutdown(cancel_futures=True)


def _without_end(one: Scheme, error: BaseException) -> Outcome:
    return Outcome(one, "", (f"0.000 s: {_NO_END}: {type(error).__name__}: {error}",), 0, 0, 0)


def campaign(options: argparse.Namespace) -> int:
    """Run seeds; tell what was found, the smallest way to it, and how much was simulated."""
    began, cpu_seconds, hours, events, seeds = time.monotonic(), 0.0, 0.0, 0, 0
    failed: list[Outcome] = []
    outcomes = _outcomes(options.first, options.seconds, options.minutes, options.workers, options.bug)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with closing(outcomes), suppress(KeyboardInterrupt):
        for timed in outcomes:
            outcome = timed.outcome
            seeds, cpu_seconds, events = seeds + 1, cpu_seconds + timed.cpu_seconds, events + outcome.printed
            hours += outcome.scheme.seconds / 3_600
            if outcome.problems:
                failed.append(outcome)
                print(f"seed {outcome.scheme.seed}: {outcome.problems[0]}", flush=True)
            if options.hours and hours >= options.hours:
                break
    wall_seconds = time.monotonic() - began
    print(
        f"{seeds} seeds, {hours:.1f} simulated hours, {events} liquidations, {len(failed)} seeds with problems; "
        f"{wall_seconds:.0f} s, {cpu_seconds:.0f} s of a core ({3_600 * hours / max(cpu_seconds, 1e-9):.0f} times "
        "as fast as it would happen, on each core)",
        flush=True,
    )
    for number, outcome in enumerate(failed):
        _tell(outcome, options.bug, is_minimised=number < _MOST_MINIMISED and kind_of(outcome) != _NO_END)
    return 1 if failed else 0


def repeated(one: Scheme, bug: str, trace: Path | None) -> int:
    """Execute one scheme, and tell what came of it."""
    with put_back(bug):
        outcome = execute(one, keeps_trace=trace is not None)
    if trace is not None:
        trace.write_text("\n".join(outcome.trace), encoding="utf-8")
    for hazard in outcome.scheme.hazards:
        print(f"  {hazard}")
    print(f"{outcome.digest}  {outcome.printed} printed, {outcome.logged} logged, {outcome.steps} steps")
    for problem in outcome.problems:
        print(problem)
    return 1 if outcome.problems else 0


def bug_table(minutes: float, workers: int, seconds: float, first: int) -> int:
    """Put each bug back, and tell after how many seeds it was found."""
    missed = 0
    print(f"{'bug':<22}{'seeds':>6}{'hours':>7}{'s':>6}  found as")
    for name in BUGS:
        began, seeds, hours, found = time.monotonic(), 0, 0.0, ""
        for timed in _outcomes(first, seconds, minutes, workers, name):
            seeds, hours = seeds + 1, hours + timed.outcome.scheme.seconds / 3_600
            if timed.outcome.problems:
                found = f"seed {timed.outcome.scheme.seed}, {timed.outcome.problems[0]}"
                break
        missed += not found
        print(f"{name:<22}{seeds:>6}{hours:>7.1f}{time.monotonic() - began:>6.0f}  {found or 'NOT FOUND'}", flush=True)
    return 1 if missed else 0


def _tell(outcome: Outcome, bug: str, *, is_minimised: bool) -> None:
    if is_minimised:
        with put_back(bug):
            outcome = minimised(outcome, execute)
    print(f"seed {outcome.scheme.seed}: {outcome.problems[0]}")
    print(f"  python -m chaos.virtual {f'--bug {bug} ' if bug else ''}{outcome.scheme.line()}", flush=True)
