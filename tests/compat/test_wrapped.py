from collections import namedtuple
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.compat.events import LiquidationEvent, native_event
from liqtape.compat.wrapped import liquidation_of, read_event
from liqtape.events import Liquidation

_MS = 1_790_000_000_123
_WHEN = datetime(2026, 9, 21, 14, 13, 20, 123_000, UTC)


class Exchange(Enum):
    BINANCE = 7


class PositionSide(Enum):
    LONG = "x"


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("time.time", lambda: 1_790_000_999.5)
    return 1_790_000_999_500


def _event(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**({"symbol": "BTCUSDT"} | fields))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"event_ms": _MS, "timestamp_ms": 1, "timestamp": 2}, _MS),
        ({"timestamp_ms": _MS, "timestamp": 2}, _MS),
        ({"timestamp": _MS}, _MS),
        ({"timestamp": _MS / 1000}, _MS),
        ({"timestamp": _MS // 1000}, 1_790_000_000_000),
        ({"timestamp": _MS * 1000}, _MS),
        ({"timestamp": _WHEN}, round(_WHEN.timestamp() * 1000)),
        ({"event_ms": _WHEN}, round(_WHEN.timestamp() * 1000)),
        ({"timestamp": 99_999_999_999}, 99_999_999_999_000),
        ({"timestamp": 100_000_000_000}, 100_000_000_000),
        ({"timestamp": 99_999_999_999_999}, 99_999_999_999_999),
        ({"timestamp": 100_000_000_000_000}, 100_000_000_000),
        ({"event_ms": None, "timestamp": str(_MS)}, _MS),
        ({"timestamp": Decimal(_MS)}, _MS),
        ({"timestamp": "soon"}, 1_790_000_999_500),
        ({"timestamp": pandas.NaT}, 1_790_000_999_500),
        ({"timestamp": float("nan")}, 1_790_000_999_500),
        ({}, 1_790_000_999_500),
    ],
    ids=str,
)
def test_time_of_an_event(fields: dict[str, Any], expected: int) -> None:
    assert liquidation_of(_event(**fields), "x").event_ms == expected
    assert liquidation_of({"symbol": "BTCUSDT"} | fields, "x").event_ms == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"notional_usd": 1, "value_usd": 2, "actual_value_usd": 3, "usd_value": 4}, 3.0),
        ({"notional_usd": 1, "value_usd": 2, "usd_value": 4}, 1.0),
        ({"value_usd": 2, "usd_value": 4, "quoteValue": 5}, 2.0),
        ({"actual_value_usd": 3, "usd_value": 4}, 3.0),
        ({"usd_value": Decimal("4.5"), "price": 7, "quantity": 7}, 4.5),
        ({"notional_usd": None, "value_usd": 2}, 2.0),
        ({"value_usd": "no number", "usd_value": 4}, 4.0),
        ({"price": 80_000.5, "quantity": "0.25"}, 20_000.125),
        ({"value_usd": float("nan"), "price": 5, "quantity": 5}, None),
        ({"value_usd": 0}, 0.0),
        ({"price": 5}, None),
        ({}, None),
    ],
    ids=str,
)
def test_usd_of_an_event(fields: dict[str, Any], expected: float | None) -> None:
    assert liquidation_of(_event(**fields), "x").notional_usd == expected
    assert liquidation_of({"symbol": "BTCUSDT"} | fields, "x").notional_usd == expected


