"""Event files: Parquet, NDJSON and CSV, in our own schema or in one of the archives', compressed or not."""

import csv
import gzip
import io
import json
import logging
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
from msgspec import Struct

from liqtape.errors import ConfigurationError, MissingExtra
from liqtape.eventfiles.archives import (
    BINANCE_COLUMNS,
    TARDIS_COLUMNS,
    binance_row,
    binance_symbol,
    sizes_of,
    tardis_row,
)
from liqtape.eventfiles.eventtable import EventRow, EventTable
from liqtape.instruments import Contract, Instruments

__all__ = ["SUFFIXES", "event_files", "load"]

_BATCH_ROWS = 65_536

_log = logging.getLogger(__name__)


class _Schema(Struct, frozen=True):
    """Which of a file's columns are a row, in the order of `EventRow`; empty names are what the schema does not
    have.
    """

    name: str
    required: tuple[str, ...]
    columns: tuple[str, ...]


_OURS = _Schema(
    "liqtape",
    ("venue", "instrument", "symbol", "side", "price", "quantity", "notional_usd", "event_ms"),
    EventRow._fields,
)
_ARCHIVE = _Schema(
    "archive",
    ("ts_ms", "venue", "symbol", "side", "price", "quantity_base", "value_usd"),
    ("ts_ms", "venue", "", "symbol", "side", "price", "quantity_base", "value_usd", "", "id", ""),
)


_KNOWN_COLUMNS = tuple(
    dict.fromkeys(name for name in (*_OURS.columns, *_ARCHIVE.columns, *TARDIS_COLUMNS, *BINANCE_COLUMNS) if name)
)


def load(path: Path, contracts: Sequence[Contract] = ()) -> EventTable:
    """All events of a file, or of a directory's files in the order of their names; `contracts` as venues list them.

    Bad rows are counted in the table. Raises ConfigurationError for a file that is in no known format or schema.
    """
    table = EventTable(contracts)
    sizes = sizes_of(contracts)
    for file in event_files(path):
        _read(file, table, sizes)
        _log.info("%s: %d rows so far", file, table.rows)
    return table


def event_files(path: Path) -> list[Path]:
    """The file itself, or the event files of a directory by name; other files there are left alone."""
    known = ", ".join(SUFFIXES)
    if not path.is_dir():
        if not path.exists():
            raise ConfigurationError(f"{path}: no such file or directory; name an event file ({known}) or a directory")
        if not _is_event_file(path):
            raise ConfigurationError(f"{path}: not an event file; the name must end in one of {known}")
        return [path]
    found = sorted(
        file for file in path.iterdir() if _is_event_file(file) and not file.name.startswith(".") and file.is_file()
    )
    if not found:
        raise ConfigurationError(f"{path}: no event files there; their names end in one of {known}")
    return found


def _is_event_file(file: Path) -> bool:
    return _kind(file.name) in _READERS or _packed_kind(file.name) in _LINES or file.suffix.lower() == ".zip"


def _kind(name: str) -> str:
    return Path(name.lower()).suffix


def _packed_kind(name: str) -> str:
    """`.csv` of `x.csv.gz`; empty for names that do not end in .gz."""
    return _kind(name[:-3]) if name.lower().endswith(".gz") else ""


def _read(file: Path, table: EventTable, sizes: Instruments) -> None:
    if file.suffix.lower() == ".parquet":
        _read_parquet(file, table, sizes)
        return
    try:
        if file.suffix.lower() == ".zip":
            _read_zip(file, table, sizes)
        elif file.suffix.lower() == ".gz":
            with gzip.open(file) as stream:
                _LINES[_packed_kind(file.name)](file, cast("BinaryIO", stream), table, sizes)
        else:
            with file.open("rb") as plain:
                _LINES[_kind(file.name)](file, plain, table, sizes)
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ConfigurationError(f"{file}: not a readable {file.suffix[1:]} file: {_one_line(error)}") from error


def _read_zip(file: Path, table: EventTable, sizes: Instruments) -> None:
    """Every event file inside, by name."""
    with zipfile.ZipFile(file) as opened:
        names = [name for name in sorted(opened.namelist()) if _kind(name) in _LINES]
        if not names:
            raise ConfigurationError(f"{file}: no event file inside; their names end in {', '.join(_LINES)}")
        for name in names:
            with opened.open(name) as stream:
                _LINES[_kind(name)](Path(name), cast("BinaryIO", stream), table, sizes)


