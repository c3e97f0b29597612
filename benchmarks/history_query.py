"""Questions to a day of a million liquidations over four venues and 300 instruments, 22 hours of it in files.

Wall time within the process, the history open. "First" asks a history that was just opened: nothing is in memory yet.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import liqtape.history
from benchmarks.measure import Figure, Scale, figure
from liqtape.events import Liquidation
from liqtape.history.archive.archiver import CLOSED_AFTER_MS, Archiver
from liqtape.history.log.journal import AliveEntry, FeedUpEntry, PriceBarEntry
from liqtape.history.log.store import Store
from liqtape.history.query.query import History
from liqtape.venues import VENUES

_EVENTS = 1_000_000
_HOUR_MS = 3_600_000
_BEGIN_MS = 1_790_000_000_000 // _HOUR_MS * _HOUR_MS
_END_MS = _BEGIN_MS + 24 * _HOUR_MS
_NOON_MS = _BEGIN_MS + 12 * _HOUR_MS
_VENUES = tuple(VENUES)[:4]  # the figure is one of four
_BATCH = 20_000

_Question = Callable[[History], object]
_QUESTIONS: dict[str, tuple[_Question, float | None]] = {
    "a minute of one instrument": (lambda h: h.velocity(_NOON_MS, _NOON_MS + 60_000, instrument="C0USDT"), 100),
    "a minute of the market": (lambda h: h.velocity(_NOON_MS, _NOON_MS + 60_000), 1_000),
    "a minute of each instrument": (lambda h: h.velocity(_NOON_MS, _NOON_MS + 60_000, by="instrument"), 1_000),
    "1,440 minutes of a quiet instrument": (lambda h: _minutes(h, "C50USDT"), 100),
    "1,440 minutes of the busiest instrument": (lambda h: _minutes(h, "C0USDT"), 100),
    "1,440 minutes of the market": (lambda h: _minutes(h, None), 1_000),
    "summary of an hour by instrument": (lambda h: h.summary(_NOON_MS, _NOON_MS + _HOUR_MS), None),
    "levels of an hour, learned from 12 before": (
        lambda h: h.levels(_NOON_MS, _NOON_MS + _HOUR_MS, instrument="C0USDT", learn_hours=12),
        None,
    ),
    "volatility of an hour": (lambda h: h.volatility(_NOON_MS, _NOON_MS + _HOUR_MS), None),
}


def _minutes(history: History, instrument: str | None) -> object:
    return history.velocity(_BEGIN_MS, _END_MS, instrument=instrument, seconds=[60])


def run(scale: Scale) -> list[Figure]:
    """Milliseconds of each question, the first time and again."""
    count = scale.size(_EVENTS)
    figures = []
    with tempfile.TemporaryDirectory(prefix="liqtape-bench-") as directory:
        _write(Path(directory), count)
        for name, (question, at_most) in _QUESTIONS.items():
            first, again = [], []
            for _ in range(scale.rounds):
                with liqtape.history.open(directory) as history:
                    first.append(_milliseconds(question, history))
                    again.append(_milliseconds(question, history))
            figures.append(figure(f"{name}, first", first, "ms", f"{count:,} events"))
            figures.append(figure(name, again, "ms", f"{count:,} events", at_most=at_most))
    return figures


def _milliseconds(question: _Question, history: History) -> float:
    began = time.perf_counter()
    question(history)
    return 1_000 * (time.perf_counter() - began)


def _write(directory: Path, count: int) -> None:
    """A day: few instruments have most of the liquidations, sizes are log-normal, 70 % long."""
    draw = np.random.default_rng(1)
    times = np.sort(draw.integers(_BEGIN_MS, _END_MS, count)).tolist()
    names = np.minimum(draw.zipf(1.2, count) - 1, 299).tolist()
    venues = draw.choice(4, count, p=[0.4, 0.3, 0.25, 0.05]).tolist()
    amounts = (np.rint(1e6 * draw.lognormal(6.0, 2.0, count)) / 1e6).tolist()
    sides = np.where(draw.random(count) < 0.7, "long", "short").tolist()
    store = Store(directory)
    prices = (60_000 + np.cumsum(draw.normal(0, 5, 86_400))).tolist()
    bars = [
        PriceBarEntry(_BEGIN_MS + 1000 * i, p, p + 3, p - 3, p + 1, 1.0, 5, "binance") for i, p in enumerate(prices)
    ]
    store.write([], [*(FeedUpEntry(venue, _BEGIN_MS - _HOUR_MS) for venue in _VENUES), *bars, AliveEntry(_END_MS)])
    batch: list[Liquidation] = []
    hour_ms = _BEGIN_MS
    columns = zip(times, names, venues, amounts, sides, strict=True)
    for serial, (event_ms, name, venue, usd, side) in enumerate(columns):
        if len(batch) == _BATCH or event_ms >= hour_ms + _HOUR_MS:
            store.write(batch)
            batch = []
        while event_ms >= hour_ms + _HOUR_MS:
            store.mark_hour(hour_ms)
            hour_ms += _HOUR_MS
        instrument, price = f"C{name}USDT", 100.0 + name
        batch.append(
            Liquidation(
                *(_VENUES[venue], instrument, instrument, side, price, "fill", usd / price, usd),
                *(event_ms, event_ms + 50, f"{serial}"),
            )
        )
    store.write(batch)
    store.close()
    sealing = Archiver(directory)
    sealing.seal(_END_MS - _HOUR_MS + CLOSED_AFTER_MS - 1)
    sealing.close()
