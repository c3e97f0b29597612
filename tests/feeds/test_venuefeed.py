import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace
from tests.polling import until

from liqtape.engine import VelocityEngine
from liqtape.errors import ListingError
from liqtape.events import Event, Gap, VenueHealth
from liqtape.feeds import pool, venuefeed
from liqtape.feeds.connection import State, Status
from liqtape.feeds.listing import PartialListing
from liqtape.feeds.venuefeed import VenueFeed
from liqtape.instruments import MOST_LISTED, Contract, Instruments
from liqtape.ledger import Ledger
from liqtape.pipeline.fromrest import take_list
from liqtape.settings import VenueSettings
from liqtape.venues import bybit
from liqtape.venues.base import BackfillPage, Endpoint
from liqtape.venues.limits import Limits

T = 1_790_000_000_000


class FakeConnection:
    """A connection whose life the test tells."""

    def __init__(self, venue: Any, endpoint: Endpoint, **known: Any) -> None:
        self.venue = venue
        self.endpoint = endpoint
        self.ledger: Ledger = known["ledger"]
        self.reconnects = 0
        self.last_data_age: float | None = -1.0
        self.known_until_ms: int | None = None
        self.session = SimpleNamespace(refused={}, endpoint=endpoint)
        self.status = Status("connecting", T)
        self.trades_silent = 0.0
        self.stops = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self._on_events: Callable[[list[Event]], None] = known["on_events"]
        self._on_state: Callable[[Any, Status], None] = known["on_state"]
        self._ended = asyncio.Event()

    async def run(self) -> None:
        self.tell("connecting")
        await self._ended.wait()
        self.tell("stopped", down_ms=T + 900 if self.status.state == "live" else None)

    async def stop(self) -> None:
        self.stops += 1
        await self.may_end.wait()
        self._ended.set()

    def tell(self, state: State, at_ms: int = T, **known: Any) -> None:
        self.status = Status(state, at_ms, **known)
        self.known_until_ms = known.get("up_ms")
        self._on_state(self, self.status)

    def receive(self, events: list[Event]) -> None:
        self._on_events(events)


