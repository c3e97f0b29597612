"""Correlation across instruments and venues, fed from the engine."""

import random

import pytest

from liqtape.engine import VelocityEngine
from liqtape.engine.correlation.comovement import Comovement
from liqtape.engine.correlation.estimators import CountCorrelation, ewma_correlation, square_root
from liqtape.events import Liquidation

_T = 1_790_000_000_000


def liquidation(at_ms: int, instrument: str = "BTCUSDT", venue: str = "bybit") -> Liquidation:
    return Liquidation(venue, instrument, instrument, "long", 1.0, "fill", None, 1.0, at_ms)


def _run(counts: dict[tuple[str, str], list[int]], late_ms: int = 0, limit: int = 50) -> Comovement:
    """Seconds of events, told up to `late_ms` after they were, with a tick a second."""
    engine, comovement = VelocityEngine(), Comovement(limit)
    seconds = max(map(len, counts.values()))
    comovement.tick(engine, _T + 4_999)
    for second in range(seconds + 12):
        rarity = second - late_ms // 1000
        for (instrument, venue), instrument_windows in counts.items():
            if 0 <= rarity < len(instrument_windows):
                for i in range(instrument_windows[rarity]):
                    engine.add(liquidation(_T + 1000 * rarity + i, instrument, venue))
        comovement.tick(engine, _T + 1000 * second + 999)
    return comovement


def _drawn(seed: int, seconds: int = 400) -> list[int]:
    draw = random.Random(seed)
    return [draw.choice([0, 0, 1, 2, 5]) for _ in range(seconds)]


@pytest.mark.parametrize("late_ms", [0, 4_000])
def test_equals_the_plain_formula_on_the_seconds(late_ms: int) -> None:
    btc, noise = _drawn(1), _drawn(2)
    eth = [0, 0, *(max(0, a - b // 5) for a, b in zip(btc, noise, strict=True))]
    comovement = _run({("BTCUSDT", "bybit"): btc, ("ETHUSDT", "bybit"): eth}, late_ms)

    (pair,) = comovement.pairs()

    closed = comovement.instruments._next - _T // 1000
    x, y = (
        [square_root(c) for c in ([0] + instrument_windows + [0] * 30)[: closed + 1]]
        for instrument_windows in (btc, eth)
    )
    assert (pair.x, pair.y, pair.best_lag) == ("BTCUSDT", "ETHUSDT", 2)
    assert pair.best_rho is not None
    assert pair.best_rho > 0.8
    assert pair.rho == pytest.approx(ewma_correlation(x, y, 300.0), abs=1e-9)
    assert comovement.instruments.late_total == 0


def test_venues_are_compared_over_all_instruments() -> None:
    one, other = _drawn(3), _drawn(4)
    comovement = _run({("A", "bybit"): one, ("B", "okx"): one, ("C", "okx"): other})

    found = {(pair.x, pair.y): pair.rho for pair in comovement.pairs()}

    assert found["A", "B"] == pytest.approx(1.0)
    assert found["bybit", "okx"] is not None
    assert 0.3 < found["bybit", "okx"] < 0.95


def test_a_busier_stream_takes_the_place_of_the_quietest() -> None:
    quiet = [1] + [0] * 399
    counts = {("QUIET", "bybit"): quiet, **{(f"COIN{i}", "bybit"): [0] * 70 + _drawn(i, 330) for i in range(3)}}
    comovement = _run(counts, limit=3)

    assert sorted(comovement.instruments.streams()) == ["COIN0", "COIN1", "COIN2"]
    assert len(comovement.pairs()) == 3


def test_with_ten_thousand_streams_only_the_busiest_are_kept() -> None:
    engine, comovement = VelocityEngine(), Comovement()
    for i in range(2_000):
        for _ in range(1 + (i % 100 == 0)):
            engine.add(liquidation(_T + 100, f"COIN{i}"))
    comovement.tick(engine, _T + 6_000)

    assert len(comovement.instruments.streams()) == 50
    assert comovement.instruments.ignored_total > 0


def test_after_a_pause_only_the_last_minute_is_caught_up() -> None:
    engine, comovement = VelocityEngine(), Comovement()
    comovement.tick(engine, _T)
    engine.add(liquidation(_T + 3_600_000 - 100_000))
    engine.add(liquidation(_T + 3_600_000 - 30_000, "ETHUSDT"))
    comovement.tick(engine, _T + 3_600_000)

    assert comovement.instruments.streams() == ["ETHUSDT"]


def test_a_dropped_stream_is_forgotten_and_the_others_are_not_touched() -> None:
    kept, both = CountCorrelation(start_ms=_T), CountCorrelation(start_ms=_T)
    x, y, z = _drawn(5), _drawn(6), _drawn(7)
    for i in range(400):
        for name, counts in (("X", x), ("Y", y), ("Z", z)):
            if counts[i]:
                both.add(name, _T + 1000 * i, counts[i])
                if name != "Z":
                    kept.add(name, _T + 1000 * i, counts[i])
        if i == 200:
            both.drop("Z")
    both.drop("Z")
    for correlation in (kept, both):
        correlation.advance(_T + 500_000)

    assert both.streams() == ["X", "Y"]
    assert both.lead_lag("X", "Y") == kept.lead_lag("X", "Y")
    assert both.correlation("X", "Z") is None
