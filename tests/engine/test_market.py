"""Rows of one venue and of the market, what idle instruments cost, and EXTREME by venues."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from liqtape.engine import VelocityEngine
from liqtape.engine.levels.surpriselevels import LevelRule
from liqtape.engine.levels.threshold import Threshold
from liqtape.engine.velocity import MARKET
from liqtape.events import Liquidation, Side, VelocityMetrics
from liqtape.pipeline.levelalerts import Levels

_T = 1_790_000_000_000
_ALONE = {"symbol", "venue"}
_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["binance", "okx", "bybit", "own"]),
        st.sampled_from(["BTCUSDT", "ETHUSDT", "SOLUSDT"]),
        st.sampled_from(["long", "short", None]),
        st.integers(0, 299_999) | st.integers(0, 15_000),
        st.floats(0.0, 1e9),
    ),
    max_size=60,
)


def liquidation(
    at_ms: int, venue: str = "bybit", instrument: str = "BTCUSDT", usd: float = 800.0, side: Side | None = "long"
) -> Liquidation:
    return Liquidation(venue, instrument, instrument, side, 1.0, "fill", None, usd, at_ms)


def _bare(row: VelocityMetrics | None) -> dict[str, object]:
    assert row is not None
    return {name: value for name, value in structs.asdict(row).items() if name not in _ALONE}


@given(_EVENTS, st.integers(0, 2_000))
@settings(max_examples=60)
def test_a_row_is_that_of_an_engine_with_those_events_alone(
    events: list[tuple[str, str, Side | None, int, float]], back: int
) -> None:
    rarity = sorted([*events, ("bybit", "BTCUSDT", "long", 0, 1.0)], key=lambda event: -event[3])
    venues = sorted({event[0] for event in rarity})
    whole, renamed = VelocityEngine(rule=LevelRule()), VelocityEngine(rule=LevelRule())
    alone = {venue: VelocityEngine(rule=LevelRule()) for venue in venues}
    together = {venue: VelocityEngine(rule=LevelRule()) for venue in venues}
    for venue, instrument, side, age, usd in rarity:
        whole.add(liquidation(_T - age, venue, instrument, usd, side))
        renamed.add(liquidation(_T - age, f"{venue}-{instrument}", "ANY", usd, side))
        alone[venue].add(liquidation(_T - age, venue, instrument, usd, side))
        together[venue].add(liquidation(_T - age, venue, "ANY", usd, side))
    now = _T - back

    for venue in venues:
        for instrument in ("BTCUSDT", "ETHUSDT"):
            row = whole.metrics(instrument, now, venue)
            expected = alone[venue].metrics(instrument, now) if alone[venue].newest_ms - 2_000 <= now else None
            if row is None or expected is None:
                continue
            assert (row.symbol, row.venue) == (instrument, venue)
            late = {"timestamp", "surprise", "surprise_mean", "surprise_fano", "acceleration_z", "level"}
            assert {k: v for k, v in _bare(row).items() if k not in late} == {
                k: v for k, v in _bare(expected).items() if k not in late
            }
    market = whole.market(now)
    assert (market.symbol, market.venue) == (MARKET, None)
    unthrottled = {f"velocity_est_{w}s" for w in (10, 30, 60, 300)} | {"saturated"}
    assert {k: v for k, v in _bare(market).items() if k not in unthrottled} == {
        k: v for k, v in _bare(renamed.metrics("ANY", now)).items() if k not in unthrottled
    }


def test_of_a_venue_without_events_there_is_no_row_of_an_instrument_and_a_market_of_zeros() -> None:
    engine = VelocityEngine()
    engine.add(liquidation(_T))

    assert engine.metrics("BTCUSDT", _T, "okx") is None
    assert engine.metrics("ETHUSDT", _T, "bybit") is None
    assert engine.market(_T, "okx").event_count_300s == 0
    assert engine.market(_T, "bybit").event_count_300s == 1
    assert VelocityEngine().market(_T).event_count_300s == 0


def test_a_venue_has_its_own_coverage_and_late_events() -> None:
    engine = VelocityEngine()
    engine.feed_up("bybit", _T - 400_000)
    engine.feed_up("okx", _T - 30_000)
    for venue in ("bybit", "okx"):
        engine.add(liquidation(_T, venue))
    engine.metrics("BTCUSDT", _T)
    engine.add(liquidation(_T - 1, "okx"))

    found = [engine.metrics("BTCUSDT", _T, venue) for venue in ("bybit", "okx", None)]

    assert [row and (row.coverage_60s, row.partial, row.late_total) for row in found] == [
        (1.0, False, 0),
        (0.5, True, 1),
        (0.5, True, 1),
    ]
    market = engine.market(_T)
    assert (market.coverage_60s, market.late_total, engine.market(_T, "bybit").late_total) == (0.5, 1, 0)


def test_instruments_that_are_idle_are_not_walked_over_and_wake_with_an_event() -> None:
    engine = VelocityEngine()
    for i in range(100):
        engine.add(liquidation(_T, instrument=f"COIN{i}USDT"))
    assert len(engine._updater.active) == 100

    engine.add(liquidation(_T + 400_000, instrument="BTCUSDT"))
    engine.metrics("BTCUSDT", _T + 420_000)
    assert list(engine._updater.active) == ["BTCUSDT"]
    assert engine.market(_T + 420_000).event_count_300s == 1

    engine.add(liquidation(_T + 420_000, instrument="COIN7USDT"))
    assert list(engine._updater.active) == ["BTCUSDT", "COIN7USDT"]
    row = engine.metrics("COIN7USDT", _T + 420_000)
    assert row is not None
    assert (row.event_count_300s, engine.market(_T + 420_000).event_count_300s) == (1, 2)


def _burst(engine: VelocityEngine, at_ms: int, venues: list[str], instruments: list[str]) -> None:
    for i in range(60):
        for venue in venues:
            for instrument in instruments:
                engine.add(liquidation(at_ms + i, venue, instrument, 50_000.0))


def test_extreme_when_three_venues_are_critical_though_it_is_one_instrument() -> None:
    engine = VelocityEngine(rule=LevelRule())
    levels = Levels(engine)
    _burst(engine, _T, ["bybit", "own", "hyperliquid"], ["BTCUSDT"])

    first = levels.check("BTCUSDT", _T + 100)
    engine.tick(_T + 1_000)
    unchanged, second = (levels.check("BTCUSDT", _T + ms) for ms in (1_099, 1_100))

    assert first is not None
    assert unchanged is None  # looked at once a second
    assert second is not None
    assert (first.level, second.previous, second.level) == ("CRITICAL", "CRITICAL", "EXTREME")


def test_two_venues_are_no_market_event() -> None:
    engine = VelocityEngine(rule=LevelRule())
    _burst(engine, _T, ["bybit", "own"], ["BTCUSDT"])
    engine.tick(_T + 1_000)

    assert engine.level("BTCUSDT", _T + 1_000) == "CRITICAL"


def test_extreme_when_three_instruments_are_critical() -> None:
    engine = VelocityEngine(rule=LevelRule())
    names = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    _burst(engine, _T, ["bybit"], names)

    assert [engine.level(name, _T + 100) for name in names] == ["CRITICAL", "CRITICAL", "EXTREME"]
    assert engine.market(_T + 100).level == "CRITICAL"
    assert engine.raised() == names


def test_an_alert_says_what_it_was_decided_by() -> None:
    engine = VelocityEngine(rule=LevelRule(floors_usd={"BTCUSDT": 1e7}))
    _burst(engine, _T, ["bybit"], ["BTCUSDT"])

    alert = Levels(engine).check("BTCUSDT", _T + 100)
    row = engine.metrics("BTCUSDT", _T + 100)

    assert alert is not None
    assert row is not None
    assert row.surprise is not None
    assert (alert.level, alert.rule, alert.floor_usd, alert.usd_60s) == ("ALERT", "surprise", 1e7, 3e6)
    assert alert.surprise is not None
    assert alert.surprise >= row.surprise  # of the window where it is most surprising, less the penalty
    assert alert.mean is not None
    assert 0 < alert.mean <= 300 / 3600
    assert alert.fano is not None


def test_the_threshold_rule_needs_no_tick() -> None:
    engine = VelocityEngine(rule=Threshold())
    _burst(engine, _T, ["bybit", "own", "hyperliquid"], ["BTCUSDT"])
    engine.tick(_T + 1_000)

    alert = Levels(engine).check("BTCUSDT", _T + 1_000)

    assert alert is not None
    assert (alert.level, alert.rule, alert.surprise, alert.floor_usd) == ("ALERT", "threshold", None, None)
    assert engine.market(_T + 1_000).level == "ALERT"
