"""Event files: both schemas, three formats, every kind of bad row in one named place."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from liqtape.errors import ConfigurationError, MissingExtra
from liqtape.eventfiles.eventtable import EventRow, EventTable
from liqtape.eventfiles.normalize import line
from liqtape.eventfiles.readers import load
from liqtape.events import Liquidation

_ARCHIVE = ("ts_ms", "venue", "symbol", "side", "price", "quantity_base", "value_usd")
_MS = 1_765_416_983_918
_ROW = (_MS, "binance", "YBUSDT", "LONG", 0.4454705, 48219.0, 21480.1420395)


def _write(path: Path, rows: Sequence[Sequence[Any]], columns: Sequence[str] = _ARCHIVE) -> Path:
    if path.suffix == ".csv":
        cells = [",".join("" if value is None else str(value) for value in row) for row in rows]
        path.write_text("\n".join([",".join(columns), *cells]) + "\n", encoding="utf-8")
    elif path.suffix == ".ndjson":
        path.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows))
    else:
        held = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
        parquet.write_table(pyarrow.table(held), path)
    return path


def _events(table: EventTable) -> list[Liquidation]:
    return [table.event(i) for i in range(len(table))]


_FORMATS = pytest.mark.parametrize("suffix", [".csv", ".ndjson", ".parquet"])


@_FORMATS
def test_an_archive_row_is_spelled_by_its_venue_and_rounded_once(tmp_path: Path, suffix: str) -> None:
    pepe = (_MS, "binance", "1000PEPEUSDT", "short", 0.0123456, 7.0, 0.0864192)
    other = (_MS, "bitmex", "XBTUSD", "Short", 6701.5, 24.5, 166657.0)
    table = load(_write(tmp_path / f"a{suffix}", [_ROW, pepe, other]))
    assert _events(table) == [
        Liquidation("binance", "YBUSDT", "YBUSDT", "long", 0.4454705, "fill", 48219.0, 21480.14204, _MS),
        Liquidation("binance", "PEPEUSDT", "1000PEPEUSDT", "short", 0.0000123456, "fill", 7000.0, 0.086419, _MS),
        Liquidation("bitmex", "XBTUSD", "XBTUSD", "short", 6701.5, "fill", 24.5, 166657.0, _MS),
    ]
    assert table.summary() == {"rows": 3, "events": 3, "duplicates": 0, "unsized": 0, "rejected": {}}


@_FORMATS
def test_our_own_rows_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    written = [
        Liquidation(
            "bybit", "PEPEUSDT", "1000PEPEUSDT", "long", 1e-05, "bankruptcy", 1000.0, 0.01, _MS, None, "1000PEPEUSDT:x"
        ),
        Liquidation("okx", "牛来USDT", "牛来-USDT", "short", 2.5, "fill", None, None, _MS + 5, None, "牛:1"),
    ]
    rows = [json.loads(line(event)) for event in written]
    path = _write(tmp_path / f"a{suffix}", [list(row.values()) for row in rows], list(rows[0]))
    table = load(path)
    assert _events(table) == written
    assert table.unsized == 1


@_FORMATS
def test_rows_with_an_identity_are_deduplicated_per_venue_and_others_are_not(tmp_path: Path, suffix: str) -> None:
    bybit = (_MS, "bybit", *_ROW[2:])
    rows = [(*_ROW, "a"), (*_ROW, "a"), (*bybit, "a"), (*_ROW, None), (*_ROW, None), (*_ROW, "b")]
    table = load(_write(tmp_path / f"with{suffix}", rows, [*_ARCHIVE, "id"]))
    assert (len(table), table.duplicates) == (5, 1)
    assert len(load(_write(tmp_path / f"without{suffix}", [_ROW] * 3))) == 3


@_FORMATS
def test_columns_nobody_asked_for_are_ignored_in_any_order(tmp_path: Path, suffix: str) -> None:
    path = _write(tmp_path / f"a{suffix}", [("x", *reversed(_ROW))], ["source", *reversed(_ARCHIVE)])
    assert _events(load(path)) == _events(load(_write(tmp_path / f"b{suffix}", [_ROW])))


def _with(**changed: object) -> tuple[object, ...]:
    return tuple(changed.get(name, value) for name, value in zip(_ARCHIVE, _ROW, strict=True))


@_FORMATS
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (_with(ts_ms=0), "event time"),
        (_with(ts_ms=1_765_416_983), "event time"),
        (_with(ts_ms=_MS * 1000), "event time"),
        (_with(ts_ms=-_MS), "event time"),
        (_with(ts_ms=None), "event time"),
        (_with(ts_ms=_MS + 0.5), "event time"),
        (_with(venue=None), "venue"),
        (_with(symbol=None), "symbol"),
        (_with(side="buy"), "side"),
        (_with(side=None), "side"),
        (_with(price=0.0), "price"),
        (_with(price=-1.0), "price"),
        (_with(price=math.inf), "price"),
        (_with(quantity_base=-2.0), "quantity"),
        (_with(quantity_base=0.0), "quantity"),
        (_with(value_usd=-1.0), "USD"),
        (_with(value_usd=0.0), "USD"),
        (_with(value_usd=1e300), "USD"),
        (_with(value_usd=math.inf), "USD"),
    ],
)
def test_a_bad_row_is_counted_by_reason_and_the_good_one_stands(
    tmp_path: Path, suffix: str, row: tuple[object, ...], reason: str
) -> None:
    table = load(_write(tmp_path / f"a{suffix}", [row, _ROW] if row[0] is not None else [_ROW, row]))
    assert {reason: 1} == table.rejected
    assert len(table) == 1


@_FORMATS
@pytest.mark.parametrize("absent", [None, math.nan], ids=["null", "NaN"])
def test_an_absent_notional_is_unsized_and_absent_price_and_quantity_are_unknown(
    tmp_path: Path, suffix: str, absent: float | None
) -> None:
    rows = [_with(value_usd=absent), _with(price=absent, quantity_base=absent), _ROW]
    table = load(_write(tmp_path / f"a{suffix}", rows))
    unsized, unpriced, _ = _events(table)
    assert (len(table), table.unsized) == (3, 1)
    assert unsized.notional_usd is None
    assert math.isnan(unpriced.price)
    assert unpriced.quantity is None
    assert b"NaN" not in line(unpriced)


def test_usd_that_was_rounded_to_zero_stands() -> None:
    table = EventTable()
    table.take(EventRow(_MS, "bybit", "A", "A", "long", 1e-4, 1e-3, 0.0))
    assert (len(table), table.unsized) == (1, 0)


def test_numbers_may_be_text_in_json(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text(json.dumps(dict(zip(_ARCHIVE, map(str, _ROW), strict=True))))
    assert _events(load(path)) == _events(load(_write(tmp_path / "b.ndjson", [_ROW])))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"ts_ms":17654', "not JSON"),
        (b"[1,2]", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"x":' + b"[" * 100_000, "not JSON"),
        (b'{"ts_ms":1765416983918,"venue":["a"],"symbol":"A","side":"long","value_usd":1}', "venue"),
        (b'{"ts_ms":1765416983918,"venue":"a","symbol":"\\ud800","side":"long","value_usd":NaN}', "symbol"),
        (b'{"ts_ms":{},"venue":"a","symbol":"A","side":"long","value_usd":1}', "event time"),
        (b'{"ts_ms":1765416983918,"venue":"a","symbol":"A","side":"long","value_usd":[1]}', "USD"),
        (b'{"event_ms":1765416983918,"venue":"a"}', "event time"),
    ],
    ids=["torn", "array", "bytes", "nested", "list", "surrogate", "object", "list for a number", "other schema"],
)
def test_a_bad_line_is_counted_wherever_it_stands(tmp_path: Path, bad: bytes, reason: str) -> None:
    good = _write(tmp_path / "good.ndjson", [_ROW]).read_bytes()
    path = tmp_path / "a.ndjson"
    first = [bad] if reason == "not JSON" else []  # what is no object does not decide the schema
    path.write_bytes(b"\n".join([*first, b"", good.strip() + b"\r", b"   ", bad, good.strip()]))
    table = load(path)
    assert {reason: 1 + len(first)} == table.rejected
    assert len(table) == 2


def test_a_version_of_the_schema_we_do_not_know_is_refused_row_by_row(tmp_path: Path) -> None:
    event = Liquidation("bybit", "A", "A", "long", 1.0, "fill", 1.0, 1.0, _MS, None, "x")
    path = tmp_path / "a.ndjson"
    path.write_bytes(line(event).replace(b'"schema":1', b'"schema":2') + line(event).replace(b"fill", b"mark"))
    assert load(path).rejected == {"schema": 1, "price kind": 1}


def test_a_csv_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = ",".join(map(str, _ROW))
    path.write_bytes(
        b"\xef\xbb\xbf" + ", ".join(_ARCHIVE).encode() + b"\r\n" + rows.encode() + b"\r\n\r\n" + b"1,2\r\n" + b"\xff,"
        b",,,,,\r\n" + rows.replace("YB", "Y\x00B").encode() + b"\r\n" + rows.encode()
    )
    table = load(path)
    assert table.rejected == {"number of columns": 1, "event time": 1}
    assert [event.symbol for event in _events(table)] == ["YBUSDT", "Y\x00BUSDT", "YBUSDT"]


def test_text_that_is_not_utf8_spoils_its_csv_row_only(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", [_ROW, _ROW])
    path.write_bytes(path.read_bytes().replace(b"YBUSDT", b"Y\xffUSDT", 1))
    table = load(path)
    assert (table.rejected, len(table)) == ({"symbol": 1}, 1)


def test_an_open_quote_is_one_bad_row(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", [_ROW])
    with path.open("a") as more:
        more.write('"' + "x" * 200_000)
    table = load(path)
    assert (table.rejected, len(table)) == ({"number of columns": 1}, 1)


@pytest.mark.parametrize("suffix", [".csv", ".ndjson", ".jsonl"])
def test_an_empty_file_has_no_events(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.touch()
    assert load(path).summary() == {"rows": 0, "events": 0, "duplicates": 0, "unsized": 0, "rejected": {}}


@_FORMATS
@pytest.mark.parametrize("missing", _ARCHIVE)
def test_a_file_in_no_schema_is_refused_with_its_columns_and_both_schemas(
    tmp_path: Path, suffix: str, missing: str
) -> None:
    columns = [name for name in _ARCHIVE if name != missing]
    path = _write(tmp_path / f"a{suffix}", [[v for n, v in zip(_ARCHIVE, _ROW, strict=True) if n != missing]], columns)
    with pytest.raises(ConfigurationError) as refusal:
        load(path)
    text = str(refusal.value)
    assert text.startswith(f"{path}: columns {', '.join(columns)} ")
    assert "notional_usd, event_ms" in text
    assert ", ".join(_ARCHIVE) in text


def test_a_directory_is_its_event_files_by_name(tmp_path: Path) -> None:
    _write(tmp_path / "b.csv", [_with(symbol="B"), _with(symbol="B2")])
    _write(tmp_path / "c.parquet", [_with(symbol="C")])
    _write(tmp_path / "a.ndjson", [_with(symbol="A")])
    _write(tmp_path / ".hidden.csv", [_with(symbol="H")])
    (tmp_path / "README.md").write_text("not events")
    (tmp_path / "d.csv").mkdir()
    assert [event.symbol for event in _events(load(tmp_path))] == ["A", "B", "B2", "C"]


@pytest.mark.parametrize("name", ["none.csv", "note.txt", "empty"])
def test_a_path_without_event_files_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "note.txt").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=name):
        load(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1"], ids=["empty", "short", "torn"])
def test_a_broken_parquet_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not a readable Parquet file") as refusal:
        load(path)
    assert "\n" not in str(refusal.value)


def test_parquet_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path / "a.parquet", [_ROW])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"liqtape\[analysis\]"):
        load(path)


def test_places_are_by_time_and_in_file_order_within_a_millisecond() -> None:
    table = EventTable()
    base = 1_765_416_983_000
    for after in (1500, 2000, 400, 1001, 0, 1000, 3001):
        table.take(EventRow(base + after, "bybit", "A", "A", "long", 1.0, 1.0, 1.0))
    assert [table.times_ms[i] - base for i in table.in_order()] == [0, 400, 1000, 1001, 1500, 2000, 3001]