def _schema_of(file: Path, columns: Collection[str]) -> _Schema:
    for schema in (_OURS, _ARCHIVE):
        if set(schema.required) <= set(columns):
            return schema
    raise ConfigurationError(
        f"{file}: columns {', '.join(columns)} are no event schema; needed are either {', '.join(_OURS.required)} "
        f"(and optionally schema, price_kind, receive_ms, id), or {', '.join(_ARCHIVE.required)}; or those of Tardis, "
        f"{', '.join(TARDIS_COLUMNS)}; or those of Binance, {', '.join(BINANCE_COLUMNS)}, with the symbol in the "
        "file's name (BTCUSDT-liquidationSnapshot-2024-01-01.csv)"
    )


def _row_maker(file: Path, columns: Sequence[str], sizes: Instruments) -> Callable[[Mapping[str, object]], EventRow]:
    """How a row becomes one of ours, by the columns it has."""
    names = set(columns)
    if set(TARDIS_COLUMNS) <= names:
        return lambda fields: tardis_row(fields, sizes)
    symbol = binance_symbol(file.name)
    if symbol is not None and set(BINANCE_COLUMNS) <= names:
        return lambda fields: binance_row(fields, symbol, sizes)
    schema = _schema_of(file, columns)
    return lambda fields: EventRow(*map(fields.get, schema.columns))


def _read_parquet(file: Path, table: EventTable, sizes: Instruments) -> None:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingExtra(f"{file}: reading Parquet", "analysis") from None
    try:
        with parquet.ParquetFile(file) as opened:
            names: list[str] = opened.schema_arrow.names
            row_of = _row_maker(file, names, sizes)
            columns = [name for name in _KNOWN_COLUMNS if name in names]
            for batch in opened.iter_batches(_BATCH_ROWS, columns=columns):
                held = {name: _times_as_numbers(name, batch[name]).to_pylist() for name in columns}
                for row in zip(*held.values(), strict=True):
                    table.take(row_of(dict(zip(columns, row, strict=True))))
    except (ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise ConfigurationError(f"{file}: not a readable Parquet file: {_one_line(error)}") from error


def _times_as_numbers(name: str, column: Any) -> Any:
    """The column; times that a tool made of numbers are numbers again, in the unit of the schema."""
    import pyarrow as pa

    if not pa.types.is_timestamp(column.type):
        return column
    return column.cast(pa.timestamp("us" if name in TARDIS_COLUMNS else "ms"), safe=False).cast(pa.int64())


def _read_ndjson(file: Path, stream: BinaryIO, table: EventTable, sizes: Instruments) -> None:
    row_of: Callable[[Mapping[str, object]], EventRow] | None = None
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        fields = _json_object(line)
        if fields is None:
            _log.info("%s: line %d is not a JSON object", file, number)
            table.refuse("not JSON")
            continue
        if row_of is None:
            row_of = _row_maker(file, list(fields), sizes)
        try:
            row = row_of(fields)
        except KeyError:
            table.refuse("number of columns")
        else:
            table.take(row)


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


def _read_csv(file: Path, stream: BinaryIO, table: EventTable, sizes: Instruments) -> None:
    # surrogateescape: a byte that is not UTF-8 spoils its own row, not the file.
    with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        rows = _csv_rows(text)
        header = next(rows, None)
        if header is None:
            return
        if binance_symbol(file.name) and len(header) == len(BINANCE_COLUMNS) and header[0].isdecimal():
            rows = chain([header], rows)
            header = list(BINANCE_COLUMNS)
        header = [name.strip() for name in header]
        row_of = _row_maker(file, header, sizes)
        for cells in rows:
            if len(cells) == len(header):
                table.take(row_of(dict(zip(header, cells, strict=True))))
            else:
                table.refuse("number of columns")


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


_LINES: dict[str, Callable[[Path, BinaryIO, EventTable, Instruments], None]] = {
    ".ndjson": _read_ndjson,
    ".jsonl": _read_ndjson,
    ".csv": _read_csv,
}

_READERS = (".parquet", *_LINES)

SUFFIXES = (*_READERS, *(f"{kind}.gz" for kind in _LINES), ".zip")
"""Endings of the names of event files."""
