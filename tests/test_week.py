"""A week of cascades in seconds: whatever comes, what is kept of it has a bound."""

import gc
import random
import sys
import types
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from liqtape import tracker as tracker_module
from liqtape.cascades.book import CascadeBook
from liqtape.events import Event, Invalid, PriceTick, RawLiquidation
from liqtape.identity import Identities
from liqtape.instruments import MOST_UNLISTED
from liqtape.pipeline import admission as intake_module
from liqtape.pipeline import cascadewatch
from liqtape.pipeline import gaps as outages_module
from liqtape.pipeline.onevent import OnAlert, OnGap, OnLiquidation
from liqtape.settings import AlertSettings, HistorySettings, RedisSettings, Settings, VenueSettings
from liqtape.sinks import publisher as publisher_module
from liqtape.sinks.callback import CallbackQueue
from liqtape.sinks.publisher import RECENT_EVENTS, Publisher
from liqtape.sinks.sink import Batch
from liqtape.tracker import Tracker
from liqtape.venues import VENUES

T = 1_790_000_000_000
DAY_MS = 86_400_000
_NAMES = tuple(VENUES)
SHARED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType, types.FrameType)


class Hanging:
    """A sink of which nothing ever comes back."""

    name = "hanging"

    async def open(self) -> None: ...

    async def publish(self, batch: Batch) -> None: ...

    async def close(self) -> None: ...


def weight(*roots: object) -> int:
    """Bytes of all that is kept by these: classes, modules and functions are everybody's."""
    seen: set[int] = set()
    waiting: list[object] = list(roots)
    total = 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, SHARED):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        waiting += gc.get_referents(one)
    return total


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The wall clock, for whoever does not look at a frame's stamp."""
    now = [T]
    monkeypatch.setattr(tracker_module, "_our_ms", lambda: now[0])
    return now


@pytest.fixture(params=["return_period", "surprise"])
def tracker(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    clock: list[int],  # noqa: ARG001 - of the same time
) -> Tracker:
    """With sinks and callbacks that take nothing away, and bounds so low that a week reaches all of them."""
    monkeypatch.setattr(intake_module, "Identities", lambda: Identities(2_000))
    monkeypatch.setattr(outages_module, "_KEPT", 500)
    monkeypatch.setattr(cascadewatch, "CascadeBook", partial(CascadeBook, most_kept=20))
    monkeypatch.setattr(publisher_module, "_WAITING_CASCADES", 20)
    made = Tracker(
        Settings(
            venues={name: VenueSettings() for name in VENUES},
            redis=RedisSettings("off"),
            alerts=AlertSettings(rule=request.param),
            history=HistorySettings("off"),
        )
    )
    made.publishers.append(Publisher(Hanging(), made.snapshot, made.active))
    made.listen(made.publishers[0])
    for hearing in (OnLiquidation, OnAlert, OnGap):
        queue: CallbackQueue[Any] = CallbackQueue(lambda _: None, "hanging", limit=500)
        made.listen(hearing(queue.offer))
    return made


def minute(chance: random.Random, number: int) -> Iterator[list[Event]]:
    """The frames of a minute: a few liquidations, every two hours a cascade; repeats, late, early and odd ones."""
    at_ms = T + 60_000 * number
    is_cascade = number % 120 == 0
    count, lasts_ms = (240, 10_000) if is_cascade else (2, 60_000)
    for i in range(count):
        event_ms = at_ms + i * lasts_ms // count
        kind = chance.random()
        if kind < 0.05:
            event_ms -= chance.randrange(400_000)
        elif kind < 0.06:
            event_ms += chance.randrange(3_600_000)
        listed = 8 if is_cascade else 8 + number // 3_000  # some new ones a week
        symbol = f"C{chance.randrange(listed)}USDT"
        venue = _NAMES[i % len(_NAMES)]
        raw = RawLiquidation(
            *(venue, symbol, "long", 100.0, "fill", 1.0 + i % 7, "base", event_ms),
            receive_ms=at_ms + i * lasts_ms // count + 50,
        )
        yield [raw, raw] if kind < 0.5 else [raw]
    yield [PriceTick("binance", "BTCUSDT", 8e4 + chance.random(), 0.1, at_ms), Invalid("okx", "price", "{}")]


def test_memory_after_a_week_is_that_of_some_days(tracker: Tracker, clock: list[int]) -> None:
    chance = random.Random(7)
    ledger = tracker.new_ledger()
    weights = []
    for number in range(7 * 1_440):
        for frame in minute(chance, number):
            tracker.ingest(frame, ledger)
        at_ms = clock[0] = T + 60_000 * (number + 1)
        if number % 5 == 4:
            tracker.pulse(at_ms)
        if number % 20 == 0:  # each venue is lost and found again three times an hour
            for venue in VENUES:
                tracker.pipeline.feeds.outages.down(venue, at_ms - 5_000, "closed by the venue with code 1006")
                tracker.pipeline.feeds.outages.up(venue, at_ms)
        if (number + 1) % 1_440 == 0:
            weights.append(weight(tracker))

    assert ledger.balanced()
    assert ledger.events_accepted > 25_000
    assert min(ledger.events_duplicate, ledger.events_rejected_future, ledger.events_rejected_invalid) > 50
    publisher = tracker.publishers[0]
    if tracker.settings.alerts.rule == "surprise":  # the other rule has too few of them in a week
        assert publisher.alerts_dropped_total > 0
    assert publisher.events_dropped_total > 10 * RECENT_EVENTS
    assert len(tracker.pipeline.feeds.outages.gaps()) <= 500 + len(VENUES)
    assert tracker.pipeline.feeds.outages.total > 1_900
    assert max(weights[4:]) < 1.1 * weights[3], weights  # by the fourth day all bounds are reached


def test_names_without_end_fill_no_memory_and_keep_nobody_out(tracker: Tracker) -> None:
    ledger = tracker.new_ledger()
    weights = []
    for number in range(6 * MOST_UNLISTED):
        at_ms = T + 10 * number
        tracker.ingest([RawLiquidation("bybit", f"N{number}", "long", 1.0, "fill", 1.0, "base", at_ms, at_ms)], ledger)
        if number % 100 == 99:
            tracker.pulse(at_ms)
        if (number + 1) % MOST_UNLISTED == 0:
            weights.append(weight(tracker))
    tracker.ingest([RawLiquidation("okx", "N", "long", 1.0, "fill", 1.0, "base", at_ms, at_ms)], ledger)

    assert ledger.events_rejected_invalid == 0
    assert ledger.events_accepted == 6 * MOST_UNLISTED + 1
    assert ledger.balanced()
    detail = next(health.detail for health in tracker.health() if health.venue == "bybit")
    assert f"{tracker.instruments.forgotten['bybit']} names that its list has not made way for others" in detail
    assert tracker.instruments.forgotten["bybit"] >= 5 * MOST_UNLISTED
    assert max(weights[4:]) < 1.1 * weights[3], weights
