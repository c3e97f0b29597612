"""The BTC price over real sockets: which source counts, when it changes, what is opened and closed for it."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from msgspec.structs import replace
from tests.polling import until
from websockets.asyncio.server import ServerConnection

from liqtape.engine.price import selector as engine_price
from liqtape.events import Event, PriceTick
from liqtape.feeds import backoff
from liqtape.feeds.pricefeed import PriceFeed
from liqtape.ledger import Ledger
from liqtape.ourtime import our_seconds
from liqtape.pipeline import btcprice
from liqtape.pipeline.btcprice import PriceChoice, ticks_of
from liqtape.pipeline.onevent import OnPrice
from liqtape.pipeline.pricesources import PRICE_SOURCES, PriceSource
from liqtape.settings import PriceSettings, RedisSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS
from liqtape.tracker import Tracker

T = 1_790_000_000_000
NOWHERE = "ws://127.0.0.1:9"
SIMULATED = [source for source in PRICE_SOURCES if source.venue in DIALECTS]
Start = Callable[..., Awaitable[str]]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules of ten seconds and a minute, several times as fast."""
    monkeypatch.setattr(engine_price, "SILENCE_SECONDS", 1.5)
    monkeypatch.setattr(engine_price, "QUIET_SECONDS", 2.5)
    monkeypatch.setattr(engine_price, "_WARM_SECONDS", 0.75)
    monkeypatch.setattr(engine_price, "_FRESH_SECONDS", 0.75)
    monkeypatch.setattr(backoff.Backoff, "delay", lambda *_: 0.05)


class Spot:
    """Binance's spot data host: acknowledges, then a trade every 50 ms in the fields of a real frame."""

    def __init__(self) -> None:
        self.silent = False
        self.open = 0
        self.opened = 0
        self.asked: list[str] = []

    async def __call__(self, peer: ServerConnection) -> None:
        assert peer.request is not None
        request = json.loads(await peer.recv())
        self.asked.append(f"{peer.request.path} {' '.join(request['params'])}")
        await peer.send(json.dumps({"result": None, "id": request["id"]}))
        self.open += 1
        self.opened += 1
        try:
            for number in itertools.count(1):
                if not self.silent:
                    await peer.send(self._trade(number))
                with suppress(TimeoutError):
                    await asyncio.wait_for(peer.wait_closed(), 0.05)
                    return
        finally:
            self.open -= 1

    def _trade(self, number: int) -> str:
        now = time.time_ns() // 1_000_000
        trade = {"e": "aggTrade", "E": now, "s": "BTCUSDT", "a": number, "p": "64348.95000000", "q": "0.00009000"}
        return json.dumps(trade | {"f": number, "l": number, "T": now, "m": True, "M": True})


def sources(simulator: Simulator, spot: str = NOWHERE) -> list[PriceSource]:
    host = {"binance-spot": spot.removesuffix("/stream")}
    return [replace(source, host=host.get(source.name) or simulator.ws_url(source.name)) for source in SIMULATED]


class Rig:
    def __init__(self, feed_sources: list[PriceSource]) -> None:
        self.prices: list[PriceTick] = []
        self.choice = PriceChoice(feed_sources, our_seconds())
        self.feed = PriceFeed(self.choice.selector, feed_sources, self.offer)

    def offer(self, events: Sequence[Event], source: str) -> None:
        self.prices += [tick for tick in ticks_of(events, source) if self.choice.takes(tick, our_seconds())]

    @property
    def runs(self) -> list[str]:
        """The sources in the order in which they were the price."""
        return [source for source, _ in itertools.groupby(tick.venue for tick in self.prices)]

    @property
    def open(self) -> list[str]:
        return list(self.feed.connections())


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[None]:
    async def pulses() -> None:
        while True:
            rig.feed.pulse()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(pulses())
    try:
        yield
    finally:
        await rig.feed.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.usefixtures("quick")
async def test_silence_goes_down_the_order_and_a_quiet_minute_returns(venue_server: Start) -> None:
    spot = Spot()
    url = await venue_server(spot)
    async with Simulator() as simulator:
        rig = Rig(sources(simulator, url))
        async with running(rig):
            await until(lambda: len(rig.prices) > 3)
            assert (rig.runs, rig.open, spot.opened) == (["binance"], ["binance"], 0)

            simulator.silence("binance")
            await until(lambda: rig.runs == ["binance", "binance-spot"])
            spot.silent = True
            await until(lambda: rig.runs[2:] == ["bybit"])
            assert rig.feed.selector.switches == 2

            simulator.resume("binance")
            await until(lambda: rig.runs[3:] == ["binance"])
            await until(lambda: rig.open == ["binance"] and not spot.open)

    assert rig.feed.selector.switches == 3
    assert spot.asked[0] == "/ws btcusdt@aggTrade"
    assert {tick.price for tick in rig.prices if tick.venue == "binance-spot"} == {64348.95}
    neighbours = [(a, b) for a, b in itertools.pairwise(rig.prices) if a.venue == b.venue]
    assert all(a.event_ms <= b.event_ms for a, b in neighbours)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("status", [403, 451])
