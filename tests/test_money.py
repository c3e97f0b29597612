"""Micro-USD: one rounding, half to even, of the exact decimal product."""

from decimal import ROUND_DOWN, Context, Decimal, Inexact, Rounded, localcontext
from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from liqtape.money import MICRO, micro_of, micro_usd


def exactly(*factors: str) -> int:
    """The product in micro-USD by fractions; Python rounds a fraction half to even."""
    product = Fraction(MICRO)
    for factor in factors:
        product *= Fraction(factor)
    return round(product)


@st.composite
def printed(draw: st.DrawFn, smallest: int = -12, largest: int = 3) -> str:
    """A positive decimal of up to 12 significant digits, as venues print prices, sizes and contract values."""
    digits = draw(st.integers(1, 10 ** draw(st.integers(1, 12)) - 1))
    return format(Decimal(digits).scaleb(draw(st.integers(smallest, largest))), "f")


@given(st.lists(printed(), min_size=1, max_size=3))
@example(["0.47621565796", "0.0482469699949", "0.000021761873901"])  # half a micro-USD + 4e-33: 28 digits see a tie
@example(["123456.789012", "98765432.1098"])
def test_is_the_exact_product_rounded_once(factors: list[str]) -> None:
    assert exactly(*factors) == micro_usd(*(float(factor) for factor in factors))


@given(
    k=st.integers(0, 10**9),
    halvings=st.integers(0, 9),
    off=st.sampled_from([-1, 0, 1]),
    tail=st.integers(1, 3),
)
def test_near_a_tie(k: int, halvings: int, off: int, tail: int) -> None:
    # (2k + 1) / 2^(h + 1) times 2^h is a half exactly; `off` moves it in the last digits a venue could print.
    numerator = Decimal(2 * k + 1) * 5 ** (halvings + 1)
    tie = numerator.scaleb(-(halvings + 1))
    price = format(tie + Decimal(off).scaleb(-(halvings + 1 + tail)), "f")
    size = format(Decimal(2**halvings).scaleb(-6), "f")
    assume(len(price.replace(".", "").strip("0")) <= 15)  # else no float stands for it

    assert exactly(price, size) == micro_usd(float(price), float(size))


@pytest.mark.parametrize("k", [0, 1, 2, 3, 4_503_599_627, 10**13, 10**13 + 1])
def test_a_tie_goes_to_the_even_neighbour(k: int) -> None:
    assert k + k % 2 == micro_usd(k + 0.5, 1e-6)


@given(st.lists(st.floats(1e-12, 1e15), min_size=1, max_size=3))
def test_a_float_stands_for_what_it_prints_as(factors: list[float]) -> None:
    assert exactly(*(repr(factor) for factor in factors)) == micro_usd(*factors)


@given(st.integers(10**13, 10**27))
def test_above_what_floats_resolve(micro: int) -> None:
    usd = micro / MICRO

    assert exactly(repr(usd)) == micro_usd(usd)


@given(st.integers(0, 2**33 * MICRO - 1))
def test_an_event_keeps_its_micro_usd_in_a_float(micro: int) -> None:
    assert micro == micro_usd(micro / MICRO)


@given(st.floats(0, 1e15) | st.integers(0, 10**10).map(lambda k: (2 * k + 1) / 2e6))
def test_one_amount_alone_is_rounded_alike(usd: float) -> None:
    assert exactly(repr(usd)) == micro_of(usd) == micro_usd(usd)


def test_zero() -> None:
    assert micro_usd(0.0) == micro_usd(80_000.0, 0.0) == 0


def test_the_decimal_context_of_the_caller_does_not_matter() -> None:
    factors = ("123456.789", "98765.4321")
    with localcontext(Context(prec=3, rounding=ROUND_DOWN, traps=[Inexact, Rounded])):
        micro = micro_usd(*(float(factor) for factor in factors))

    assert exactly(*factors) == micro


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_amount_raises(value: float) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        micro_usd(value, 1.0)
