import asyncio
import json
import threading
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from liqtape.errors import ListingError
from liqtape.feeds import listing
from liqtape.feeds.listing import MOST_CONTRACTS, PartialListing, fetch_contracts
from liqtape.feeds.restraint import Restraints
from liqtape.simulator import ServerLimits, Simulator
from liqtape.venues import binance, bybit
from liqtape.venues.base import InstrumentPage, InstrumentSource, Venue

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Answer], Awaitable[str]]


@pytest.fixture
async def rest() -> AsyncIterator[Serve]:
    """`await rest(answer)`: the address of a server that answers every request so."""
    runners: list[web.AppRunner] = []

    async def start(answer: Answer) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def page(*symbols: str, cursor: str = "") -> web.Response:
    rows = [{"symbol": symbol, "status": "Trading"} for symbol in symbols]
    return web.json_response({"retCode": 0, "result": {"list": rows, "nextPageCursor": cursor}})


async def test_all_sources_and_all_pages_are_asked(rest: Serve, client: aiohttp.ClientSession) -> None:
    asked: list[tuple[str, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        category, cursor = request.query["category"], request.query.get("cursor")
        if "status" in request.query:
            asked.append((f"{category} {request.query['status']}", cursor))
            return page("BTCUSDT", "NEWUSDT")  # it tells of more than it was asked for
        asked.append((category, cursor))
        if category == "inverse":
            return page("BTCUSD")
        return page("ETHUSDT") if cursor else page("BTCUSDT", cursor="first%3DBTC&last=ETH+1")

    contracts = await fetch_contracts(bybit, await rest(answer) + "/", client)

    assert [contract.symbol for contract in contracts] == ["BTCUSDT", "ETHUSDT", "BTCUSD", "NEWUSDT"]
    assert sorted(asked, key=str) == [
        ("inverse", None),
        ("linear PreLaunch", None),
        ("linear", "first%3DBTC&last=ETH+1"),
        ("linear", None),
    ]


async def test_a_list_of_what_need_not_exist_may_be_empty(rest: Serve, client: aiohttp.ClientSession) -> None:
    async def answer(request: web.Request) -> web.Response:
        return page() if "status" in request.query else page("X" + request.query["category"])

    assert len(await fetch_contracts(bybit, await rest(answer), client)) == 2


@pytest.mark.parametrize("venue", [binance, bybit], ids=lambda venue: venue.name)
async def test_the_simulated_venues_list_the_same_by_pages_of_two(venue: Venue, client: aiohttp.ClientSession) -> None:
    listed = []
    for size in (1_000, 2):
        async with Simulator("calm", 1, limits=ServerLimits(bybit_page=size)) as simulator:
            contracts = await fetch_contracts(venue, simulator.rest_url(venue.name), client)
            listed.append(sorted(contract.symbol for contract in contracts))

    assert listed[0] == listed[1]
    assert "BTCUSDT" in listed[0]


async def test_a_source_with_a_body_is_a_post_of_json(rest: Serve, client: aiohttp.ClientSession) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert (request.method, request.content_type) == ("POST", "application/json")
        assert await request.json() == {"type": "meta"}
        return page("BTCUSDT")

    source = InstrumentSource("https://api.example", "/info", b'{"type":"meta"}')
    venue = SimpleNamespace(name="posting", instrument_sources=[source], decode_instruments=bybit.decode_instruments)

    contracts = await fetch_contracts(cast(Venue, venue), await rest(answer), client)

    assert [contract.symbol for contract in contracts] == ["BTCUSDT"]


async def _status_451(_: web.Request) -> web.Response:
    return web.Response(status=451, text="Service unavailable\nfrom a restricted location")


async def _html(_: web.Request) -> web.Response:
    return web.Response(text="<html>come back later</html>", content_type="text/html")


async def _refusal(_: web.Request) -> web.Response:
    return web.json_response({"retCode": 10001, "retMsg": "params error", "result": {}})


async def _empty(_: web.Request) -> web.Response:
    return page()


async def _endless(_: web.Request) -> web.Response:
    return page("BTCUSDT", cursor="again")


async def _growing(request: web.Request) -> web.Response:
    return page("BTCUSDT", cursor=request.query.get("cursor", "") + "x")


async def _cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"result":')
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (_status_451, "HTTP 451: Service unavailable from a restricted location"),
        (_html, "malformed"),
        (_refusal, r"missing required field `list`"),
        (_empty, "lists no instrument"),
        (_endless, "the pages do not end"),
        (_growing, "the pages do not end"),
        (_cut, "payload is not completed"),
    ],
)
async def test_an_answer_that_is_no_list_names_venue_and_address(
    rest: Serve, client: aiohttp.ClientSession, answer: Answer, text: str
) -> None:
    url = await rest(answer)

    with pytest.raises(ListingError, match=text) as error:
        await fetch_contracts(bybit, url, client)

    assert not isinstance(error.value, PartialListing)
    assert str(error.value).startswith(f"bybit: {url}/v5/market/instruments-info?category=linear")


async def test_what_the_other_sources_gave_comes_with_the_error(rest: Serve, client: aiohttp.ClientSession) -> None:
    async def answer(request: web.Request) -> web.Response:
        return page("BTCUSDT") if request.query["category"] == "linear" else web.Response(status=500)

    with pytest.raises(PartialListing, match=r"category=inverse\S* HTTP 500") as error:
        await fetch_contracts(bybit, await rest(answer), client)

    assert [contract.symbol for contract in error.value.contracts] == ["BTCUSDT"]


