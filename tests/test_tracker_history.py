# ruff: noqa: ASYNC110 - a test polls what it does not own
"""The tracker and its history: what it accepts is logged, and the next run goes on where this one ended."""

import asyncio
import shutil
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from liqtape import runhistory
from liqtape import tracker as tracker_module
from liqtape.cli.app import main
from liqtape.engine import VelocityEngine
from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.errors import ConfigurationError
from liqtape.events import Alert, Liquidation, PriceTick, RawLiquidation
from liqtape.history.log.database import open_for_reading
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.journal import AliveEntry, FeedUpEntry
from liqtape.history.log.store import Store
from liqtape.pipeline import pricesources
from liqtape.pipeline.onevent import OnAlert, OnLiquidation
from liqtape.pipeline.pricesources import PRICE_SOURCES
from liqtape.settings import AlertSettings, HistorySettings, PriceSettings, RedisSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.tracker import Tracker

OFF = RedisSettings("off")
NOWHERE = PriceSettings(spot_url="ws://127.0.0.1:9")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_module, "_TICK_SECONDS", 0.1)
    nowhere = tuple(replace(source, host="ws://127.0.0.1:9") for source in PRICE_SOURCES)
    monkeypatch.setattr(pricesources, "PRICE_SOURCES", nowhere)


def alone(directory: Path, alerts: AlertSettings | None = None) -> Tracker:
    """A tracker without feeds: the test brings the events."""
    history = HistorySettings(str(directory))
    alerts = AlertSettings() if alerts is None else alerts
    return Tracker(Settings(venues={}, redis=OFF, price=NOWHERE, history=history, alerts=alerts))


def raw(at_ms: int, symbol: str = "BTCUSDT", price: float = 80_000.0) -> RawLiquidation:
    return RawLiquidation("bybit", symbol, "long", price, "bankruptcy", 0.01, "base", at_ms, at_ms)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def written(tracker: Tracker) -> EventLog:
    assert tracker.log is not None
    async with asyncio.timeout(10):
        while tracker.log.events_pending:
            await asyncio.sleep(0.002)
    return tracker.log


def logged(log: EventLog) -> list[Liquidation]:
    return [event for _, event in log.after(0, 1_000_000)]


async def test_a_killed_run_goes_on_in_the_next(tmp_path: Path) -> None:
    now = now_ms()
    events = [raw(now - 1_000 * age) for age in (1_500, 900, 295, 200, 50, 20, 5)]
    async with alone(tmp_path / "first") as first:
        first.live.feed_up("bybit", now - 100_000)
        first.ingest(events, first.new_ledger())
        first.pulse(now)
        before = first.engine.metrics("BTCUSDT", now)
        log = await written(first)
        connection = sqlite3.connect(log.directory / "log.sqlite")  # until the pulse is on disk as well
        async with asyncio.timeout(10):
            while not connection.execute("SELECT 1 FROM meta WHERE key = 'alive_ms' AND value > 0").fetchone():
                await asyncio.sleep(0.002)
        connection.close()
        shutil.copytree(log.directory, tmp_path / "second")  # as SIGKILL leaves it

    second = alone(tmp_path / "second")
    seen: list[Liquidation] = []
    second.listen(OnLiquidation(seen.append))
    async with second:
        row = second.engine.metrics("BTCUSDT", now)
        assert row is not None
        assert before is not None
        assert (row.event_count_300s, row.event_count_60s, row.total_value_usd) == (5, 3, 5 * 800.0)
        assert row.event_count_10s == before.event_count_10s == 1
        assert row.coverage_60s == pytest.approx(1.0, abs=0.02)
        assert row.coverage_300s == pytest.approx(1 / 3, abs=0.02)
        assert second.active() == ["BTCUSDT"]
        assert second.ledger().events_accepted == 0
        second.ingest(events[1:], second.new_ledger())  # what a venue sends again
        assert (second.ledger().events_accepted, second.ledger().events_duplicate) == (0, 6)
        second.ingest([raw(now, "ETHUSDT"), raw(now)], second.new_ledger())
        again = second.engine.metrics("BTCUSDT", now)
        assert again is not None
        assert again.event_count_300s == 6
        log = await written(second)
        assert len(logged(log)) == 9
        assert second.ledger().balanced()
        assert [(event.instrument, event.event_ms) for event in seen] == [("ETHUSDT", now), ("BTCUSDT", now)]


