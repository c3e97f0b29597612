"""Policy and delivery behind a pipeline: what a run's events and seconds become."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from liqtape.alarms.alarmservice import AlarmService, minute_in
from liqtape.alarms.policy.messagepolicy import PolicySettings
from liqtape.alarms.policy.messages import AlarmMessage
from liqtape.alarmsettings import AlarmRule, ChannelSettings
from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation, VenueHealth
from liqtape.factory import policy_of
from liqtape.history.log.eventlog import EventLog
from liqtape.ledger import Ledger
from liqtape.pipeline.listener import Pulse
from liqtape.pipeline.pipeline import Pipeline
from liqtape.runscope import RunScope, pipeline_of
from liqtape.settings import AlertSettings, Settings
from liqtape.tracker import Tracker

_T = 1_790_000_000_000
_SECONDS = 15.0


class _Kept:
    """A channel that keeps what it is sent."""

    name = "kept"

    def __init__(self) -> None:
        self.messages: list[AlarmMessage] = []

    async def send(self, message: AlarmMessage) -> None:
        self.messages.append(message)

    def resume(self, sent: Iterable[AlarmMessage]) -> None:
        pass

    async def refresh(self) -> None:
        pass

    async def close(self) -> None:
        pass


class _Run:
    """A pipeline without venues, its alarms, and our time."""

    def __init__(self, path: Path, alerts: AlertSettings, ledger: Ledger) -> None:
        self.channel = _Kept()
        self.wrong: dict[str, str] = {}
        self.now_ms = _T
        self.pipeline: Pipeline = pipeline_of(RunScope((), {}, alerts), _T)
        self._ledger = ledger
        policy = policy_of(alerts, ())
        self.alarms = AlarmService(policy, [self.channel], self.pipeline, path=path, wrong=lambda: self.wrong)
        self.pipeline.listeners.add(self.alarms)

    def event(self, instrument: str, usd: float) -> None:
        event = Liquidation("mine", instrument, instrument, "long", 2.0, "fill", usd / 2, usd, self.now_ms)
        self.pipeline.admit(event, self._ledger, self.now_ms)

    def second(self, health: Iterable[VenueHealth] = (), services: Iterable[VenueHealth] = ()) -> None:
        self.now_ms += 1_000
        active = self.pipeline.pulse(self.now_ms)
        now_ms = self.pipeline.clock.now_ms
        self.alarms.pulse(Pulse(self.now_ms, now_ms, self.now_ms, active, tuple(health), tuple(services)))

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(_SECONDS):
            while not holds():  # noqa: ASYNC110 - what it waits for is in another task's hands
                await asyncio.sleep(0.005)


_KEPT = {"kept": ChannelSettings("log")}


@asynccontextmanager
async def _running(path: Path, alerts: AlertSettings | None = None) -> AsyncIterator[_Run]:
    run = _Run(path, AlertSettings(channels=_KEPT) if alerts is None else alerts, Ledger())
    await run.alarms.start()
    try:
        yield run
    finally:
        await run.alarms.stop()


def _burst(run: _Run) -> None:
    """So much that it is CRITICAL whatever was seen."""
    for _ in range(4):
        run.event("BTCUSDT", 20e6)
    run.second()


async def test_a_burst_is_one_thread_that_counts_what_follows_and_ends(tmp_path: Path) -> None:
    async with _running(tmp_path / "alarms.sqlite") as run:
        run.event("ETHUSDT", 1_000.0)
        run.second()
        _burst(run)
        heard = len(run.pipeline.listeners)
        run.event("BTCUSDT", 5e6)
        event = run.alarms.open_event()
        for _ in range(600):
            run.second()
        await run.until(lambda: len(run.channel.messages) == 2)

    begin, end = run.channel.messages
    assert (begin.kind, end.kind, end.thread) == ("begin", "end", begin.thread)
    assert event is not None
    assert (event.usd, event.count, event.up) == (85e6, 5, ("BTCUSDT",))
    assert (end.usd, end.count, end.venues) == (85e6, 5, {"mine": 85e6})
    assert "BTCUSDT, prices of its liquidations: 2 to 2" in end.text
    assert run.alarms.open_event() is None
    assert len(run.pipeline.listeners) == heard - 1  # it hears of events no more


async def test_a_run_that_was_killed_goes_on_with_its_event(tmp_path: Path) -> None:
    path = tmp_path / "alarms.sqlite"
    killed = _Run(path, AlertSettings(channels=_KEPT), Ledger())
    await killed.alarms.start()
    _burst(killed)
    await killed.until(lambda: len(killed.channel.messages) == 1)
    for task in killed.alarms.dispatcher._tasks:  # no stop: nothing more is kept
        task.cancel()

    async with _running(path) as run:
        run.now_ms = killed.now_ms
        event = run.alarms.open_event()
        for _ in range(400):
            run.second()
        await run.until(lambda: len(run.channel.messages) == 1)

    assert event is not None
    assert [message.kind for message in run.channel.messages] == ["end"]
    assert run.channel.messages[0].thread == killed.channel.messages[0].thread == event.thread


async def test_what_is_wrong_here_is_told_with_its_end(tmp_path: Path) -> None:
    async with _running(tmp_path / "alarms.sqlite") as run:
        for second in range(200):
            run.wrong = {"redis": "refused"} if second < 60 else {}
            run.second([VenueHealth("bybit", "idle" if second < 90 else "live", 0, None, 0, None, "no route")])
        await run.until(lambda: len(run.channel.messages) == 4)

    assert [message.title for message in run.channel.messages] == [
        "bybit: idle: no route",
        "redis: refused",
        "redis: well again",
        "bybit: well again",
    ]


async def test_a_history_that_is_written_is_nothing_to_tell(tmp_path: Path) -> None:
    async with _running(tmp_path / "alarms.sqlite") as run:
        log = EventLog(tmp_path / "history")
        log.start()
        try:
            state = log.health().state
        finally:
            log.stop()
        services = [VenueHealth(name, state, _T, None, 0, None) for name in ("history", "postgres")]
        for _ in range(100):
            run.second(services=services)
        assert state == "writing"
        assert run.alarms.policy.state(run.now_ms).conditions == {}


async def test_a_rule_is_told_and_says_what_is_left(tmp_path: Path) -> None:
    rule = AlarmRule("big", usd=3_000.0, channels=("kept",))
    async with _running(tmp_path / "alarms.sqlite", AlertSettings(channels=_KEPT, rules=(rule,))) as run:
        run.event("BTCUSDT", 2_000.0)
        run.second()
        (reading,) = run.alarms.readings()
        run.event("BTCUSDT", 1_000.0)
        run.second()
        await run.until(lambda: len(run.channel.messages) == 1)

    assert (reading.left_usd, reading.holds) == (1_000.0, False)
    assert run.channel.messages[0].title == "big: BTCUSDT: $3k in 60 s"


async def test_a_state_that_cannot_be_read_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with _running(tmp_path / "alarms.sqlite") as run:
        run.alarms.dispatcher.submit((), b"no state")
    async with _running(tmp_path / "alarms.sqlite") as run:
        assert run.alarms.open_event() is None

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "starting anew" in caplog.text


async def test_the_effective_steps_are_told_by_group(tmp_path: Path) -> None:
    async with _running(tmp_path / "alarms.sqlite", AlertSettings(channels=_KEPT, named=("BTCUSDT",))) as run:
        before = run.alarms.steps()
        run.event("BTCUSDT", 1_000.0)
        for _ in range(100):
            run.second()
        after = run.alarms.steps()

    assert (before.market_days, before.instrument_days, before.named_days) == (None, None, None)
    assert after.market_days is not None
    assert after.named_days == after.market_days / 2
    assert after.budget_per_week == 3.0


def test_the_day_of_a_zone_decides_and_a_zone_that_is_none_is_refused() -> None:
    assert (minute_in("UTC")(_T), minute_in("Asia/Tokyo")(_T)) == (840 + 13, (840 + 13 + 540) % 1_440)
    with pytest.raises(ConfigurationError, match="no time zone 'Nowhere/Here'"):
        minute_in("Nowhere/Here")


def test_without_channels_messages_go_to_the_log() -> None:
    assert policy_of(AlertSettings(), ()).channels == {"log": ChannelSettings("log")}
    off = AlertSettings(channels={"log": ChannelSettings("log", enabled=False)})
    assert policy_of(off, ()).channels == {}
    assert isinstance(policy_of(off, ()), PolicySettings)


async def test_a_program_hears_messages_through_the_tracker() -> None:
    got: list[AlarmMessage] = []
    off = {"log": ChannelSettings("log", enabled=False)}
    async with Tracker(Settings(venues={}, alerts=AlertSettings(channels=off))) as tracker:
        tracker.on_message(got.append)
        ledger = tracker.new_ledger()
        for number in range(4):
            now_ms = tracker.now_ms() + number
            tracker.admit(Liquidation("mine", "BTCUSDT", "BTCUSDT", "long", 1.0, "fill", 2e7, 2e7, now_ms), ledger)
        async with asyncio.timeout(_SECONDS):
            while not got:  # noqa: ASYNC110 - what it waits for is in another task's hands
                await asyncio.sleep(0.005)

    assert [message.kind for message in got] == ["begin"]
    assert got[0].members[0].scope == "BTCUSDT"
