"""Liquidations in order, and an engine that lives through them: n in every 300 s, so that windows stay as full."""

import random
from collections.abc import Iterator
from itertools import islice

from liqtape.engine import VelocityEngine
from liqtape.events import WINDOWS, Liquidation, Side
from liqtape.pipeline.levelalerts import Levels

__all__ = ["Stream", "endless"]

_BEGIN_MS = 1_790_000_000_000
_WINDOW_MS = 1000 * WINDOWS[-1]
_SLOT_MS = 10_000
_LEARNED_SLOTS = 2_160  # six hours


def endless(in_window: int, instruments: int = 1, venue: str = "bybit") -> Iterator[Liquidation]:
    """`in_window` events in every 300 s, each of a random instrument, 70 % long; the same again for the same call."""
    draw = random.Random(1)
    serial = 0
    while True:
        name = f"COIN{draw.randrange(instruments)}USDT"
        at_ms = _BEGIN_MS + serial * _WINDOW_MS // in_window
        side: Side = "long" if draw.random() < 0.7 else "short"
        usd = round(draw.lognormvariate(7.0, 2.0), 6)
        serial += 1
        yield Liquidation(venue, name, name, side, 100.5, "bankruptcy", usd / 100.5, usd, at_ms, at_ms)


def _usual(in_window: int, instruments: int, venue: str) -> Iterator[tuple[int, str, str, int]]:
    """Counts of the slots of ten seconds before the first event."""
    begin = _BEGIN_MS // _SLOT_MS - _LEARNED_SLOTS
    for slot in range(_LEARNED_SLOTS):
        count = in_window * (slot + 1) // 30 - in_window * slot // 30
        if count:
            for i in range(instruments):
                yield (begin + slot) * _SLOT_MS, venue, f"COIN{i}USDT", count


class Stream:
    """An engine whose largest window holds `size` events of each instrument, and more to come.

    To its baselines that is usual: as if it had gone on like this for six hours.
    """

    def __init__(self, size: int, instruments: int = 1, venue: str = "bybit") -> None:
        self.engine = VelocityEngine()
        self.levels = Levels(self.engine)
        self.engine.feed_up(venue, _BEGIN_MS - _SLOT_MS * (_LEARNED_SLOTS + 1))
        self.engine.seed_baselines(_usual(size, instruments, venue))
        self._events = endless(size * instruments, instruments, venue)
        for event in islice(self._events, size * instruments):
            self.engine.add(event)
        for i in range(instruments):
            self.engine.metrics(f"COIN{i}USDT", self.engine.newest_ms)

    def next(self, count: int) -> list[Liquidation]:
        """The events that come next."""
        return list(islice(self._events, count))

    def add(self, events: list[Liquidation]) -> None:
        for event in events:
            self.engine.add(event)

    def add_and_totals(self, events: list[Liquidation]) -> None:
        for event in events:
            self.engine.add(event)
            self.engine.totals(event.instrument, event.event_ms)

    def add_and_level(self, events: list[Liquidation]) -> None:
        for event in events:
            self.engine.add(event)
            self.levels.check(event.instrument, event.event_ms)

    def add_and_metrics(self, events: list[Liquidation]) -> None:
        for event in events:
            self.engine.add(event)
            self.engine.metrics(event.instrument, event.event_ms)