async def test_what_is_read_back_raises_no_alert(tmp_path: Path) -> None:
    easy = AlertSettings("threshold", velocity_10s=0.2, acceleration=100.0)
    now = now_ms()
    async with alone(tmp_path, easy) as first:
        alerts: list[Alert] = []
        first.on_alert(alerts.append)
        first.ingest([raw(now - 10 * i) for i in range(20)], first.new_ledger())
        await written(first)
    assert [alert.level for alert in alerts] == ["ALERT"]
    second = alone(tmp_path, easy)
    more: list[Alert] = []
    second.on_alert(more.append)
    async with second:
        second.ingest([raw(now + 1)], second.new_ledger())
        assert second.pipeline._levels.raised()
    assert more == []


async def test_all_that_a_simulated_market_brings_is_logged_once_in_order(tmp_path: Path) -> None:
    async with Simulator("faults", seed=3, speed=3.0) as simulator:
        venues = {
            name: VenueSettings(ws_url=simulator.ws_url(name), rest_url=simulator.rest_url(name))
            for name in ("binance", "bybit", "okx")
        }
        settings = Settings(venues=venues, redis=OFF, price=NOWHERE, history=HistorySettings(str(tmp_path)))
        tracker = Tracker(settings)
        seen: list[Liquidation] = []
        tracker.listen(OnLiquidation(seen.append))
        async with tracker:
            async with asyncio.timeout(15):
                while len(seen) < 100:
                    await asyncio.sleep(0.01)
                    assert tracker.ledger().balanced()
            await simulator.stop_generating()
            async with asyncio.timeout(5):
                while tracker.engine.btc_price is None:
                    await asyncio.sleep(0.01)
            log = await written(tracker)
            assert logged(log) == seen
    ledger = tracker.ledger()
    assert ledger.balanced()
    assert ledger.events_logged == ledger.events_accepted == len(seen)
    connection = open_for_reading(tmp_path)
    states = {(venue, state) for venue, state in connection.execute("SELECT venue, state FROM health")}
    assert states >= {("binance", "live"), ("bybit", "live"), ("okx", "stopped")}
    covered = connection.execute("SELECT venue FROM coverage WHERE down_ms >= up_ms").fetchall()
    assert {venue for (venue,) in covered} == set(venues)
    [(bars, trades)] = connection.execute(
        "SELECT count(*), sum(trades) FROM prices WHERE low <= close AND close <= high"
    )
    connection.close()
    assert 0 < bars <= trades


async def test_a_feed_that_was_lost_earlier_than_was_told_stays_lost(tmp_path: Path) -> None:
    """Two connections of a venue end one after the other, and the second had been silent for longer."""
    async with alone(tmp_path) as tracker:
        now = now_ms()
        tracker.live.feed_up("bybit", now - 9_000)
        tracker.live.feed_down("bybit", now - 2_000, "closed")
        tracker.live.feed_missed("bybit", now - 3_000, now - 2_000, "closed")
        await written(tracker)
    connection = open_for_reading(tmp_path)
    spells = connection.execute("SELECT up_ms, down_ms FROM coverage").fetchall()
    lasting = connection.execute("SELECT from_ms FROM gaps WHERE until_ms IS NULL").fetchall()
    connection.close()

    assert spells == [(now - 9_000, now - 3_000)]
    assert lasting == [(now - 2_000,)]


