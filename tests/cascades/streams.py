"""Streams of liquidations for the tests of detectors, and what a second form needs to know of them."""

from collections.abc import Sequence
from itertools import accumulate
from math import ceil, exp2

from hypothesis import strategies as st

from liqtape.events import Liquidation, Side

BASE_MS = 1_790_000_000_000


def of(at_ms: int, usd: float | None = 1_000.0, side: Side | None = "long", venue: str = "bybit") -> Liquidation:
    return Liquidation(venue, "BTCUSDT", "BTCUSDT", side, 80_000.0, "fill", None, usd, at_ms)


_GAPS = st.one_of(
    st.just(0),
    st.integers(1, 2_000),
    st.sampled_from([1_000, 9_999, 10_000, 59_999, 60_000, 299_999, 300_000, 300_001]),
    st.integers(10_000, 4_000_000),
)
_SIZES = st.one_of(st.none(), st.floats(0.0, 1e7), st.sampled_from([0.0, 1_000.0, 50_000.0]))

bursts = st.lists(st.tuples(_GAPS, st.integers(1, 40), st.integers(0, 1_500)), min_size=1, max_size=12)
"""(pause before it, events, time between them)"""


@st.composite
def streams(draw: st.DrawFn) -> list[Liquidation]:
    """Bursts and pauses, in order of time."""
    gaps: list[int] = []
    for pause, count, between in draw(bursts):
        gaps += [pause] + [between] * (count - 1)
    times = [BASE_MS + at for at in accumulate(gaps)]
    dice = draw(st.randoms(use_true_random=False))
    sizes = draw(st.lists(_SIZES, min_size=3, max_size=6))
    sides: list[Side | None] = ["long", "short", "long", None]
    return [of(at_ms, dice.choice(sizes), dice.choice(sides)) for at_ms in times]


def usual_rate(times: Sequence[int], start_ms: int, now_ms: int) -> float:
    """Return the mean rate per second of 60 s bins that ended 300 s ago, by the words of metrics 5a."""
    first, end = ceil(start_ms / 60_000), (now_ms - 300_000) // 60_000
    weights = total = 0.0
    for number in range(first, end):
        weight = exp2(-(end - 1 - number) * 60 / 21_600)
        weights += weight
        total += weight * sum(at_ms // 60_000 == number for at_ms in times)
    return (30 / 60 + total) / (30 + weights) / 60
