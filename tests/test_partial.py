"""A venue that shows only part of its liquidations says so wherever its numbers appear; sizes that were unknown."""

import asyncio

import msgspec
import pytest
from tests.polling import until

from liqtape.engine import VelocityEngine
from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation, RawLiquidation
from liqtape.feeds import venuefeed
from liqtape.pipeline.onevent import OnLiquidation
from liqtape.settings import RedisSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.tracker import Tracker
from liqtape.tui.lines import metric_line, venue_line
from liqtape.venues import VENUES, hyperliquid, watched

T = 1_790_000_000_000
OFF = RedisSettings("off")


def only(simulator: Simulator, venue: str, **known: object) -> Settings:
    own = {name: VenueSettings(enabled=False) for name in VENUES}
    addresses = {"ws_url": simulator.ws_url(venue), "rest_url": simulator.rest_url(venue)}
    own[venue] = VenueSettings(**(addresses | known))  # type: ignore[arg-type]
    return Settings(venues=own, redis=OFF)


def liquidation(venue: str, instrument: str) -> Liquidation:
    return Liquidation(venue, instrument, instrument, "long", 1.0, "fill", 1.0, 1.0, T)


@pytest.mark.parametrize("carried_only", [True, False], ids=["carried", "by an event"])
def test_instruments_of_a_partial_venue_are_partial_whatever_the_coverage(*, carried_only: bool) -> None:
    engine = VelocityEngine(partial_venues=["hyperliquid"])
    for venue in ("binance", "hyperliquid"):
        engine.feed_up(venue, T - 400_000)
    engine.add(liquidation("binance", "BTCUSDC"))
    engine.add(liquidation("binance", "BTCUSDT"))
    if carried_only:
        engine.lists_instrument("hyperliquid", "BTCUSDC")
    else:
        engine.add(liquidation("hyperliquid", "BTCUSDC"))

    rows = {name: engine.metrics(name, T) for name in ("BTCUSDC", "BTCUSDT")}

    assert {name: (row.coverage_300s, row.partial) for name, row in rows.items() if row} == {
        "BTCUSDC": (1.0, True),
        "BTCUSDT": (1.0, False),
    }


def test_without_a_feed_a_partial_venue_is_partial_and_its_coverage_unknown() -> None:
    engine = VelocityEngine(partial_venues=["hyperliquid"])
    engine.add(liquidation("hyperliquid", "BTCUSDC"))

    row = engine.metrics("BTCUSDC", T)

    assert row is not None
    assert (row.coverage_300s, row.partial) == (None, True)


@pytest.mark.parametrize("count", [0, 1, 3], ids=["the usual", "one", "three"])
async def test_every_output_of_the_watched_accounts_says_that_it_is_a_part(count: int) -> None:
    accounts = hyperliquid.watch_list[:count]
    async with Simulator("cascade", speed=3.0) as simulator:
        settings = only(
            simulator, "hyperliquid", accounts=tuple(account.upper().replace("X", "x") for account in accounts)
        )
        async with Tracker(settings) as tracker:
            await until(lambda: tracker.snapshot(tracker.active()))
            (feed,) = tracker.feeds
            (connection,) = feed.connections
            watched_now = [topic for topic in connection.endpoint.topics if topic.startswith("userFills:")]
            rows = tracker.snapshot(tracker.active())
            (health,) = tracker.health()

    assert watched_now == [f"userFills:{account}" for account in accounts or hyperliquid.watch_list]
    assert rows
    assert {row.partial for row in rows} == {True}
    assert all(metric_line(row).endswith(" partial") for row in rows)
    said = f"part of the liquidations only: fills of {len(watched_now)} watched accounts"
    assert said in health.detail
    assert said in venue_line(health)


def test_instrument_of_which_only_old_events_came_is_partial_too() -> None:
    engine = VelocityEngine(partial_venues=["hyperliquid"])
    engine.add(msgspec.structs.replace(liquidation("binance", "BTCUSDT"), event_ms=T + 3_600_000))
    engine.add(liquidation("hyperliquid", "BTCUSDC"))

    row = engine.metrics("BTCUSDC", T + 3_600_000)

    assert row is not None
    assert (row.event_count_300s, row.partial) == (0, True)


async def test_venue_that_prints_all_is_not_called_partial() -> None:
    async with Simulator("cascade", speed=3.0) as simulator, Tracker(only(simulator, "binance")) as tracker:
        assert "part of" not in tracker.health()[0].detail


