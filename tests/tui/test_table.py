import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from liqtape.events import Alert, VelocityMetrics, VenueHealth
from liqtape.ledger import Ledger
from liqtape.tui.table import alert_line, live_view, metric_line, usd, venue_line

HOSTILE = {
    "markup": "[red]X[/]",
    "closing markup alone": "[/]X",
    "link": "[link=http://evil]X[/link]",
    "escape": "\x1b[2J\x1b]0;owned\x07X",
    "8-bit escape": "\x9b2JX",
    "bidi": "\u202eTDSUCTB\u2066",
    "newline": "X\r\nbybit live",
}


def row(symbol: str, **known: Any) -> VelocityMetrics:
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(VelocityMetrics):
        values[field.name] = 3 if field.type is int else False if field.type is bool else 1.5
    return VelocityMetrics(**(values | {"symbol": symbol, "level": "NONE"} | known))


def health(venue: str = "bybit", **known: Any) -> VenueHealth:
    values: dict[str, Any] = {"state": "live", "age": 0.25, "coverage": 1.0, "detail": ""} | known
    return VenueHealth(venue, values["state"], 0, values["age"], 2, values["coverage"], values["detail"])


def rendered(*rows: VelocityMetrics, venues: Any = (), ledger: Ledger | None = None, notes: Any = ()) -> str:
    out = io.StringIO()
    console = Console(file=out, width=180, height=60, force_terminal=True, color_system=None, record=True)
    console.print(live_view(rows, venues, Ledger() if ledger is None else ledger, notes))
    return out.getvalue()


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (0.0, "0"),
        (999.4, "999"),
        (999.5, "1.0k"),
        (12_345.0, "12.3k"),
        (999_949.0, "999.9k"),
        (999_950.0, "1.00M"),
        (3_400_000.0, "3.40M"),
        (999_995_000.0, "1.00B"),
        (2.5e9, "2.50B"),
        (-12_345.0, "-12.3k"),
    ],
)
def test_usd_as_a_trader_reads_it(amount: float, expected: str) -> None:
    assert usd(amount) == expected


def test_busiest_instruments_come_first_and_the_rest_is_counted() -> None:
    rows = [row(f"S{number:02}USDT", usd_velocity_60s=float(number)) for number in range(20)]

    lines = rendered(*rows).splitlines()

    shown = [line.split()[0] for line in lines if line.startswith("S")]
    assert shown == [f"S{number:02}USDT" for number in range(19, 4, -1)]
    assert any(line.startswith("and 5 more instruments") for line in lines)


def test_numbers_stand_in_their_columns() -> None:
    busy = row(
        "BTCUSDT",
        velocity_10s=6.5,
        velocity_60s=2.25,
        velocity_300s=0.5,
        acceleration=-0.125,
        usd_velocity_10s=1_000.0,
        usd_velocity_60s=2_000.0,
        total_value_usd=3.4e6,
        long_count_60s=3,
        short_count_60s=1,
        level="ALERT",
    )

    line = next(line for line in rendered(busy).splitlines() if line.startswith("BTCUSDT"))

    assert line.split() == ["BTCUSDT", "6.50", "2.25", "0.500", "-0.125", "10.0k", "120.0k", "3.40M", "75", "ALERT"]


@pytest.mark.parametrize(
    ("coverage", "said"),
    [(None, "partial"), (1.0, "partial"), (0.5, "50 % of 300 s seen")],
    ids=["unknown", "whole", "half"],
)
def test_partial_rows_say_what_is_missed(coverage: float | None, said: str) -> None:
    line = next(
        line
        for line in rendered(row("BTCUSDC", partial=True, coverage_300s=coverage)).splitlines()
        if line.startswith("BTCUSDC")
    )

    assert line.rstrip().endswith(said)


def narrow(lines: int, *rows: VelocityMetrics) -> list[str]:
    out = io.StringIO()
    market = row("MARKET", usd_velocity_60s=1e6, level="EXTREME")
    view = live_view(rows, [health()], Ledger(), ["a note"], market, (80, lines))
    Console(file=out, width=80, height=lines, force_terminal=True, color_system=None).print(view)
    return out.getvalue().splitlines()


def test_eighty_columns_show_the_level_of_each_instrument_and_of_the_market() -> None:
    lines = narrow(50, row("BTCUSDT_261225", level="CRITICAL", usd_velocity_60s=2e6, total_value_usd=3.4e8))

    assert lines[0].endswith("market 60.00M USD in 60 s, level EXTREME")
    line = next(line for line in lines if line.startswith("BTCUSDT_261225"))
    assert line.split() == ["BTCUSDT_261225", "CRITICAL", "1.50", "1.50", "+1.500", "120.00M", "340.00M", "50"]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("lines", "shown"), [(10, 3), (24, 4), (30, 10), (50, 15)])
def test_a_low_terminal_shows_fewer_instruments(lines: int, shown: int) -> None:
    text = narrow(lines, *(row(f"S{number:02}USDT") for number in range(20)))

    assert sum(line.startswith("S") for line in text) == shown
    assert any(line.startswith(f"and {20 - shown} more instruments") for line in text)


def test_nothing_seen_is_said() -> None:
    text = rendered()

    assert "no liquidation yet" in text
    assert "BTC -" in text


def test_venue_shows_state_age_coverage_and_why() -> None:
    venues = [health(state="stalled", age=12.04, coverage=0.5, detail="no data for 10 s"), health("okx", age=None)]

    lines = rendered(venues=venues).splitlines()

    stalled = next(line for line in lines if line.startswith("bybit"))
    assert stalled.split() == "bybit stalled 12.0 s ago 50 % 2 no data for 10 s".split()
    assert next(line for line in lines if line.startswith("okx")).split()[:3] == ["okx", "live", "never"]


def test_unbalanced_ledger_cannot_be_overlooked() -> None:
    ledger = Ledger()
    ledger.events_accepted = 1

    assert "THE LEDGER DOES NOT BALANCE" in rendered(ledger=ledger)
    assert "BALANCE" not in rendered()


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_strangers_text_is_harmless_in_the_table(hostile: str) -> None:
    text = rendered(row(hostile), venues=[health(hostile, detail=hostile)], notes=[hostile])

    words = " ".join(hostile.split())
    plain = "".join(character if character.isprintable() else "?" for character in words)
    assert text.count(plain) == 4
    assert all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_strangers_text_is_harmless_in_lines(hostile: str) -> None:
    alert = Alert(hostile, "ALERT", "NONE", 0, 6.5, 2.5, 90, 1e6, "threshold")

    for line in (metric_line(row(hostile)), venue_line(health(hostile, detail=hostile)), alert_line(alert)):
        assert line.isprintable()


def test_symbol_in_any_script_is_shown() -> None:
    assert "牛来USDT" in rendered(row("牛来USDT"))


def test_endless_text_is_cut() -> None:
    assert len(venue_line(health(detail="x" * 10_000))) < 300


def test_lines_say_it_all() -> None:
    alert = Alert("BTCUSDT", "ALERT", "NONE", 0, 6.5, 2.5, 90, 1.5e6, "threshold")

    assert alert_line(alert) == "BTCUSDT NONE -> ALERT: 6.50 liquidations/s, +2.50/s2, 1.50M USD in 60 s"
    assert venue_line(health(detail="2 topics refused")) == "bybit live, last data 0.2 s ago, 2 topics refused"
    assert metric_line(row("BTCUSDT", partial=True, usd_velocity_60s=10.0)) == (
        "BTCUSDT v10=1.50/s v60=1.50/s v300=1.500/s a=+1.500/s2 usd60=600 usd300=2 level=NONE partial"
    )