async def test_the_time_between_two_runs_is_a_gap(tmp_path: Path) -> None:
    async with alone(tmp_path) as first:
        first.live.feed_up("bybit", now_ms() - 5_000)
        first.live.feed_down("bybit", now_ms() - 1_000, "not running")
    async with alone(tmp_path) as second:
        second.live.feed_up("bybit", now_ms())
    connection = open_for_reading(tmp_path)
    [(down_ms,), _] = connection.execute("SELECT down_ms FROM coverage ORDER BY up_ms").fetchall()
    [(venue, from_ms, until_ms, reason)] = connection.execute("SELECT venue, from_ms, until_ms, reason FROM gaps")
    connection.close()
    assert (venue, from_ms, reason) == ("bybit", down_ms, "not running")
    assert until_ms >= from_ms + 900


async def test_a_failing_log_is_shown_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    tracker = alone(tmp_path)
    async with tracker:
        monkeypatch.setattr(Store, "write", refuse)
        tracker.ingest([raw(now_ms())], tracker.new_ledger())
        async with asyncio.timeout(10):
            while tracker._history.health()[0].state != "failing":
                await asyncio.sleep(0.002)
        [line] = tracker._history.health()
        assert (line.venue, line.detail) == ("history", "database or disk is full")
        tracker.ingest([raw(now_ms(), "ETHUSDT")], tracker.new_ledger())
        assert tracker.active() == ["BTCUSDT", "ETHUSDT"]
        assert tracker.ledger().events_log_pending == 2
        assert tracker.ledger().balanced()
    ledger = tracker.ledger()
    assert (ledger.events_not_logged_disk, ledger.balanced()) == (2, True)


async def test_a_second_tracker_in_the_directory_is_refused(tmp_path: Path) -> None:
    async with alone(tmp_path):
        with pytest.raises(ConfigurationError, match="in use by process"):
            await alone(tmp_path).start()
    async with alone(tmp_path):
        pass


def test_a_second_service_is_refused_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = EventLog(tmp_path)
    log.start()
    try:
        assert main(["run", "--redis", "off", "--venue", "bybit", "--history", str(tmp_path)]) == 2
    finally:
        log.stop()
    told = capsys.readouterr()
    assert told.err.startswith(f"liqtape: history: {tmp_path} is in use by process ")
    assert (told.err.count("\n"), told.out) == (1, "")


def test_a_tracker_of_your_own_keeps_no_history_unless_told() -> None:
    assert Tracker(Settings(redis=OFF)).log is None
    assert Tracker(Settings(redis=OFF, history=HistorySettings("off"))).log is None


def test_a_server_needs_a_directory_for_what_it_has_not_got(tmp_path: Path) -> None:
    settings = Settings(redis=OFF, history=HistorySettings("postgresql://me:secret@127.0.0.1/liqtape"))
    with pytest.raises(ConfigurationError, match="data_dir"):
        Tracker(settings)
    log = Tracker(settings, data_dir=tmp_path).log
    assert log is not None
    assert log.directory == tmp_path / "history"
    assert "secret" not in repr(settings)


def test_prices_of_a_bar_are_those_of_its_second_and_source(tmp_path: Path) -> None:
    tracker = alone(tmp_path)
    ticks = [
        ("binance", 5.0, 100),
        ("binance", 9.0, 200),
        ("binance", 1.0, 999),
        ("bybit", 7.0, 999),
        ("bybit", 8.0, 1_000),
    ]
    for venue, price, at_ms in ticks:
        tracker.pipeline.price.take(PriceTick(venue, "BTCUSDT", price, None if at_ms == 200 else 2.0, at_ms))
    log = tracker.log
    assert log is not None
    log.start()
    tracker._history._feed.end(1, [])  # type: ignore[union-attr]
    log.stop()
    connection = open_for_reading(tmp_path)
    rows = connection.execute("SELECT * FROM prices").fetchall()
    connection.close()
    assert rows == [
        (0, 5.0, 9.0, 1.0, 1.0, None, 3, "binance"),
        (0, 7.0, 7.0, 7.0, 7.0, 2.0, 1, "bybit"),
        (1_000, 8.0, 8.0, 8.0, 8.0, 2.0, 1, "bybit"),
    ]


