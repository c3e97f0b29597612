"""Files of the public archives as they are downloaded, by their columns and whatever they are packed in.

The rows are in the layouts that Tardis and Binance document; sides and sizes are worked out by hand.
"""

import gzip
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from liqtape.errors import ConfigurationError
from liqtape.eventfiles.eventtable import EventTable
from liqtape.eventfiles.readers import SUFFIXES, event_files, load
from liqtape.events import Liquidation

_TARDIS = """exchange,symbol,timestamp,local_timestamp,id,side,price,amount
binance-futures,1000PEPEUSDT,1733356800123456,1733356800200000,,sell,0.02,5000
bybit,BTCUSDT,1733356801000000,1733356801200000,,buy,100000,0.5
bybit,BTCUSD,1733356801000999,1733356801200000,x,sell,100000,5000
okex-swap,BTC-USDT-SWAP,1733356802000000,1733356802200000,,sell,100000,7
binance-delivery,BTCUSD_PERP,1733356803000000,1733356803200000,,buy,100000,3
deribit,BTC-PERPETUAL,1733356804000000,1733356804200000,,buy,100000,30
"""
_BINANCE_HEADER = (
    "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,"
    "last_fill_quantity,accumulated_fill_quantity\n"
)
_BINANCE = """1690761601234,SELL,LIMIT,IOC,0.014,29000.1,29150.5,FILLED,0.004,0.014
1690761601234,SELL,LIMIT,IOC,0.014,29000.1,29150.5,FILLED,0.004,0.014
1690761605678,BUY,LIMIT,IOC,1.000,29500.0,29300.0,FILLED,0.500,1.000
"""
_FIRST_MS = 1690761601234


def _events(table: EventTable) -> list[Liquidation]:
    return [table.event(i) for i in range(len(table))]


def _binance(table: EventTable) -> Sequence[tuple[object, ...]]:
    return [(e.instrument, e.side, e.price, e.quantity, e.notional_usd, e.event_ms) for e in _events(table)]


_BOTH = [
    ("BTCUSDT", "long", 29150.5, 0.014, 408.107, _FIRST_MS),
    ("BTCUSDT", "short", 29300.0, 1.0, 29300.0, 1690761605678),
]


def test_tardis_gives_the_orders_side_microseconds_and_the_venues_own_unit(tmp_path: Path) -> None:
    path = tmp_path / "okex_liquidations_2024-12-05_OPTIONS.csv"
    path.write_text(_TARDIS)
    assert [
        (e.venue, e.instrument, e.side, e.price, e.quantity, e.notional_usd, e.event_ms - 1733356800000)
        for e in _events(load(path))
    ] == [
        ("binance", "PEPEUSDT", "long", 0.00002, 5_000_000.0, 100.0, 123),
        ("bybit", "BTCUSDT", "short", 100_000.0, 0.5, 50_000.0, 1_000),
        ("bybit", "BTCUSD", "long", 100_000.0, 0.05, 5_000.0, 1_000),
        ("okx", "BTCUSDT", "long", 100_000.0, 0.07, 7_000.0, 2_000),
        ("binance", "BTCUSD", "short", 100_000.0, 0.003, 300.0, 3_000),
        ("deribit", "BTC-PERPETUAL", "short", 100_000.0, None, None, 4_000),
    ]


@pytest.mark.parametrize("header", ["", _BINANCE_HEADER], ids=["without header", "with header"])
def test_binance_gives_the_symbol_by_the_files_name_and_every_row_twice(tmp_path: Path, header: str) -> None:
    path = tmp_path / "BTCUSDT-liquidationSnapshot-2023-07-31.csv"
    path.write_text(header + _BINANCE)
    table = load(path)
    assert _binance(table) == _BOTH
    assert (table.rows, table.duplicates) == (3, 1)


def _parquet(path: Path, text: str, times: dict[str, str]) -> None:
    """The CSV as a tool keeps it: numbers as numbers, and times as times where `times` has their unit."""
    table = csv.read_csv(io.BytesIO(text.encode()))
    for name, unit in times.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].cast(pa.timestamp(unit)).cast(pa.timestamp("ns", "UTC")))
    parquet.write_table(table, path)