class Listings:
    """What the REST interface answers, call by call; the last answer stays."""

    def __init__(self, *answers: Sequence[str] | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0

    async def __call__(self, venue: Any, *_: object) -> list[Contract]:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [contract(symbol, venue.name) for symbol in answer]


class Told(list[tuple[str, int]]):
    """What the feed said of its ups and downs."""

    def up(self, venue: str, at_ms: int) -> None:
        assert venue == "toy"
        self.append(("up", at_ms))

    def down(self, venue: str, at_ms: int, reason: str) -> None:
        assert venue == "toy"
        assert reason
        self.append(("down", at_ms))

    def missed(self, venue: str, from_ms: int, until_ms: int, reason: str) -> None:
        assert venue == "toy"
        assert reason
        self.append(("missed", from_ms, until_ms))  # type: ignore[arg-type]


def contract(symbol: str, venue: str = "toy") -> Contract:
    return Contract(venue, symbol, symbol.replace("-", ""))


def toy(**known: Any) -> Any:
    """A venue with one endpoint for each symbol."""

    def endpoints(symbols: Sequence[str]) -> list[Endpoint]:
        return [Endpoint(f"wss://toy.example/{symbol}", (symbol,), 10.0) for symbol in symbols]

    facts = {
        "name": "toy",
        "limits": Limits((), ()),
        "ws_url": "wss://toy.example",
        "listing_needed": True,
        "instrument_sources": (),
        "bundled_symbols": ("A-X",),
    }
    return SimpleNamespace(**(facts | {"endpoints": endpoints} | known))


class Rig:
    def __init__(self, venue: Any = None, wanted: Iterable[str] = (), **settings: Any) -> None:
        self.told = Told()
        self.events: list[tuple[list[Event], Ledger]] = []
        self.listed_symbols: list[str] = []
        self.target = tuple(wanted)
        self.instruments = Instruments(lambda venue, symbol: contract(symbol, venue))
        self.unseen: list[tuple[int, list[str], bool]] = []
        self.refused: list[tuple[int, str]] = []
        self.feed = VenueFeed(
            toy() if venue is None else venue,
            VenueSettings(**settings),
            self.instruments,
            target=self.target,
            listener=self,
        )

    def ingest(self, events: Sequence[Event], ledger: Ledger, /) -> None:
        self.events.append((list(events), ledger))

    def feed_up(self, venue: str, at_ms: int, /) -> None:
        self.told.up(venue, at_ms)

    def feed_down(self, venue: str, known_until_ms: int, reason: str, /) -> None:
        self.told.down(venue, known_until_ms, reason)

    def feed_missed(self, venue: str, from_ms: int, until_ms: int, reason: str, /) -> list[Gap]:
        self.told.missed(venue, from_ms, until_ms, reason)
        return []

    def feed_refused(self, _venue: str, at_ms: int, reason: str, /) -> None:
        self.refused.append((at_ms, reason))

    def feed_unsubscribed(self, _venue: str, at_ms: int, instruments: Sequence[str], /, *, is_listed: bool) -> None:
        self.unseen.append((at_ms, list(instruments), is_listed))

    def gap_backfilled(self, gap: Gap, /) -> None:
        raise AssertionError(f"nothing is asked for here: {gap}")

    def answered(self, *_: object) -> BackfillPage:
        raise AssertionError("nothing is asked for here")

    def listed(self, venue: Any, contracts: Sequence[Contract], /, *, is_whole: bool) -> Sequence[str]:
        listing = take_list(self.instruments, venue, contracts, self.target, is_whole=is_whole)
        self.listed_symbols += [contract.symbol for contract in listing.watched]
        return listing.gone

    def connection(self, symbol: str, number: int = 0) -> Any:
        return [c for c in self.feed.connections if c.endpoint.topics == (symbol,)][number]

    @property
    def health(self) -> VenueHealth:
        return self.feed.health(VelocityEngine(), T)

    @property
    def total(self) -> Ledger:
        return sum((ledger for _, ledger in self.feed.ledgers()), Ledger())


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(rig.feed.run())
    try:
        yield task
    finally:
        for connection in rig.feed.pool._leaving:
            connection.may_end.set()  # type: ignore[attr-defined]
        await rig.feed.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Listings]:
    monkeypatch.setattr(pool, "Connection", FakeConnection)
    monkeypatch.setattr(pool, "_OVERLAP_SECONDS", 0.0)
    monkeypatch.setattr(pool, "_LOOK_SECONDS", 0.001)

    def use(*answers: Sequence[str] | Exception, retry: float = 60.0, reload: float = 60.0) -> Listings:
        made = Listings(*answers)
        monkeypatch.setattr(venuefeed, "fetch_contracts", made)
        monkeypatch.setattr(venuefeed, "_RETRY_SECONDS", retry)
        monkeypatch.setattr(venuefeed, "_RELOAD_SECONDS", reload)
        return made

    return use


Use = Callable[..., Listings]


def topics(rig: Rig) -> list[str]:
    return sorted(topic for connection in rig.feed.pool.all for topic in connection.endpoint.topics)


async def test_connects_what_the_venue_lists_and_says_what_it_lists(listings: Use) -> None:
    listings(["A-X", "B-X"])
    rig = Rig()
    async with running(rig):
        await until(lambda: bool(rig.feed.connections))

    assert topics(rig) == ["A-X", "B-X"]
    assert rig.listed_symbols == ["A-X", "B-X"]


@pytest.mark.parametrize("wanted", ["BX", "B-X"], ids=["ours", "the venue's"])
async def test_only_wanted_symbols_are_subscribed_in_either_spelling(listings: Use, wanted: str) -> None:
    listings(["A-X", "B-X"])
    rig = Rig(wanted=[wanted])
    async with running(rig):
        await until(lambda: bool(rig.feed.connections))

    assert topics(rig) == ["B-X"]
    assert rig.listed_symbols == ["B-X"]


async def test_venue_without_need_of_a_list_connects_at_once(listings: Use) -> None:
    listings(ListingError("toy: no answer"))
    rig = Rig(toy(listing_needed=False))
    rig.feed._load = lambda _: asyncio.sleep(3_600)  # type: ignore[assignment,method-assign]
    async with running(rig):
        await until(lambda: bool(rig.feed.connections))


