from collections.abc import Sequence
from typing import Any

import pytest
from rich.text import Text

from liqtape.events import Alert, Liquidation, VelocityMetrics
from liqtape.ledger import Ledger
from liqtape.tui.livescreen import LiveView, last_words, live_screen

NOW_MS = 1_790_000_000_000
SIZES = [(80, 24), (100, 30), (120, 40), (160, 50), (200, 60)]
VENUES = ("binance", "bybit", "okx", "hyperliquid")


def changes(count: int) -> list[Alert]:
    return [Alert(f"C{i}USDT", "CRITICAL", "ALERT", NOW_MS, 6.5, 2.5, 90, 1e6, "return_period") for i in range(count)]


def largest(count: int) -> list[Liquidation]:
    return [
        Liquidation("okx", f"L{i}USDT", f"L{i}-USDT", "long", 80.5, "fill", 1.0, 2e6, NOW_MS - 1000)
        for i in range(count)
    ]


def view(make: Any, rows: Sequence[VelocityMetrics] = (), **known: Any) -> LiveView:
    values: dict[str, Any] = {
        "title": "run",
        "now_ms": NOW_MS,
        "up_seconds": 74.0,
        "market": make.row("MARKET", level="EXTREME", usd_velocity_60s=1e6),
        "since_ms": NOW_MS - 5_000,
        "rows": rows,
        "health": [make.health(venue) for venue in VENUES],
        "ledger": Ledger(),
    }
    return LiveView(**(values | known))


def plain(lines: Sequence[Text]) -> list[str]:
    return [line.plain.rstrip() for line in lines]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("count", [0, 2, 300])
def test_a_screen_is_filled_and_nothing_is_wider(make: Any, size: tuple[int, int], count: int) -> None:
    rows = [make.row(f"牛来{number}USDT", level="ALERT", usd_velocity_60s=float(number)) for number in range(count)]
    full = view(make, rows, changes=changes(20), largest=largest(20), notes=["n" * 300] * 5, logged=["l" * 300] * 9)

    lines = live_screen(full, *size)

    assert len(lines) == size[1]
    assert max(line.cell_len for line in lines) <= size[0]
    text = plain(lines)
    assert text[0].startswith("liqtape  run")
    assert text[0].endswith("14:13:20 UTC   up 1:14")
    assert text[1].startswith("market EXTREME since 14:13:15")
    assert "events" in text[-1]
    for venue in VENUES:
        assert any(f"{venue} live" in " ".join(line.split()) for line in text)
    assert sum("CRITICAL" in line for line in text) >= 3
    assert sum("L1USDT" in line for line in text) == 1
    assert sum("ALERT" in line and "牛来" in line for line in text) == min(count, sum("牛来" in line for line in text))
    assert sum("牛来" in line for line in text) >= min(count, 8)


@pytest.mark.parametrize("height", range(1, 24))
@pytest.mark.parametrize("width", [1, 7, 20, 40, 79])
def test_a_tiny_screen_keeps_levels_and_venues(make: Any, width: int, height: int) -> None:
    stalled = [make.health(venue, state="stalled") for venue in VENUES[:2]]
    lines = live_screen(
        view(make, [make.row("BTCUSDT")] * 50, health=stalled, notes=["a"] * 9, troubles=["t"] * 9), width, height
    )

    assert len(lines) == height
    assert max(line.cell_len for line in lines) <= width
    if width >= 20 and height >= 4:
        assert lines[1].plain.startswith("market EXTREME")
        assert "\n".join(plain(lines)).count("stalled") == 2


def test_raised_instruments_come_first_then_those_with_most_usd(make: Any) -> None:
    rows = [make.row(f"S{number:02}USDT", usd_velocity_60s=float(number)) for number in range(40)]
    rows += [make.row("QUIETUSDT", level="WATCH", usd_velocity_60s=0.0)]

    lines = plain(live_screen(view(make, rows), 80, 24))

    shown = [line.split()[0] for line in lines if "USDT" in line]
    assert shown[:4] == ["QUIETUSDT", "S39USDT", "S38USDT", "S37USDT"]
    assert lines[2].startswith(f"instrument +{41 - len(shown)} ")


def test_how_many_there_are_moves_nothing(make: Any) -> None:
    places = []
    for count in (0, 1, 99):
        lines = plain(live_screen(view(make, [make.row(f"S{i}USDT") for i in range(count)]), 80, 24))
        places.append([number for number, line in enumerate(lines) if "binance" in line])

    assert places[0] == places[1] == places[2] != []


def test_a_venue_that_is_not_live_is_said_above_and_comes_first(make: Any) -> None:
    health = [*(make.health(venue) for venue in VENUES[:3]), make.health("okx", state="stalled", detail="no data")]

    lines = plain(live_screen(view(make, health=health), 80, 24))

    assert "3 of 4 venues live" in lines[0]
    first = next(line for line in lines if "okx" in line)
    assert first.startswith("okx stalled no data, 0.2 s, covered ")


def test_troubles_and_an_imbalance_are_always_said(make: Any) -> None:
    ledger = Ledger()
    ledger.frames_received = 1

    lines = plain(live_screen(view(make, ledger=ledger, troubles=["HISTORY NOT WRITTEN: disk full"]), 80, 24))

    assert "THE LEDGER DOES NOT BALANCE" in lines
    assert "HISTORY NOT WRITTEN: disk full" in lines
    assert "BALANCE" not in "".join(plain(live_screen(view(make), 80, 24)))


def test_what_is_logged_is_on_the_screen(make: Any) -> None:
    lines = plain(live_screen(view(make, logged=["an old line", "WARNING venue refused"]), 80, 24))

    assert "WARNING venue refused" in lines
    assert "an old line" not in lines


def test_a_market_of_which_nothing_is_known_says_so(make: Any) -> None:
    market = make.row("MARKET", btc_price=None, times_usual=None, return_days=None, usd_velocity_60s=0.0)

    assert plain(live_screen(view(make, market=market, since_ms=None), 80, 24))[1] == (
        "market NONE   0 USD in 60 s   BTC –   1.5/s"  # noqa: RUF001
    )


def test_a_strangers_text_is_harmless_on_the_screen(make: Any, hostile: str) -> None:
    alert = Alert(hostile, "ALERT", "NONE", 0, 6.5, 2.5, 90, 1e6, "threshold")
    row, venue = make.row(hostile), make.health(hostile, detail=hostile)

    lines = live_screen(view(make, [row], health=[venue], notes=[hostile], changes=[alert], logged=[hostile]), 200, 60)

    words = " ".join(hostile.split())
    shown = "".join(character if character.isprintable() else "?" for character in words)
    text = "\n".join(plain(lines))
    assert text.count(shown[:12]) >= 6
    assert all(character.isprintable() or character == "\n" for character in text)


def test_the_last_words_are_whole(make: Any) -> None:
    market = "market EXTREME since 14:13:15, 60.00M USD in 60 s, 1.5x the usual minute, BTC 1.5, 1.5/s, once in ~36.0 h"

    assert last_words(view(make, health=[make.health()])) == [
        f"14:13:20 UTC, after 1:14: {market}",
        "bybit live, last data 0.2 s ago",
        "0 events, 0 repeats, 0 rejected, 0 waiting, 0 without USD, 0 undecodable, of 0 frames",
    ]


def test_the_market_says_from_when_on_a_person_is_told(make: Any) -> None:
    lines = plain(live_screen(view(make, message_days=12.3), 200, 60))

    assert "a message from once in 12 d" in " ".join(lines[1:4])