@pytest.mark.parametrize("unit", [None, "us"], ids=["numbers", "times"])
def test_parquet_with_the_columns_of_tardis_gives_what_its_csv_gives(tmp_path: Path, unit: str | None) -> None:
    (tmp_path / "a.csv").write_text(_TARDIS)
    _parquet(tmp_path / "a.parquet", _TARDIS, {} if unit is None else {"timestamp": unit, "local_timestamp": unit})
    plain, kept = (load(tmp_path / name) for name in ("a.csv", "a.parquet"))
    assert _events(kept) == _events(plain)
    assert (len(kept), kept.summary()) == (6, plain.summary())


@pytest.mark.parametrize("unit", [None, "ms"], ids=["numbers", "times"])
def test_parquet_with_the_columns_of_binance_gives_what_its_csv_gives(tmp_path: Path, unit: str | None) -> None:
    path = tmp_path / "BTCUSDT-liquidationSnapshot-2023-07-31.parquet"
    _parquet(path, _BINANCE_HEADER + _BINANCE, {} if unit is None else {"time": unit})
    table = load(path)
    assert _binance(table) == _BOTH
    assert (table.rows, table.duplicates) == (3, 1)


def test_contracts_of_coin_margined_symbols_are_worth_dollars(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSD_PERP-liquidationSnapshot-2023-07-31.csv"
    path.write_text("1690761601234,BUY,LIMIT,IOC,25,29000.1,25000.0,FILLED,25,25\n")
    assert _binance(load(path)) == [("BTCUSD", "short", 25_000.0, 0.1, 2_500.0, _FIRST_MS)]


def test_packed_files_are_read_as_they_were_downloaded(tmp_path: Path) -> None:
    name = "BTCUSDT-liquidationSnapshot-2023-07-31.csv"
    with zipfile.ZipFile(tmp_path / "BTCUSDT-liquidationSnapshot-2023-07-31.zip", "w") as packed:
        packed.writestr(name, _BINANCE)
        packed.writestr("CHECKSUM", "x")
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(_BINANCE.encode()))
    files = event_files(tmp_path)
    assert [file.suffix for file in files] == [".gz", ".zip"]
    for file in files:
        assert _binance(load(file)) == _BOTH
    table = load(tmp_path)
    assert (_binance(table), table.duplicates) == (_BOTH, 4)


@pytest.mark.parametrize("side", ["", "LONG", "hold"])
def test_a_side_that_is_no_order_is_refused(tmp_path: Path, side: str) -> None:
    path = tmp_path / "BTCUSDT-liquidationSnapshot-2023-07-31.csv"
    path.write_text(_BINANCE.replace("BUY", side))
    assert load(path).rejected == {"side": 1}


@pytest.mark.parametrize("amount", ["0", "-1", "x", "inf", "1e19"])
def test_an_amount_that_is_none_is_refused(tmp_path: Path, amount: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "\n".join([*_TARDIS.splitlines()[:1], f"okex-swap,BTC-USDT-SWAP,1733356802000000,0,,sell,1,{amount}"])
    )
    table = load(path)
    assert (len(table), table.rejected.total()) == (0, 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", b"no gzip"),
        ("a.csv.gz", gzip.compress(_TARDIS.encode())[:-12]),
        ("a.zip", b"no zip"),
        ("a.csv", _BINANCE_HEADER.encode()),  # whose symbol nobody knows
    ],
    ids=["no gzip", "gzip cut", "no zip", "no symbol"],
)
def test_what_cannot_be_read_is_refused_with_the_files_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=name):
        load(tmp_path / name)


def test_an_empty_zip_says_what_it_should_hold(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w"):
        pass
    with pytest.raises(ConfigurationError, match="no event file inside"):
        load(tmp_path / "a.zip")
    assert ".zip" in SUFFIXES