async def test_nothing_wanted_here_is_idle_and_said_so(listings: Use) -> None:
    listings(["A-X"])
    rig = Rig(wanted=["NOWHERE"])
    assert rig.health.state == "starting"
    async with running(rig):
        await until(lambda: rig.health.state == "idle")

    assert rig.health.detail == "no symbol of the settings is listed here"
    assert rig.told == []


async def test_without_a_list_the_bundled_symbols_are_used_said_and_extended_later(
    listings: Use, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "liqtape.feeds.venuefeed")
    gone = ListingError("toy: HTTP 403")
    made = listings(gone, gone, ["A-X", "B-X"], retry=0.05)
    rig = Rig()
    async with running(rig):
        await until(lambda: bool(rig.feed.connections))
        assert topics(rig) == ["A-X"]
        assert rig.health.detail == (
            "list of instruments not loaded (1 failed): the bundled one is used, what else is listed is not subscribed"
        )
        assert rig.listed_symbols == ["A-X"]
        first = rig.connection("A-X")

        await until(lambda: len(rig.feed.pool.all) == 2)
        assert topics(rig) == ["A-X", "B-X"]
        assert rig.connection("A-X") is first
        assert rig.health.detail == ""

    assert made.calls == 3
    assert [(record.levelname, record.getMessage()[:50]) for record in caplog.records] == [
        ("WARNING", "toy: HTTP 403: going on with the bundled table; ne"),
        ("INFO", "toy: list of instruments loaded at last, 2 contrac"),
    ]


async def test_instrument_listed_late_is_unseen_until_its_own_topic_is_live(listings: Use) -> None:
    made = listings(ListingError("toy: HTTP 403"), ["A-X", "B-X"], retry=0.05)
    rig = Rig()
    async with running(rig):
        await until(lambda: bool(rig.feed.connections))
        rig.connection("A-X").tell("live", T, up_ms=T)
        assert rig.told == [("up", T)]
        assert rig.unseen == [(T, [], False)]
        assert rig.health.state == "unlisted"

        await until(lambda: made.calls == 2 and len(rig.feed.pool.all) == 2)
        assert [names for _, names, _ in rig.unseen[1:]] == [["BX"]]
        assert rig.health.detail == "1 listed instruments are not subscribed"
        (incoming,) = [c for c in rig.feed.pool.all if c not in rig.feed.connections]
        incoming.tell("live", T + 500, up_ms=T + 500)  # type: ignore[attr-defined]
        await until(lambda: len(rig.feed.connections) == 2)

    assert rig.unseen[2:] == [(T + 500, [], True)]
    assert rig.told[:1] == [("up", T)]


async def test_listed_instrument_whose_topic_is_refused_is_unseen(listings: Use) -> None:
    listings(["A-X", "B-X"])
    rig = Rig()
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 2)
        rig.connection("B-X").session.refused["B-X"] = "unknown"
        rig.connection("A-X").tell("live", T, up_ms=T)
        assert rig.unseen == []
        rig.connection("B-X").tell("live", T + 5, up_ms=T + 5)
        assert rig.unseen == [(T + 5, ["BX"], True)]
        assert rig.refused == [(T + 5, "refused: B-X (unknown)")]
        assert (rig.health.state, rig.health.detail) == (
            "refused",
            "refused: B-X (unknown); 1 listed instruments are not subscribed",
        )

        rig.connection("B-X").session.refused.clear()
        rig.connection("B-X").tell("live", T + 900, up_ms=T + 900)
        assert rig.unseen[1:] == [(T + 900, [], True)]
        assert rig.refused[1:] == [(T + 900, "")]
        assert (rig.health.state, rig.health.detail) == ("live", "")
    assert rig.told[:1] == [("up", T + 5)]


async def test_a_refusal_is_told_anew_after_an_outage_which_ends_it(listings: Use) -> None:
    listings(["A-X", "B-X"])
    rig = Rig()
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 2)
        rig.connection("B-X").session.refused["B-X"] = "unknown"
        for symbol in ("A-X", "B-X"):
            rig.connection(symbol).tell("live", T, up_ms=T)
        rig.connection("A-X").tell("waiting", T + 50, down_ms=T + 40)
        rig.connection("A-X").tell("live", T + 90, up_ms=T + 90)
        assert rig.refused == [(T, "refused: B-X (unknown)"), (T + 90, "refused: B-X (unknown)")]


