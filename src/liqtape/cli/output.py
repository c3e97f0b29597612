"""Columns to a terminal or a file."""

import contextlib
import csv
import io
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from liqtape.errors import MissingExtra

__all__ = ["Columns", "Form", "with_times", "write", "write_table"]

Form = Literal["table", "csv", "ndjson", "parquet"]
Columns = Mapping[str, list[Any]]

_BATCH_ROWS = 10_000
_NOTHING = "-"
_ALL = "all"
# What a table shows of each column, by the beginning of its name, with what goes first where the screen is narrow: 0
# stays. The rest is in the other formats.
_SHOWN: dict[str, tuple[str, str, int]] = {
    "from_ms": ("from", "time", 4),
    "at_ms": ("until", "time", 0),
    "until_ms": ("until", "time", 0),
    "begin_ms": ("begin", "time", 0),
    "event_ms": ("time", "time", 0),
    "instrument": ("instrument", "name", 0),
    "venue": ("venue", "name", 1),
    "name": ("of", "name", 0),
    "side": ("side", "text", 0),
    "price": ("price", "exact", 1),
    "quantity": ("quantity", "exact", 3),
    "notional_usd": ("USD", "usd", 0),
    "symbol": ("symbol", "text", 4),
    "reason": ("reason", "text", 0),
    "seconds": ("lasted s", "count", 0),
    "level": ("level", "text", 1),
    "usd": ("USD", "usd", 0),
    "peak_usd": ("peak USD", "usd", 2),
    "times_usual": ("x usual", "real", 1),
    "events": ("events", "count", 2),
    "leader": ("led by", "text", 3),
    "moved": ("moved %", "real", 2),
    "moved_after": ("1 h after %", "real", 3),
    "gaps_total": ("gaps", "count", 3),
    "share_observed": ("seen", "real", 3),
    "detector": ("detector", "text", 4),
    "filled": ("back-filled", "whether", 0),
    "event_count": ("events", "count", 0),
    "velocity": ("per s", "real", 0),
    "velocity_se": ("+-", "real", 4),
    "total_value_usd": ("USD", "usd", 0),
    "usd_velocity": ("USD/s", "usd", 2),
    "long_usd": ("long USD", "usd", 3),
    "short_usd": ("short USD", "usd", 3),
    "largest_usd": ("largest", "usd", 2),
    "highest_velocity": ("peak per s", "real", 0),
    "highest_velocity_ms": ("at", "time", 2),
    "highest_usd_velocity": ("peak USD/s", "usd", 3),
    "highest_acceleration": ("peak per s2", "real", 4),
    "acceleration": ("per s2", "real", 2),
    "acceleration_se": ("+- s2", "real", 5),
    "surprise": ("S", "real", 3),
    "highest_level": ("level", "text", 1),
    "return_days": ("once in days", "real", 2),
    "btc_price": ("BTC", "usd", 3),
    "volatility_factor": ("vol", "real", 3),
    "coverage": ("covered", "real", 3),
    "partial": ("", "flag", 2),
    "minutes": ("minutes compared", "count", 0),
    "busier_than": ("busier than, %", "real", 0),
    "heavier_than": ("heavier than, %", "real", 0),
    "at_least_as_busy": ("as busy or busier", "count", 0),
    "mean": ("usual count", "real", 0),
    "fano": ("Fano factor", "real", 0),
    "count_median": ("median count", "count", 0),
    "count_p99": ("99 % count", "count", 0),
    "count_highest": ("highest count", "count", 0),
    "usd_median": ("median USD", "usd", 0),
    "usd_p99": ("99 % USD", "usd", 0),
    "usd_highest": ("highest USD", "usd", 0),
}
_WINDOW = re.compile(r"_(\d+)s$")  # of the name of a column
_FIRST_TO_GO = 5


def with_times(columns: Columns, zone: tzinfo) -> dict[str, list[Any]]:
    """Return the columns with each time also as ISO 8601 text: `at_ms`, then `at_iso`."""
    told: dict[str, list[Any]] = {}
    for name, column in columns.items():
        told[name] = column
        if name.endswith("_ms"):
            told[name.removesuffix("_ms") + "_iso"] = [None if value is None else _iso(value, zone) for value in column]
    return told


def write(columns: Columns, form: Form, out: Path | None, zone: tzinfo = UTC) -> None:
    """To `out`, which is replaced, or to standard output."""
    if form == "parquet":
        _require_arrow(out)
    with _opened(out) as file:
        if form == "table":
            on_screen = out is None and sys.stdout.isatty()
            write_table(columns, file, zone, shutil.get_terminal_size().columns if on_screen else None)
        else:
            _WRITERS[form](with_times(columns, zone), file)


