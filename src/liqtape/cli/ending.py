"""What commands say while they work, and at their end."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from textwrap import wrap
from typing import Any, TextIO

import msgspec

__all__ = ["end_with", "facts", "in_a_line", "progress"]

_NAMES = 22  # columns for the names of a summary, so that numbers stand below each other
_LONGEST = 100  # columns of a line


@contextmanager
def progress(total: int) -> Iterator[Callable[[int], object]]:
    """A bar on a terminal, nothing in a pipe; gives the function that moves it on."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda amount: bar.advance(task, amount)


def end_with(command: str, summary: Mapping[str, Any], out: TextIO, *, as_json: bool) -> None:
    """Write the last word of a command: one JSON object on standard output, or a fact a line to `out`."""
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
    else:
        out.write("".join(f"{line}\n" for line in (f"{command}:", *facts(summary))))


def facts(summary: Mapping[str, Any]) -> list[str]:
    """Return a line for each fact, broken where it is long.

    >>> print("\\n".join(facts({"events_late": 1200, "frames": {"liquidation": 2, "control": 0}})))
      events late            1,200
      frames                 2 liquidation, 0 control
    """
    lines: list[str] = []
    for key, value in summary.items():
        begin = f"  {key.replace('_', ' '):<{_NAMES}} "
        lines += wrap(_spoken(value), _LONGEST, initial_indent=begin, subsequent_indent=" " * len(begin))
    return lines


def in_a_line(summary: Mapping[str, Any]) -> str:
    """Return the summary in one line.

    >>> in_a_line({"events_late": 1, "frames": {"control": 2}})
    'events late 1, frames (control 2)'
    """
    parts = []
    for key, value in summary.items():
        said = f"({in_a_line(value)})" if isinstance(value, Mapping) and value else str(value or 0)
        parts.append(f"{key.replace('_', ' ')} {said}")
    return ", ".join(parts)


def _spoken(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_spoken(part)} {name.replace('_', ' ')}" for name, part in value.items()) or "0"
    return f"{value:,}" if isinstance(value, int) else str(value)
