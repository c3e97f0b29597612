"""Instruments: sizes to coins and USD, the one rounding, lots of several coins, what is not known."""

import decimal
import math
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.events import RawLiquidation, Unit
from liqtape.instruments import Contract, Instruments, split_multiplier

_LINEAR = Contract("v", "S", "BTCUSDT", unit_value="0.01")
_INVERSE = Contract("v", "S", "BTCUSD", inverse=True, unit_value="100")


def _raw(price: float, size: float, unit: Unit = "base") -> RawLiquidation:
    return RawLiquidation("v", "S", "short", price, "fill", size, unit, 1_790_000_000_000, 1_790_000_000_100)


def _sized(contract: Contract, price: float, size: float, unit: Unit = "base") -> tuple[float | None, float | None]:
    liquidation = Instruments(lambda *_: contract).sized(_raw(price, size, unit), "x")
    return liquidation.quantity, liquidation.notional_usd


def _micro(*factors: float | str) -> int:
    """The product in micro-USD, half to even, of the decimals the numbers print as: without a float in between."""
    product = Fraction(10**6)
    for factor in factors:
        product *= Fraction(str(factor))
    return round(product)


@pytest.mark.parametrize(
    ("contract", "unit", "price", "size", "quantity", "usd"),
    [
        (_LINEAR, "base", 80_000.0, 0.5, 0.5, 40_000.0),
        (_LINEAR, "contracts", 80_000.0, 5.0, 0.05, 4_000.0),
        (_LINEAR, "contracts", 10.0, 7.0, 0.07, 0.7),
        (_LINEAR, "contracts", 10.0, 0.5, 0.005, 0.05),
        (_INVERSE, "contracts", 80_000.0, 10.0, 0.0125, 1_000.0),
        (_INVERSE, "usd", 80_000.0, 1_000.0, 0.0125, 1_000.0),
        (msgspec.structs.replace(_LINEAR, unit_value="1000"), "contracts", 0.5, 3.0, 3_000.0, 1_500.0),
        (msgspec.structs.replace(_LINEAR, unit_value="0.10"), "contracts", 2_000.5, 2.5, 0.25, 500.125),
        (msgspec.structs.replace(_INVERSE, unit_value="10"), "contracts", 4_000.0, 8.0, 0.02, 80.0),
    ],
)
def test_sizes_in_coins_and_usd(
    contract: Contract, unit: Unit, price: float, size: float, quantity: float, usd: float
) -> None:
    assert _sized(contract, price, size, unit) == (quantity, usd)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("factor", [1, 1000])
def test_contracts_of_unknown_size_are_never_guessed(inverse: bool, factor: int) -> None:
    contract = Contract("v", "S", "X", inverse=inverse, factor=factor)

    assert _sized(contract, 2.0, 3.0, "contracts") == (None, None)


@pytest.mark.parametrize("unit_value", [None, "0.01"])
def test_a_size_in_coins_needs_no_contract_size(unit_value: str | None) -> None:
    assert _sized(msgspec.structs.replace(_LINEAR, unit_value=unit_value), 2.0, 3.0) == (3.0, 6.0)


@pytest.mark.parametrize(
    ("price", "size", "usd"),
    [
        (2.5, 0.0000002, 0.0),
        (2.5, 0.0000006, 0.000002),
        (2.5, 0.000001, 0.000002),
        (0.0722187, 2049.1, 147.983338),
        (1.3911902, 70.5, 98.078909),
        (1e-7, 1.0, 0.0),
        (0.000001, 1.5, 0.000002),
        (0.000001, 2.5, 0.000002),
        (0.000001, 2.5000001, 0.000003),
    ],
)
def test_usd_is_rounded_once_half_to_even(price: float, size: float, usd: float) -> None:
    assert _sized(_LINEAR, price, size) == (size, usd)


_NUMBERS = (
    st.floats(1e-9, 1e9) | st.decimals(0, 100_000, places=7).map(float).filter(bool) | st.sampled_from([0.5, 2.5, 1e-6])
)


@given(_NUMBERS, _NUMBERS, st.sampled_from(["0.01", "0.1", "1", "10", "1000", "0.0000001"]))
def test_usd_is_what_exact_decimals_give(price: float, size: float, unit_value: str) -> None:
    linear = msgspec.structs.replace(_LINEAR, unit_value=unit_value)
    inverse = msgspec.structs.replace(_INVERSE, unit_value=unit_value)

    assert _sized(linear, price, size)[1] == _micro(price, size) / 10**6
    assert _sized(linear, price, size, "usd")[1] == _micro(size) / 10**6
    assert _sized(linear, price, size, "contracts")[1] == _micro(price, size, unit_value) / 10**6
    assert _sized(inverse, price, size, "contracts")[1] == _micro(size, unit_value) / 10**6


@given(st.integers(1, 10**8), st.decimals("0.0000001", 10**7, places=7).map(float))
def test_usd_of_any_amount_is_rounded_once(price: int, size: float) -> None:
    assert _sized(_LINEAR, float(price), size)[1] == _micro(float(price), size) / 10**6


@given(st.integers(1, 100_000), st.sampled_from(["0.01", "0.1", "0.001", "10", "0.0001"]))
def test_so_many_contracts_are_the_nearest_number_of_coins(size: int, unit_value: str) -> None:
    quantity, _ = _sized(msgspec.structs.replace(_LINEAR, unit_value=unit_value), 1.0, float(size), "contracts")

    assert quantity == float(size * Fraction(unit_value))