async def test_of_two_connections_the_one_left_may_be_refused_a_topic(listings: Use) -> None:
    listings(["A-X"])
    rig = Rig(redundancy=2)
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 2)
        first, second = rig.feed.connections
        second.session.refused["A-X"] = "unknown"
        for connection in (first, second):
            connection.tell("live", T, up_ms=T)  # type: ignore[attr-defined]
        assert rig.refused == []
        first.tell("waiting", T + 50, down_ms=T + 40)  # type: ignore[attr-defined]
        assert rig.refused == [(T + 40, "refused: A-X (unknown)")]
        assert rig.told == [("up", T)]


async def test_a_pre_market_contract_that_is_refused_is_unseen_and_no_gap(
    listings: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings(["A-X", "B-X"])
    both = [contract("A-X"), replace(contract("B-X"), is_pre_market=True)]

    async def fetch(*_: object) -> list[Contract]:
        return both

    monkeypatch.setattr(venuefeed, "fetch_contracts", fetch)
    rig = Rig()
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 2)
        rig.connection("B-X").session.refused["B-X"] = "unknown"
        for symbol in ("A-X", "B-X"):
            rig.connection(symbol).tell("live", T, up_ms=T)
        assert (rig.unseen, rig.refused) == ([(T, ["BX"], True)], [])
        assert (rig.health.state, rig.health.detail) == (
            "live",
            "refused: B-X (unknown); 1 listed instruments are not subscribed",
        )


async def test_what_is_listed_no_more_leaves(listings: Use) -> None:
    made = listings(["A-X", "B-X"], ["A-X"], reload=0.05)
    rig = Rig()
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 2)
        gone, stays = rig.connection("B-X"), rig.connection("A-X")
        gone.session.refused["B-X"] = "unknown"
        for connection in (stays, gone):
            connection.tell("live", T, up_ms=T)
        await until(lambda: made.calls >= 2 and topics(rig) == ["A-X"])
        assert gone.stops == 1
        assert rig.unseen == [(T, ["BX"], True), (T, [], True)]
        assert [reason for _, reason in rig.refused] == ["refused: B-X (unknown)", ""]
        assert (rig.health.state, rig.health.detail) == ("live", "")


async def test_half_a_list_lets_nothing_leave(listings: Use) -> None:
    half = PartialListing("toy: inverse: HTTP 500", [contract("A-X")])
    made = listings(["A-X", "B-X"], half, reload=0.05)
    rig = Rig()
    async with running(rig):
        await until(lambda: made.calls >= 2)
        assert topics(rig) == ["A-X", "B-X"]


async def test_trades_that_fail_to_come_are_said(listings: Use) -> None:
    listings(["A-X"])
    rig = Rig()
    async with running(rig):
        await until(lambda: bool(rig.feed.connections))
        connection = rig.connection("A-X")
        connection.tell("live", T, up_ms=T)
        connection.trades_silent = 17.3
        assert rig.health.state == "no trades"
        assert rig.health.detail == "no BTC trades for 17 s while liquidations come"
        connection.trades_silent = 0.0
        assert (rig.health.state, rig.health.detail) == ("live", "")


@pytest.mark.parametrize("state", ["waiting", "connecting", "subscribing"])
async def test_a_venue_that_fell_silent_is_stalled_until_it_is_live(listings: Use, state: State) -> None:
    listings(["A-X"])
    rig = Rig()
    async with running(rig):
        await until(lambda: bool(rig.feed.connections))
        connection = rig.connection("A-X")
        connection.tell("live", T, up_ms=T)
        connection.tell("stalled", T, cause="stalled", reason="no data for 10 s", down_ms=T + 5)
        connection.tell(state, T, cause="stalled", reason="no data for 10 s")
        assert rig.health.state == "stalled"
        connection.tell(state, T, cause="refused", reason="connection refused")
        assert rig.health.state == state
        connection.tell("live", T, up_ms=T)
        assert rig.health.state == "live"


