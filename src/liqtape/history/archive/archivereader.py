"""Reading sealed files: whole rows by the way of Arrow's scanner, the columns windows need from memory."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from liqtape.history.log.layout import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["WINDOW_COLUMNS", "ArchiveReader", "encoded_schema"]

WINDOW_COLUMNS = ("venue", "instrument", "side", "notional_usd", "event_ms")
"""What windows are made of. Nothing else of a file is kept in memory."""

_TEXTS_OF_WINDOWS = ["venue", "instrument", "side"]
_KEPT_BYTES = 256 * 1024 * 1024  # nine million events
_TEXTS = frozenset({"venue", "instrument", "symbol", "side", "price_kind", "source"})  # few different values: as codes


def encoded_schema(kind: str, names: Sequence[str]) -> "pa.Schema":
    """Return the schema of these columns of `events` or `prices`, texts of few values as codes of a dictionary."""
    import pyarrow as pa

    codes = pa.dictionary(pa.int32(), pa.string())
    fields = (arrow_schema(kind).field(name) for name in names)
    return pa.schema([field.with_type(codes) if field.name in _TEXTS else field for field in fields])


class ArchiveReader:
    """The files of one history. A file never changes, so what was read of those asked last is kept.

    Naive: scan the files with each question. A day has a hundred of them, and opening these takes 100 ms.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept: OrderedDict[str, pa.Table] = OrderedDict()
        self._kept_bytes = 0

    def read(
        self,
        kind: str,
        paths: Sequence[str],
        names: Sequence[str],
        time: str,
        span: tuple[int, int],
        only: Mapping[str, str],
    ) -> "pa.Table":
        """Read the rows of these files with `time` in (from, until] and these values; raises FileNotFoundError."""
        import pyarrow as pa
        import pyarrow.dataset as ds

        chosen = (ds.field(time) > span[0]) & (ds.field(time) <= span[1])
        for name, value in only.items():
            chosen &= ds.field(name) == value
        schema = encoded_schema(kind, names)
        if kind == "events" and set(names) <= set(WINDOW_COLUMNS):
            tables = [self._columns(path) for path in paths]
            return (
                pa.concat_tables([table.select(names) for table in tables]).filter(chosen)
                if tables
                else schema.empty_table()
            )
        texts = [name for name in names if name in _TEXTS]
        form = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(dictionary_columns=texts))
        files = [str(self._directory / path) for path in paths]
        return ds.dataset(files, schema=schema, format=form).to_table(columns=list(names), filter=chosen)

    def _columns(self, path: str) -> "pa.Table":
        table = self._kept.get(path)
        if table is not None:
            self._kept.move_to_end(path)
            return table
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._directory / path, read_dictionary=_TEXTS_OF_WINDOWS) as file:
            table = file.read(list(WINDOW_COLUMNS), use_threads=False)
        self._kept[path] = table
        self._kept_bytes += table.nbytes
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return table