@pytest.mark.parametrize(
    ("price", "factor", "printed"),
    [
        (0.0123456, 1000, "1.23456e-05"),
        (12.3, 1000, "0.0123"),
        (0.3, 1000, "0.0003"),
        (0.7, 10_000, "7e-05"),
        (1.1, 1_000_000, "1.1e-06"),
    ],
)
def test_multiplier_prices_print_as_a_person_would_write_them(price: float, factor: int, printed: str) -> None:
    contract = Contract("v", "S", "X", factor=factor)

    liquidation = Instruments(lambda *_: contract).sized(_raw(price, 0.3), "x")

    assert repr(liquidation.price) == printed
    assert liquidation.quantity == float(Fraction("0.3") * factor)


@given(_NUMBERS, _NUMBERS, st.sampled_from([10, 1000, 10_000, 1_000_000]))
def test_usd_is_unchanged_by_the_multiplier(price: float, size: float, factor: int) -> None:
    contract = Contract("v", "S", "X", factor=factor)

    liquidation = Instruments(lambda *_: contract).sized(_raw(price, size), "x")

    assert liquidation.notional_usd == _sized(_LINEAR, price, size)[1]
    assert liquidation.price == float(Fraction(repr(price)) / factor)
    assert liquidation.quantity == float(Fraction(repr(size)) * factor)


def test_the_decimal_context_of_the_caller_does_not_matter() -> None:
    table = Instruments(lambda *_: Contract("v", "S", "X", factor=1000))
    raw = _raw(0.0123456, 1234.567)

    with decimal.localcontext(decimal.Context(prec=2)):
        liquidation = table.sized(raw, "x")

    assert (liquidation.price, liquidation.quantity) == (0.0000123456, 1_234_567.0)
    assert liquidation.notional_usd == 15.24147  # 0.0123456 x 1234.567 = 15.2414703552


@given(
    st.floats(1e-18, 1e18, exclude_min=True, exclude_max=True),
    st.floats(1e-18, 1e18, exclude_min=True, exclude_max=True),
    st.sampled_from(["base", "usd", "contracts"]),
    st.booleans(),
    st.sampled_from([1, 10_000_000]),
    st.sampled_from(["0.000000000001", "1000000000000"]),
)
def test_what_a_venue_lets_pass_can_be_sized(
    price: float, size: float, unit: Unit, inverse: bool, factor: int, unit_value: str
) -> None:
    quantity, usd = _sized(Contract("v", "S", "X", inverse, unit_value, factor), price, size, unit)

    assert quantity is not None
    assert usd is not None
    assert math.isfinite(quantity)
    assert quantity > 0
    assert 0 <= usd < math.inf


def test_all_else_of_the_event_is_kept() -> None:
    liquidation = Instruments(lambda *_: _LINEAR).sized(_raw(2.0, 3.0), "identity")

    assert msgspec.structs.asdict(liquidation) == {
        "venue": "v",
        "instrument": "BTCUSDT",
        "symbol": "S",
        "side": "short",
        "price": 2.0,
        "price_kind": "fill",
        "quantity": 3.0,
        "notional_usd": 6.0,
        "event_ms": 1_790_000_000_000,
        "receive_ms": 1_790_000_000_100,
        "id": "identity",
    }


def test_the_venues_list_wins_over_spelling_also_for_a_symbol_already_seen() -> None:
    asked: list[str] = []

    def spell(venue: str, symbol: str) -> Contract:
        asked.append(symbol)
        return Contract(venue, symbol, f"spelled {symbol}")

    table = Instruments(spell)
    assert table.listed("v") == []
    assert [table.contract("v", "S").instrument for _ in range(3)] == ["spelled S"] * 3
    assert asked == ["S"]

    assert table.load([_LINEAR, Contract("v", "A", "A"), Contract("w", "B", "B")]) == 3

    assert table.contract("v", "S") == _LINEAR
    assert table.contract("w", "S").instrument == "spelled S"
    assert (table.listed("v"), table.listed("w"), table.listed("x")) == (["A", "S"], ["B"], [])


def test_what_is_only_spelled_is_not_listed() -> None:
    table = Instruments(lambda venue, symbol: Contract(venue, symbol, symbol))
    table.contract("v", "S")

    assert table.listed("v") == []


@pytest.mark.parametrize(
    ("base", "coin", "factor"),
    [
        ("1000PEPE", "PEPE", 1000),
        ("1000SHIB", "SHIB", 1000),
        ("SHIB1000", "SHIB", 1000),
        ("10000LADYS", "LADYS", 10_000),
        ("1000000MOG", "MOG", 1_000_000),
        ("1MBABYDOGE", "BABYDOGE", 1_000_000),
        ("kPEPE", "PEPE", 1000),
        ("kBONK", "BONK", 1000),
        ("1INCH", "1INCH", 1),
        ("1000UNHEARD", "1000UNHEARD", 1),
        ("KPEPE", "KPEPE", 1),
        ("KAS", "KAS", 1),
        ("BTC", "BTC", 1),
        ("1000", "1000", 1),
        ("", "", 1),
    ],
)
def test_only_the_listed_names_are_lots(base: str, coin: str, factor: int) -> None:
    assert split_multiplier(base) == (coin, factor)