async def test_whole_list_subscribed_at_once_has_nothing_unseen(listings: Use) -> None:
    listings(["A-X", "B-X"])
    rig = Rig()
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 2)
        for symbol in ("A-X", "B-X"):
            rig.connection(symbol).tell("live", T, up_ms=T)
        rig.connection("A-X").tell("waiting", T + 50, down_ms=T + 40)
        rig.connection("A-X").tell("live", T + 90, up_ms=T + 90)
        assert rig.told == [("up", T), ("down", T + 40), ("up", T + 90)]

    assert rig.unseen == []


async def test_list_that_grew_stale_is_said_and_its_instruments_stay_seen(listings: Use) -> None:
    made = listings(["A-X"], ListingError("toy: HTTP 500"), reload=0.05)
    rig = Rig()
    async with running(rig):
        await until(lambda: bool(rig.feed.connections))
        rig.connection("A-X").tell("live", T, up_ms=T)
        await until(lambda: made.calls == 2 and rig.health.state == "unlisted")
        assert rig.health.detail.startswith("list of instruments not loaded (1 failed): an earlier one is used")

    assert [(names, is_listed) for _, names, is_listed in rig.unseen] == [([], False)]


async def test_half_a_list_does_not_hide_the_bundled_other_half(listings: Use) -> None:
    listings(PartialListing("toy: inverse: HTTP 500", [contract("B-X")]))
    rig = Rig()
    async with running(rig):
        await until(lambda: bool(rig.feed.connections))

    assert topics(rig) == ["A-X", "B-X"]
    assert rig.feed.listing_error == "toy: inverse: HTTP 500"


async def test_failing_reload_changes_no_subscription(listings: Use) -> None:
    made = listings(["B-X"], ListingError("toy: HTTP 500"), retry=0.001, reload=0.001)
    rig = Rig()
    async with running(rig):
        await until(lambda: made.calls > 3)
        assert topics(rig) == ["B-X"]
        assert rig.connection("B-X").stops == 0


async def test_redundant_connections_are_made(listings: Use) -> None:
    listings(["A-X"])
    rig = Rig(redundancy=3)
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 3)

    assert topics(rig) == ["A-X"] * 3


async def test_configured_address_replaces_the_venues(listings: Use) -> None:
    listings(["A-X"])
    rig = Rig(ws_url="ws://127.0.0.1:1/toy/")
    async with running(rig):
        await until(lambda: bool(rig.feed.connections))

    assert rig.feed.connections[0].endpoint.url == "ws://127.0.0.1:1/toy/A-X"


async def test_venue_is_up_when_its_last_endpoint_is_and_down_from_the_last_data(listings: Use) -> None:
    listings(["A-X", "B-X"])
    rig = Rig()
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 2)
        a, b = rig.connection("A-X"), rig.connection("B-X")
        a.tell("live", T + 10, up_ms=T + 5)
        assert rig.told == []
        b.tell("live", T + 30, up_ms=T + 20)
        assert rig.told == [("up", T + 20)]

        a.tell("stalled", T + 90, down_ms=T + 60)
        a.tell("waiting", T + 90)
        b.tell("waiting", T + 95, down_ms=T + 80)
        assert rig.told == [("up", T + 20), ("down", T + 60)]

        a.tell("live", T + 120, up_ms=T + 110)
        b.tell("live", T + 140, up_ms=T + 130)
        assert rig.told[2:] == [("up", T + 130)]


async def test_redundant_connection_carries_the_venue_while_the_other_is_away(listings: Use) -> None:
    listings(["A-X"])
    rig = Rig(redundancy=2)
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 2)
        first, second = rig.connection("A-X", 0), rig.connection("A-X", 1)
        first.tell("live", T, up_ms=T)
        second.tell("live", T + 10, up_ms=T + 10)
        first.tell("waiting", T + 50, down_ms=T + 40)
        assert rig.told == [("up", T)]

        second.tell("waiting", T + 60, down_ms=T + 55)
        assert rig.told == [("up", T), ("down", T + 55)]


