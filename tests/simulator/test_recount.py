from fractions import Fraction

import pytest

from liqtape.simulator.listings import LISTINGS
from liqtape.simulator.recount import Count, instrument_of, micro_usd_of, recount
from liqtape.simulator.wire import SentRow

NOW = 1_795_000_300_000


def row(
    ago_ms: int, side: str = "long", symbol: str = "BTCUSDT", venue: str = "bybit", price: str = "80000.00"
) -> SentRow:
    return SentRow(1, venue, symbol, "long" if side == "long" else "short", price, "0.010", NOW - ago_ms)


@pytest.mark.parametrize(
    ("venue", "symbol", "instrument", "price", "size", "micro_usd"),
    [
        ("binance", "BTCUSDT", "BTCUSDT", "83598.50", "0.001", 83_598_500),
        ("binance", "BTCUSD_PERP", "BTCUSD", "80000.0", "10", 1_000_000_000),
        ("binance", "ETHUSD_PERP", "ETHUSD", "2850.00", "7", 70_000_000),
        ("binance", "BTCUSDT_261225", "BTCUSDT_261225", "84400.0", "0.002", 168_800_000),
        ("binance", "1000PEPEUSDT", "PEPEUSDT", "0.0052431", "1000", 5_243_100),
        ("binance", "牛来USDT", "牛来USDT", "0.02131", "3", 63_930),
        ("bybit", "STRKUSDT", "STRKUSDT", "0.05165", "2084.9", 107_685_085),
        ("bybit", "SHIB1000USDT", "SHIBUSDT", "0.006812", "10", 68_120),
        ("bybit", "BTCPERP", "BTCUSDC", "83990.00", "0.001", 83_990_000),
        ("bybit", "BTCUSD", "BTCUSD", "64318.80", "2485", 2_485_000_000),
        ("bybit", "BTCUSDZ26", "BTCUSD_261225", "84390.50", "5", 5_000_000),
        ("bybit", "BTCUSDT-25DEC26", "BTCUSDT_261225", "84400.00", "0.001", 84_400_000),
        ("okx", "BTC-USDT-SWAP", "BTCUSDT", "80000", "5", 4_000_000_000),
        ("okx", "BTC-USDT-SWAP", "BTCUSDT", "82715.3", "2.29", 1_894_180_370),
        ("okx", "BTC-USDC-SWAP", "BTCUSDC", "83990", "3", 25_197_000),
        ("okx", "BTC-USD-SWAP", "BTCUSD", "80000", "7", 700_000_000),
        ("okx", "ETH-USD-SWAP", "ETHUSD", "2849", "7", 70_000_000),
        ("okx", "BTC-USD-261225", "BTCUSD_261225", "84390", "2", 200_000_000),
        ("okx", "BTC-USDT-261225", "BTCUSDT_261225", "84400", "0.01", 8_440_000),
        ("okx", "DOGE-USDT-SWAP", "DOGEUSDT", "0.1283", "0.5", 64_150_000),
        ("okx", "PEPE-USDT-SWAP", "PEPEUSDT", "0.000005243", "0.1", 5_243_000),
        ("hyperliquid", "BTC", "BTCUSDC", "83336.0", "0.02001", 1_667_553_360),
        ("hyperliquid", "kPEPE", "PEPEUSDC", "0.005154", "137064.0", 706_427_856),
        ("hyperliquid", "xyz:SILVER", "xyz:SILVERUSDC", "80.601", "0.6", 48_360_600),
        ("bybit", "PEPEUSDT", "PEPEUSDT", "0.0000005", "1", 0),
        ("bybit", "PEPEUSDT", "PEPEUSDT", "0.0000015", "1", 2),
        ("bybit", "PEPEUSDT", "PEPEUSDT", "0.0000025", "1", 2),
    ],
)
def test_name_and_value(venue: str, symbol: str, instrument: str, price: str, size: str, micro_usd: int) -> None:
    assert instrument_of(venue, symbol) == instrument
    assert micro_usd_of(venue, symbol, price, size) == micro_usd


def test_every_listing_has_a_name_of_ours() -> None:
    names = {instrument_of(item.venue, item.symbol) for item in LISTINGS}

    assert not {name for name in names if "PERP" in name or "1000" in name or "-" in name or "Z26" in name}
    assert not {name for name in names if "SWAP" in name or name.startswith("k")}


def test_window_takes_now_and_leaves_out_its_far_end() -> None:
    found = recount([row(0), row(9_999), row(10_000), row(29_999), row(300_000)], NOW)["BTCUSDT"]

    assert {seconds: window.count for seconds, window in found.windows.items()} == {10: 2, 30: 4, 60: 4, 300: 4}


def test_future_records_are_in_no_window() -> None:
    assert recount([row(-1)], NOW)["BTCUSDT"].windows[300] == Count()


def test_sides_are_counted_and_summed_apart() -> None:
    records = [row(0), row(1), row(2, "short", price="90000.00")]

    assert recount(records, NOW)["BTCUSDT"].windows[10] == Count(3, 2, 1, 2_500_000_000, 1_600_000_000, 900_000_000)


def test_one_instrument_adds_up_over_venues_and_spellings() -> None:
    records = [row(0, symbol="SHIB1000USDT"), row(0, symbol="1000SHIBUSDT", venue="binance")]

    assert recount(records, NOW)["SHIBUSDT"].windows[10].count == 2


def test_acceleration_of_events_a_second_apart_is_the_half_open_edge() -> None:
    records = [row(1_000 * seconds) for seconds in range(40)]

    assert recount(records, NOW)["BTCUSDT"].acceleration == Fraction(15, 1_000)


def test_acceleration_of_a_pulse_is_up_at_once_and_down_later() -> None:
    assert recount([row(0)] * 50, NOW)["BTCUSDT"].acceleration == Fraction(3, 4)  # 1.5 n / W^2
    assert recount([row(10_000)] * 50, NOW)["BTCUSDT"].acceleration == 0
    assert recount([row(20_000)] * 50, NOW)["BTCUSDT"].acceleration == 0
    assert recount([row(19_999)] * 50, NOW)["BTCUSDT"].acceleration < Fraction(-74, 100)
