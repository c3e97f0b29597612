"""USD as integers: one rounding per event, then exact sums."""

from decimal import ROUND_HALF_EVEN, Context, Decimal

__all__ = ["CLEAR", "MICRO", "WHOLE", "micro_of", "micro_usd"]

MICRO = 1_000_000
"""Micro-USD in one USD: the unit of every sum."""

DOUBT = 7e-16
"""How far off a float product of three factors may be, as a share of itself (6 x 2^-53 and a little): where it is
further than that from a tie of rounding, the nearest integer is certain. No product above 7e14 is."""

CLEAR = 2.0**48
"""A float product of three factors below it is off by less than a quarter: within another quarter of an integer, that
integer is certain. In micro-USD it is 281 million USD, above every liquidation known."""

WHOLE = 1.5 * 2.0**52
"""Added to a smaller float and taken away again, it leaves the nearest whole number, half to even: 25 ns, where
`round` takes 75."""

_MICRO = float(MICRO)  # a float times an int takes twice as long

# A float prints with 17 digits at most, so products of five are exact here; in the context of the calling thread (28
# digits, or what the user's program chose) three would be rounded twice.
_EXACT = Context(prec=100)


def micro_usd(*factors: float) -> int:
    """Product of `factors` in USD, as micro-USD, rounded half to even as the exact decimal product would be.

    Each factor stands for the decimal number it prints as. The float product decides except near a tie, where the
    decimals do.

    >>> micro_usd(2.5, 0.0000002), micro_usd(1.5, 0.000001), micro_usd(3.85642, 116.5)
    (0, 2, 449272930)
    """
    product = float(MICRO)
    for factor in factors:
        product *= factor
    nearest = product + WHOLE - WHOLE
    if abs(product - nearest) < 0.5 - product * DOUBT:
        return int(nearest)
    exact = Decimal(MICRO)
    for factor in factors:
        exact = _EXACT.multiply(exact, Decimal(repr(factor)))
    return int(exact.to_integral_value(ROUND_HALF_EVEN))


def micro_of(usd: float) -> int:
    """An amount in USD as micro-USD: `micro_usd` of one factor, without its loop, for the hot path.

    >>> micro_of(449.27293)
    449272930
    """
    product = usd * _MICRO
    nearest = product + WHOLE - WHOLE
    if -0.25 < product - nearest < 0.25 and product < CLEAR:
        return int(nearest)
    return micro_usd(usd)