async def test_new_endpoint_joins_when_it_is_live_without_a_gap(listings: Use) -> None:
    listings(["A-X"], ["A-X", "B-X"], reload=0.02)
    rig = Rig()
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 1)
        rig.connection("A-X").tell("live", T, up_ms=T)
        await until(lambda: len(rig.feed.pool.all) == 2)
        assert rig.health.state == "live"
        rig.feed.pool.all[1].tell("live", T + 70, up_ms=T + 60)  # type: ignore[attr-defined]
        await until(lambda: len(rig.feed.connections) == 2)

        assert rig.told == [("up", T)]


async def test_new_endpoint_that_never_becomes_live_is_a_gap_in_the_end(
    listings: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_HAND_OVER_SECONDS", 0.05)
    listings(["A-X"], ["A-X", "B-X"], reload=0.02)
    rig = Rig()
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 1)
        rig.connection("A-X").tell("live", T, up_ms=T)
        await until(lambda: len(rig.feed.connections) == 2)

        assert [what for what, *_ in rig.told] == ["up", "down"]
        assert rig.health.state == "connecting"


async def test_changed_topics_replace_the_old_ones_only_when_they_are_live_and_the_old_had_data_once_more(
    listings: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings(["A-X"], ["B-X"], reload=0.02)
    rig = Rig(toy(bundled_symbols=()))
    listed = ["A-X"]
    monkeypatch.setattr(rig.feed._instruments, "listed", lambda _: listed)
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 1)
        old = rig.connection("A-X")
        old.tell("live", T, up_ms=T)
        old.last_data_age = 1e9
        listed = ["B-X"]
        await until(lambda: len(rig.feed.pool.all) == 2)
        new: Any = rig.feed.pool.all[1]
        assert rig.feed.connections == [old]
        new.tell("live", T + 10, up_ms=T + 10)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert (rig.feed.connections, old.stops) == ([old], 0)

        old.last_data_age = -1.0
        await until(lambda: old.stops == 1)
        assert rig.feed.connections == [new]
        assert rig.told == [("up", T)]


async def test_redundant_connection_that_turns_out_dead_shows_what_both_missed(listings: Use) -> None:
    listings(["A-X"])
    rig = Rig(redundancy=2)
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 2)
        first, second = rig.connection("A-X", 0), rig.connection("A-X", 1)
        first.tell("live", T, up_ms=T)
        second.tell("live", T, up_ms=T)
        first.tell("waiting", T + 50, down_ms=T + 50)
        first.tell("live", T + 80, up_ms=T + 80)
        second.tell("stalled", T + 90, down_ms=T + 60)

        assert rig.told == [("up", T), ("missed", T + 60, T + 80)]


async def test_worst_connection_is_the_state_of_the_venue(listings: Use) -> None:
    listings(["A-X", "B-X"])
    rig = Rig()
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 2)
        a, b = rig.connection("A-X"), rig.connection("B-X")
        a.last_data_age, b.last_data_age = 3.0, 0.5
        a.reconnects, b.reconnects = 1, 4
        b.session.refused = {"B-X": "unknown"}
        a.tell("live", T, up_ms=T)
        b.tell("stalled", T, cause="stalled", reason="no data for 10 s")

        health = rig.health
        assert (health.state, health.last_data_age_s, health.reconnects) == ("stalled", 0.5, 5)
        assert health.detail == "no data for 10 s; refused: B-X (unknown)"


async def test_events_come_with_the_ledger_of_their_connection(listings: Use) -> None:
    listings(["A-X", "B-X"])
    rig = Rig()
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 2)
        for symbol in ("A-X", "B-X"):
            rig.connection(symbol).receive([])

    assert [ledger for _, ledger in rig.events] == [rig.connection(s).ledger for s in ("A-X", "B-X")]
    assert rig.events[0][1] is not rig.events[1][1]