async def test_refused_region_gets_the_price_elsewhere_before_silence_would_tell(
    venue_server: Start, status: int
) -> None:
    spot = Spot()
    url = await venue_server(spot)
    async with Simulator() as simulator:
        simulator.refuse("binance", status)
        rig = Rig(sources(simulator, url))
        began = rig.feed.selector._last["binance"]
        async with running(rig):
            await until(lambda: "binance" in rig.open and rig.feed.connections()["binance"].failures)
            await until(lambda: rig.feed.selector._last["binance"] < began)  # its time was shortened
            await until(lambda: rig.prices)

    assert rig.runs == ["binance-spot"]
    assert rig.feed.selector.switches == 1


@pytest.mark.usefixtures("quick")
async def test_all_the_way_down_and_no_price_where_nobody_trades() -> None:
    async with Simulator() as simulator:
        for venue in ("binance", "bybit"):
            simulator.silence(venue)
        rig = Rig(sources(simulator))
        async with running(rig):
            await until(lambda: rig.prices)
            assert rig.runs == ["okx"]
            assert rig.open == [source.name for source in SIMULATED]
            simulator.silence("okx")
            count = len(rig.prices)
            await until(lambda: rig.feed.selector.is_silent(our_seconds()))
            assert rig.runs == ["okx"]
            assert len(rig.prices) <= count + 20


@pytest.mark.usefixtures("quick")
async def test_what_own_connections_received_is_counted_after_they_closed_too(venue_server: Start) -> None:
    spot = Spot()
    url = await venue_server(spot)
    async with Simulator() as simulator:
        simulator.silence("binance")
        rig = Rig(sources(simulator, url))

        def total() -> Ledger:
            return sum((ledger for _, ledger in rig.feed.ledgers()), Ledger())

        async with running(rig):
            await until(lambda: rig.runs == ["binance-spot"])
            simulator.resume("binance")
            await until(lambda: rig.runs[1:] == ["binance"] and rig.open == ["binance"] and not spot.open)
            received = total().frames_received
            assert total().frames_other_topic >= len(rig.prices)
            assert total().frames_control == 2 + rig.feed.connections()["binance"].reconnects
        assert total().frames_received >= received
        assert total().balanced()
        assert [name for name, _ in rig.feed.ledgers()] == ["price past"]


async def test_nothing_is_opened_after_the_end() -> None:
    async with Simulator() as simulator:
        rig = Rig(sources(simulator))
        async with running(rig):
            await until(lambda: rig.prices)
        rig.feed.pulse()
        await rig.feed.stop()

        assert rig.open == []
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith(("price", "close"))]


def tick(venue: str, event_ms: int, price: float = 80_000.0, receive_ms: int | None = None) -> PriceTick:
    symbol = next(source.symbol for source in PRICE_SOURCES if source.name == venue)
    return PriceTick(venue, symbol, price, 0.1, event_ms, receive_ms)


def offered(ticks: list[tuple[float, PriceTick]]) -> tuple[list[PriceTick], PriceChoice]:
    """The prices of ticks that are offered at these seconds."""
    choice = PriceChoice(PRICE_SOURCES, 1_000.0)
    return [offer for at, offer in ticks if choice.takes(offer, 1_000.0 + at)], choice


def test_only_the_named_symbol_of_a_source_is_the_price() -> None:
    others = [
        PriceTick("binance", "BTCUSD_PERP", 1.0, 1.0, T),
        PriceTick("okx", "BTC-USDT", 1.0, 1.0, T),
        PriceTick("hyperliquid", "BTC", 1.0, 1.0, T),
    ]

    prices, _ = offered([(20.0, other) for other in others])

    assert prices == []


def test_older_trades_than_the_price_are_not_the_price() -> None:
    ticks = [(0.0, tick("binance", T)), (0.1, tick("binance", T - 300_000, 1.0)), (0.2, tick("binance", T, 3.0))]

    prices, _ = offered(ticks)

    assert [price.price for price in prices] == [80_000.0, 3.0]