@contextlib.contextmanager
def _opened(out: Path | None) -> Iterator[BinaryIO]:
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with out.open("wb") as file:
        yield file


def _write_csv(columns: Columns, file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*([_cell(value) for value in column] for column in columns.values()), strict=True))
    text.detach()


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _write_ndjson(columns: Columns, file: BinaryIO) -> None:
    encode = msgspec.json.Encoder().encode_lines
    names = list(columns)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    file.writelines(encode(rows[begin : begin + _BATCH_ROWS]) for begin in range(0, len(rows), _BATCH_ROWS))


def _require_arrow(out: Path | None) -> None:
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise MissingExtra(f"{out}: writing Parquet", "analysis")


def _write_parquet(columns: Columns, file: BinaryIO) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(dict(columns)), file, compression="zstd")


def write_table(columns: Columns, file: BinaryIO, zone: tzinfo, width: int | None) -> None:
    """Write aligned columns, as many as fit `width`; a single row of the unusual stands upright.

    Columns without any value are left out.
    """
    rows = max(map(len, columns.values()), default=0)
    shown: list[tuple[int, str, list[str]]] = []
    for name, column in columns.items():
        title, kind, goes = _SHOWN.get(_WINDOW.sub("", name), ("", "", 0))
        is_known = bool(kind) and (name != "fano" or "minutes" in columns)
        if is_known and not (rows and all(value is None for value in column)):
            shown.append((goes, _titled(name, title, kind, zone), _cells(column, title, kind, zone)))
    if rows == 1 and "minutes" in columns:
        width = max(len(title) for _, title, _ in shown)
        lines = [f"{title:<{width}}  {cells[0]}" for _, title, (_, *cells) in shown]
    else:
        lines = _fitting(shown, width)
    file.write("".join(f"{line}\n" for line in lines).encode())


def _titled(name: str, title: str, kind: str, zone: tzinfo) -> str:
    if kind == "time" and title != "at":
        return f"{title} ({zone})"
    window = _WINDOW.search(name)
    return f"{title}, {window[1]} s" if window else title


def _cells(column: Sequence[Any], title: str, kind: str, zone: tzinfo) -> list[str]:
    """Behind the kind of the column, its cells."""
    nothing = _ALL if kind == "name" else "still" if title == "until" else _NOTHING
    told: Callable[[Any], str] = partial(_time, zone=zone) if kind == "time" else _TEXTS[kind]
    return [kind, *(nothing if value is None else told(value) for value in column)]


def _fitting(shown: Sequence[tuple[int, str, list[str]]], width: int | None) -> list[str]:
    """The lines; of columns that do not fit, those go first that say least, and are named below."""
    kept = list(shown)
    for goes in range(_FIRST_TO_GO, 0, -1):
        lines = _aligned([(title, cells) for _, title, cells in kept])
        if width is None or max(map(len, lines), default=0) <= width:
            break
        kept = [column for column in kept if column[0] != goes]
    lines = _aligned([(title, cells) for _, title, cells in kept])
    if hidden := [title for goes, title, cells in shown if title and (goes, title, cells) not in kept]:
        sys.stderr.write(f"not shown for want of width: {', '.join(hidden)}\n")
    return lines


def _aligned(columns: Sequence[tuple[str, list[str]]]) -> list[str]:
    padded = []
    for title, (kind, *cells) in columns:
        width = max(map(len, [title, *cells]))
        padded.append([f"{cell:<{width}}" if kind in _LEFT else f"{cell:>{width}}" for cell in [title, *cells]])
    return ["  ".join(row).rstrip() for row in zip(*padded, strict=True)]


def _iso(value: int, zone: tzinfo) -> str:
    try:
        return datetime.fromtimestamp(value / 1000, zone).isoformat("T", "milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):  # made up by a wrapped stream
        return str(value)


def _time(value: Any, zone: tzinfo) -> str:
    try:
        moment = datetime.fromtimestamp(value / 1000, zone).replace(tzinfo=None)
    except (OverflowError, ValueError, OSError):
        return str(value)
    return moment.isoformat(" ", "milliseconds" if value % 1000 else "seconds")


_LEFT = ("name", "text", "time", "flag", "whether")
_TEXTS: dict[str, Callable[[Any], str]] = {
    "name": str,
    "text": str,
    "count": lambda value: f"{value:,.0f}",
    "usd": lambda value: f"{value:,.0f}",
    "real": lambda value: f"{value:.3f}",
    "exact": lambda value: f"{value:,.10g}",
    "flag": lambda value: "partial" if value else "",
    "whether": lambda value: "yes" if value else "no",
}
_WRITERS: dict[Form, Callable[[Columns, BinaryIO], None]] = {
    "csv": _write_csv,
    "ndjson": _write_ndjson,
    "parquet": _write_parquet,
}
