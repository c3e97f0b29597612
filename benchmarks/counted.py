"""Operations done a number of times and twice as often, each in a process of its own, to be counted from outside.

    python -m benchmarks.counted COUNT NAME ...

Prints [name, process, process] a line, and leaves out what the code it runs over does not have. The processes are forks
of this one, which has imported, prepared and warmed up everything before: under callgrind that takes a hundred times as
long as by itself.
"""

import gc
import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["EMPTY"]

EMPTY = "an empty loop"
"""Needs no import of ours."""

_WARM_UP = 50


def _pass(things: Sequence[Any]) -> None:
    for _ in things:
        pass


def _prepared(name: str, size: int) -> tuple[Callable[[Sequence[Any]], object], Sequence[Any]]:
    if name == EMPTY:
        return _pass, range(size)
    operations = importlib.import_module("benchmarks.operations").OPERATIONS
    prepared: tuple[Callable[[Sequence[Any]], object], Sequence[Any]] = operations[name](size)
    return prepared


def _forked(work: Callable[[Sequence[Any]], object], things: Sequence[Any]) -> int:
    """The number of a process that does the work and ends."""
    process = os.fork()
    if not process:
        work(things)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    if status:
        raise RuntimeError(f"a counted process ended with status {status}")
    return process


def main(count: int, names: Sequence[str]) -> None:
    """Each name in turn."""
    gc.disable()
    size = _WARM_UP + 2 * count
    for name in names:
        try:
            work, things = _prepared(name, size)
            work(things[:_WARM_UP])
        except (ImportError, AttributeError) as error:
            print(f"{name}: left out, this revision has no such thing: {error}", file=sys.stderr)
            continue
        once, twice = (_forked(work, things[_WARM_UP : _WARM_UP + many]) for many in (count, 2 * count))
        print(json.dumps([name, once, twice]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