def test_trades_repeated_at_subscribe_make_no_stand_in() -> None:
    ticks = [
        (0.0, tick("binance", T)),
        (11.0, tick("okx", T - 60_000, 1.0)),
        (11.1, tick("bybit", T - 1, 2.0)),
        (11.2, tick("okx", T + 11_000, 4.0)),
    ]

    prices, choice = offered(ticks)

    assert [(price.venue, price.price) for price in prices] == [("binance", 80_000.0), ("okx", 4.0)]
    assert choice.selector.switches == 1


def test_a_better_source_with_a_little_more_lag_is_returned_to() -> None:
    ticks: list[tuple[float, PriceTick]] = []
    for tenth in range(150, 2_000):
        at = tenth / 10
        ticks.append((at, tick("bybit", T + 100 * tenth)))
        ticks.append((at, tick("binance", T + 100 * tenth - 150)))  # always behind the newest price

    prices, choice = offered([(0.0, tick("binance", T)), (12.0, tick("bybit", T + 12_000)), *ticks])

    assert [source for source, _ in itertools.groupby(price.venue for price in prices)] == [
        "binance",
        "bybit",
        "binance",
    ]
    assert choice.selector.switches == 2


def test_a_better_source_that_tells_old_news_is_not_returned_to() -> None:
    ticks: list[tuple[float, PriceTick]] = []
    for second in range(15, 200):
        ticks.append((second, tick("bybit", T + 1_000 * second)))
        ticks.append((second + 0.5, tick("binance", T + 1_000 * second - 30_000)))

    _, choice = offered([(0.0, tick("binance", T)), (12.0, tick("bybit", T + 12_000)), *ticks])

    assert (choice.selector.current, choice.selector.switches) == ("bybit", 1)


def test_a_stamp_of_the_future_does_not_stop_the_price() -> None:
    year = 365 * 86_400_000
    ticks = [
        (0.0, tick("binance", T, 1.0, T + 50)),
        (0.1, tick("binance", T + year, 2.0, T + 150)),
        (0.3, tick("binance", T + 200, 3.0, T + 250)),
    ]

    prices, _ = offered(ticks)

    assert [price.price for price in prices] == [1.0, 2.0, 3.0]


def test_price_is_stale_after_a_minute_without_any() -> None:
    _, choice = offered([(0.0, tick("binance", T))])
    assert not choice.is_stale(1_059.9)
    assert choice.is_stale(1_060.0)


def settings(simulator: Simulator, spot: str) -> Settings:
    own = {
        name: VenueSettings(ws_url=simulator.ws_url(name), rest_url=simulator.rest_url(name))
        for name in ("binance", "bybit", "okx")
    }
    price = PriceSettings(spot_url=spot.removesuffix("/stream"))
    return Settings(venues=own, redis=RedisSettings("off"), price=price)


@pytest.mark.usefixtures("quick")
async def test_tracker_names_its_source_and_brings_each_by_itself(
    venue_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liqtape.tracker._TICK_SECONDS", 0.05)
    spot = Spot()
    url = await venue_server(spot)
    async with Simulator("cascade", speed=3.0) as simulator:
        simulator.refuse("binance", 451)
        prices: list[PriceTick] = []
        async with Tracker(settings(simulator, url)) as tracker:
            tracker.listen(OnPrice(prices.append))
            await until(lambda: tracker.engine.btc_source == "binance-spot" and tracker.snapshot(tracker.active()))
            row = tracker.snapshot(tracker.active())[0]
            assert (row.btc_source, row.btc_price) == ("binance-spot", 64348.95)
            assert list(tracker.price_feed.connections()) == ["binance-spot"]
            assert any(name.startswith("price ws://") for name, _ in tracker.ledgers())

            simulator.refuse("binance", None)
            await until(lambda: tracker.engine.btc_source == "binance")
            await until(lambda: not spot.open and not tracker.price_feed.connections())
            assert tracker.ledger().balanced()

    assert [source for source, _ in itertools.groupby(tick.venue for tick in prices)] == ["binance-spot", "binance"]
    assert tracker.price_feed.selector.switches == 2


@pytest.mark.usefixtures("quick")
async def test_price_nobody_has_is_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liqtape.tracker._TICK_SECONDS", 0.05)
    monkeypatch.setattr(btcprice, "_STALE_SECONDS", 1.0)
    async with Simulator() as simulator, Tracker(settings(simulator, NOWHERE)) as tracker:
        await until(lambda: tracker.engine.btc_price)
        for venue in ("binance", "bybit", "okx"):
            simulator.silence(venue)
        await until(lambda: tracker.engine.btc_price is None)

        assert tracker.engine.btc_source is None
