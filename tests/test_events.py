"""The vocabulary: its fields in the documented order, frozen, written and read without loss."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape import events
from liqtape.events import Event, Gap, Liquidation, RawLiquidation, VelocityMetrics

_LIQUIDATION = Liquidation(
    "bybit", "BTCUSDT", "BTCUSDT", "long", 80_000.0, "bankruptcy", 0.01, 800.0, 1_790_000_000_000
)
_RECORDS = [
    getattr(events, name)
    for name in events.__all__
    if name[0].isupper() and hasattr(getattr(events, name), "__struct_config__")
]
_WINDOWED = [
    "velocity",
    "long_count",
    "short_count",
    "long_usd",
    "short_usd",
    "usd_velocity",
    "velocity_est",
    "coverage",
]


def test_the_fields_of_an_event_line() -> None:
    assert Liquidation.__struct_fields__ == (
        "venue",
        "instrument",
        "symbol",
        "side",
        "price",
        "price_kind",
        "quantity",
        "notional_usd",
        "event_ms",
        "receive_ms",
        "id",
    )
    assert events.SCHEMA == 1


def test_the_founding_fourteen_fields_come_first_and_in_their_order() -> None:
    assert VelocityMetrics.__struct_fields__[:14] == (
        "symbol",
        "timestamp",
        "event_count_10s",
        "event_count_30s",
        "event_count_60s",
        "event_count_300s",
        "velocity_10s",
        "velocity_30s",
        "velocity_60s",
        "velocity_300s",
        "acceleration",
        "total_value_usd",
        "btc_price",
        "volatility_factor",
    )


@pytest.mark.parametrize("name", _WINDOWED)
def test_each_windowed_metric_has_every_window(name: str) -> None:
    assert events.WINDOWS == (10, 30, 60, 300)
    assert {f"{name}_{window}s" for window in events.WINDOWS} <= set(VelocityMetrics.__struct_fields__)


def test_the_other_documented_metrics_are_there() -> None:
    assert {"acceleration_se", "saturated", "surprise", "level", "late_total", "partial"} <= set(
        VelocityMetrics.__struct_fields__
    )


@pytest.mark.parametrize("record", _RECORDS, ids=lambda record: record.__name__)
def test_records_are_frozen_and_compared_by_value(record: type[msgspec.Struct]) -> None:
    values: dict[str, Any] = {
        field.name: field.default for field in msgspec.structs.fields(record) if not field.required
    } | {field.name: "x" for field in msgspec.structs.fields(record) if field.required}
    one, same = record(**values), record(**values)

    assert one == same
    assert one is not same
    for field in record.__struct_fields__:
        with pytest.raises(AttributeError, match="immutable"):
            setattr(one, field, None)


def test_every_record_a_venue_may_return_is_an_event_and_nothing_else() -> None:
    assert {kind.__name__ for kind in get_args(Event)} == {
        "RawLiquidation",
        "Invalid",
        "PriceTick",
        "Ack",
        "Rejected",
        "Pong",
        "Notice",
    }
    assert set(get_args(Event)) <= set(_RECORDS)


def test_what_is_not_known_is_none_and_not_zero() -> None:
    assert _LIQUIDATION.receive_ms is None
    assert Gap("okx", 1, None, "connection lost").until_ms is None
    raw = RawLiquidation("bybit", "X", "long", 1.0, "fill", 1.0, "base", 1)
    assert (raw.receive_ms, raw.native_id, raw.copy, raw.replayed) == (None, "", 1, False)


@given(
    st.builds(
        Liquidation,
        venue=st.text(),
        instrument=st.text(),
        symbol=st.text(),
        side=st.sampled_from(["long", "short", None]),
        price=st.floats(1e-18, 1e18),
        price_kind=st.sampled_from(["fill", "bankruptcy"]),
        quantity=st.none() | st.floats(0, 1e18),
        notional_usd=st.none() | st.floats(0, 1e18),
        event_ms=st.integers(0, 2**53),
        receive_ms=st.none() | st.integers(0, 2**53),
        id=st.text(),
    )
)
def test_a_line_written_is_the_event_read(liquidation: Liquidation) -> None:
    line = msgspec.json.encode(liquidation)

    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Liquidation) == liquidation


@pytest.mark.parametrize(
    "change",
    [{"side": "LONG"}, {"side": "Buy"}, {"price_kind": "mark"}, {"price": None}, {"event_ms": "1790000000000"}],
    ids=str,
)
def test_a_line_with_other_words_is_refused(change: dict[str, Any]) -> None:
    row = msgspec.to_builtins(_LIQUIDATION) | change

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(row, Liquidation)