async def test_an_outage_that_began_earlier_than_was_told_lasts_on(tmp_path: Path) -> None:
    """Of two connections the second to go was the first to fall silent; seen with a venue that refuses both."""
    now = now_ms()
    async with alone(tmp_path) as tracker:
        tracker.live.feed_up("bybit", now - 10_000)
        tracker.live.feed_down("bybit", now - 2_000, "first")
        tracker.live.feed_missed("bybit", now - 3_000, now - 2_000, "second")

    connection = open_for_reading(tmp_path)
    ((up_ms, down_ms),) = connection.execute("SELECT up_ms, down_ms FROM coverage").fetchall()
    gaps = connection.execute("SELECT from_ms, until_ms FROM gaps ORDER BY from_ms").fetchall()
    connection.close()
    assert (up_ms, down_ms) == (now - 10_000, gaps[0][0])
    assert down_ms <= now - 3_000
    assert gaps[-1][1] is None


@pytest.mark.parametrize("skew_ms", [-3_600_000, 0, 3_600_000], ids=str)
async def test_coverage_begins_and_after_a_kill_ends_in_the_venues_time(skew_ms: int, tmp_path: Path) -> None:
    async with Simulator("calm", skew_ms={"okx": skew_ms}) as simulator:
        venues = {"okx": VenueSettings(ws_url=simulator.ws_url("okx"), rest_url=simulator.rest_url("okx"))}
        first, second = tmp_path / "first", tmp_path / "second"
        asked_ms = now_ms() + skew_ms
        async with Tracker(Settings(venues=venues, redis=OFF, price=NOWHERE, history=HistorySettings(str(first)))):
            async with asyncio.timeout(10):
                while not table_of(first, "SELECT 1 FROM meta WHERE key = 'reached_ms okx'"):
                    await asyncio.sleep(0.02)
            (up_ms,) = table_of(first, "SELECT up_ms FROM coverage")
            shutil.copytree(first, second)  # as SIGKILL leaves it
            killed_ms = now_ms() + skew_ms
    log = EventLog(second)
    log.start()
    await asyncio.to_thread(log.stop)
    (from_ms,) = table_of(second, "SELECT from_ms FROM gaps WHERE reason = 'not running'")
    assert asked_ms < up_ms <= from_ms < killed_ms + 300


def table_of(directory: Path, question: str) -> list[int]:
    try:
        connection = open_for_reading(directory)
    except (ConfigurationError, sqlite3.Error):  # not there yet
        return []
    try:
        return [value for (value,) in connection.execute(question)]
    finally:
        connection.close()


def lived(directory: Path, hours: int) -> tuple[list[Liquidation], int]:
    """A history of five liquidations a minute, up to now; and the next of them."""
    now = now_ms()
    begin = now - hours * 3_600_000
    times = range(begin, now, 12_000)
    events = [Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 1.0, "fill", 1.0, 1.0, t, t, str(t)) for t in times]
    directory.mkdir(exist_ok=True)
    store = Store(directory)
    store.write(events, [FeedUpEntry("bybit", begin - 1_000), AliveEntry(now)])
    store.close()
    return events, times[-1] + 12_000


async def changes(tracker: Tracker, from_ms: int) -> list[Alert]:
    """Level changes of a run in which the activity goes on as before for half an hour."""
    alerts: list[Alert] = []
    tracker.listen(OnAlert(alerts.append))
    async with tracker:
        tracker.live.feed_up("bybit", from_ms)
        ledger = tracker.new_ledger()
        for at_ms in range(from_ms, from_ms + 1_800_000, 12_000):
            tracker.ingest([raw(at_ms)], ledger)
    return alerts


