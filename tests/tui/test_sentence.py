from datetime import timedelta, timezone
from typing import Any

from liqtape.forecast.forecaster import Forecast, Target
from liqtape.tui.apirecords import SeenCoverage, SeenLead, SeenNow, SeenTrust
from liqtape.tui.sentence import gone_line, sentence_lines, strip_line

SINCE_MS = 1_790_000_000_000
LEADERS = ["BTCUSDT", "BTCUSDC", "ETHUSD_261225", "SOLUSDT", "XRPUSDT"]


def trust(**known: Any) -> SeenTrust:
    values: dict[str, Any] = {
        "venues_live": 4,
        "venues_total": 4,
        "coverage": SeenCoverage(1.0),
        "age_seconds": 0.2,
        "warmup_ms": 300_000,
    }
    return SeenTrust(**(values | known))


def now(**known: Any) -> SeenNow:
    values: dict[str, Any] = {
        "level": "ALERT",
        "since_ms": SINCE_MS,
        "side": "long",
        "usd_60s": 41.2e6,
        "times_usual": 38.2,
        "lead": SeenLead("bybit", 1_400),
        "trust": trust(),
    }
    return SeenNow(**(values | known))


def test_a_cascade_in_one_sentence() -> None:
    [line, rest] = sentence_lines(now(), LEADERS, 150, 2)

    assert line.plain == (
        "ALERT since 14:13:20   BTC, ETH, SOL longs   41.20M USD in 60 s, 38x the usual minute   bybit leads by 1.4 s"
    )
    assert rest.plain == ""


def test_a_calm_market_in_one_sentence() -> None:
    calm = now(level="NONE", velocity_60s=0.8, instruments_active=1_412, usd_60s=12_000.0, times_usual=0.6, lead=None)

    assert sentence_lines(calm, LEADERS, 150, 1)[0].plain == (
        "calm   0.8 liquidations/s over 1,412 instruments   12.0k USD in 60 s, 0.6x the usual minute"
    )


def test_what_cannot_be_written_is_named() -> None:
    assert "not written: redis, see the log" in strip_line(now(trust=trust(failing=["redis"])), 0.0, 150).plain


def test_a_forecast_stands_beside_what_is_usual() -> None:
    told = (Forecast(0, Target(5, 60), 0.021, 0.0032, "m"),)
    lines = sentence_lines(now(level="NONE", lead=None, forecast=told), LEADERS, 90, 3)

    assert "5 or more within 60 s: 2.1 %, usually 0.32 %" in [line.plain for line in lines]


def test_no_part_is_cut_where_it_does_not_fit() -> None:
    lines = [line.plain for line in sentence_lines(now(btc_price=81_234.5), LEADERS, 60, 2)]

    # Who leads would need 64 columns.
    assert lines == [
        "ALERT since 14:13:20   BTC, ETH, SOL longs",
        "41.20M USD in 60 s, 38x the usual minute   BTC 81,234.5",
    ]


def test_the_time_is_that_of_the_zone() -> None:
    zone = timezone(timedelta(hours=9))

    assert sentence_lines(now(), LEADERS, 80, 2, zone)[0].plain.startswith("ALERT since 23:13:20")
    assert "true at 23:13:20" in gone_line(12.0, SINCE_MS, "", 80, zone).plain


def test_the_strip_says_whether_to_trust(make: Any) -> None:
    assert strip_line(now(), 0.0, 120).plain == "4 of 4 venues   100 % covered   data 0.2 s old"
    stalled = trust(
        venues_live=3, troubled=[make.health("okx", state="stalled", age=41.0)], coverage=SeenCoverage(0.759)
    )
    assert strip_line(now(trust=stalled), 3.0, 120).plain == (
        "3 of 4 venues: okx stalled 41 s   75 % covered   data 3.2 s old"
    )
    blind = trust(coverage=SeenCoverage(), age_seconds=None, throttled=["binance"], is_learning=True, watched_days=2.04)
    assert strip_line(now(trust=blind), 0.0, 120).plain == (
        "4 of 4 venues   – % covered   no data yet   ≥ binance: at most 1/s shown   learning, 2.0 of 7 d"  # noqa: RUF001
    )
    assert strip_line(now(trust=trust(warmup_ms=130_000)), 0.0, 120).plain.startswith(
        "4 of 4 venues   warming up 2:10 of"
    )
    assert strip_line(now(trust=trust(is_balanced=False)), 0.0, 120).plain.startswith(
        "THE LEDGER DOES NOT ADD UP   4 of"
    )


def test_what_is_no_live_market_is_labelled() -> None:
    assert strip_line(now(mode="replay"), 0.0, 120).plain.startswith("REPLAY   4 of 4 venues")
    past = trust(age_seconds=None)
    assert strip_line(now(mode="replay", trust=past), 0.0, 120).plain == "REPLAY   4 of 4 venues   100 % covered"
    assert strip_line(now(mode="live"), 0.0, 120).plain.startswith("4 of 4 venues")


def test_a_service_that_is_gone_is_said() -> None:
    line = gone_line(12.4, SINCE_MS, "Connection refused", 120)

    assert line.plain.strip() == (
        "no word from liqtape for 0:12; this was true at 14:13:20; trying again (Connection refused)"
    )
    assert line.cell_len == 120


def test_a_strangers_text_is_harmless_in_the_sentence(make: Any, hostile: str) -> None:
    strange = now(
        lead=SeenLead(hostile, 1),
        mode="live",
        trust=trust(troubled=[make.health(hostile, state=hostile)], throttled=[hostile]),
    )

    lines = [
        *sentence_lines(strange, [hostile], 200, 2),
        strip_line(strange, 0.0, 200),
        gone_line(1.0, 0, hostile, 200),
    ]

    assert all(line.plain.isprintable() for line in lines)
