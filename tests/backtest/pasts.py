"""Pasts made by hand for the tests of the backtest: calm days with cascades at known times."""

import csv
import random
from pathlib import Path

from liqtape.backtest.judgedpast import JudgedPast, load_past

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BEGIN_MS = 1_600_041_600_000 // DAY_MS * DAY_MS

Row = tuple[int, str, float]
"""Event time in ms, side, USD."""


def cascade_times(days: int, a_day: int = 3) -> list[int]:
    """Return when cascades begin: a few hours apart, never near midnight."""
    draw = random.Random(days)
    return [
        BEGIN_MS + day * DAY_MS + (3 + 6 * number) * HOUR_MS + draw.randrange(2 * HOUR_MS)
        for day in range(days)
        for number in range(a_day)
    ]


def rows(days: int, a_minute: float = 0.1) -> list[Row]:
    """Return calm liquidations of some thousand USD, and in each cascade forty of a hundred thousand within 80 s."""
    draw = random.Random(17)
    found: list[Row] = []
    at_ms = float(BEGIN_MS)
    while True:
        at_ms += draw.expovariate(a_minute) * 60_000
        if at_ms >= BEGIN_MS + days * DAY_MS:
            break
        found.append((int(at_ms), "short", round(draw.lognormvariate(8.0, 1.0), 2)))
    for start_ms in cascade_times(days):
        found += [(start_ms + 2_000 * place, "long", round(draw.uniform(5e4, 2e5), 2)) for place in range(40)]
    return sorted(found)


def write(file: Path, events: list[Row], instrument: str = "BTCUSDT") -> Path:
    """Write an event file of our schema."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        out = csv.writer(opened)
        out.writerow("venue instrument symbol side price quantity notional_usd event_ms".split())
        for at_ms, side, usd in events:
            out.writerow(("bybit", instrument, instrument, side, 50_000.0, usd / 50_000, usd, at_ms))
    return file


def past_of(directory: Path, days: int) -> JudgedPast:
    """Return a past of so many days."""
    return load_past(write(directory / "events.csv", rows(days)))