async def test_ledger_of_a_retired_connection_is_counted_once_at_every_moment(
    listings: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings(["A-X", "B-X"], ["B-X"], reload=0.02)
    venue = toy(bundled_symbols=())
    rig = Rig(venue)
    listed = ["A-X", "B-X"]
    monkeypatch.setattr(rig.feed._instruments, "listed", lambda _: listed)
    async with running(rig):
        await until(lambda: len(rig.feed.connections) == 2)
        retired = rig.connection("A-X")
        retired.reconnects = 7
        retired.ledger.frames_received = retired.ledger.frames_control = 5
        retired.ledger.events_decoded = 3
        retired.ledger.events_accepted, retired.ledger.events_pending = 2, 1
        retired.may_end.clear()
        listed = ["B-X"]

        await until(lambda: retired.stops == 1)
        assert (rig.total.frames_received, rig.total.events_decoded) == (5, 3)
        assert any(name.startswith("toy /A-X") for name, _ in rig.feed.ledgers())

        retired.may_end.set()
        await until(lambda: not rig.feed.pool._leaving)
        assert (rig.total.frames_received, rig.total.events_decoded) == (5, 3)
        assert not any(name.startswith("toy /A-X") for name, _ in rig.feed.ledgers())
        assert rig.health.reconnects == 7

        retired.ledger.events_pending -= 1  # time reached the held event long after its connection
        retired.ledger.events_accepted += 1
        assert (rig.total.events_accepted, rig.total.events_pending) == (3, 0)
        assert rig.total.balanced()

        await until(lambda: topics(rig) == ["B-X"])
        late = rig.connection("B-X")
        late.ledger.frames_received = late.ledger.frames_control = 2
        listed = []
        await until(lambda: not rig.feed.connections and not rig.feed.pool._leaving)
        assert (rig.total.frames_received, rig.total.events_accepted) == (7, 3)
        assert rig.feed.pool._unsettled == []


async def test_stop_closes_everything_and_nothing_begins_afterwards(listings: Use) -> None:
    made = listings(["A-X"], ["A-X", "B-X"])
    rig = Rig()
    async with running(rig) as task:
        await until(lambda: len(rig.feed.connections) == 1)
        await rig.feed.stop()
        rig.feed._connect()
        await rig.feed.stop()

        assert topics(rig) == ["A-X"]
        assert rig.connection("A-X").status.state == "stopped"
        assert not task.done()
    assert made.calls == 1
    assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []


async def test_list_is_fetched_over_tls_with_the_given_trust(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(request: web.Request) -> web.Response:
        inverse = request.query["category"] == "inverse"
        listed = {"symbol": "BTCUSD" if inverse else "XUSDT", "status": "Trading", "deliveryTime": "0"}
        listed["contractType"] = "InversePerpetual" if inverse else "LinearPerpetual"
        return web.json_response({"retCode": 0, "result": {"list": [listed], "nextPageCursor": ""}})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls)
    await site.start()
    rig = Rig(bybit, rest_url=f"https://127.0.0.1:{runner.addresses[0][1]}", ws_url="ws://127.0.0.1:9")
    rig.feed._ssl_context = client_tls
    monkeypatch.setattr(rig, "feed_down", lambda *_: None)
    monkeypatch.setattr(rig, "feed_up", lambda *_: None)
    try:
        async with running(rig):
            await until(lambda: bool(rig.feed.connections))
            assert rig.feed.listing_error is None
    finally:
        await runner.cleanup()
    assert sorted(rig.listed_symbols) == ["BTCUSD", "XUSDT"]


async def test_a_list_too_long_is_kept_as_far_as_there_are_places_and_said(listings: Use) -> None:
    listings([f"S{i}-X" for i in range(MOST_LISTED + 45)])
    rig = Rig(wanted=["S7-X"])
    async with running(rig):
        await until(lambda: rig.feed.surplus == 45 and len(rig.feed.connections) == 1)
        rig.connection("S7-X").tell("live", up_ms=T)
        await until(lambda: rig.health.state == "unlisted")
        assert (
            f"its list has {MOST_LISTED + 45} instruments or more, of which {MOST_LISTED} are kept" in rig.health.detail
        )
        assert len(rig.instruments.listed("toy")) == MOST_LISTED


async def test_an_address_that_is_left_alone_is_said_with_the_time(listings: Use) -> None:
    listings(["A-X"])
    rig = Rig()
    async with running(rig):
        await until(lambda: bool(rig.feed.connections))
        rig.feed._restraints.note("https://toy.example/list", 418, "90")
        assert "toy.example is left alone until 20" in rig.health.detail
        assert "as it asks with HTTP 418" in rig.health.detail
