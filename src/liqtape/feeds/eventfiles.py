"""Event files: Parquet, NDJSON and CSV, in our own schema or in that of the archives."""

import csv
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from liqtape.errors import ConfigurationError, MissingExtra
from liqtape.feeds.tape import Row, Tape

__all__ = ["SUFFIXES", "event_files", "load"]

_BATCH_ROWS = 65_536

_log = logging.getLogger(__name__)


class _Schema(Struct, frozen=True):
    """Which of a file's columns are a row, in the order of `Row`; empty names are what the schema does not have."""

    name: str
    required: tuple[str, ...]
    columns: tuple[str, ...]


_OURS = _Schema(
    "liqtape",
    ("venue", "instrument", "symbol", "side", "price", "quantity", "notional_usd", "event_ms"),
    (
        "event_ms",
        "venue",
        "instrument",
        "symbol",
        "side",
        "price",
        "quantity",
        "notional_usd",
        "price_kind",
        "id",
        "schema",
    ),
)
_ARCHIVE = _Schema(
    "archive",
    ("ts_ms", "venue", "symbol", "side", "price", "quantity_base", "value_usd"),
    ("ts_ms", "venue", "", "symbol", "side", "price", "quantity_base", "value_usd", "", "id", ""),
)


def load(path: Path) -> Tape:
    """All events of a file, or of a directory's files in the order of their names.

    Bad rows are counted in the tape. Raises ConfigurationError for a file that is in no known format or schema.
    """
    tape = Tape()
    for file in event_files(path):
        _READERS[file.suffix.lower()](file, tape)
        _log.info("%s: %d rows so far", file, tape.rows)
    return tape


def event_files(path: Path) -> list[Path]:
    """The file itself, or the event files of a directory by name; other files there are left alone."""
    known = ", ".join(SUFFIXES)
    if not path.is_dir():
        if not path.exists():
            raise ConfigurationError(f"{path}: no such file or directory; name an event file ({known}) or a directory")
        if path.suffix.lower() not in _READERS:
            raise ConfigurationError(f"{path}: not an event file; the name must end in one of {known}")
        return [path]
    found = sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in _READERS and not file.name.startswith(".") and file.is_file()
    )
    if not found:
        raise ConfigurationError(f"{path}: no event files there; their names end in one of {known}")
    return found


def _schema_of(file: Path, columns: Collection[str]) -> _Schema:
    for schema in (_OURS, _ARCHIVE):
        if set(schema.required) <= set(columns):
            return schema
    raise ConfigurationError(
        f"{file}: columns {', '.join(columns)} are no event schema; needed are either {', '.join(_OURS.required)} "
        f"(and optionally schema, price_kind, receive_ms, id), or {', '.join(_ARCHIVE.required)}"
    )


def _read_parquet(file: Path, tape: Tape) -> None:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingExtra(f"{file}: reading Parquet", "analysis") from None
    try:
        with parquet.ParquetFile(file) as opened:
            names: list[str] = opened.schema_arrow.names
            schema = _schema_of(file, names)
            columns = [name for name in schema.columns if name in names]
            for batch in opened.iter_batches(_BATCH_ROWS, columns=columns):
                held: dict[str, list[Any]] = batch.to_pydict()
                for row in zip(*(held.get(name, repeat(None)) for name in schema.columns), strict=False):
                    tape.take(Row(*row))
    except (ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise ConfigurationError(f"{file}: not a readable Parquet file: {_one_line(error)}") from error


def _read_ndjson(file: Path, tape: Tape) -> None:
    schema: _Schema | None = None
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            fields = _json_object(line)
            if fields is None:
                _log.info("%s: line %d is not a JSON object", file, number)
                tape.refuse("not JSON")
                continue
            if schema is None:
                schema = _schema_of(file, fields)
            tape.take(Row(*map(fields.get, schema.columns)))


def _json_object(line: bytes) -> dict[str, object] | None:
    try:
        value = _decode(line)
    except (ValueError, RecursionError):
        try:
            value = json.loads(line)  # knows NaN, which is not JSON but often written
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


_decode: Callable[[bytes], object] = msgspec.json.Decoder().decode


def _read_csv(file: Path, tape: Tape) -> None:
    # surrogateescape: a byte that is not UTF-8 spoils its own row, not the file.
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        rows = _csv_rows(text)
        header = next(rows, None)
        if header is None:
            return
        header = [name.strip() for name in header]
        schema = _schema_of(file, header)
        places = [header.index(name) if name in header else None for name in schema.columns]
        for cells in rows:
            if len(cells) == len(header):
                tape.take(Row(*(None if place is None else cells[place] for place in places)))
            else:
                tape.refuse("number of columns")


def _csv_rows(text: Iterable[str]) -> Iterator[list[str]]:
    """The rows that are not blank; one with a field beyond the limit (an open quote) has no cells."""
    reader = csv.reader(text)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield []
        else:
            if cells:
                yield cells


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


_READERS: dict[str, Callable[[Path, Tape], None]] = {
    ".parquet": _read_parquet,
    ".ndjson": _read_ndjson,
    ".jsonl": _read_ndjson,
    ".csv": _read_csv,
}

SUFFIXES = tuple(_READERS)
"""Endings of the names of event files."""