@pytest.mark.parametrize(
    ("fields", "side"),
    [
        ({"side": "LONG"}, "long"),
        ({"side": "Short"}, "short"),
        ({"side": PositionSide.LONG}, "long"),
        ({"side": 1}, None),
        ({"side": 1, "side_name": "SHORT"}, "short"),
        ({"side": 1, "side_str": "LONG"}, "long"),
        ({"side": "SELL"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_side_is_only_what_the_event_names(fields: dict[str, Any], side: str | None) -> None:
    assert liquidation_of(_event(**fields), "x").side == side


@pytest.mark.parametrize(
    ("fields", "venue"),
    [
        ({"exchange": "Binance"}, "binance"),
        ({"exchange": Exchange.BINANCE}, "binance"),
        ({"exchange": 3, "exchange_name": "okx"}, "okx"),
        ({"exchange": 3}, "fallback"),
        ({}, "fallback"),
    ],
    ids=str,
)
def test_venue_of_an_event(fields: dict[str, Any], venue: str) -> None:
    assert liquidation_of(_event(**fields), "fallback").venue == venue


@pytest.mark.parametrize("event", [None, 5, "BTCUSDT", {}, {"symbol": ""}, SimpleNamespace(symbol=7), ("BTCUSDT", 5)])
def test_an_event_without_a_symbol_is_refused(event: Any) -> None:
    with pytest.raises(ValueError, match="names no symbol"):
        liquidation_of(event, "x")


def test_a_native_event_is_the_liquidation_it_carries() -> None:
    liquidation = Liquidation("okx", "BTCUSDT", "BTC-USDT-SWAP", "short", 5.0, "bankruptcy", None, None, _MS, id="a")

    event = native_event(liquidation)

    assert liquidation_of(event, "x") is liquidation
    assert (event.symbol, event.side_name, event.exchange_name) == ("BTCUSDT", "SHORT", "okx")
    assert (event.timestamp_ms, event.timestamp) == (_MS, datetime.fromtimestamp(_MS / 1000, UTC))
    assert event.value_usd != event.value_usd
    assert event.quantity != event.quantity


def test_a_native_event_made_by_hand_is_read_like_any_other() -> None:
    event = LiquidationEvent(_MS, 1, "ETHUSDT", 0, 2_000.0, 0.5, 1_000.0)

    read = liquidation_of(event, "x")

    assert (read.venue, read.instrument, read.side, read.notional_usd) == ("bybit", "ETHUSDT", "long", 1_000.0)


def test_a_named_tuple_is_an_event_too() -> None:
    row = namedtuple("row", "symbol timestamp value_usd")

    assert liquidation_of(row("SOLUSDT", 1_790_000_000, 7.0), "x").event_ms == 1_790_000_000_000


def test_the_older_compact_event_reads_its_true_usd_price_and_quantity() -> None:
    """Thousands of USD, hundredths of a USD and millionths of a coin stand under the plain names."""

    class Compact:
        symbol, timestamp_ms, side_str, exchange = "BTCUSDT", _MS, "LONG", 0
        value_usd, price, quantity = 40, 8_000_050, 500_000
        actual_value_usd, actual_price, actual_quantity = 40_000.25, 80_000.5, 0.5

    read = read_event(Compact(), "binance")

    assert (read.liquidation.notional_usd, read.liquidation.price, read.liquidation.quantity) == (
        40_000.25,
        80_000.5,
        0.5,
    )
    assert (read.liquidation.side, read.liquidation.event_ms, read.liquidation.venue) == ("long", _MS, "binance")
    assert read.missing == ()


def test_actual_price_and_quantity_make_the_usd_where_nothing_else_says_it() -> None:
    fields = {"price": 8_000_050, "quantity": 500_000, "actual_price": 80_000.5, "actual_quantity": 0.5}

    assert liquidation_of(_event(**fields), "x").notional_usd == 40_000.25


@pytest.mark.parametrize("name", ["symbol", "instrument", "pair", "trading_pair", "coin"])
def test_symbol_has_five_names(name: str) -> None:
    assert liquidation_of({name: "BTC"}, "x").instrument == "BTC"
    assert liquidation_of({"symbol": None, name: "BTC"}, "x").instrument == "BTC"


@pytest.mark.parametrize("name", ["quantity", "qty", "amount", "size", "contracts"])
def test_size_has_five_names(name: str) -> None:
    read = liquidation_of({"symbol": "BTCUSDT", "price": 100, name: "-2"}, "x")

    assert (read.quantity, read.notional_usd) == (2.0, 200.0)
    assert liquidation_of({"symbol": "BTCUSDT", "price": 100, name: 2, "contractSize": 0.5}, "x").notional_usd == 100.0


@pytest.mark.parametrize(
    ("symbol", "fields", "expected"),
    [
        ("BTC/USD:BTC", {"contracts": 10, "contractSize": 100, "price": 80_000, "quoteValue": 8e7}, (0.0125, 1000.0)),
        ("BTC/USD:BTC", {"contracts": 10, "price": 80_000, "quoteValue": 8e5}, (None, None)),
        ("BTC/USDT:USDT", {"contracts": 10, "contractSize": 0.01, "price": 80_000}, (0.1, 8000.0)),
        ("ETH/BTC:BTC", {"contracts": 10, "contractSize": 1, "price": 0.05, "quoteValue": 0.5}, (10.0, None)),
        ("BTC-EUR-PERP", {"quantity": 1, "price": 70_000}, (1.0, None)),
        ("BTC/EUR", {"quantity": 1, "price": 70_000, "value_usd": 80_000}, (1.0, 80_000.0)),
        ("BTC-USDT-PERP", {"quantity": 1, "price": 70_000}, (1.0, 70_000.0)),
    ],
)
def test_contracts_and_quotes(symbol: str, fields: dict[str, Any], expected: tuple[float | None, ...]) -> None:
    read = liquidation_of({"symbol": symbol} | fields, "x")

    assert (read.quantity, read.notional_usd) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-09-21T14:13:20.123Z", 1_790_000_000_123),
        ("2026-09-21T16:13:20.123+02:00", 1_790_000_000_123),
        ("2026-09-21 14:13:20.123", 1_790_000_000_123),
        ("20260921T141320Z", 1_790_000_000_000),
        ("20260921", 1_789_948_800_000),
        (" 1790000000123 ", 1_790_000_000_123),
    ],
)
@pytest.mark.parametrize("name", ["event_ms", "timestamp_ms", "timestamp", "time", "ts", "ts_ms", "ts_exch_ms"])
def test_time_has_seven_names_and_may_be_text(name: str, value: str, expected: int) -> None:
    read = read_event({"symbol": "BTCUSDT", name: value}, "x")

    assert (read.liquidation.event_ms, "time" in read.missing) == (expected, False)


def test_a_property_that_raises_says_nothing() -> None:
    class Half:
        symbol, price = "BTCUSDT", 5.0

        @property
        def notional_usd(self) -> float:
            raise TypeError("no quantity")

    assert read_event(Half(), "x").missing == ("side", "usd", "time")


def test_the_symbol_stays_as_it_is_said_and_the_venue_becomes_fit_for_a_line() -> None:
    read = liquidation_of({"symbol": "BTC/USDT:USDT\r\n+ \x1b", "exchange": "Mine\nand yours"}, "x")

    assert (read.instrument, read.symbol) == ("BTC/USDT:USDT\r\n+ \x1b",) * 2
    assert read.venue == "mine%0Aand yours"


_NUMBERS = st.one_of(
    st.floats(),
    st.integers(-(10**20), 10**20),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.decimals(),
    st.binary(),
)
_NAMES = st.sampled_from(
    "actual_value_usd notional_usd value_usd usd_value quoteValue notional price actual_price quantity qty amount size "
    "contracts contractSize event_ms timestamp_ms timestamp time ts side side_name exchange".split()
)


@given(
    st.dictionaries(_NAMES, _NUMBERS), st.text(min_size=1, max_size=12), st.sampled_from([None, "order", "position"])
)
def test_whatever_an_event_holds_is_read_soundly_or_not_at_all(
    fields: dict[str, Any], symbol: str, declared: Any
) -> None:
    read, missing = read_event({"symbol": symbol} | fields, "x", declared)

    for number in (read.notional_usd, read.quantity):
        assert number is None or 0 <= number < 1e15
    assert isinstance(read.event_ms, int)
    assert read.event_ms > 0
    assert ("usd" in missing) == (read.notional_usd is None)
    assert ("side" in missing) == (read.side is None)
    assert read.instrument == read.symbol == symbol
    read.venue.encode()


@given(st.integers(10**11, 10**14 - 1))
def test_a_time_is_read_alike_in_every_form(at_ms: int) -> None:
    whole = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
    forms: list[Any] = [at_ms, str(at_ms), float(at_ms), whole, whole.isoformat()]

    assert {liquidation_of({"symbol": "X", "time": form}, "x").event_ms for form in forms} == {at_ms}
