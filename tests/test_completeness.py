"""Whatever a venue refuses or keeps from us: each liquidation is in the history, or its time is said not to be covered.

Over real sockets, against the simulated venues.
"""

import asyncio
import itertools
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.polling import until

from liqtape.events import Gap, Liquidation
from liqtape.feeds import backfill
from liqtape.feeds.backoff import Backoff, Timeouts
from liqtape.history import open as open_history
from liqtape.history.log.journal import AWAY
from liqtape.history.log.layout import DATABASE
from liqtape.pipeline.gaps import STARTING
from liqtape.pipeline.onevent import OnLiquidation
from liqtape.settings import HistorySettings, PriceSettings, RedisSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.tracker import Tracker
from liqtape.venues.limits import RateLimit

SPEED = 12.0
SIMULATED_SECONDS = 90.0
QUICK = Timeouts(connect=2.0, backoff=Backoff(0.05, 0.1), attempts=(RateLimit(1_000, 1.0),))


class Run:
    """A tracker with a history on one simulated venue, and all that the venue published, whoever got it."""

    def __init__(self, simulator: Simulator, venue: str, directory: Path, **settings: Any) -> None:
        own = VenueSettings(ws_url=simulator.ws_url(venue), rest_url=simulator.rest_url(venue))
        self.settings = Settings(
            venues={venue: replace(own, **settings)},
            redis=RedisSettings("off"),
            price=PriceSettings("ws://127.0.0.1:9"),
            history=HistorySettings(str(directory)),
        )
        self.venue = venue
        self.directory = directory
        self.simulator = simulator
        self.tracker = Tracker(self.settings, timeouts=QUICK)
        self.states: list[str] = []
        self.accepted: list[Liquidation] = []
        self.tracker.listen(OnLiquidation(self.accepted.append))
        self.published: list[tuple[str, int]] = []
        simulator.on_published(self._heard)

    def _heard(self, frame: Any) -> None:
        self.published += [(row.symbol, row.event_ms) for row in frame.rows if row.venue == self.venue]

    @property
    def state(self) -> str:
        state = self.tracker.health()[0].state
        if self.states[-1:] != [state]:
            self.states.append(state)
        return state

    @property
    def gaps(self) -> list[Gap]:
        return self.tracker.gaps()

    async def play(self, seconds: float) -> None:
        """Let so much time of the simulated market pass."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds / SPEED
        await until(lambda: self.state and loop.time() >= end)

    def lost(self) -> list[tuple[str, int]]:
        """What was published and is not in the history."""
        with closing(sqlite3.connect(self.directory / DATABASE)) as log:
            logged = set(log.execute("SELECT symbol, event_ms FROM events").fetchall())
        return [row for row in self.published if row not in logged]

    def unreported(self) -> list[tuple[str, int]]:
        """What is lost at a time that the history says was covered, or for which it has no gap."""
        with closing(sqlite3.connect(self.directory / DATABASE)) as log:
            spells = log.execute("SELECT up_ms, down_ms FROM coverage").fetchall()
            gaps = log.execute("SELECT from_ms, until_ms FROM gaps WHERE NOT filled").fetchall()

        def is_within(spans: list[tuple[int, int | None]], at_ms: int) -> bool:
            return any(begin <= at_ms and (end is None or at_ms < end) for begin, end in spans)

        return [row for row in self.lost() if is_within(spells, row[1]) or not is_within(gaps, row[1])]


@asynccontextmanager
async def running(
    venue: str, directory: Path, *, refused: str = "", times: int = 1, **settings: Any
) -> AsyncIterator[Run]:
    async with Simulator("cascade", speed=SPEED) as simulator:
        if refused:
            simulator.refuse_topic(venue, refused, times)
        run = Run(simulator, venue, directory, **settings)
        async with run.tracker:
            yield run
            await simulator.stop_generating()
            await until(lambda: run.tracker.ledger().events_log_pending == 0)
        assert run.tracker.ledger().balanced()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "_SETTLE_SECONDS", 0.3)
    monkeypatch.setattr(backfill, "_PAUSES", (0.05,))


@pytest.mark.parametrize("has_archive", [True, False], ids=["archive", "no archive"])
async def test_okx_refuses_a_topic_once_and_nothing_is_lost_unreported(tmp_path: Path, has_archive: bool) -> None:
    async with running("okx", tmp_path, refused="liquidation-orders:SWAP", times=2) as run:
        if not has_archive:
            run.simulator.refuse_rest("okx", 503)
        await until(lambda: run.state == "refused")
        (during,) = run.gaps
        assert (during.until_ms, during.reason) == (
            None,
            "refused: liquidation-orders:SWAP (60014 Requests too frequent)",
        )
        assert "refused: liquidation-orders:SWAP (60014 Requests too frequent)" in run.tracker.health()[0].detail
        await until(lambda: run.state == "live")
        await run.play(SIMULATED_SECONDS)
        if has_archive:
            await until(lambda: any(gap.backfilled for gap in run.gaps))

    assert [state for state in run.states if state in {"refused", "live"}] == ["refused", "live"]
    assert len(run.published) > 100
    assert run.unreported() == []
    assert (run.lost() == []) is has_archive
    if not has_archive:
        with open_history(tmp_path) as history:
            gap, end = run.gaps
            assert end.reason == AWAY
            assert gap.until_ms is not None
            assert gap.until_ms - gap.from_ms > 2_500  # asked again after 1 and 2 s
            covered = history.velocity(gap.from_ms, gap.until_ms, venue="okx", every=1)["coverage_10s"].to_pylist()
            assert not any(covered)


async def test_bybit_refuses_one_symbol_and_nothing_is_lost_unreported(tmp_path: Path) -> None:
    async with running("bybit", tmp_path, refused="allLiquidation.SOLUSDT", times=3) as run:
        await until(lambda: run.state == "refused")
        assert "refused: allLiquidation.SOLUSDT (Too many requests)" in run.tracker.health()[0].detail
        await run.play(20.0)
        now, at = run.tracker._moment()
        rows = {name: run.tracker.engine.metrics(name, now, at=at) for name in ("BTCUSDT", "SOLUSDT")}
        assert run.state == "refused"
        await until(lambda: run.state == "live")
        await run.play(SIMULATED_SECONDS)

    assert rows["BTCUSDT"] is not None
    assert rows["BTCUSDT"].coverage_10s
    if rows["SOLUSDT"] is not None:
        assert rows["SOLUSDT"].coverage_10s == 0.0
    refused = [gap for gap in run.gaps if gap.reason not in {STARTING, AWAY}]
    assert [gap.reason for gap in refused] == ["refused: allLiquidation.SOLUSDT (Too many requests)"]
    assert refused[0].until_ms is not None
    assert refused[0].until_ms - refused[0].from_ms > 6_500  # asked again after 1, 2 and 4 s
    lost = run.lost()
    assert {symbol for symbol, at_ms in lost if at_ms > refused[0].from_ms} == {"SOLUSDT"}
    assert run.unreported() == []
    with closing(sqlite3.connect(tmp_path / DATABASE)) as log:
        kept = log.execute("SELECT from_ms, until_ms FROM gaps WHERE reason LIKE 'refused%'").fetchall()
        spells = "SELECT up_ms FROM coverage WHERE down_ms IS NULL OR down_ms > up_ms"
        (covered,) = log.execute(spells).fetchall()
    assert kept == [(refused[0].from_ms, refused[0].until_ms)]
    assert covered == (refused[0].until_ms,)


async def test_bybit_perpetuals_before_their_market_are_subscribed(tmp_path: Path) -> None:
    async with running("bybit", tmp_path) as run:
        await until(lambda: run.state == "live")
        topics = {topic for connection in run.tracker.feeds[0].connections for topic in connection.endpoint.topics}
        assert "allLiquidation.NEWCOINUSDT" in topics
        assert run.tracker.health()[0].detail == ""


async def test_coverage_is_written_at_once_after_the_directory_was_deleted(tmp_path: Path) -> None:
    directory = tmp_path / "history"
    async with running("okx", directory) as run:
        await until(lambda: run.state == "live" and len(run.accepted) > 20)
        shutil.rmtree(directory)
        await until((directory / DATABASE).exists)
        run.published.clear()
        before = len(run.accepted)
        await until(lambda: len(run.accepted) > before + 50)

    with closing(sqlite3.connect(directory / DATABASE)) as log:
        ((up_ms, down_ms),) = log.execute("SELECT up_ms, down_ms FROM coverage").fetchall()
        (first,) = log.execute("SELECT min(receive_ms) FROM events").fetchone()
        states = log.execute("SELECT venue, state FROM health").fetchall()
    assert down_ms is None or down_ms > up_ms
    assert up_ms <= first + 2_500
    assert ("okx", "live") in states
    assert [row for row in run.lost() if row[1] > up_ms] == []


@pytest.mark.parametrize("venue", ["bybit"])
async def test_gaps_of_a_venue_with_several_connections_do_not_overlap(tmp_path: Path, venue: str) -> None:
    async with running(venue, tmp_path, redundancy=2) as run:
        await until(lambda: run.state == "live" and len(run.accepted) > 5)
        for _ in range(6):
            for connection in run.simulator._of(venue):
                connection.hang_up(1012)
                await asyncio.sleep(0.02)
            await until(lambda: run.state == "live")
            await run.play(3.0)

    with closing(sqlite3.connect(tmp_path / DATABASE)) as log:
        rows = log.execute("SELECT from_ms, until_ms FROM gaps ORDER BY from_ms").fetchall()
    assert len(rows) >= 2
    assert all(before[1] is not None and before[1] <= after[0] for before, after in itertools.pairwise(rows))
    assert run.unreported() == []


async def test_a_venue_that_stays_silent_is_seen_stalled(tmp_path: Path) -> None:
    async with Simulator("cascade", speed=SPEED) as simulator:
        run = Run(simulator, "okx", tmp_path)
        run.tracker = Tracker(run.settings, timeouts=replace(QUICK, silence_limit=0.3))
        async with run.tracker:
            await until(lambda: run.state == "live")
            simulator.silence("okx")
            await until(lambda: run.state == "stalled")
            seen = set()
            for _ in range(20):  # while it is silent nothing else is said, whatever the connection is at
                await asyncio.sleep(0.05)
                seen.add(run.state)
            simulator.resume("okx")
            await until(lambda: run.state == "live")
    assert seen == {"stalled"}
