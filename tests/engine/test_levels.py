"""The level rule, its hysteresis, and what makes the whole market extreme."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.engine.levels.surpriselevels import (
    HysteresisLevel,
    LevelAlert,
    LevelRule,
    MarketRule,
    Reading,
    SurpriseLevels,
)
from liqtape.events import Level

_LEVELS: list[Level] = ["NONE", "WATCH", "ALERT", "CRITICAL", "EXTREME"]
_FLOOR = 100_000.0


def _reading(at_s: float, surprise: float | None, usd: float = 1e6, count: int = 50) -> Reading:
    return Reading(int(1000 * at_s), count, usd, surprise, 0.5, 3.0)


@pytest.mark.parametrize(
    ("surprise", "count", "usd", "expected"),
    [
        (2.999, 99, 1e9, "NONE"),
        (3.0, 1, 0.0, "WATCH"),
        (3.999, 99, 1e9, "WATCH"),
        (4.0, 4, 1e9, "WATCH"),
        (4.0, 5, 0.0, "ALERT"),
        (5.999, 99, 1e9, "ALERT"),
        (6.0, 5, 99_999.99, "ALERT"),
        (6.0, 4, 99_999.99, "WATCH"),
        (6.0, 1, 100_000.0, "CRITICAL"),
        (None, 99, 1e9, "NONE"),
    ],
)
def test_rule(surprise: float | None, count: int, usd: float, expected: Level) -> None:
    assert LevelRule().level(Reading(0, count, usd, surprise), _FLOOR) == expected


@pytest.mark.parametrize(
    ("s60", "s10", "s300", "expected"),
    [
        (2.0, None, None, 2.0),
        (2.0, 2.5, 2.25, 2.0),
        (2.0, 3.5, None, 3.0),
        (2.0, None, 4.5, 4.0),
        (2.0, 3.5, 4.5, 4.0),
        (None, 3.5, None, 3.0),
        (None, None, None, None),
    ],
)
def test_other_windows_need_half_a_power_of_ten_more(
    s60: float | None, s10: float | None, s300: float | None, expected: float | None
) -> None:
    assert LevelRule().surprise(Reading(0, 9, 1e6, s60, surprise_10s=s10, surprise_300s=s300)) == expected


def test_a_floor_of_its_own_for_an_instrument() -> None:
    levels = SurpriseLevels(LevelRule(floors_usd={"BTCUSDT": 2e6}))

    btc, eth = (levels.check(name, _reading(0, 7.0)) for name in ("BTCUSDT", "ETHUSDT"))

    assert btc is not None
    assert eth is not None
    assert (btc.level, btc.floor_usd, eth.level, eth.floor_usd) == ("ALERT", 2e6, "CRITICAL", _FLOOR)


def test_an_alert_says_what_it_was_decided_by() -> None:
    seen: list[LevelAlert] = []
    levels = SurpriseLevels(on_change=seen.append)

    alert = levels.check("BTCUSDT", Reading(5_000, 12, 3e5, 6.25, 0.5, 3.0))

    assert alert == LevelAlert("BTCUSDT", "CRITICAL", "NONE", 5_000, 6.25, 0.5, 3.0, _FLOOR, 12, 3e5)
    assert seen == [alert]
    assert levels.check("BTCUSDT", Reading(6_000, 12, 3e5, 6.25, 0.5, 3.0)) is None
    assert len(seen) == 1


def test_up_at_once_down_a_level_a_minute() -> None:
    levels = SurpriseLevels()
    course = [(0, 7.0), *((second, 0.0) for second in range(1, 200))]

    changes = [alert for at, s in course if (alert := levels.check("BTCUSDT", _reading(at, s)))]

    assert [(alert.level, alert.at_ms) for alert in changes] == [
        ("CRITICAL", 0),
        ("ALERT", 61_000),
        ("WATCH", 121_000),
        ("NONE", 181_000),
    ]
    assert levels.raised() == []


@pytest.mark.parametrize(
    ("start", "stays", "falls"), [(3.0, 2.0, 1.999), (4.0, 3.0, 2.999), (6.0, 5.0, 4.999)], ids=_LEVELS[1:4]
)
def test_a_level_is_kept_down_to_one_below_its_threshold(start: float, stays: float, falls: float) -> None:
    for surprise, is_kept in ((stays, True), (falls, False)):
        levels = SurpriseLevels()
        levels.check("BTCUSDT", _reading(0, start))
        raised = levels.current("BTCUSDT")
        for second in range(1, 62):
            levels.check("BTCUSDT", _reading(second, surprise, usd=0.0, count=0))
        assert (levels.current("BTCUSDT") == raised) is is_kept


@pytest.mark.parametrize("interruption", [5.0, None], ids=["surprise again", "surprise unknown"])
def test_the_minute_is_in_a_row(interruption: float | None) -> None:
    levels = SurpriseLevels()
    levels.check("BTCUSDT", _reading(0, 4.0))
    for second in range(1, 110):
        levels.check("BTCUSDT", _reading(second, interruption if second == 50 else 0.0, usd=0.0))

    assert levels.current("BTCUSDT") == "ALERT"


def test_an_unknown_surprise_raises_nothing() -> None:
    levels = SurpriseLevels()

    assert levels.check("BTCUSDT", _reading(0, None)) is None
    assert levels.current("BTCUSDT") == "NONE"


def test_extreme_on_the_third_critical_instrument_and_on_the_others_when_checked() -> None:
    levels = SurpriseLevels()
    found = [levels.check(name, _reading(20 * i, 7.0)) for i, name in enumerate("ABC")]
    again = levels.check("A", _reading(41, 6.5))

    assert [alert and alert.level for alert in found] == ["CRITICAL", "CRITICAL", "EXTREME"]
    assert again is not None
    assert (again.previous, again.level) == ("CRITICAL", "EXTREME")


@pytest.mark.parametrize(("surprise", "expected"), [(5.0, "EXTREME"), (4.9, "CRITICAL")])
def test_extreme_reaches_who_is_kept_critical(surprise: float, expected: Level) -> None:
    levels = SurpriseLevels()
    for name in "ABCD":
        levels.check(name, _reading(0, 7.0))
        if name == "A":
            levels.check(name, _reading(0, surprise))

    levels.check("A", _reading(1, surprise))

    assert levels.current("A") == expected


def test_instruments_critical_more_than_a_minute_apart_are_no_market_event() -> None:
    levels = SurpriseLevels()
    for i, name in enumerate("ABCDEF"):
        levels.check(name, _reading(30 * i, 7.0))

    assert [levels.current(name) for name in "ABCDEF"] == ["CRITICAL"] * 6


def test_alerts_without_the_floor_do_not_add_up_to_extreme() -> None:
    levels = SurpriseLevels()
    for name in "ABCDEF":
        levels.check(name, _reading(0, 9.0, usd=99_999.0))

    assert {levels.current(name) for name in "ABCDEF"} == {"ALERT"}


def test_extreme_when_one_instrument_is_critical_on_three_venues() -> None:
    levels = SurpriseLevels()
    for venue in ("binance", "bybit", "okx"):
        assert levels.check("BTCUSDT", _reading(0, 7.0)) is None or venue == "binance"
        levels.check_venue(venue, _reading(0, 6.0))
    levels.check_venue("hyperliquid", _reading(0, 5.0))

    alert = levels.check("BTCUSDT", _reading(1, 7.0))

    assert alert is not None
    assert alert.level == "EXTREME"


def test_a_venue_needs_the_rule_of_critical_too() -> None:
    levels = SurpriseLevels()
    for venue in ("binance", "bybit", "okx"):
        levels.check_venue(venue, _reading(0, 6.0, usd=99_999.0))

    assert not levels.market.is_extreme(0)


def test_extreme_ends_a_minute_after_the_market_and_then_a_level_a_minute() -> None:
    levels = SurpriseLevels()
    for name in "ABC":
        levels.check(name, _reading(0, 7.0))
    levels.check("A", _reading(0, 7.0))
    course = [(second, 7.0 if second < 130 else 0.0) for second in range(1, 400)]

    changes = [alert for at, s in course if (alert := levels.check("A", _reading(at, s)))]

    # B and C were last CRITICAL at 0 s, so the market is extreme until 60 s.
    assert [(alert.level, alert.at_ms // 1000) for alert in changes] == [
        ("CRITICAL", 120),
        ("ALERT", 190),
        ("WATCH", 250),
        ("NONE", 310),
    ]


def test_an_instrument_that_calmed_down_is_not_lifted_by_the_market_again() -> None:
    levels = SurpriseLevels()
    levels.check("A", _reading(0, 7.0))
    seen = []
    for second in range(1, 200):
        for name in "BCD":
            levels.check(name, _reading(second, 8.0))
        levels.check("A", _reading(second, 0.0))
        seen.append(levels.current("A"))

    assert [level for i, level in enumerate(seen) if not i or seen[i - 1] != level] == [
        "CRITICAL",
        "ALERT",
        "WATCH",
        "NONE",
    ]


@given(st.lists(st.tuples(st.integers(0, 90_000), st.sampled_from(_LEVELS), st.booleans()), max_size=60))
def test_never_below_what_is_wanted_nor_down_faster_than_a_level_a_minute(
    steps: list[tuple[int, Level, bool]],
) -> None:
    held, now = HysteresisLevel(60_000), 0
    rank, since = 0, 0
    for ahead, target, is_kept in steps:
        now += ahead
        found = _LEVELS.index(held.step(now, target, is_kept=is_kept))
        assert found >= max(_LEVELS.index(target), rank - 1)
        if found > rank:
            assert found == _LEVELS.index(target)
        if found != rank:
            assert found > rank or now - since >= 60_000
            since = now
        rank = found


@given(st.lists(st.tuples(st.integers(0, 40_000), st.sampled_from("ABCD")), max_size=60))
def test_market_counts_who_was_critical_in_the_last_minute(steps: list[tuple[int, str]]) -> None:
    market, now = MarketRule(3, 60_000), 0
    noted: list[tuple[int, str]] = []
    for ahead, name in steps:
        now += ahead
        market.instrument(name, now)
        noted.append((now, name))
        recent = {other for at, other in noted if at > now - 60_000}
        assert market.is_extreme(now) is (len(recent) >= 3)
    assert len(market._instruments) <= 4
