"""Metric rows in files: both formats say the same, and the same rows are the same bytes."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pyarrow import parquet

from liqtape.errors import ConfigurationError, MissingExtra
from liqtape.eventfiles import rowfile as module
from liqtape.eventfiles.eventtable import EventRow, EventTable
from liqtape.eventfiles.replay import steps
from liqtape.eventfiles.rowfile import open_rows
from liqtape.events import VelocityMetrics

_MS = 1_765_416_983_918


def _rows() -> list[VelocityMetrics]:
    table = EventTable()
    for i in range(9):
        usd = None if i == 5 else 1.1 * i + 1
        table.take(EventRow(_MS + 17_000 * i, "binance", f"牛{i % 2}USDT", "x", "long", 1.0, 1.0, usd))
    return [row for step in steps(table, 3) for row in step.rows]


def _written(path: Path, groups: Sequence[Sequence[VelocityMetrics]]) -> bytes:
    with open_rows(path) as file:
        for group in groups:
            file.write(group)
        assert file.rows == sum(map(len, groups))
    return path.read_bytes()


def test_ndjson_and_parquet_have_the_same_rows(tmp_path: Path) -> None:
    rows = _rows()
    lines = _written(tmp_path / "a.ndjson", [rows]).splitlines()
    _written(tmp_path / "a.parquet", [rows])
    from_lines = [json.loads(line) for line in lines]
    assert from_lines == parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert len(from_lines) == len(rows) > 200
    assert list(from_lines[0]) == list(VelocityMetrics.__struct_fields__)


@pytest.mark.parametrize("suffix", [".ndjson", ".parquet"])
def test_bytes_depend_on_the_rows_alone_not_on_how_they_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(module, "_ROW_GROUP", 50)
    rows = _rows()
    at_once = _written(tmp_path / f"a{suffix}", [rows])
    one_by_one = _written(tmp_path / f"b{suffix}", [[row] for row in rows])
    assert at_once == one_by_one
    if suffix == ".parquet":
        assert parquet.ParquetFile(tmp_path / "a.parquet").metadata.num_row_groups == -(-len(rows) // 50)


@pytest.mark.parametrize("suffix", [".ndjson", ".parquet"])
def test_a_file_without_rows_is_readable(tmp_path: Path, suffix: str) -> None:
    _written(tmp_path / f"a{suffix}", [])
    if suffix == ".parquet":
        table = parquet.read_table(tmp_path / "a.parquet")
        assert (0, list(VelocityMetrics.__struct_fields__)) == (table.num_rows, table.column_names)
    else:
        assert (tmp_path / "a.ndjson").read_bytes() == b""


@pytest.mark.parametrize("name", ["a.csv", "a", "none/a.ndjson", "none/a.parquet"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        open_rows(tmp_path / name)


def test_parquet_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="analysis"):
        open_rows(tmp_path / "a.parquet")