async def test_a_restart_takes_for_usual_what_its_history_has_every_minute(tmp_path: Path) -> None:
    _, next_ms = lived(tmp_path / "known", 12)
    by_surprise = AlertSettings(rule="surprise")
    new, known = alone(tmp_path / "new", by_surprise), alone(tmp_path / "known", by_surprise)

    assert await changes(new, next_ms)
    assert await changes(known, next_ms) == []
    assert new.learned == "levels start from the prior"
    assert known.learned == "levels learned from 11.9 h of history"


async def test_what_a_start_learned_is_what_the_whole_run_would_have(tmp_path: Path) -> None:
    events, next_ms = lived(tmp_path, 6)
    whole = VelocityEngine()
    whole.feed_up("bybit", events[0].event_ms - 1_000)
    for event in events:
        whole.add(event)
    async with alone(tmp_path) as tracker:
        tracker.live.feed_up("bybit", next_ms)
        for at_ms in (next_ms + 60_000, next_ms + 90_000):
            row, expected = tracker.engine.metrics("BTCUSDT", at_ms), whole.metrics("BTCUSDT", at_ms)
            assert row is not None
            assert expected is not None
            assert row.event_count_300s == expected.event_count_300s
            assert row.surprise_mean == pytest.approx(expected.surprise_mean, rel=1e-3)  # the beginning is a whole bin