@pytest.mark.parametrize(
    ("venue", "accounts", "said"),
    [
        ("binance", ("0x" + "a" * 40,), "venues.binance: accounts: binance prints its liquidations"),
        ("hyperliquid", ("me",), "venues.hyperliquid: accounts: hyperliquid: 'me' is not an account"),
        ("hyperliquid", tuple(f"0x{i:040x}" for i in range(11)), "11 accounts to watch; the venue allows 10"),
    ],
    ids=["prints all", "malformed", "too many"],
)
def test_tracker_refuses_accounts_that_cannot_be_watched(venue: str, accounts: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Tracker(Settings(venues={venue: VenueSettings(accounts=accounts)}, redis=OFF))


def test_watched_gives_one_connection_for_ten_accounts() -> None:
    (endpoint,) = watched("hyperliquid", [f"0x{i:040x}" for i in range(10)])

    assert len([topic for topic in endpoint.topics if topic.startswith("userFills:")]) == 10


async def test_events_of_unknown_size_reload_the_list_and_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a start; after ten seconds they come without a size, and later ones have it."""
    monkeypatch.setattr(venuefeed, "_UNSIZED_SECONDS", 0.05)
    asked: list[str] = []

    async def fetch(*_: object) -> list[object]:
        asked.append("list")
        listed = '{"symbol":"NEWUSD_PERP","contractSize":10}' if len(asked) > 1 else '{"symbol":"BTCUSDT"}'
        return list(VENUES["binance"].decode_instruments(f'{{"symbols":[{listed}]}}'.encode()).contracts)

    monkeypatch.setattr(venuefeed, "fetch_contracts", fetch)
    own = {"binance": VenueSettings(ws_url="ws://127.0.0.1:9")}
    heard: list[float | None] = []
    async with Tracker(Settings(venues=own, redis=OFF)) as tracker:
        tracker.listen(OnLiquidation(lambda liquidation: heard.append(liquidation.notional_usd)))
        await until(lambda: len(asked) == 1)
        ledger = tracker.new_ledger()

        def bring(symbol: str, number: int) -> None:
            raw = RawLiquidation("binance", symbol, "long", 2.0, "fill", 3.0, "contracts", tracker.now_ms() + number)
            tracker.ingest([raw], ledger)

        bring("NEWUSD_PERP", 1)
        bring("OTHERUSD_PERP", 1)
        assert (ledger.events_pending, heard) == (2, [])
        await until(lambda: heard)
        assert heard == [30.0]
        bring("NEWUSD_PERP", 2)
        assert (ledger.events_accepted, ledger.events_unsized, ledger.events_pending) == (2, 0, 1)
    assert heard == [30.0, 30.0, None]  # the end waits for nothing
    assert (ledger.events_accepted, ledger.events_unsized, ledger.events_pending) == (3, 1, 0)


async def test_symbol_that_is_never_listed_is_not_asked_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venuefeed, "_UNSIZED_SECONDS", 0.0)
    asked: list[str] = []

    async def fetch(*_: object) -> list[object]:
        asked.append("list")
        return list(VENUES["binance"].decode_instruments(b'{"symbols":[{"symbol":"BTCUSDT"}]}').contracts)

    monkeypatch.setattr(venuefeed, "fetch_contracts", fetch)
    own = {"binance": VenueSettings(ws_url="ws://127.0.0.1:9")}
    async with Tracker(Settings(venues=own, redis=OFF)) as tracker:
        await until(lambda: asked)
        for _ in range(200):
            tracker.feeds[0].unsized("binance", "NEWUSD_PERP")
            await asyncio.sleep(0.001)

    assert len(asked) == 1 + venuefeed._UNSIZED_LOADS


async def test_no_second_load_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venuefeed, "_UNSIZED_SECONDS", 3_600.0)
    asked: list[str] = []

    async def fetch(*_: object) -> list[object]:
        asked.append("list")
        return list(VENUES["binance"].decode_instruments(b'{"symbols":[{"symbol":"BTCUSDT"}]}').contracts)

    monkeypatch.setattr(venuefeed, "fetch_contracts", fetch)
    own = {"binance": VenueSettings(ws_url="ws://127.0.0.1:9")}
    async with Tracker(Settings(venues=own, redis=OFF)) as tracker:
        await until(lambda: asked)
        tracker.feeds[0].unsized("binance", "NEWUSD_PERP")
        for _ in range(20):
            await asyncio.sleep(0.001)

    assert asked == ["list"]
