from itertools import pairwise

from liqtape.events import Alert, Level, Liquidation
from liqtape.tui.highlights import Highlights

NOW_MS = 1_790_000_000_000
MINUTE_MS = 60_000


def alert(instrument: str, level: Level, previous: Level, at_ms: int = NOW_MS) -> Alert:
    return Alert(instrument, level, previous, at_ms, 1.0, 0.0, 1, 1.0, "return_period")


def liquidation(usd: float | None, at_ms: int = NOW_MS) -> Liquidation:
    return Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 1.0, "fill", usd, usd, at_ms)


async def test_watch_alone_is_not_worth_saying() -> None:
    kept = Highlights()
    levels: list[Level] = ["NONE", "WATCH", "ALERT", "WATCH", "NONE"]
    for previous, level in pairwise(levels):
        await kept.changed(alert("BTCUSDT", level, previous))

    assert [(change.level, change.previous) for change in kept.changes()] == [("WATCH", "ALERT"), ("ALERT", "WATCH")]
    assert kept.changes_total == 4


async def test_the_market_has_its_level_since_its_last_change() -> None:
    kept = Highlights()
    assert kept.market_since_ms is None

    await kept.changed(alert("MARKET", "WATCH", "NONE", NOW_MS - 9_000))
    await kept.changed(alert("BTCUSDT", "ALERT", "NONE", NOW_MS))

    assert kept.market_since_ms == NOW_MS - 9_000


async def test_the_largest_of_an_hour_are_those_of_all_its_liquidations() -> None:
    kept = Highlights()
    everything = [liquidation(float(i * 7919 % 100_003), NOW_MS - i * 700) for i in range(6_000)]  # 70 minutes
    for each in [*everything, liquidation(None)]:
        await kept.liquidated(each)

    hour = [each for each in everything if each.event_ms // MINUTE_MS > NOW_MS // MINUTE_MS - 60]
    expected = sorted((each.notional_usd or 0.0 for each in hour), reverse=True)[:20]
    assert [each.notional_usd for each in kept.largest(NOW_MS)] == expected


async def test_stamps_of_a_wrong_clock_take_no_room() -> None:
    kept = Highlights()
    for number in range(1_000):
        await kept.liquidated(liquidation(1.0, NOW_MS + number * MINUTE_MS))

    assert len(kept._minutes) <= 121