@pytest.mark.parametrize("after_slot_ms", [0, 1, 1_999, 2_000, 5_000, 9_999])
def test_between_what_was_taught_and_what_is_read_back_no_slot_is_missing(after_slot_ms: int) -> None:
    wall_ms = 1_790_000_000_000 + after_slot_ms
    until_ms = 1_790_000_000_000 - 300_000
    times = range(wall_ms - 3_600_000, wall_ms, 1_000)
    events = [Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 1.0, "fill", 1.0, 1.0, t, t, str(t)) for t in times]
    counts = Counter(event.event_ms // 10_000 * 10_000 for event in events if event.event_ms < until_ms)
    whole, tracker = VelocityEngine(), Tracker(Settings(venues={}, redis=OFF, price=NOWHERE))
    whole.feed_up("bybit", times[0])
    whole.feed_down("bybit", wall_ms)
    for event in events:
        whole.add(event)
    taught = [(at_ms, "bybit", "BTCUSDT", count) for at_ms, count in sorted(counts.items())]
    tracker.pipeline.seeding.baselines([("bybit", times[0], wall_ms)], [], taught)
    tracker.pipeline.seeding.recall(events[-1_200:], (), wall_ms)

    for at_ms in (wall_ms, wall_ms + 400_000):
        row, expected = tracker.engine.market(at_ms), whole.market(at_ms)
        # What levels learned comes from their states; what was taught and read back is no watched time of theirs.
        assert (row.watched_days, row.return_days) == (0.0, None)
        kept = {"watched_days": 0.0, "return_days": None, "times_usual": None}
        assert replace(row, **kept) == replace(expected, **kept)
        assert tracker.engine._updater.baseline(None).rate == whole._updater.baseline(None).rate


async def test_venues_that_are_no_longer_watched_teach_nothing(tmp_path: Path) -> None:
    lived(tmp_path, 6)
    venues = {"okx": VenueSettings(ws_url="ws://127.0.0.1:9", rest_url="http://127.0.0.1:9")}
    settings = Settings(venues=venues, redis=OFF, price=NOWHERE, history=HistorySettings(str(tmp_path)))
    async with Tracker(settings) as tracker:
        assert tracker.learned == "levels start from the prior"
        assert "bybit" not in tracker.engine._feeds.venues


async def test_a_history_that_cannot_be_read_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    lived(tmp_path, 1)
    monkeypatch.setattr(runhistory, "read_baseline_seed", refuse)
    async with alone(tmp_path) as tracker:
        row = tracker.engine.metrics("BTCUSDT", now_ms())
        assert row is not None
        assert row.event_count_300s >= 24
        assert row.coverage_300s == pytest.approx(1.0, abs=0.05)
        assert tracker.learned == "levels start from the prior, the history cannot be read"


def kept_of(tracker: Tracker, at_ms: int) -> dict[StreamKey, StreamState]:
    assert tracker.engine.levels is not None
    return tracker.engine.levels.states(at_ms)


async def test_levels_go_on_after_a_restart_with_what_they_had_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = now_ms() - 7_200_000
    ours = [begin]
    monkeypatch.setattr(tracker_module, "_our_ms", lambda: ours[0])
    async with alone(tmp_path) as first:
        first.live.feed_up("bybit", begin)
        ledger = first.new_ledger()
        for step in range(6):
            ours[0] = begin + 600_000 * (step + 1)
            first.ingest([raw(ours[0], price=8_000.0 * (1 + step) ** 3)], ledger)
        ours[0] = now_ms()
    before = kept_of(first, now_ms())
    assert sum(before[StreamKey(None, "BTCUSDT")].bins.values()) == pytest.approx(6, rel=0.01)

    async with alone(tmp_path) as second:
        learned = kept_of(second, now_ms())
        assert second.pipeline._levels.raised() == []  # what the run before looked at is not looked at again
    async with alone(tmp_path) as third:
        again = kept_of(third, now_ms())

    for states in (learned, again):
        assert set(states) == set(before)
        for key, state in before.items():
            assert states[key].bins == pytest.approx(state.bins, rel=1e-6), key
            assert states[key].days == pytest.approx(state.days, rel=1e-3), key
            assert states[key].largest_usd == state.largest_usd


async def test_a_killed_run_loses_no_watched_time_of_its_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "killed"
    begin = now_ms() - 7_200_000
    ours = [begin]
    monkeypatch.setattr(tracker_module, "_our_ms", lambda: ours[0])
    async with alone(tmp_path / "first") as first:
        first.live.feed_up("bybit", begin)
        ledger = first.new_ledger()
        for step in range(4):
            ours[0] = begin + 600_000 * (step + 1)
            first.ingest([raw(ours[0])], ledger)
        ours[0] = now_ms()
        pulses = first.pulses
        async with asyncio.timeout(10):
            while first.pulses < pulses + 3:
                await asyncio.sleep(0.02)
        await written(first)
        async with asyncio.timeout(10):
            while not table_of(tmp_path / "first", "SELECT 1 FROM level_states WHERE instrument = 'BTCUSDT'"):
                await asyncio.sleep(0.02)
        shutil.copytree(tmp_path / "first", killed)  # as SIGKILL leaves it
        before = kept_of(first, first.now_ms())

    async with alone(killed) as second:
        learned = kept_of(second, now_ms())
    key = StreamKey("bybit", "BTCUSDT")
    # Of four episodes the last was over too, or open and in no row: a row is written when an episode ends.
    assert sum(learned[key].bins.values()) >= 2.9
    assert learned[key].days == pytest.approx(before[key].days, rel=0.01)


async def test_a_history_without_states_teaches_levels_once(tmp_path: Path) -> None:
    events, _ = lived(tmp_path, 6)
    async with alone(tmp_path) as first:
        learned = kept_of(first, now_ms())
    assert learned[StreamKey(None, "BTCUSDT")].days == pytest.approx(0.25, rel=0.03)
    assert learned[StreamKey(None, "BTCUSDT")].largest_usd == 5.0  # five of 1 USD a minute
    store = Store(tmp_path)
    store.write([replace(events[-1], event_ms=events[-1].event_ms + 1, notional_usd=1e6, id="new")])
    store.close()

    async with alone(tmp_path) as second:
        again = kept_of(second, now_ms())

    assert again[StreamKey(None, "BTCUSDT")].largest_usd == 5.0  # it goes on from the states, and teaches nothing
    assert again[StreamKey(None, "BTCUSDT")].days == pytest.approx(0.25, rel=0.03)