async def test_an_answer_too_long_is_cut_off(rest: Serve, client: aiohttp.ClientSession) -> None:
    async def answer(_: web.Request) -> web.Response:
        response = web.Response(body=json.dumps(["x" * 10_000_000]).encode())
        response.enable_compression()  # small on the wire, large in memory
        return response

    with pytest.raises(ListingError, match="more than 8388608 bytes"):
        await fetch_contracts(bybit, await rest(answer), client)


async def test_a_bomb_costs_no_memory(rest: Serve, client: aiohttp.ClientSession) -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(1024 * 1024)) for _ in range(400)) + packer.flush()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    url = await rest(answer)
    tracemalloc.start()
    try:
        with pytest.raises(ListingError, match="more than 8388608 bytes"):
            await fetch_contracts(binance, url, client)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(bomb) < 500_000
    assert peak < 40_000_000  # the two lists of this venue at once, each cut at 8 MiB


async def test_a_redirect_is_not_followed(rest: Serve, client: aiohttp.ClientSession) -> None:
    """It could lead from TLS to plain text, or into the network of this machine."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    with pytest.raises(ListingError, match="HTTP 302"):
        await fetch_contracts(bybit, await rest(answer), client)

    assert "/elsewhere" not in asked


async def test_a_server_that_never_answers_is_given_up(
    rest: Serve, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_TOTAL_SECONDS", 0.05)

    async def answer(_: web.Request) -> Any:
        await asyncio.sleep(1)

    with pytest.raises(ListingError, match=r"no complete answer within 0\.05 s"):
        await fetch_contracts(bybit, await rest(answer), client)


@pytest.mark.parametrize("url", ["http://nowhere.invalid", "http://127.0.0.1:1", "no url at all", "http://[::1"])
async def test_an_address_that_leads_nowhere_is_named(client: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(ListingError, match="binance: "):
        await fetch_contracts(binance, url, client)


async def test_cancelling_is_not_taken_for_a_failure(rest: Serve, client: aiohttp.ClientSession) -> None:
    asked = asyncio.Event()

    async def answer(_: web.Request) -> Any:
        asked.set()
        await asyncio.sleep(1)

    task = asyncio.create_task(fetch_contracts(binance, await rest(answer), client))
    await asked.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "row", ['{"symbol":"A"}', "1", '{"symbol":"A","x":[' + "1," * 40 + "1]}"], ids=["rows", "numbers", "values"]
)
async def test_an_answer_of_too_many_rows_is_never_parsed(
    rest: Serve, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    """31 MB of rows kept the loop for eleven seconds."""
    count = 7 * 1024 * 1024 // (len(row) + 1)
    body = ('{"symbols":[' + ",".join([row] * count) + "]}").encode()
    monkeypatch.setattr(binance, "decode_instruments", lambda _: pytest.fail("parsed"))

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body)

    with pytest.raises(ListingError, match="objects or 1000000 values"):
        await fetch_contracts(binance, await rest(answer), client)


async def test_answers_are_decoded_beside_the_loop(
    rest: Serve, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[int] = []
    decode = bybit.decode_instruments

    def decoded(payload: bytes) -> InstrumentPage:
        where.append(threading.get_ident())
        return decode(payload)

    monkeypatch.setattr(bybit, "decode_instruments", decoded)

    async def answer(_: web.Request) -> web.Response:
        return page("BTCUSDT")

    assert await fetch_contracts(bybit, await rest(answer), client)
    assert where
    assert threading.get_ident() not in where


async def test_pages_without_an_end_end_when_there_are_enough(rest: Serve, client: aiohttp.ClientSession) -> None:
    asked = [0]

    async def answer(_: web.Request) -> web.Response:
        asked[0] += 1
        return page(*(f"S{asked[0]}X{i}USDT" for i in range(5_000)), cursor=f"c{asked[0]}")

    contracts = await fetch_contracts(bybit, await rest(answer), client)

    assert len(contracts) >= 3 * MOST_CONTRACTS  # of three sources
    assert asked[0] <= 3 * (MOST_CONTRACTS // 5_000 + 1)


async def test_an_address_that_asks_to_be_left_alone_is(rest: Serve, client: aiohttp.ClientSession) -> None:
    asked = [0]
    now = [1_790_000_000.0]
    restraints = Restraints(lambda: now[0])

    async def answer(_: web.Request) -> web.Response:
        asked[0] += 1
        return web.Response(status=429, headers={"Retry-After": "40"}, text="slow down")

    url = await rest(answer)
    with pytest.raises(ListingError, match=r"HTTP 429: slow down; left alone until 2026-09-21 14:14:00 UTC"):
        await fetch_contracts(binance, url, client, restraints)
    first = asked[0]
    now[0] += 39
    with pytest.raises(ListingError, match=r"left alone until 2026-09-21 14:14:00 UTC, as it asks with HTTP 429"):
        await fetch_contracts(binance, url, client, restraints)
    assert asked[0] == first
    now[0] += 2
    with pytest.raises(ListingError, match="HTTP 429: slow down"):
        await fetch_contracts(binance, url, client, restraints)
    assert asked[0] > first
