from collections import namedtuple
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from liqtape.compat.events import LiquidationEvent, native_event
from liqtape.compat.wrapped import liquidation_of
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
