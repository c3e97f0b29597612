"""Venues of the simulator whose clocks are wrong, over real sockets: rows, health, history, recording and replay."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.polling import until

from liqtape.cli.demo import _settings
from liqtape.events import Liquidation, VenueHealth
from liqtape.pipeline.onevent import OnLiquidation
from liqtape.recording.playback import Playback
from liqtape.recording.recorder import Recorder
from liqtape.settings import HistorySettings, RedisSettings, Settings
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS
from liqtape.tracker import Tracker

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


def health_of(tracker: Tracker, venue: str) -> VenueHealth:
    return next(health for health in tracker.health() if health.venue == venue)


def settings_of(simulator: Simulator, directory: Path, history: str = "off") -> Settings:
    made = _settings(simulator, directory)
    return replace(made, redis=RedisSettings("off"), history=HistorySettings(url=history))


def counts(tracker: Tracker, venue: str) -> int:
    return tracker.market(venue).event_count_60s


@pytest.mark.parametrize("skew_ms", [MINUTE_MS, -HOUR_MS])
async def test_a_skewed_venue_is_named_and_its_windows_hold_what_it_sent(skew_ms: int, tmp_path: Path) -> None:
    async with Simulator("cascade", 3, 4.0, skew_ms={"bybit": skew_ms}) as simulator:
        tracker = Tracker(settings_of(simulator, tmp_path))
        stamps: list[int] = []
        tracker.listen(OnLiquidation(lambda event: stamps.append(event.event_ms) if event.venue == "bybit" else None))
        async with tracker:
            await until(lambda: health_of(tracker, "bybit").state == "clock off" and counts(tracker, "bybit") > 20)
            found = health_of(tracker, "bybit")
            assert counts(tracker, "bybit") == len(stamps)
            assert all(abs(stamp - tracker.now_ms() - skew_ms) < 30_000 for stamp in stamps)  # they stay as they came
            row = tracker.market("bybit")
            assert row.coverage_10s is not None
            assert abs(row.timestamp * 1000 - tracker.now_ms()) < 1_000
            assert {health.venue for health in tracker.health() if health.shift_ms} == {"bybit"}
            await until(lambda: (tracker.market("bybit").coverage_10s or 0) > 0.9)
    assert abs(found.shift_ms - skew_ms) < 1_000
    assert f"{abs(skew_ms) // 1000}." in found.detail
    assert [trouble.subject for trouble in tracker.monitor.troubles] == ["clock of bybit"]
    assert tracker.ledger().events_rejected_future == 0


@pytest.mark.parametrize("step_ms", [MINUTE_MS, -MINUTE_MS])
async def test_a_clock_that_steps_is_followed_and_the_replay_does_the_same_to_the_byte(
    step_ms: int, tmp_path: Path
) -> None:
    accepted: list[Liquidation] = []
    async with Simulator("cascade", 3, 2.0) as simulator:
        tracker = Tracker(settings_of(simulator, tmp_path), recorder=Recorder(tmp_path / "recording"))
        tracker.listen(OnLiquidation(accepted.append))
        async with tracker:
            await until(lambda: counts(tracker, "binance") > 3 and counts(tracker, "bybit") > 3)
            simulator.step_clock("bybit", step_ms)
            await until(lambda: health_of(tracker, "bybit").state == "clock off")
            await asyncio.sleep(0.5)
            before = counts(tracker, "bybit")
            await until(lambda: counts(tracker, "bybit") > before)
            assert counts(tracker, "bybit") == sum(event.venue == "bybit" for event in accepted)
            live = [tracker.engine.metrics(name, tracker.now_ms(), at={}) for name in tracker.engine.instruments()]
    assert live
    playback = Playback(tmp_path / "recording")
    replayed = [event for step in playback.steps(60) for event in step.events]
    encode = msgspec.json.Encoder().encode_lines
    assert encode(accepted) == encode(replayed)
    assert playback.played().ledger == tracker.ledger().as_dict()
    again = playback.pipeline
    assert again is not None
    assert again.intake.future_total == tracker.pipeline.intake.future_total
    assert (again.intake.future_total > 0) == (step_ms > 0)
    assert again.intake.clock.steps_total == tracker.pipeline.clock.steps_total
    assert again.engine.late_dropped_total == tracker.engine.late_dropped_total


@pytest.mark.parametrize("skew_ms", [HOUR_MS, -HOUR_MS])
async def test_after_a_restart_the_windows_of_a_skewed_venue_go_on(skew_ms: int, tmp_path: Path) -> None:
    async with Simulator("cascade", 3, 4.0, skew_ms={"bybit": skew_ms}) as simulator:
        settings = settings_of(simulator, tmp_path, str(tmp_path / "history"))
        async with Tracker(settings, data_dir=tmp_path) as first:
            await until(lambda: counts(first, "bybit") > 20 and counts(first, "binance") > 0)
            seen = counts(first, "bybit")
        second = Tracker(settings, data_dir=tmp_path)
        async with second:
            assert second.market("binance").event_count_60s > 0  # whose clock was right: at once
            # Its own clock, too: two others may be known before, and then its windows follow later.
            await until(lambda: second.pipeline.clock.is_started and "bybit" in second.pipeline.clock.skews)
            assert counts(second, "bybit") >= seen
            assert all(row.event_count_300s < 10_000 for row in second.snapshot(second.active()))
    assert second.crashes == {}


async def test_the_simulator_steps_a_clock_and_loses_nothing() -> None:
    async with Simulator("cascade", 3, 4.0) as simulator:
        published: list[tuple[str, int]] = []
        simulator.on_published(lambda frame: published.extend((row.venue, row.event_ms) for row in frame.rows))
        settings = settings_of(simulator, Path("unused"))
        async with Tracker(settings) as tracker:
            await until(lambda: tracker.ledger().events_accepted > 5)
            for venue in DIALECTS:
                simulator.step_clock(venue, -HOUR_MS)
            now_ms, done = tracker.now_ms(), len(published)
            await until(lambda: {venue for venue, _ in published[done:]} >= {"binance", "bybit", "okx"})
            assert all(at_ms < now_ms - HOUR_MS + MINUTE_MS for _, at_ms in published[done:])
