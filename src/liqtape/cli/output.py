"""A table to a terminal or a file."""

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
import pyarrow as pa

__all__ = ["Form", "write"]

Form = Literal["table", "csv", "ndjson", "parquet"]

_BATCH_ROWS = 10_000
_NOTHING = "-"
_ALL = "all"
# What a table shows of each column, by the beginning of its name; the rest is in the other formats.
_SHOWN: dict[str, tuple[str, str]] = {
    "at_ms": ("time (UTC)", "time"),
    "from_ms": ("from (UTC)", "time"),
    "until_ms": ("until (UTC)", "time"),
    "instrument": ("instrument", "name"),
    "venue": ("venue", "name"),
    "event_count": ("events", "count"),
    "velocity": ("per s", "real"),
    "velocity_se": ("+-", "real"),
    "total_value_usd": ("USD", "usd"),
    "usd": ("USD", "usd"),
    "usd_velocity": ("USD/s", "usd"),
    "long_usd": ("long USD", "usd"),
    "short_usd": ("short USD", "usd"),
    "largest_usd": ("largest", "usd"),
    "highest_velocity": ("peak per s", "real"),
    "highest_velocity_ms": ("at", "time"),
    "highest_usd_velocity": ("peak USD/s", "usd"),
    "highest_acceleration": ("peak per s2", "real"),
    "acceleration": ("per s2", "real"),
    "acceleration_se": ("+-", "real"),
    "surprise": ("S", "real"),
    "highest_level": ("level", "text"),
    "return_days": ("once in days", "real"),
    "btc_price": ("BTC", "usd"),
    "volatility_factor": ("vol", "real"),
    "coverage": ("covered", "real"),
    "partial": ("", "flag"),
    "minutes": ("minutes compared", "count"),
    "busier_than": ("busier than, %", "real"),
    "heavier_than": ("heavier than, %", "real"),
    "at_least_as_busy": ("as busy or busier", "count"),
    "mean": ("usual count", "real"),
    "fano": ("Fano factor", "real"),
    "count_median": ("median count", "count"),
    "count_p99": ("99 % count", "count"),
    "count_highest": ("highest count", "count"),
    "usd_median": ("median USD", "usd"),
    "usd_p99": ("99 % USD", "usd"),
    "usd_highest": ("highest USD", "usd"),
}
_WINDOW = re.compile(r"_\d+s$")  # of the name of a column


def write(table: pa.Table, form: Form, out: Path | None) -> None:
    """To `out`, which is replaced, or to standard output."""
    with _opened(out) as file:
        _WRITERS[form](table, file)


@contextlib.contextmanager
def _opened(out: Path | None) -> Iterator[BinaryIO]:
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with out.open("wb") as file:
        yield file


def _write_csv(table: pa.Table, file: BinaryIO) -> None:
    from pyarrow import csv

    csv.write_csv(table, file, csv.WriteOptions(quoting_style="needed"))


def _write_ndjson(table: pa.Table, file: BinaryIO) -> None:
    encode = msgspec.json.Encoder().encode_lines
    file.writelines(encode(batch.to_pylist()) for batch in table.to_batches(_BATCH_ROWS))


def _write_parquet(table: pa.Table, file: BinaryIO) -> None:
    from pyarrow import parquet

    parquet.write_table(table, file, compression="zstd")


def _write_table(table: pa.Table, file: BinaryIO) -> None:
    """Aligned columns; a single row with many columns stands upright. Columns without any value are left out."""
    columns = []
    for name in table.column_names:
        title, kind = _SHOWN.get(_WINDOW.sub("", name), ("", ""))
        if kind and (not table.num_rows or table[name].null_count < table.num_rows):
            nothing = _ALL if kind == "name" else _NOTHING
            cells = [nothing if value is None else _TEXTS[kind](value) for value in table[name].to_pylist()]
            columns.append((title, kind in _LEFT, cells))
    if table.num_rows == 1 and "minutes" in table.column_names:
        width = max(len(title) for title, _, _ in columns)
        lines = [f"{title:<{width}}  {cells[0]}" for title, _, cells in columns]
    else:
        lines = list(_aligned(columns))
    file.write("".join(f"{line}\n" for line in lines).encode())


def _aligned(columns: Sequence[tuple[str, bool, list[str]]]) -> Iterator[str]:
    padded = []
    for title, is_left, cells in columns:
        width = max(map(len, [title, *cells]))
        padded.append([f"{cell:<{width}}" if is_left else f"{cell:>{width}}" for cell in [title, *cells]])
    return ("  ".join(row).rstrip() for row in zip(*padded, strict=True))


def _time(value: Any) -> str:
    try:
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(" ", "milliseconds" if value % 1000 else "seconds")[
            :-6
        ]
    except (OverflowError, ValueError):  # made up by a wrapped stream
        return str(value)


_LEFT = ("name", "text", "time", "flag")
_TEXTS: dict[str, Callable[[Any], str]] = {
    "name": str,
    "text": str,
    "time": _time,
    "count": lambda value: f"{value:,.0f}",
    "usd": lambda value: f"{value:,.0f}",
    "real": lambda value: f"{value:.3f}",
    "flag": lambda value: "partial" if value else "",
}
_WRITERS: dict[Form, Callable[[pa.Table, BinaryIO], None]] = {
    "table": _write_table,
    "csv": _write_csv,
    "ndjson": _write_ndjson,
    "parquet": _write_parquet,
}
