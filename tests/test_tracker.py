# ruff: noqa: ASYNC110 - a test may block, and polls what it does not own
import asyncio
import gc
import json
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme
from aiohttp import ClientSession, web
from msgspec.structs import replace
from tests.polling import until

from liqtape import supervise
from liqtape import tracker as tracker_module
from liqtape.embedded import server_binary
from liqtape.errors import ConfigurationError, EmbeddedUnavailable, SinkUnavailable
from liqtape.events import Alert, Liquidation, PriceTick, RawLiquidation, Trouble, VelocityMetrics, VenueHealth
from liqtape.feeds import backoff, venuefeed
from liqtape.pipeline import pricesources
from liqtape.pipeline.onevent import OnAlert, OnLiquidation, OnTrouble
from liqtape.pipeline.pricesources import PRICE_SOURCES
from liqtape.settings import AlertSettings, PriceSettings, RedisSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS
from liqtape.sinks.sink import Batch
from liqtape.tracker import Tracker
from liqtape.venues import binance, bybit

BOUND_SECONDS = 12.0
T = 1_790_000_000_000
NOWHERE = PriceSettings(spot_url="ws://127.0.0.1:9")  # no test looks for a price on the network
OFF = RedisSettings("off")
PAIR = ("binance", "bybit")


class MemorySink:
    name = "memory"

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.rows: dict[str, list[VelocityMetrics]] = {}
        self.health: dict[str, VenueHealth] = {}
        self.trouble: list[Exception] = []

    async def open(self) -> None:
        pass

    async def publish(self, batch: Batch) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.batches.append(batch)
        for row in batch.metrics:
            self.rows.setdefault(row.symbol, []).append(row)
        self.health |= {venue.venue: venue for venue in batch.health}

    async def close(self) -> None:
        pass

    @property
    def alerts(self) -> list[Alert]:
        return [alert for batch in self.batches for alert in batch.alerts]


class ManualWall:
    """Our clock, moved by the test."""

    def __init__(self) -> None:
        self.ms = T

    def __call__(self) -> int:
        return self.ms


async def seen_by(client: Any, true: Callable[[Any], object]) -> None:
    """Wait for something in a Redis server, asked from a thread: the loop is busy with the tracker."""
    async with asyncio.timeout(BOUND_SECONDS):
        while not await asyncio.to_thread(true, client):
            await asyncio.sleep(0.02)


def against(simulator: Simulator, *venues: str, redis_settings: RedisSettings = OFF, **known: Any) -> Settings:
    names = venues or tuple(DIALECTS)
    own = {name: VenueSettings(ws_url=simulator.ws_url(name), rest_url=simulator.rest_url(name)) for name in names}
    values: dict[str, Any] = {"venues": own, "redis": redis_settings, "price": NOWHERE} | known
    return Settings(**values)


def alone(*sinks: Any, **known: Any) -> Tracker:
    """A tracker without feeds: the test brings the events."""
    values: dict[str, Any] = {"venues": {}, "redis": OFF, "price": NOWHERE} | known
    return Tracker(Settings(**values), sinks=sinks)


def raw(at_ms: int = T, symbol: str = "BTCUSDT", venue: str = "bybit", price: float = 80_000.0) -> RawLiquidation:
    return RawLiquidation(venue, symbol, "long", price, "bankruptcy", 0.01, "base", at_ms, at_ms)


def bring(tracker: Tracker, *events: Any, ledger: Any = None) -> None:
    tracker.ingest(list(events), tracker.new_ledger() if ledger is None else ledger)


def hearing(tracker: Tracker) -> int:
    """How many hear of accepted liquidations."""
    return len(tracker.pipeline.listeners.on_accepted)


def state_of(tracker: Tracker, venue: str) -> str:
    return next(health.state for health in tracker.health() if health.venue == venue)


