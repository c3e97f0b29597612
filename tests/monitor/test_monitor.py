from statistics import median
from types import SimpleNamespace
from typing import Any, cast

import pytest

from liqtape.events import Trouble
from liqtape.ledger import Ledger
from liqtape.monitor.monitor import Monitor
from liqtape.pipeline.listener import Listeners
from liqtape.pipeline.onevent import OnTrouble

T = 1_790_000_000_000


def _feed(name: str) -> Any:
    feed = SimpleNamespace(venue=SimpleNamespace(name=name), ledger=Ledger(), suspected="", skew_ms=None, unbalanced=())
    feed.ledgers = lambda: [(f"{name} 0", feed.ledger)]
    feed.pool = SimpleNamespace(ledgers=feed.ledgers, state="live", samples=[])
    feed.suspect = lambda reason: setattr(feed, "suspected", reason)
    return feed


class Rig:
    def __init__(self, *names: str) -> None:
        self.feeds = [_feed(name) for name in names]
        self.clock = cast(Any, SimpleNamespace(skews={}, shifts={}, our_ms=T, now_ms=T))
        listeners = Listeners()
        self.watch = Monitor(self.feeds, self.clock, listeners)
        self.told: list[Trouble] = []
        listeners.add(OnTrouble(self.told.append))
        self.now = 0.0

    def look(self, **skews: int) -> list[str]:
        """Venues of which our clock is so far ahead; one that differs from the middle one has a shift."""
        self.clock.skews = skews
        middle = median(skews.values()) if skews else 0
        self.clock.now_ms = T - int(middle)
        self.clock.shifts = {venue: int(middle - skew) for venue, skew in skews.items() if abs(skew - middle) > 1_000}
        self.now += 1.0
        self.told.clear()
        self.watch.look(self.now, T, [pair for feed in self.feeds for pair in feed.ledgers()])
        return [f"{trouble.subject}: {trouble.reason}" for trouble in self.told]


@pytest.mark.parametrize(
    ("skews", "told"),
    [
        ({"okx": 200, "bybit": 900}, []),
        ({"okx": 5_000, "bybit": 5_200}, ["clock: ours is 5.1 s ahead of the venues'"]),
        ({"okx": -3_000, "bybit": -2_800, "binance": -2_900}, ["clock: ours is 2.9 s behind the venues'"]),
        ({"okx": 9_000}, ["clock: ours is 9.0 s ahead of the venues'"]),
        (
            {"okx": -7_000, "bybit": 100, "binance": 200},
            ["clock of okx: it is 7.1 s ahead of the other venues'; windows take that off"],
        ),
        (
            {"okx": 8_000, "bybit": 5_000, "binance": 5_000},
            [
                "clock: ours is 5.0 s ahead of the venues'",
                "clock of okx: it is 3.0 s behind the other venues'; windows take that off",
            ],
        ),
        ({}, []),
    ],
)
def test_a_clock_that_is_off_is_named_as_ours_or_a_venues(skews: dict[str, int], told: list[str]) -> None:
    rig = Rig("okx", "bybit", "binance")
    assert rig.look(**skews) == told
    assert rig.look(**skews) == []  # once while it lasts
    assert [feed.skew_ms for feed in rig.feeds] == [skews.get(feed.venue.name) for feed in rig.feeds]


def test_a_trouble_that_comes_again_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig("okx")
    ledger = rig.feeds[0].ledger
    told = []
    for received in (1, 1, 0, 1):
        ledger.frames_received = received
        told.append(len(rig.look()))

    assert told == [1, 0, 0, 1]
    assert rig.feeds[0].unbalanced == ["okx 0"]
    assert [record.levelname for record in caplog.records if record.levelname == "ERROR"] == ["ERROR"] * 2
    assert len(rig.watch.troubles) == 2


def test_a_quiet_venue_is_told_to_its_feed() -> None:
    rig = Rig("okx", "bybit")
    for second in range(3_000):
        for feed in rig.feeds:
            if feed.venue.name == "bybit" or second < 2_000:
                feed.ledger.frames_received += 1
                feed.ledger.frames_liquidation += 1
        told = rig.look()
        if told:
            break

    assert told[0].startswith("okx quiet: no liquidation for 1")
    assert rig.feeds[0].suspected.startswith("no liquidation for")
    assert rig.feeds[1].suspected == ""
