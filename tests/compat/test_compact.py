import math
import sys
import tracemalloc
from decimal import Decimal
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.compat.compact import CompactLiquidation, LiquidationBuffer, LiquidationSide, _Symbols
from liqtape.compat.events import Exchange, LiquidationEvent, Side

_NINE_DIGITS = st.builds(
    lambda digits, exponent: float(Decimal(digits).scaleb(exponent)), st.integers(1, 999_999_999), st.integers(-18, 9)
)
_EVENTS = st.builds(
    CompactLiquidation,
    st.integers(0, 2**48 - 1),
    st.text(min_size=1, max_size=20),
    st.sampled_from(LiquidationSide),
    _NINE_DIGITS,
    _NINE_DIGITS,
    st.none() | st.integers(0, 126),
)


@given(_EVENTS)
def test_nine_digits_come_back_exactly_from_18_bytes(small: CompactLiquidation) -> None:
    packed = small.pack()

    assert len(packed) == 18
    assert CompactLiquidation.unpack(packed) == small


@given(st.floats(1e-20, 1e20), st.floats(1e-20, 1e20))
def test_any_number_comes_back_to_nine_digits(price: float, quantity: float) -> None:
    back = CompactLiquidation.unpack(CompactLiquidation(1, "X", 1, price, quantity).pack())

    assert (back.price, back.quantity) == (float(f"{price:.8e}"), float(f"{quantity:.8e}"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamp_ms": -1}, "time"),
        ({"timestamp_ms": 2**48}, "time"),
        ({"exchange": 128}, "exchange"),
        ({"price": -1.0}, "fit"),
        ({"price": math.inf}, "fit"),
        ({"quantity": 1e40}, "fit"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(change: dict[str, float], message: str) -> None:
    given = {"timestamp_ms": 1, "symbol": "X", "side": 1, "price": 1.0, "quantity": 1.0, "exchange": None} | change

    with pytest.raises(ValueError, match=message):
        CompactLiquidation(**given).pack()  # type: ignore[arg-type]


def test_unknown_quantity_stays_unknown() -> None:
    event = LiquidationEvent(1, -1, "X", Side.SHORT, 5.0, math.nan, math.nan)

    back = CompactLiquidation.unpack(CompactLiquidation.from_event(event).pack())

    assert math.isnan(back.quantity)
    assert (back.side, back.exchange, back.price) == (LiquidationSide.SHORT, None, 5.0)


@pytest.mark.parametrize("side", [Side.LONG, Side.SHORT])
def test_sides_of_another_enumeration_are_taken_by_name(side: Side) -> None:
    assert CompactLiquidation(1, "X", side, 1.0, 1.0).side_str == side.name


def test_binance_order_side_is_turned_into_the_position() -> None:
    order = {"s": "BTCUSDT", "S": "SELL", "ap": "97512.3", "z": "0.162", "T": 1_790_000_000_123}

    small = CompactLiquidation.from_binance_data({"o": order})

    assert small == CompactLiquidation(
        1_790_000_000_123, "BTCUSDT", LiquidationSide.LONG, 97512.3, 0.162, Exchange.BINANCE
    )
    assert small.to_dict()["value_usd"] == small.actual_value_usd == small.amount_usd == 97512.3 * 0.162


def test_more_than_65536_symbols_are_refused_and_the_others_stay() -> None:
    symbols = _Symbols()
    for i in range(65_536):
        symbols.number(f"COIN{i}")

    with pytest.raises(ValueError, match="more than 65536 symbols"):
        symbols.number("ONE-MORE")

    assert (symbols.number("COIN65535"), symbols.name(7)) == (65_535, "COIN7")


def test_threads_give_a_symbol_one_number() -> None:
    symbols = _Symbols()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def ask(first: int) -> None:
        for i in range(3_000):
            symbols.number(f"COIN{(first * 1_000 + i) % 5_000}")

    threads = [Thread(target=ask, args=(first,)) for first in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert [name for name in symbols._numbers if symbols.name(symbols.number(name)) != name] == []


def test_a_thousand_in_the_buffer_take_at_most_18_kb() -> None:
    events = [CompactLiquidation(i, f"COIN{i % 50}USDT", 1 + i % 2, 1.5 + i, 0.25) for i in range(1_000)]
    for event in events:
        event.pack()  # the numbers of the symbols are for the life of the process
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        buffer = LiquidationBuffer(1_000)
        for event in events:
            buffer.add(event)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert list(buffer) == events
    assert used <= 18 * 1024
    assert buffer.memory_usage() == 18_000


def test_buffer_keeps_the_newest_and_knows_the_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = LiquidationBuffer(3)
    for second in range(5):
        buffer.add(CompactLiquidation(1_000_000 + second * 1_000, "X", 1, 10.0, float(second)))
    monkeypatch.setattr("time.time", lambda: 1_004.0)

    assert [kept.quantity for kept in buffer] == [2.0, 3.0, 4.0]
    assert buffer.get_cascade_data(1.5) == (list(buffer)[1:], 70.0)
    buffer.clear_old(1.5)
    assert [kept.quantity for kept in buffer] == [3.0, 4.0]
