from collections import Counter
from collections.abc import Callable

from liqtape.monitor.rates import Rates

Weather = Callable[[float], dict[str, float]]


class Market:
    """Liquidations at even pace, so many a minute, looked at every second."""

    def __init__(self) -> None:
        self.rates = Rates()
        self.now = 0.0
        self._due: Counter[str] = Counter()
        self._whole: dict[str, float] = {}

    def run(self, seconds: float, **a_minute: float) -> dict[str, str]:
        for _ in range(int(seconds)):
            self.now += 1.0
            for venue, rate in a_minute.items():
                self._whole[venue] = self._whole.get(venue, 0.0) + rate / 60
                self._due[venue] = int(self._whole[venue])
            self.rates.look(self.now, {venue: self._due[venue] for venue in a_minute})
        return self.rates.suspects

    def first_suspicion(self, within: float, **a_minute: float) -> float | None:
        began = self.now
        while self.now - began < within:
            if self.run(1.0, **a_minute):
                return self.now - began
        return None


def test_a_venue_silent_while_others_are_busy_is_suspected_within_minutes() -> None:
    market = Market()
    assert market.run(1_800, binance=30, bybit=20, okx=10) == {}
    found = market.first_suspicion(600, binance=0, bybit=20, okx=10)

    assert found is not None
    assert 60 <= found <= 150
    assert set(market.rates.suspects) == {"binance"}
    assert "1.0 times as busy as usual" in market.rates.suspects["binance"]


def test_a_rare_venue_may_be_silent_for_long() -> None:
    market = Market()
    market.run(7_200, binance=30, hyperliquid=0.2)
    found = market.first_suspicion(7_200, binance=30, hyperliquid=0)

    assert found is not None
    assert found > 2_400


def test_where_all_are_quiet_none_is_suspected() -> None:
    market = Market()
    market.run(1_800, binance=30, bybit=20, okx=10)
    assert market.first_suspicion(3_600, binance=0, bybit=0, okx=0) is None


def test_a_calm_after_the_storm_is_no_suspicion() -> None:
    market = Market()
    market.run(3_600, binance=300, bybit=300, okx=300)
    assert market.first_suspicion(3_600, binance=1, bybit=1, okx=0.5) is None


def test_one_liquidation_ends_the_suspicion() -> None:
    market = Market()
    market.run(1_800, binance=30, bybit=20)
    assert market.run(400, binance=0, bybit=20)
    assert market.run(20, binance=30, bybit=20) == {}


def test_an_outage_is_no_silence() -> None:
    market = Market()
    market.run(1_800, binance=30, bybit=20)
    market.run(900, bybit=20)
    assert market.run(50, binance=0, bybit=20) == {}


def test_without_history_nothing_is_said() -> None:
    market = Market()
    market.run(300, binance=30, bybit=20)
    assert market.first_suspicion(900, binance=0, bybit=20) is None


def test_alone_it_takes_longer() -> None:
    market = Market()
    market.run(1_800, binance=30)
    found = market.first_suspicion(3_600, binance=0)
    assert found is not None
    assert found >= 400
