"""Where the lives of feeds stand in windows, while it turns out which clock is right."""

from collections.abc import Mapping

import pytest

from liqtape.engine import VelocityEngine
from liqtape.events import PriceTick, RawLiquidation
from liqtape.ledger import Ledger
from liqtape.pipeline.feedlives import EVER_MS, FeedLives
from liqtape.pipeline.pipeline import Pipeline

T = 1_790_000_000_000
HOUR_MS = 3_600_000
VENUES = ("binance", "bybit", "okx")


class Run:
    """A pipeline whose venues trade ten times a second, each by its own clock."""

    def __init__(self) -> None:
        targets = dict.fromkeys(VENUES, frozenset[str]())
        self.pipeline = Pipeline(VelocityEngine(), targets, our_ms=T)
        self.pipeline.begin()
        self.our_ms = T

    def up(self, venue: str, off_ms: int = 0) -> None:
        self.pipeline.feeds.up(venue, self.our_ms + off_ms, self.our_ms)

    def down(self, *venues: str) -> None:
        for venue in venues:
            self.pipeline.feeds.down(venue, self.our_ms, "reset", self.our_ms)

    def go(self, seconds: int, offs: Mapping[str, int]) -> None:
        """Let these venues, whose clocks are off by so much, trade for so long, and pulse once a second."""
        until_ms = self.our_ms + 1_000 * seconds
        while self.our_ms < until_ms:
            self.our_ms += 100
            for venue, off_ms in offs.items():
                tick = PriceTick(venue, "BTCUSDT", 50_000.0, 1.0, self.our_ms + off_ms, self.our_ms)
                self.pipeline.ingest([tick], Ledger(), self.our_ms)
            if self.our_ms % 1_000 == 0:
                self.pipeline.pulse(self.our_ms)

    def liquidate(self, venue: str, off_ms: int = 0) -> None:
        event_ms = self.our_ms + off_ms
        ours = RawLiquidation(
            venue, "BTCUSDT", "long", 50_000.0, "fill", 1.0, "base", event_ms, self.our_ms, str(event_ms)
        )
        self.pipeline.ingest([ours], Ledger(), self.our_ms)

    def live_seconds(self, venue: str) -> int | None:
        """Return how many of the five minutes up to now, by the common time, the venue was seen."""
        coverage = self.pipeline.engine.coverage(venue, self.pipeline.clock.t_ms(self.our_ms))
        return None if coverage is None else round(300 * coverage)

    @property
    def offset_ms(self) -> int:
        return self.pipeline.clock.offset_ms(self.our_ms)


@pytest.mark.parametrize("off_ms", [-HOUR_MS, -10_000, -3_000, 3_000, 10_000, HOUR_MS])
def test_a_feed_is_live_since_it_was_also_where_time_begins_by_a_wrong_clock(off_ms: int) -> None:
    run = Run()
    for venue in VENUES:
        run.up(venue, off_ms if venue == "bybit" else 0)
    run.go(6, {"bybit": off_ms})  # nobody else trades yet
    assert run.offset_ms == off_ms

    run.go(34, {"bybit": off_ms, "okx": 0})
    run.go(60, {"bybit": off_ms, "okx": 0, "binance": 0})

    assert run.offset_ms == 0
    assert {venue: run.live_seconds(venue) for venue in VENUES} == dict.fromkeys(VENUES, 100)


@pytest.mark.parametrize("step_ms", [-HOUR_MS, -10_000, 10_000, HOUR_MS])
def test_a_time_that_follows_the_last_venue_there_is_leaves_all_in_its_place(step_ms: int) -> None:
    run = Run()
    for venue in VENUES:
        run.up(venue)
    run.go(50, dict.fromkeys(VENUES, 0))
    for venue in VENUES:
        run.liquidate(venue)
    run.go(10, dict.fromkeys(VENUES, 0))
    run.down("bybit", "okx")
    run.go(70, {"binance": step_ms})  # its clock steps while it is alone
    run.liquidate("binance", step_ms)
    run.go(10, {"binance": step_ms})
    assert run.offset_ms == step_ms
    assert [run.live_seconds(venue) for venue in VENUES] == [140, 59, 59]  # what was on its way is lost, too

    run.up("bybit")
    run.go(10, {"binance": step_ms, "bybit": 0})
    run.up("okx")
    run.go(10, {"binance": step_ms, "bybit": 0, "okx": 0})

    assert run.offset_ms == 0
    assert [run.live_seconds(venue) for venue in VENUES] == [160, 59 + 20, 59 + 10]
    engine, clock = run.pipeline.engine, run.pipeline.clock
    rows = [engine.market(clock.now_ms, venue, at=clock.now_at) for venue in VENUES]
    assert [row.event_count_300s for row in rows] == [2, 1, 1]


@pytest.mark.parametrize("off_ms", [-HOUR_MS, -10_000, 0, 10_000, HOUR_MS])
@pytest.mark.parametrize("first", VENUES, ids="{} is known first".format)
def test_the_lives_of_an_earlier_run_stand_where_the_clock_of_their_venue_says(first: str, off_ms: int) -> None:
    run, offs = Run(), {"binance": 0, "bybit": off_ms, "okx": 0}
    lives = [(venue, T - 200_000 + offs[venue], T - 30_000 + offs[venue]) for venue in VENUES]
    run.pipeline.seeding.recall([], lives, T)
    run.go(6, {first: offs[first]})
    for venue in VENUES:
        run.up(venue, offs[venue])
    run.go(60, offs)

    assert run.offset_ms == 0
    assert [run.live_seconds(venue) for venue in VENUES] == [170 + 60] * 3


def test_a_clock_that_was_set_back_between_two_runs_makes_no_life_longer() -> None:
    run = Run()
    run.pipeline.seeding.recall([], [("bybit", T - 200_000, T - 30_000)], T)  # by the clock of before
    run.go(6, {"bybit": -HOUR_MS, "binance": 0, "okx": 0})
    assert run.live_seconds("bybit") == 170


def test_without_a_clock_moments_are_what_they_are() -> None:
    engine = VelocityEngine()
    lives = FeedLives(engine, None)
    lives.recalled({"okx": [(T - 1_000, T)]}, T)
    assert lives.up("okx", T, EVER_MS) == T
    lives.down("okx", T + 30_000, EVER_MS)
    assert lives.reassess() == set()
    assert engine.coverage("okx", T + 300_000) == 0.1