def health_of(tracker: Tracker, venue: str) -> VenueHealth:
    return next(health for health in tracker.health() if health.venue == venue)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rhythm of a service, ten times as fast."""
    monkeypatch.setattr(tracker_module, "_TICK_SECONDS", 0.1)
    monkeypatch.setattr(supervise, "_RESTART_SECONDS", 0.05)
    monkeypatch.setattr(backoff.Backoff, "delay", lambda *_: 0.05)
    # Where no venue brings a price it would be looked for on the network.
    nowhere = tuple(replace(source, host="ws://127.0.0.1:9") for source in PRICE_SOURCES)
    monkeypatch.setattr(pricesources, "PRICE_SOURCES", nowhere)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> ManualWall:
    made = ManualWall()
    monkeypatch.setattr(tracker_module, "_our_ms", made)
    return made


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator("cascade", seed=5, speed=3.0) as made:
        yield made


@pytest.fixture
def binary() -> Path:
    try:
        return server_binary()
    except EmbeddedUnavailable as error:
        pytest.skip(str(error))


class LocalServer:
    """Debian's redis-server on a port of its own."""

    def __init__(self, program: Path, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/1"
        self._command = [
            str(program),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(directory),
        ]
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._child = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + BOUND_SECONDS
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                except redis.RedisError:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                else:
                    return

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait(BOUND_SECONDS)
            self._child = None


@pytest.fixture
def redis_server(tmp_path: Path, require_server: Callable[[str], Path]) -> Iterator[LocalServer]:
    made = LocalServer(require_server("redis-server"), tmp_path)
    made.start()
    yield made
    made.kill()


async def test_one_event_reaches_engine_sink_callback_and_subscription(wall: ManualWall) -> None:
    sink = MemorySink()
    tracker = alone(sink)
    called: list[Liquidation] = []
    tracker.on_liquidation(called.append)
    async with tracker:
        stream = tracker.liquidations()
        bring(tracker, raw())
        liquidation = await anext(stream)
        await until(lambda: called and "BTCUSDT" in sink.rows)

    assert liquidation.instrument == "BTCUSDT"
    assert called == [liquidation]
    assert sink.rows["BTCUSDT"][0].event_count_10s == 1
    assert [list(batch.events) for batch in sink.batches if batch.events] == [[liquidation]]
    assert tracker.ledger().as_dict()["events_accepted"] == 1
    assert wall.ms == T


async def test_quiet_instrument_decays_ends_with_one_row_of_zeros_and_is_left_alone(wall: ManualWall) -> None:
    sink = MemorySink()
    tracker = alone(sink)
    async with tracker:
        bring(tracker, raw())
        for second in range(1, 310):
            wall.ms = T + 1_000 * second
            tracker.pulse(wall.ms)
            await asyncio.sleep(0)
            await until(lambda: not tracker.publishers[0]._pending())

    rows = {round(row.timestamp - T / 1000): row for row in sink.rows["BTCUSDT"]}
    assert [rows[second].event_count_10s for second in (8, 9, 10, 11)] == [1, 1, 0, 0]
    assert [rows[second].event_count_300s for second in (299, 300)] == [1, 0]
    assert set(range(5, 301)) <= set(rows) <= set(range(301))
    assert tracker.active() == []


async def test_level_is_raised_once_and_lowered_by_time_alone(wall: ManualWall) -> None:
    sink = MemorySink()
    tracker = alone(sink, alerts=AlertSettings("threshold", velocity_10s=1.0, acceleration=100.0))
    heard: list[Alert] = []
    tracker.on_alert(heard.append)
    async with tracker:
        for number in range(20):
            bring(tracker, raw(T + number))
        tracker.pulse(T + 6_000)
        wall.ms = T + 20_000
        tracker.pulse(wall.ms)
        bring(tracker, *(raw(T + 20_000 + number) for number in range(12)))
        await until(lambda: len(heard) == 3 and len(sink.alerts) == 3)

    assert [(alert.previous, alert.level) for alert in heard] == [
        ("NONE", "ALERT"),
        ("ALERT", "NONE"),
        ("NONE", "ALERT"),
    ]
    assert heard[0].at_ms == T + 9
    assert sink.alerts == heard


async def test_held_event_reaches_everybody_when_its_time_comes(wall: ManualWall) -> None:
    tracker = alone(MemorySink())
    called: list[Liquidation] = []
    tracker.on_liquidation(called.append)
    async with tracker:
        bring(tracker, *(PriceTick("binance", "BTCUSDT", 8.0, 1.0, T) for _ in range(1)))
        for _ in range(8):
            bring(tracker, PriceTick("binance", "BTCUSDT", 8.0, 1.0, T, T))
        tracker.pulse(T)
        bring(tracker, RawLiquidation("bybit", "BTCUSDT", "long", 8.0, "fill", 1.0, "base", T + 5_000, T))
        assert tracker.ledger().events_pending == 1

        wall.ms = T + 5_000
        tracker.pulse(wall.ms)
        await until(lambda: called)

    assert tracker.ledger().as_dict() | {"events_accepted": 1, "events_pending": 0} == tracker.ledger().as_dict()
    assert tracker.active() == ["BTCUSDT"]


async def test_subscriptions_end_with_the_tracker_and_break_leaves(wall: ManualWall) -> None:
    tracker = alone()
    own = hearing(tracker)
    got: list[list[int]] = [[], []]

    async def read(number: int) -> None:
        async for liquidation in tracker.liquidations():
            got[number].append(liquidation.event_ms - T)

    async with tracker:
        readers = [asyncio.create_task(read(number)) for number in (0, 1)]
        await asyncio.sleep(0)
        bring(tracker, raw(T), raw(T + 1))
        async for _ in _bringing(tracker):
            break
        gc.collect()
        assert hearing(tracker) == own + 2
    await asyncio.wait_for(asyncio.gather(*readers), BOUND_SECONDS)

    assert got == [[0, 1, 7], [0, 1, 7]]
    assert hearing(tracker) == own
    assert [item async for item in tracker.liquidations()] == []  # after the end: nothing to wait for
    assert wall.ms == T


def _bringing(tracker: Tracker) -> Any:
    stream = tracker.liquidations()
    bring(tracker, raw(T + 7))
    return stream


async def test_alerts_are_a_stream_too(wall: ManualWall) -> None:
    tracker = alone(alerts=AlertSettings("threshold", velocity_10s=0.1, acceleration=100.0))
    async with tracker:
        stream = tracker.alerts()
        bring(tracker, raw())
        alert = await asyncio.wait_for(anext(stream), BOUND_SECONDS)

    assert (alert.level, alert.at_ms) == ("ALERT", wall.ms)


@pytest.mark.usefixtures("wall")
async def test_levels_are_return_periods_unless_told_otherwise() -> None:
    sink = MemorySink()
    tracker = alone(sink, alerts=AlertSettings(floors_usd={"ETHUSDT": 1e9}))
    async with tracker:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            bring(tracker, *(raw(T + i, symbol, price=2e9) for i in range(3)))
        await until(lambda: len(sink.alerts) == 2)

    told = [(alert.instrument, alert.level, alert.rule, alert.threshold_usd, alert.floor_usd) for alert in sink.alerts]
    assert told == [
        ("BTCUSDT", "CRITICAL", "return_period", 50e6, 1e5),  # by the cap of learning
        ("ETHUSDT", "ALERT", "return_period", 50e6, 1e4),
    ]
    assert [(alert.usd_60s, alert.count_60s, alert.is_learning) for alert in sink.alerts] == 2 * [(60e6, 3, True)]
    row = next(row for row in tracker.snapshot(["BTCUSDT"]))
    assert (row.level, row.is_learning, row.times_usual) == ("CRITICAL", True, None)


@pytest.mark.usefixtures("wall")
async def test_200_million_of_all_instruments_are_told_of_the_market() -> None:
    sink = MemorySink()
    tracker = alone(sink)
    async with tracker:
        for i in range(11):
            bring(tracker, raw(T + i, f"A{i}USDT", price=2e9))
        await until(lambda: bool(sink.alerts))

    assert [(alert.instrument, alert.level, alert.usd_60s) for alert in sink.alerts] == [("MARKET", "CRITICAL", 200e6)]
    assert (tracker.market().level, tracker.market("bybit").level) == ("CRITICAL", "CRITICAL")


@pytest.mark.parametrize(("rule", "said"), [("surprise", 0), ("return_period", 1), ("threshold", 1)])
async def test_thresholds_of_surprise_are_read_by_its_rule_alone(
    rule: Any, said: int, caplog: pytest.LogCaptureFixture
) -> None:
    alone(alerts=AlertSettings(rule=rule, alert=5.0))
    assert [record.message for record in caplog.records if "alerts.alert" in record.message] == said * [
        f"alerts.alert is read only with alerts.rule = surprise; the rule is {rule}"
    ]


async def test_levels_by_the_surprise_rule_where_it_is_named(wall: ManualWall) -> None:
    sink = MemorySink()
    floors = {"BTC-USDT-SWAP": 1e9}
    venues = {"okx": VenueSettings(ws_url="ws://127.0.0.1:9", rest_url="http://127.0.0.1:9")}
    tracker = Tracker(
        Settings(venues=venues, redis=OFF, price=NOWHERE, alerts=AlertSettings(rule="surprise", floors_usd=floors)),
        sinks=[sink],
    )
    tracker.feeds.clear()  # the venue lends its spelling only
    async with tracker:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            bring(tracker, *(raw(T + i, symbol, price=5e6) for i in range(30)))
        assert sink.alerts == []  # no venue brings trades, whose clock would be known
        wall.ms = T + 5_000
        await until(lambda: len(sink.alerts) == 2)

    assert [(alert.instrument, alert.level, alert.rule, alert.floor_usd) for alert in sink.alerts] == [
        ("BTCUSDT", "ALERT", "surprise", 1e9),
        ("ETHUSDT", "CRITICAL", "surprise", 1e5),
    ]
    assert all(alert.surprise and alert.mean and alert.fano for alert in sink.alerts)


async def test_a_level_ends_by_time_alone_and_the_last_row_says_so(wall: ManualWall) -> None:
    sink = MemorySink()
    tracker = alone(sink)
    async with tracker:
        bring(tracker, *(raw(T + i, price=2e9) for i in range(3)))
        for second in range(1, 600):
            wall.ms = T + 1_000 * second
            tracker.pulse(wall.ms)
            await asyncio.sleep(0)
            await until(lambda: not tracker.publishers[0]._pending())

    rows = sink.rows["BTCUSDT"]
    # Its USD is half of what CRITICAL asks for no longer once the events left the 60 s; then a level a minute.
    assert [(alert.level, round((alert.at_ms - T) / 1_000)) for alert in sink.alerts] == [
        ("CRITICAL", 0),
        ("ALERT", 121),
        ("WATCH", 181),
        ("NONE", 241),
    ]
    assert (rows[-1].level, rows[-1].event_count_300s) == ("NONE", 0)


async def test_venues_and_the_market_as_a_whole_and_what_moves_together(wall: ManualWall) -> None:
    tracker = alone()
    for second in range(120):
        wall.ms = T + 1_000 * second
        for symbol, venue in (("BTCUSDT", "bybit"), ("ETHUSDT", "binance")):
            if second % 7 == 0:
                bring(tracker, *(raw(wall.ms + i, symbol, venue) for i in range(1 + second % 3)))
        tracker.pulse(wall.ms)

    market, bybit_alone = tracker.market(), tracker.market("bybit")
    assert (market.symbol, market.venue, bybit_alone.venue) == ("MARKET", None, "bybit")
    assert market.event_count_300s == 2 * bybit_alone.event_count_300s > 60
    pairs = {(pair.x, pair.y): pair for pair in tracker.correlation()}
    assert pairs["BTCUSDT", "ETHUSDT"].rho == pytest.approx(1.0)
    assert pairs["bybit", "binance"].best_lag == 0


async def test_rows_say_how_much_of_a_day_the_volatility_factor_is_of(wall: ManualWall) -> None:
    tracker = alone()
    for second in range(4_000):
        tracker.pipeline.price.take(PriceTick("binance", "BTCUSDT", 100.0 + second % 2, 1.0, T + 1_000 * second))
        if second in {1_800, 3_999}:
            wall.ms = T + 1_000 * second
            bring(tracker, raw(wall.ms))
            tracker.pulse(wall.ms)
            row = tracker.market()
            assert row.volatility_coverage == (second - 0) / 86_400
            assert (row.volatility_factor is None) is (second == 1_800)


async def test_slow_reader_loses_the_newest_and_it_is_counted() -> None:
    tracker = alone()
    async with tracker:
        stream = tracker.liquidations()
        for number in range(10_050):
            bring(tracker, raw(T + number))

    assert sum([1 async for _ in stream]) == 10_000
    assert stream.dropped_total == 50


async def test_callbacks_that_hang_raise_or_block_keep_nobody_from_the_events() -> None:
    release = threading.Event()
    got: list[int] = []

    def hang(_: Liquidation) -> None:
        release.wait(BOUND_SECONDS)

    def fail(_: Liquidation) -> None:
        raise ValueError("mine")

    async def sleepy(_: Liquidation) -> None:
        await asyncio.sleep(3_600)

    async def note(liquidation: Liquidation) -> None:
        got.append(liquidation.event_ms - T)

    tracker = alone()
    for callback in (hang, fail, sleepy, note):
        tracker.on_liquidation(callback)
    async with tracker:
        for number in range(500):
            bring(tracker, raw(T + number))
        await until(lambda: len(got) == 500)
        ending = asyncio.create_task(tracker.stop())
        await asyncio.wait_for(ending, BOUND_SECONDS)
        release.set()

    assert got == list(range(500))
    assert tracker.ledger().events_accepted == 500
    failing = next(queue for queue in tracker._audience.callbacks if queue.name.endswith("fail"))
    assert list(failing.errors.values()) == [500]


async def test_sink_that_fails_in_any_way_keeps_nobody_from_the_events(caplog: pytest.LogCaptureFixture) -> None:
    sink = MemorySink()
    sink.trouble = [KeyError("not foreseen"), SinkUnavailable("gone")]
    tracker = alone(sink)
    async with tracker:
        bring(tracker, raw())
        await until(lambda: "BTCUSDT" in sink.rows)

    assert [event.instrument for batch in sink.batches for event in batch.events] == ["BTCUSDT"]
    assert tracker.publishers[0].errors == {"write: KeyError": 1}
    assert tracker.publishers[0].failures_total == 2
    assert tracker.crashes == {}
    assert [record.levelname for record in caplog.records if not record.name.endswith(".connection")] == [
        "ERROR",
        "WARNING",  # two causes, a line each
    ]


async def test_part_that_fails_is_counted_logged_once_and_runs_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = alone()
    calls: list[int] = []

    def pulse(wall_ms: int) -> None:
        calls.append(wall_ms)
        if len(calls) <= 2:
            raise ArithmeticError("mine")

    monkeypatch.setattr(tracker, "pulse", pulse)
    monkeypatch.setattr(tracker_module, "_TICK_SECONDS", 0.001)
    async with tracker:
        await until(lambda: len(calls) > 5)

    assert tracker.crashes == {"tick: ArithmeticError: mine": 2}
    assert [record.levelname for record in caplog.records if not record.name.endswith(".connection")] == ["ERROR"]


@pytest.mark.parametrize(
    ("symbols", "own", "expected"),
    [
        (("PEPEUSDT",), (), {"binance:PEPEUSDT", "bybit:PEPEUSDT"}),
        (("1000PEPEUSDT",), (), {"binance:PEPEUSDT", "bybit:PEPEUSDT"}),
        (("SHIB1000USDT",), (), {"binance:SHIBUSDT", "bybit:SHIBUSDT"}),
        (("PEPEUSDT",), ("SHIBUSDT",), {"binance:SHIBUSDT", "bybit:PEPEUSDT"}),
        ((), ("SHIBUSDT",), {"binance:SHIBUSDT", "bybit:PEPEUSDT", "bybit:SHIBUSDT"}),
    ],
)
async def test_a_symbol_in_either_spelling_means_the_instrument_and_a_venue_may_have_its_own(
    symbols: tuple[str, ...], own: tuple[str, ...], expected: set[str]
) -> None:
    venues = {"binance": VenueSettings(symbols=own), "bybit": VenueSettings()}
    tracker = Tracker(Settings(symbols=symbols, venues=venues, redis=OFF))
    seen: set[str] = set()
    tracker.listen(OnLiquidation(lambda liquidation: seen.add(f"{liquidation.venue}:{liquidation.instrument}")))

    for number, venue in enumerate(PAIR):
        for symbol in ("1000PEPEUSDT", "SHIB1000USDT" if venue == "bybit" else "1000SHIBUSDT"):
            bring(tracker, raw(T + number, symbol, venue))

    assert seen == expected


async def test_one_name_for_two_assets_is_told_once_and_the_next_run_keeps_the_two_apart(wall: ManualWall) -> None:
    troubles: list[Trouble] = []
    cheap, dear = raw(T, "1000PEPEUSDT", "binance", 0.01), raw(T + 1, "PEPE-USDT-SWAP", "okx", 0.02)
    async with alone() as tracker:
        tracker.listen(OnTrouble(troubles.append))
        bring(tracker, cheap)
        bring(tracker, dear, raw(T + 2, "1000PEPEUSDT", "binance", 0.01), raw(T + 3, "1000PEPEUSDT", "binance", 0.02))

        assert [(told.subject, told.at_ms) for told in troubles] == [("name of binance 1000PEPEUSDT", T + 1)]
        assert tracker.active() == ["1000PEPEUSDT", "PEPEUSDT"]
        shown = tracker.instruments.sized(raw(T + 4, "1000PEPEUSDT", "binance", 0.01), "x")
    assert shown.instrument == "1000PEPEUSDT"

    async with alone() as later:
        later.listen(OnTrouble(troubles.append))
        later.pipeline.seeding.recall([shown], [], wall())
        bring(later, dear, raw(T + 5, "1000PEPEUSDT", "binance", 0.01))
        assert later.active() == ["1000PEPEUSDT", "PEPEUSDT"]
    assert len(troubles) == 1


def test_unknown_venue_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown venue 'mtgox'; known: binance, bybit"):
        Tracker(Settings(venues={"mtgox": VenueSettings()}))


async def test_data_to_be_kept_needs_a_place() -> None:
    tracker = Tracker(Settings(venues={}, redis=RedisSettings("embedded", persist=True)))

    with pytest.raises(ConfigurationError, match="data_dir"):
        await tracker.start()


async def test_start_that_fails_leaves_nothing_and_a_tracker_runs_once() -> None:
    tracker = Tracker(Settings(venues={}, redis=RedisSettings("redis://127.0.0.1:9/one")))

    with pytest.raises(ConfigurationError, match="the Redis URL is not usable"):
        await tracker.start()
    await tracker.stop()
    with pytest.raises(RuntimeError, match="has run"):
        await tracker.start()

    assert len(asyncio.all_tasks()) == 1


async def test_stop_before_the_start_and_twice_is_nothing() -> None:
    tracker = alone()
    await tracker.stop()
    await tracker.start()
    await tracker.start()
    await tracker.stop()
    await tracker.stop()

    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_all_simulated_venues_over_real_sockets_arrive_whole(secure: bool) -> None:
    authority = trustme.CA()
    server_tls, client_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_tls)
    authority.configure_trust(client_tls)
    sink = MemorySink()
    async with Simulator("cascade", seed=5, speed=3.0, ssl_context=server_tls if secure else None) as simulator:
        tracker = Tracker(against(simulator), sinks=[sink], ssl_context=client_tls)
        async with tracker:
            await until(lambda: [health.state for health in tracker.health()] == ["live"] * len(DIALECTS))
            await until(lambda: tracker.ledger().events_accepted > 50)
            assert [feed.listing_error for feed in tracker.feeds] == [None] * len(DIALECTS)
            await simulator.stop_generating()
            distinct = {
                (record.venue, record.symbol, record.event_ms, record.price) for record in simulator.ledger.distinct()
            }
            await until(lambda: tracker.ledger().events_accepted >= len(simulator.ledger.distinct()))
            total, parts = tracker.ledger(), tracker.ledgers()
        ended = tracker.ledger()

    events = {(e.venue, e.symbol, e.event_ms) for batch in sink.batches for e in batch.events}
    assert events == {record[:3] for record in distinct}
    for ledger in (total, ended, *(part for _, part in parts)):
        assert ledger.balanced()
    assert total.events_accepted == sum(part.events_accepted for _, part in parts)
    assert total.events_unsized == 0
    assert {health.state for health in sink.health.values()} == {"stopped"}


