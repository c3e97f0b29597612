"""Trades of strangers: however many there are and whatever stamps they bear, they cost neither memory nor the loop."""

import pytest

from liqtape.engine import VelocityEngine
from liqtape.engine.price.pricevolatility import PriceVolatility
from liqtape.events import PriceTick
from liqtape.ledger import Ledger
from liqtape.pipeline.clock import EventClock
from liqtape.pipeline.pipeline import Pipeline
from liqtape.pipeline.pricesources import PriceSource

_T = 1_790_000_000_000
_DAY_MS = 86_400_000


def _tick(stamp_ms: int, price: float = 80_000.0, receive_ms: int | None = _T) -> PriceTick:
    return PriceTick("binance", "BTCUSDT", price, 1.0, stamp_ms, receive_ms)


@pytest.mark.parametrize("is_waiting", [True, False], ids=["before the clocks are known", "after"])
def test_stamps_that_are_days_apart_let_no_days_pass(monkeypatch: pytest.MonkeyPatch, *, is_waiting: bool) -> None:
    """Each let a day of seconds pass, which takes a tenth of a second: thousands of them froze the loop for minutes."""
    passed = [0]
    put_quiet = PriceVolatility._put_quiet

    def counted(self: PriceVolatility, first: int, seconds: int, r: float) -> None:
        passed[0] += seconds
        put_quiet(self, first, seconds, r)

    monkeypatch.setattr(PriceVolatility, "_put_quiet", counted)
    sources = [PriceSource("binance", "binance", "BTCUSDT", "", "", "")]
    pipeline = Pipeline(VelocityEngine(), {"binance": frozenset()}, sources=sources, our_ms=_T)
    if is_waiting:
        pipeline.begin()
    for number in range(60):
        pipeline.ingest([_tick(_T - (60 - number) * (_DAY_MS - 2_000), 80_000.0 + number)], Ledger(), _T)
    assert pipeline.engine.btc_price == 80_059.0  # it is one all the same
    pipeline.ingest([_tick(_T - 2_000_000)], Ledger(), _T)
    pipeline.ingest([_tick(_T), _tick(_T + 1_500)], Ledger(), _T)

    assert passed[0] <= 2_000
    assert passed[0] or is_waiting  # else nothing would be proved


def test_of_more_trades_than_any_venue_has_the_newest_are_sampled() -> None:
    clock = EventClock({"binance": 1_000})
    for number in range(300):
        clock.observe("binance", [_T - number - i for i in range(100)], _T + 10 * number)
    (reach,) = clock._reaches.values()

    assert len(reach.samples) == sum(reach.counts.values()) == 20_000
    assert all(reach.counts.values())
    assert reach.samples[0][0] == _T + 1_000
