"""`python -m benchmarks [name ...]`: measure and print the figures."""

import argparse
import importlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from textwrap import wrap

import msgspec

from benchmarks.goals import Row, rows
from benchmarks.measure import FULL, QUICK, TINY, Figure, Scale, cores, machine, short

NAMES = (
    "decode",
    "engine",
    "floor",
    "exact",
    "flood",
    "latency",
    "receive",
    "batch",
    "memory",
    "instructions",
    "redis_write",
    "history_log",
    "history_query",
    "postgres_copy",
    "recording",
    "idle",
    "founding",
    "web",
    "scrape",
    "forecasts",
)

CHECKS = ("calibration", "realdays", "alarms", "detectors", "backtesting", "book", "hostile")
"""Minutes long, or of data that few have, so only when named; a target that is missed there is an error."""

_WIDTHS = (56, 25, 34, 7)


def measured(name: str, scale: Scale) -> list[Figure]:
    """The figures of one benchmark."""
    run = importlib.import_module(f"benchmarks.{name}").run
    figures: list[Figure] = run(scale)
    return figures


def text(figures: Mapping[str, Sequence[Figure]]) -> str:
    """For a terminal: the targets, then a line a figure, and what it stands on below it."""
    lines = _table(rows(chain.from_iterable(figures.values())))
    for name, group in figures.items():
        lines.append(f"\n{name}   (repeat: python -m benchmarks {name})")
        for one in group:
            spread = f"{short(one.low)} .. {short(one.high)}"
            wished = f"  [{one.target}: {one.verdict}]" if one.target else ""
            lines.append(f"  {one.name:<58} {short(one.median):>9} {one.unit:<9} ({spread}){wished}")
            lines.append(f"      {one.measured}")
    return "\n".join(lines)


def _table(goals: Sequence[Row]) -> list[str]:
    cells = [("figure", "target", "measured", "verdict")] if goals else []
    cells += [(row.goal.text.replace("`", ""), row.goal.target, row.measured, row.verdict) for row in goals]
    wrapped = [[wrap(cell, width) for cell, width in zip(row, _WIDTHS, strict=True)] for row in cells]
    return [
        "  ".join(f"{part:<{width}}" for part, width in zip(parts, _WIDTHS, strict=True)).rstrip()
        for columns in wrapped
        for parts in zip_longest(*columns, fillvalue="")
    ]


def markdown(figures: Mapping[str, Sequence[Figure]]) -> str:
    """For README.md: the targets, then every figure."""
    lines = []
    goals = rows(chain.from_iterable(figures.values()))
    if goals:
        lines += ["| figure | target | measured | verdict |", "|---|---|---|---|"]
        lines += [f"| {row.goal.text} | {row.goal.target} | {row.measured} | {row.verdict} |" for row in goals]
        lines.append("")
    lines += ["| figure | median | quartiles | unit | target | measured on |", "|---|---:|---:|---|---|---|"]
    for name, group in figures.items():
        lines += [
            f"| `{name}` {one.name} | {short(one.median)} | {short(one.low)} .. {short(one.high)} | {one.unit} "
            f"| {one.target}{' ' if one.target else ''}{one.verdict} | {one.measured} |"
            for one in group
        ]
    return "\n".join(lines)


def main() -> None:
    """Measure what was asked for, on one core where that can be chosen."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"any of: {', '.join(NAMES)} (default: all of these), {', '.join(CHECKS)}",
    )
    scales = options.add_mutually_exclusive_group()
    scales.add_argument("--quick", action="store_const", const=QUICK, dest="scale", help="less of everything, < 30 s")
    scales.add_argument("--tiny", action="store_const", const=TINY, dest="scale", help="whether it runs: no figures")
    forms = options.add_mutually_exclusive_group()
    forms.add_argument("--markdown", action="store_true", help="as a table for README.md")
    forms.add_argument("--json", action="store_true", help="one JSON object, for programs")
    chosen = options.parse_args()
    unknown = [name for name in chosen.names if name not in NAMES + CHECKS]
    if unknown:
        options.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES + CHECKS)}")
    if cores()[0]:
        os.sched_setaffinity(0, cores()[0])
    head = machine()
    began = time.monotonic()
    figures = {}
    for name in chosen.names or NAMES:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        figures[name] = measured(name, chosen.scale or FULL)
    if chosen.json:
        print(msgspec.json.encode({"machine": head, "figures": figures}).decode())
    else:
        lasted = f"{head}; took {time.monotonic() - began:.0f} s"
        print(f"Measured on {lasted}.\n\n{markdown(figures)}" if chosen.markdown else f"{lasted}\n{text(figures)}")
    if any(one.verdict == "missed" for name in CHECKS for one in figures.get(name, ())):
        sys.exit(1)


if __name__ == "__main__":
    main()