@pytest.mark.usefixtures("binary")
@pytest.mark.parametrize("server", ["embedded", "redis-server"])
async def test_documented_keys_are_there_while_it_runs(
    server: str, simulator: Simulator, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = "embedded" if server == "embedded" else request.getfixturevalue("redis_server").url
    alerts = AlertSettings("threshold", velocity_10s=0.2, acceleration=100.0)
    settings = against(simulator, redis_settings=RedisSettings(url), alerts=alerts)
    async with Tracker(settings, data_dir=tmp_path / "data") as tracker:
        assert tracker.redis_url
        with redis.Redis.from_url(tracker.redis_url, decode_responses=True) as client:
            channel = client.pubsub(ignore_subscribe_messages=True)
            channel.subscribe("liqtape:alerts")
            await seen_by(client, lambda c: len(c.keys("velocity:*:current")) >= 3 and c.exists("btc:price:current"))
            await seen_by(client, lambda c: c.llen("cascade:events:buffer") > 5 and c.keys("cascade:*:level"))
            await seen_by(client, lambda c: c.hlen("liqtape:health") == 4)
            await until(lambda: (message := channel.get_message()) is not None and _check_alert(message["data"]))
            await asyncio.to_thread(_check_keys, client)
            key = client.keys("velocity:*:current")[0]
            stamp = client.hget(key, "timestamp")
            await simulator.drop_connections()  # no event any more, only time
            await seen_by(client, lambda c: c.hget(key, "timestamp") != stamp)
            channel.close()
    if tracker.embedded is not None:
        assert not tracker.embedded.running


def _check_alert(text: str) -> bool:
    alert = json.loads(text)
    return bool(alert["level"] == "ALERT" and alert["previous"] == "NONE" and alert["velocity_10s"] >= 0.2)


def _check_keys(client: Any) -> None:
    for key in client.keys("velocity:*:current"):
        row = client.hgetall(key)
        assert key == f"velocity:{row['symbol']}:current"
        assert {"event_count_10s", "velocity_300s", "acceleration", "total_value_usd", "level", "late_total"} <= set(
            row
        )
        assert float(row["velocity_60s"]) == int(row["event_count_60s"]) / 60
        assert 0 < int(client.ttl(key)) <= 600
    price = json.loads(client.get("btc:price:current"))
    assert set(price) == {"price", "timestamp", "volume", "source"}
    assert price["source"] == "binance"
    assert 0 < client.ttl("btc:price:current") <= 60
    event = json.loads(client.lindex("cascade:events:buffer", 0))
    assert event["schema"] == 1
    assert client.llen("cascade:events:buffer") <= 1_000
    assert {client.get(key) for key in client.keys("cascade:*:level")} <= {"ALERT", "NONE"}
    health = {venue: json.loads(text) for venue, text in client.hgetall("liqtape:health").items()}
    assert set(health) == set(DIALECTS)
    assert {venue["state"] for venue in health.values()} <= {"live", "subscribing", "connecting"}
    assert 0 < client.ttl("liqtape:health") <= 30


async def test_redis_killed_and_started_again_is_caught_up_and_no_feed_notices(
    simulator: Simulator, redis_server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    settings = against(simulator, *PAIR, redis_settings=RedisSettings(redis_server.url))
    async with Tracker(settings) as tracker:
        with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
            await seen_by(client, lambda c: c.llen("cascade:events:buffer") > 3)
        redis_server.kill()
        publisher = tracker.publishers[0]
        await until(lambda: publisher.state == "failing")
        before = tracker.ledger().events_accepted
        await until(lambda: tracker.ledger().events_accepted > before + 10)
        assert [state_of(tracker, venue) for venue in PAIR] == ["live", "live"]
        assert [feed.health(tracker.engine, tracker.now_ms()).reconnects for feed in tracker.feeds] == [0, 0]

        redis_server.start()
        await until(lambda: publisher.state == "ok")
        await simulator.stop_generating()
        await until(lambda: tracker.ledger().events_accepted >= len(simulator.ledger.distinct()))
        wanted = [event.id for event in reversed(publisher._recent)]
        with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
            await seen_by(client, lambda c: c.llen("cascade:events:buffer") == len(wanted))
            listed = [json.loads(text)["id"] for text in client.lrange("cascade:events:buffer", 0, -1)]
            await seen_by(client, lambda c: len(c.keys("velocity:*:current")) == len(tracker.active()))

    assert listed == wanted
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in warnings] == ["liqtape.sinks.publisher"]


async def test_alerts_a_server_refuses_are_a_state_and_counted(
    redis_server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis 7 gives a user no channels unless told."""
    caplog.set_level(logging.INFO, "liqtape")
    alerts = AlertSettings("threshold", velocity_10s=0.5)
    url = redis_server.url.replace("redis://", "redis://app:pw@")
    with redis.Redis.from_url(redis_server.url, db=1, decode_responses=True) as client:
        rights = ["~*", "+@all", "resetchannels", "&liqtape:cascades"]
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", *rights)
        heard = client.pubsub(ignore_subscribe_messages=True)
        heard.psubscribe("*")
        heard.get_message(timeout=BOUND_SECONDS)
        async with Tracker(Settings(venues={}, redis=RedisSettings(url), alerts=alerts)) as tracker:
            ledger, [publisher] = tracker.new_ledger(), tracker.publishers
            told: list[Alert] = []
            tracker.listen(OnAlert(told.append))

            async def cascade(symbol: str) -> None:
                now = int(time.time() * 1000)
                tracker.ingest(
                    [RawLiquidation("bybit", symbol, "long", 1.0 + i, "fill", 1.0, "base", now + i) for i in range(8)],
                    ledger,
                )
                await seen_by(client, lambda c: c.hget(f"velocity:{symbol}:current", "event_count_10s") == "8")

            for number in range(6):
                await cascade(f"S{number}USDT")
                assert publisher.state == "failing"
                await until(lambda: publisher.alerts_dropped_total == len(told))
            assert len(told) >= 6
            lost = publisher.alerts_dropped_total
            detail = rf"refuses PUBLISH liqtape:alerts: NOPERM .*; {lost} alerts could not be published"
            assert re.search(detail, publisher.detail)

            client.execute_command("ACL", "SETUSER", "app", "&liqtape:alerts")
            await cascade("LASTUSDT")
            await until(lambda: publisher.state == "ok")
            assert publisher.alerts_dropped_total == lost
            channels = set()
            while (got := heard.get_message(timeout=0.1)) is not None:
                channels.add(got["channel"])
            assert client.get("cascade:S5USDT:level") == "ALERT"
            assert 0 < client.ttl("cascade:S5USDT:level") <= 600
        heard.close()

    assert channels == {"liqtape:alerts"}
    [warned] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "NOPERM" in warned
    [back] = [text for text in caplog.messages if "back, caught up" in text]
    assert f"{lost} alerts could not be published" in back


async def test_level_changes_of_the_market_are_alerts(
    redis_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.Redis.from_url(redis_server.url, db=1, decode_responses=True) as client:
        heard = client.pubsub(ignore_subscribe_messages=True)
        heard.subscribe("liqtape:alerts")
        heard.get_message(timeout=BOUND_SECONDS)
        async with Tracker(Settings(venues={}, redis=RedisSettings(redis_server.url))) as tracker:
            monkeypatch.setattr(tracker.engine, "market_level", lambda: "WATCH")
            tracker.pulse(int(time.time() * 1000))
            await seen_by(client, lambda c: c.get("cascade:MARKET:level") == "WATCH")
        message = json.loads(heard.get_message(timeout=BOUND_SECONDS)["data"])
        heard.close()
    assert (message["instrument"], message["previous"], message["level"]) == ("MARKET", "NONE", "WATCH")


async def test_redis_that_is_not_there_is_one_warning_and_the_rest_runs(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    sink = MemorySink()
    async with Tracker(
        against(simulator, *PAIR, redis_settings=RedisSettings("redis://127.0.0.1:9/1")), sinks=[sink]
    ) as tracker:
        await until(lambda: tracker.publishers[1].failures_total > 2)
        await until(lambda: len(sink.rows) > 3)
        assert [record.name for record in caplog.records] == ["liqtape.sinks.publisher"]

    [_, told] = caplog.messages
    unwritten = r"redis: \d+ instruments, \d+ events(, \d+ alerts)?"
    assert re.fullmatch(f"ended in time, but not all was written: {unwritten}", told)


async def test_a_tracker_of_ones_own_starts_no_server_unasked(tmp_path: Path) -> None:
    async with Tracker(Settings(venues={}), data_dir=tmp_path) as tracker:
        assert (tracker.embedded, tracker.redis_url, tracker.publishers) == (None, None, [])
        assert repr(tracker) == "<Tracker running: no venue; 0 instruments active>"
    assert not any(os.scandir(tmp_path))
    assert repr(tracker) == "<Tracker ended: no venue; 0 instruments active>"


async def test_a_tracker_shows_its_venues_and_sinks() -> None:
    tracker = Tracker(Settings(redis=RedisSettings("redis://:secret@127.0.0.1:9/1")))
    assert repr(tracker) == f"<Tracker not started: {', '.join(Settings().venues)}; 0 instruments active>"
    async with Tracker(Settings(venues={}, redis=RedisSettings("redis://:secret@127.0.0.1:9/1"))) as tracker:
        await until(lambda: tracker.publishers[0].state == "failing")
        assert repr(tracker) == "<Tracker running: no venue; 0 instruments active; redis failing>"
        assert repr(tracker.publishers[0]).startswith("<Publisher redis: failing, Redis at 127.0.0.1:9/1: ")
        called = tracker.on_liquidation(print, "printer")
        assert repr(called) == "<CallbackQueue printer: 0 calls, 0 waiting, 0 dropped>"
        assert repr(tracker.liquidations()) == "<Subscription: 0 waiting, 0 dropped>"


async def test_without_redis_nothing_is_published_and_the_engine_runs(simulator: Simulator) -> None:
    async with Tracker(against(simulator, *PAIR)) as tracker:
        await until(lambda: tracker.snapshot(tracker.active()))

        assert tracker.publishers == []
        assert tracker.redis_url is None


@pytest.mark.parametrize("status", [403, 451])
async def test_refused_venue_is_seen_in_its_health_and_the_others_go_on(simulator: Simulator, status: int) -> None:
    simulator.refuse("binance", status)
    async with Tracker(against(simulator, *PAIR)) as tracker:
        await until(lambda: state_of(tracker, "bybit") == "live" and health_of(tracker, "binance").reconnects > 1)
        refused = health_of(tracker, "binance")
        await until(lambda: tracker.ledger().events_accepted > 5)

        simulator.refuse("binance", None)
        await until(lambda: state_of(tracker, "binance") == "live")
        assert health_of(tracker, "binance").detail == ""

    assert refused.state in {"waiting", "connecting"}
    assert f"HTTP {status} at the handshake" in refused.detail
    assert (refused.coverage, refused.last_data_age_s) == (None, None)


async def test_host_nobody_knows_is_named_and_the_other_venue_goes_on(simulator: Simulator) -> None:
    settings = against(simulator, *PAIR)
    dead = VenueSettings(ws_url="ws://venue.invalid", rest_url="http://venue.invalid")
    async with Tracker(replace(settings, venues=settings.venues | {"binance": dead})) as tracker:
        await until(lambda: state_of(tracker, "bybit") == "live" and health_of(tracker, "binance").reconnects > 1)
        await until(lambda: tracker.ledger().events_accepted > 5)
        health = health_of(tracker, "binance")

    assert "name not resolved" in health.detail
    assert "list of instruments not loaded" in health.detail


async def test_silent_venue_is_stalled_from_its_last_data_on(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binance, "_SILENCE_LIMIT", 1.0)
    downs: list[tuple[str, int]] = []
    tracker = Tracker(against(simulator, *PAIR))
    told = tracker.live.feed_down

    def down(venue: str, known_until_ms: int, reason: str) -> None:
        downs.append((venue, known_until_ms))
        told(venue, known_until_ms, reason)

    monkeypatch.setattr(tracker.live, "feed_down", down)
    async with tracker:
        await until(lambda: [state_of(tracker, venue) for venue in PAIR] == ["live", "live"])
        await until(lambda: tracker.engine.window("BTCUSDT", 300, tracker.now_ms(), "binance") is not None)
        silent_ms = time.time_ns() // 1_000_000
        simulator.silence("binance")
        await until(lambda: downs)
        noticed_ms = time.time_ns() // 1_000_000
        await until(lambda: "no data for 1 s" in health_of(tracker, "binance").detail)
        dropped = health_of(tracker, "binance").coverage
        assert state_of(tracker, "bybit") == "live"
        row = tracker.engine.metrics("BTCUSDT", tracker.now_ms())

        simulator.resume("binance")
        await until(lambda: state_of(tracker, "binance") == "live")

    assert downs[0][0] == "binance"
    assert downs[0][1] <= silent_ms + 300 < noticed_ms  # a frame may have been under way
    assert row is not None
    assert row.partial
    assert row.coverage_10s is not None
    assert row.coverage_10s < 1.0
    assert dropped is not None


async def test_list_that_comes_late_extends_the_subscriptions(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(venuefeed, "_RETRY_SECONDS", 0.2)
    monkeypatch.setattr(bybit, "bundled_symbols", ("BTCUSDT",))
    is_there = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if not is_there.is_set():
            return web.Response(status=503, text="later")
        async with ClientSession() as client, client.get(simulator.rest_url("bybit") + request.path_qs) as found:
            return web.Response(body=await found.read())

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    own = VenueSettings(ws_url=simulator.ws_url("bybit"), rest_url=f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        async with Tracker(replace(against(simulator), venues={"bybit": own})) as tracker:
            await until(lambda: state_of(tracker, "bybit") == "unlisted")
            topics = {topic for c in tracker.feeds[0].connections for topic in c.endpoint.topics}
            assert topics == {"publicTrade.BTCUSDT", "allLiquidation.BTCUSDT"}
            assert [gap.reason for gap in tracker.gaps() if gap.until_ms is None] == ["no list of instruments"]
            assert tracker.market("bybit").partial
            assert "list of instruments not loaded" in health_of(tracker, "bybit").detail

            is_there.set()
            await until(lambda: len(tracker.feeds[0].connections) == 2 and state_of(tracker, "bybit") == "live")
            topics = {topic for c in tracker.feeds[0].connections for topic in c.endpoint.topics}
            assert {"allLiquidation.SHIB1000USDT", "allLiquidation.BTCUSD", "publicTrade.BTCUSD"} <= topics
            assert health_of(tracker, "bybit").detail == ""
            await until(lambda: {"BTCUSDT", "SHIBUSDT"} <= set(tracker.active()))
            since = {gap.reason: gap.until_ms for gap in tracker.gaps()}
            assert since["no list of instruments"] is not None
            now = since["no list of instruments"] + 10_000  # long before the windows are full
            feeds = tracker.engine._feeds
            btc, shib = (feeds.coverage(["bybit"], now, name)[-1] for name in ("BTCUSDT", "SHIBUSDT"))
            assert btc is not None
            assert shib == 10_000 / 300_000 < btc
    finally:
        await runner.cleanup()
    assert sum("HTTP 503" in record.getMessage() for record in caplog.records) == 1


async def test_only_the_wanted_symbols_are_subscribed_and_accepted(simulator: Simulator) -> None:
    settings = against(simulator, symbols=("SHIBUSDT", "BTCUSDT"))
    seen: set[str] = set()
    tracker = Tracker(settings)
    tracker.listen(OnLiquidation(lambda liquidation: seen.add(liquidation.instrument)))
    async with tracker:
        await until(lambda: tracker.ledger().events_accepted > 10 and tracker.ledger().events_rejected_filtered > 3)
        topics = {t for f in tracker.feeds if f.venue.name == "bybit" for c in f.connections for t in c.endpoint.topics}

    assert topics == {"publicTrade.BTCUSDT", "allLiquidation.BTCUSDT", "allLiquidation.SHIB1000USDT"}
    assert seen <= {"SHIBUSDT", "BTCUSDT"}
    assert tracker.ledger().balanced()


@pytest.mark.parametrize("skew_ms", [3_600_000, -10_000], ids=["an hour ahead", "ten seconds behind"])
async def test_wrong_clock_of_ours_is_compensated(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, skew_ms: int
) -> None:
    monkeypatch.setattr(backoff.SystemClock, "wall", staticmethod(lambda: time.time() + skew_ms / 1000))
    monkeypatch.setattr(tracker_module, "_our_ms", lambda: time.time_ns() // 1_000_000 + skew_ms)
    async with Tracker(against(simulator, *PAIR)) as tracker:
        await until(lambda: tracker.ledger().events_accepted > 30)
        await until(lambda: abs(tracker.now_ms() - time.time_ns() // 1_000_000) < 3_000)
        rows = tracker.snapshot(tracker.active())

    ledger = tracker.ledger()
    assert sum(row.event_count_300s for row in rows) > 0
    assert (ledger.events_rejected_future, ledger.events_unsized) == (0, 0)
    assert tracker.engine.late_dropped_total == 0


@pytest.mark.usefixtures("binary")
async def test_start_and_stop_leave_no_task_no_socket_and_no_thread(simulator: Simulator, tmp_path: Path) -> None:
    left: list[tuple[int, int, list[str]]] = []
    for number in range(3):
        tracker = Tracker(against(simulator, redis_settings=RedisSettings("embedded")), data_dir=tmp_path / str(number))
        tracker.on_liquidation(lambda _: None)
        async with tracker:
            await until(lambda t=tracker: t.ledger().events_accepted > 5)  # type: ignore[misc]
            pid = tracker.embedded.pid if tracker.embedded else None
        assert pid is not None
        await until(lambda p=pid: _is_gone(p))  # type: ignore[misc]
        await simulator.drop_connections()
        await until(lambda: not simulator._connections)
        del tracker
        gc.collect()
        await asyncio.sleep(0.05)
        # The loop's own pool for name look-ups may grow; nothing else may.
        threads = sorted(thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_"))
        left.append((len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), threads))  # noqa: PTH208

    assert left[1] == left[2]


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


PROGRAM = """
import asyncio, sys
from pathlib import Path
from liqtape.cli.foreground import StopSignals, watch
from liqtape.settings import PriceSettings, RedisSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.tracker import Tracker

async def main():
    with StopSignals().installed() as stop:
        async with Simulator("cascade", 5, 3.0) as simulator:
            venues = {
                name: VenueSettings(ws_url=simulator.ws_url(name), rest_url=simulator.rest_url(name))
                for name in ("binance", "bybit")
            }
            price = PriceSettings(spot_url="ws://127.0.0.1:9")
            settings = Settings(venues=venues, redis=RedisSettings("embedded"), price=price)
            async with Tracker(settings, data_dir=Path(sys.argv[1])) as tracker:
                print("pid", tracker.embedded.pid, flush=True)
                await watch(tracker, stop, None)
            print("accepted", tracker.ledger().events_accepted, tracker.ledger().balanced(), flush=True)
    return 128 + stop.received

sys.exit(asyncio.run(main()))
"""


@pytest.mark.usefixtures("binary")
async def test_sigterm_ends_a_process_with_everything_flushed_and_no_server_left(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM), str(tmp_path)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            lines = [(await process.stdout.readline()).decode()]
            while "live" not in lines[-1]:
                lines.append((await process.stdout.readline()).decode())
            process.send_signal(signal.SIGTERM)
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    word, pid = lines[0].split()

    assert process.returncode == 128 + signal.SIGTERM
    assert word == "pid"
    await until(lambda: _is_gone(int(pid)))
    assert out.decode().splitlines()[-1].startswith("accepted ")
    assert out.decode().rstrip().endswith("True")
    assert err == b""
