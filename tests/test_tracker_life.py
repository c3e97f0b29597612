"""The life of connections, seen from the tracker, against the simulated venues over real sockets."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.polling import until

from liqtape.events import Alert, Gap, Liquidation, Trouble
from liqtape.feeds import backfill, backoff, pool
from liqtape.feeds.backoff import Backoff, Timeouts
from liqtape.history.log.database import open_for_reading
from liqtape.pipeline.gaps import STARTING
from liqtape.pipeline.onevent import OnAlert, OnGap, OnLiquidation, OnTrouble
from liqtape.settings import HistorySettings, PriceSettings, RedisSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.tracker import Tracker
from liqtape.venues import VENUES, binance
from liqtape.venues.base import Endpoint
from liqtape.venues.limits import RateLimit

QUICK = Timeouts(connect=2.0, backoff=Backoff(0.05, 0.1), attempts=(RateLimit(1_000, 1.0),))


class Run:
    """A tracker on a simulator, and everything the venues published since it was live."""

    def __init__(self, simulator: Simulator, venue: str, **settings: Any) -> None:
        own = VenueSettings(ws_url=simulator.ws_url(venue), rest_url=simulator.rest_url(venue))
        own = replace(own, **settings)
        price = PriceSettings(spot_url="ws://127.0.0.1:9")
        self.venue = venue
        self.simulator = simulator
        self.tracker = Tracker(Settings(venues={venue: own}, redis=RedisSettings("off"), price=price), timeouts=QUICK)
        self.gaps: list[Gap] = []
        self.tracker.listen(OnGap(self.gaps.append))
        self.accepted: list[Liquidation] = []
        self.tracker.listen(OnLiquidation(self.accepted.append))
        self.published: set[tuple[str, int, str]] = set()
        send = simulator._market._send

        def heard(frames: Any, name: str, here: Any) -> None:
            if name == venue and self.is_live:
                self.published |= {(row.symbol, row.event_ms, row.price) for frame in frames for row in frame.rows}
            send(frames, name, here)

        simulator._market._send = heard  # type: ignore[method-assign,assignment]

    @property
    def health(self) -> Any:
        return self.tracker.health()[0]

    @property
    def feed(self) -> Any:
        return self.tracker.feeds[0]

    @property
    def is_live(self) -> bool:
        return bool(self.gaps) and self.gaps[0].venue == self.venue and any(g.until_ms for g in self.gaps)

    def missing(self) -> set[tuple[str, int, str]]:
        got = {(event.symbol, event.event_ms) for event in self.accepted}
        return {row for row in self.published if row[:2] not in got}

    def outages(self) -> list[Gap]:
        return [gap for gap in self.tracker.gaps() if gap.reason != STARTING]


@contextlib.asynccontextmanager
async def running(venue: str, scenario: str = "cascade", **settings: Any) -> AsyncIterator[Run]:
    async with Simulator(scenario, speed=8.0) as simulator:
        run = Run(simulator, venue, **settings)
        async with run.tracker:
            await until(lambda: run.health.state == "live" and len(run.accepted) > 5)
            yield run
            await simulator.stop_generating()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_SHORTEST_LIFE_SECONDS", 0.0)
    monkeypatch.setattr(pool, "_OVERLAP_SECONDS", 0.5)
    monkeypatch.setattr(backfill, "_SETTLE_SECONDS", 0.3)


async def settled(run: Run) -> None:
    await run.simulator.stop_generating()
    await until(lambda: not run.missing())
    assert run.tracker.ledger().balanced()


@pytest.mark.parametrize("venue", ["okx", "binance"])
async def test_a_notice_is_followed_by_a_hand_over_that_loses_nothing(venue: str) -> None:
    async with running(venue) as run:
        (old,) = run.feed.connections
        await run.simulator.notice(venue, seconds=2.5)
        await until(lambda: run.feed.connections != [old] and len(run.feed.pool.all) == 1)
        await settled(run)

        assert run.published
        assert run.outages() == []
        assert run.health.reconnects == 0
        assert old.status.state == "stopped"
        assert old.failures["notice"] == 1


async def test_a_connection_is_replaced_before_its_lifetime_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binance, "limits", replace(binance.limits, lifetime=2.0))
    async with running("binance") as run:
        (old,) = run.feed.connections
        monkeypatch.setattr(binance, "limits", replace(binance.limits, lifetime=None))
        await until(lambda: run.feed.connections != [old] and len(run.feed.pool.all) == 1)
        await settled(run)

        assert run.outages() == []
        assert run.health.state == "live"


@pytest.mark.parametrize("venue", ["okx", "hyperliquid"])
async def test_a_gap_is_filled_from_the_venues_archive_and_is_no_news(venue: str) -> None:
    async with running(venue) as run:
        alerts: list[Alert] = []
        await cut_off(run, 1.5)
        run.tracker.listen(OnAlert(alerts.append))
        await until(lambda: any(gap.backfilled for gap in run.outages()))
        await settled(run)

        (gap,) = run.outages()
        assert gap.until_ms is not None
        during = [event for event in run.accepted if gap.from_ms < event.event_ms < gap.until_ms]
        assert during
        assert [(g.until_ms is None, g.backfilled) for g in run.gaps if g.from_ms == gap.from_ms] == [
            (True, False),
            (False, False),
            (False, True),
        ]
        now = run.tracker.now_ms()
        feed = run.tracker.engine._feeds._feeds[venue]
        assert feed.live_ms(gap.from_ms - 100, now) >= now - gap.from_ms
        assert run.feed.backfill.ledger.events_duplicate > 0
        assert run.feed.backfill.ledger.balanced()


async def cut_off(run: Run, seconds: float) -> None:
    run.simulator.refuse(run.venue, 503)
    await run.simulator.abort_connections(run.venue)
    await asyncio.sleep(seconds)
    run.simulator.refuse(run.venue, None)
    await until(lambda: run.health.state == "live")


async def test_what_cannot_be_filled_stays_a_gap_and_windows_are_partial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "_PAUSES", (0.01,))
    async with running("okx", rest_url="http://127.0.0.1:9") as run:
        run.feed._listed = True
        run.tracker.instruments.load([VENUES["okx"].parse_symbol("BTC-USDT-SWAP")])
        await cut_off(run, 0.5)
        await until(lambda: "a gap is not filled: http://127.0.0.1:9" in run.health.detail)

        (gap,) = run.outages()
        assert (gap.backfilled, gap.until_ms is not None) == (False, True)
        row = run.tracker.engine.metrics(run.accepted[-1].instrument, run.tracker.now_ms())
        assert row is not None
        assert row.partial
        assert row.coverage_10s is not None
        assert row.coverage_10s < 1.0


async def test_a_venue_without_an_archive_keeps_its_gap() -> None:
    async with running("bybit") as run:
        assert run.feed.backfill is None
        await cut_off(run, 0.3)
        gaps = run.outages()

    assert gaps
    assert not any(gap.backfilled for gap in gaps)
    assert {gap.reason[:15] for gap in gaps} == {"connection lost"}


async def test_one_of_two_connections_lost_is_no_gap() -> None:
    async with running("okx", redundancy=2) as run:
        await until(lambda: all(c.status.state == "live" for c in run.feed.connections))
        run.simulator._of("okx")[0].abort()
        await until(lambda: run.health.reconnects == 1)
        assert run.health.state == "live"
        await until(lambda: all(c.status.state == "live" for c in run.feed.connections))
        await settled(run)

        assert run.outages() == []
        assert run.tracker.ledger().events_duplicate > 0


@pytest.mark.parametrize("is_set", [False, True], ids=["by itself", "not where an address is configured"])
async def test_another_address_is_tried_where_the_first_stays_silent(
    monkeypatch: pytest.MonkeyPatch, is_set: bool
) -> None:
    topics = ("!forceOrder@arr", "btcusdt@aggTrade")
    async with Simulator("cascade", speed=8.0) as simulator:
        monkeypatch.setattr(binance, "ws_url", simulator.ws_url("binance"))
        # The path that was retired on 2026-04-23: it confirms, and sends nothing.
        retired = Endpoint(f"{binance.ws_url}/ws", topics, 0.4, "btcusdt@aggTrade")
        monkeypatch.setattr(binance, "endpoints", lambda _: [retired])
        other = replace(retired, url=f"{binance.ws_url}/market/ws")
        monkeypatch.setattr(binance, "alternatives", lambda _: [other])
        run = Run(simulator, "binance", ws_url=binance.ws_url if is_set else None)
        async with run.tracker:
            if is_set:
                await until(lambda: run.health.reconnects >= 5)
                assert run.health.state != "live"
            else:
                await until(lambda: run.health.state == "live")
                assert f"at its other address {other.url}" in run.health.detail


async def test_a_ledger_that_does_not_add_up_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    troubles: list[Trouble] = []
    async with running("okx") as run:
        run.tracker.listen(OnTrouble(troubles.append))
        run.feed.connections[0].ledger.frames_received += 1
        await until(lambda: run.health.state == "unbalanced")
        await asyncio.sleep(1.2)
        assert "ledger does not balance: okx /okx/ws/v5/public 0" in run.health.detail
        run.feed.connections[0].ledger.frames_received -= 1
        await until(lambda: run.health.state == "live")

    assert [trouble.subject for trouble in troubles] == ["ledger okx /okx/ws/v5/public 0"]
    assert [r.levelname for r in caplog.records if "does not balance" in r.getMessage()] == ["ERROR"]


async def test_a_wrong_clock_of_ours_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backoff.SystemClock, "wall", staticmethod(lambda: time.time() + 5))
    async with running("okx") as run:
        await until(lambda: run.tracker.monitor.troubles)
        assert 4_500 < run.health.skew_ms < 6_500

    assert [r.levelname for r in caplog.records if "clock: ours is" in r.getMessage()] == ["WARNING"]


async def test_undecodable_frames_are_kept_for_fixtures(tmp_path: Path) -> None:
    async with Simulator("calm", faults=("torn", "wrong_types"), speed=4.0) as simulator:
        own = VenueSettings(ws_url=simulator.ws_url("okx"), rest_url=simulator.rest_url("okx"))
        settings = Settings(venues={"okx": own}, redis=RedisSettings("off"))
        async with Tracker(replace(settings, price=PriceSettings("ws://127.0.0.1:9")), data_dir=tmp_path) as tracker:
            await until(lambda: tracker.ledger().frames_undecodable >= 3)
        undecodable = tracker.ledger().frames_undecodable

    lines = [msgspec.json.decode(line) for line in (tmp_path / "quarantine/okx.jsonl").read_bytes().splitlines()]
    assert len(lines) == undecodable
    assert all(line["reason"].startswith("okx: ") and line["receive_ms"] > 0 and line["text"] for line in lines)


async def test_a_suspicion_makes_new_connections_take_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with running("okx") as run:
        (old,) = run.feed.connections
        run.tracker.monitor._rates.suspects = {"okx": "no liquidation for 300 s"}
        run.tracker.monitor._rates.look = lambda *_: None  # type: ignore[method-assign]
        await until(lambda: run.health.state == "quiet")
        assert "no liquidation for 300 s" in run.health.detail
        await until(lambda: run.feed.connections != [old])
        await asyncio.sleep(1.1)
        assert len(run.feed.pool.all) == 1  # not again within a quarter of an hour
        assert run.outages() == []
        assert [trouble.subject for trouble in run.tracker.monitor.troubles] == ["okx quiet"]


async def test_the_time_between_two_runs_is_filled_where_the_venue_tells_of_it(tmp_path: Path) -> None:
    async with Simulator("cascade", speed=8.0) as simulator:
        own = VenueSettings(ws_url=simulator.ws_url("okx"), rest_url=simulator.rest_url("okx"))
        settings = Settings(
            venues={"okx": own},
            redis=RedisSettings("off"),
            price=PriceSettings("ws://127.0.0.1:9"),
            history=HistorySettings(str(tmp_path)),
        )
        async with Tracker(settings, timeouts=QUICK) as first:
            await until(lambda: first.ledger().events_accepted > 20)
        stopped_ms, published = int(time.time() * 1_000), list[int]()
        send = simulator._market._send

        def heard(frames: Any, name: str, here: Any) -> None:
            if name == "okx":
                published.extend(row.event_ms for frame in frames for row in frame.rows)
            send(frames, name, here)

        simulator._market._send = heard  # type: ignore[method-assign,assignment]
        # What is published meanwhile, nobody hears. How much that is in a second and a half is the scenario's affair.
        await until(lambda: sum(event_ms > stopped_ms for event_ms in published) > 3)
        accepted: list[Liquidation] = []
        second = Tracker(settings, timeouts=QUICK)
        second.listen(OnLiquidation(accepted.append))
        async with second:
            await until(lambda: any(gap.backfilled for gap in second.gaps()))

    (gap,) = second.gaps()[:1]
    assert (gap.reason, gap.backfilled) == ("not running", True)
    assert gap.until_ms is not None
    assert any(gap.from_ms < event.event_ms < gap.until_ms for event in accepted)
    connection = open_for_reading(tmp_path)
    rows = connection.execute("SELECT from_ms, until_ms, filled FROM gaps WHERE reason = 'not running' AND filled")
    assert rows.fetchall() == [(gap.from_ms, gap.until_ms, 1)]
    [(repeated,)] = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM events GROUP BY venue, id, event_ms HAVING count(*) > 1)"
    )
    connection.close()
    assert repeated == 0
