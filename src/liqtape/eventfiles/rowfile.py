"""Metric rows to a file: NDJSON or Parquet, the same bytes for the same rows."""

import typing
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from liqtape.errors import ConfigurationError, MissingExtra
from liqtape.events import VelocityMetrics

__all__ = ["RowFile", "open_rows"]

_ROW_GROUP = 65_536


class RowFile(Protocol):
    """Takes rows until it is left; `rows` counts them."""

    rows: int

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, rows: Sequence[VelocityMetrics]) -> None: ...


def open_rows(path: Path) -> RowFile:
    """Begin a file of metric rows; its name decides the format. What was there is replaced."""
    try:
        if path.suffix.lower() == ".ndjson":
            return _NdjsonRows(path)
        if path.suffix.lower() == ".parquet":
            return _ParquetRows(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error
    raise ConfigurationError(f"{path}: the name of a metrics file must end in .ndjson or .parquet")


class _NdjsonRows:
    def __init__(self, path: Path) -> None:
        self.rows = 0
        self._file = path.open("wb")
        self._encode = msgspec.json.Encoder().encode_lines

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, rows: Sequence[VelocityMetrics]) -> None:
        self.rows += len(rows)
        self._file.write(self._encode(rows))
        self._file.flush()  # a slow replay may be followed


class _ParquetRows:
    """Row groups are cut by their number of rows alone, so equal rows give an equal file."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise MissingExtra(f"{path}: writing Parquet", "analysis") from None
        self.rows = 0
        self._held: list[VelocityMetrics] = []
        kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
        self._schema: Any = pyarrow.schema(
            [(name, kinds[_plain(hint)]) for name, hint in typing.get_type_hints(VelocityMetrics).items()]
        )
        self._table: Any = pyarrow.Table
        self._writer: Any = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._writer.close()

    def write(self, rows: Sequence[VelocityMetrics]) -> None:
        self.rows += len(rows)
        self._held.extend(rows)
        if len(self._held) >= _ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        held, self._held = self._held[:_ROW_GROUP], self._held[_ROW_GROUP:]
        while held:
            columns = list(zip(*map(msgspec.structs.astuple, held), strict=True))
            self._writer.write_table(self._table.from_arrays(self._arrays(columns), schema=self._schema))
            held, self._held = self._held[:_ROW_GROUP], self._held[_ROW_GROUP:]

    def _arrays(self, columns: list[tuple[object, ...]]) -> list[Any]:
        import pyarrow

        return [pyarrow.array(column, kind) for column, kind in zip(columns, self._schema.types, strict=True)]


def _plain(hint: Any) -> type:
    """`float | None` -> float; a literal -> the type of its values."""
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)] or [hint]
    return kinds[0] if isinstance(kinds[0], type) else type(kinds[0])
