"""Every step of a venue provoked to fail, over real sockets; the simulator, plain and over TLS, passes."""

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from liqtape.feeds import probe
from liqtape.feeds.probe import Deadlines
from liqtape.feeds.venuecheck import Check, VenueCheck, check_clock, check_venue
from liqtape.settings import VenueSettings
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS
from liqtape.venues import VENUES
from liqtape.venues.base import is_partial

Start = Callable[..., Awaitable[str]]
QUICK = Deadlines(resolve=1.0, connect=1.0, tls=1.0, handshake=1.0, subscription=1.0, first_data=1.0, listing=1.0)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as made:
        yield made


async def checked(name: str, ws_url: str, rest_url: str = "http://127.0.0.1:9", **known: Any) -> VenueCheck:
    wanted = known.pop("wanted", ())
    context = known.pop("ssl_context", None)
    settings = VenueSettings(ws_url=ws_url.removesuffix("/stream"), rest_url=rest_url, **known)
    return await check_venue(VENUES[name], settings, wanted=wanted, ssl_context=context, deadlines=QUICK)


async def stream_of(name: str, ws_url: str, **known: Any) -> Check:
    return (await checked(name, ws_url, **known)).checks[0]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize("name", list(DIALECTS))
async def test_simulated_venue_passes_every_step(name: str, simulator: Simulator) -> None:
    answer = await checked(name, simulator.ws_url(name), simulator.rest_url(name))

    stream, listing = answer.checks
    assert (stream.subject, stream.ok, stream.stage) == (name, True, "first data")
    assert stream.detail.startswith("plain, ")
    assert "topics acknowledged, first data after 0." in stream.detail
    assert ("part of the liquidations only" in stream.detail) == is_partial(VENUES[name])
    assert (listing.subject, listing.ok, listing.stage) == (f"{name} instruments", True, "REST")
    assert int(listing.detail.removesuffix(" instruments listed")) >= 10
    assert answer.lag_ms is not None
    assert 0 <= answer.lag_ms < 2_000


@pytest.mark.parametrize("name", list(DIALECTS))
async def test_it_passes_over_tls_with_a_trusted_authority(
    name: str, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with Simulator(ssl_context=server_tls) as simulator:
        answer = await checked(name, simulator.ws_url(name), simulator.rest_url(name), ssl_context=client_tls)

    assert [one.ok for one in answer.checks] == [True, True]
    assert answer.checks[0].detail.startswith("TLSv1.3, ")


async def test_unknown_authority_fails_at_tls(server_tls: ssl.SSLContext) -> None:
    async with Simulator(ssl_context=server_tls) as simulator:
        stream, listing = (await checked("okx", simulator.ws_url("okx"), simulator.rest_url("okx"))).checks

    assert (stream.ok, stream.stage) == (False, "TLS")
    assert "CERTIFICATE_VERIFY_FAILED" in stream.detail
    assert stream.detail.endswith("/okx/ws/v5/public)")
    assert (listing.ok, listing.stage) == (False, "REST")
    assert "CERTIFICATE_VERIFY_FAILED" in listing.detail


async def test_unknown_name_fails_at_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    stream = await stream_of("okx", "wss://okx.invalid")

    assert (stream.ok, stream.stage) == (False, "resolve")
    assert "name not resolved" in stream.detail
    assert "okx.invalid" in stream.detail


async def test_name_server_that_is_silent_fails_at_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()

    def silent(*_: object, flags: int = 0) -> None:
        if not flags & socket.AI_NUMERICHOST:
            is_over.wait(30)
        raise socket.gaierror("given up")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    stream, listing = (await checked("okx", "wss://okx.invalid", "http://okx.invalid")).checks
    is_over.set()

    assert (stream.stage, stream.detail.partition(" (")[0]) == ("resolve", "no answer within 1 s")
    assert (listing.ok, listing.detail) == (False, "no complete answer within 1 s (0 instruments listed)")


async def test_closed_port_fails_at_connect() -> None:
    stream = await stream_of("binance", f"ws://127.0.0.1:{closed_port()}")

    assert (stream.ok, stream.stage) == (False, "connect")
    assert "refused" in stream.detail


async def test_address_that_is_none_is_said(simulator: Simulator) -> None:
    stream = await stream_of("binance", "ws://127.0.0.1:http", rest_url=simulator.rest_url("binance"))

    assert (stream.ok, stream.stage) == (False, "resolve")


@pytest.mark.parametrize(("scheme", "stage"), [("ws", "handshake"), ("wss", "TLS")])
async def test_server_that_says_nothing_fails_where_it_is_waited_for(
    scheme: str, stage: str, raw_server: Start, client_tls: ssl.SSLContext
) -> None:
    async def mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(1_024):
            pass

    url = await raw_server(mute)
    stream = await stream_of("binance", url.replace("ws:", f"{scheme}:"), ssl_context=client_tls)

    assert (stream.ok, stream.stage) == (False, stage)
    assert "within 1 s" in stream.detail


@pytest.mark.parametrize("status", [403, 451])
async def test_refused_region_fails_at_the_handshake_with_its_status(status: int, simulator: Simulator) -> None:
    simulator.refuse("binance", status)

    stream = await stream_of("binance", simulator.ws_url("binance"))

    assert (stream.ok, stream.stage) == (False, "handshake")
    assert f"HTTP {status}" in stream.detail


async def test_request_that_is_never_acknowledged_fails_at_the_subscription(venue_server: Start) -> None:
    async def mute(peer: ServerConnection) -> None:
        async for _ in peer:
            pass

    stream = await stream_of("binance", await venue_server(mute))

    assert (stream.ok, stream.stage) == (False, "subscription")
    assert stream.detail.startswith("not acknowledged within 1 s")


async def test_refused_topics_fail_at_the_subscription(venue_server: Start) -> None:
    async def refusing(peer: ServerConnection) -> None:
        async for request in peer:
            number = json.loads(request)["id"]
            await peer.send(json.dumps({"error": {"code": 2, "msg": "Invalid request"}, "id": number}))

    stream = await stream_of("binance", await venue_server(refusing))

    assert (stream.ok, stream.stage) == (False, "subscription")
    assert "refused" in stream.detail


async def test_silence_after_the_acknowledgement_fails_at_the_first_data(simulator: Simulator) -> None:
    simulator.silence("binance")

    stream = await stream_of("binance", simulator.ws_url("binance"))

    assert (stream.ok, stream.stage) == (False, "first data")
    assert stream.detail.startswith("connected and acknowledged, but no data within 1 s")


async def test_connection_that_is_cut_is_said(venue_server: Start) -> None:
    async def cutting(peer: ServerConnection) -> None:
        await peer.recv()
        await peer.close(1008, "go away")

    stream = await stream_of("binance", await venue_server(cutting))

    assert (stream.ok, stream.stage) == (False, "subscription")
    assert "closed by the venue with code 1008: go away" in stream.detail


async def test_dead_rest_interface_fails_by_itself_and_the_stream_stands(simulator: Simulator) -> None:
    stream, listing = (await checked("bybit", simulator.ws_url("bybit"), f"http://127.0.0.1:{closed_port()}")).checks

    assert (stream.ok, listing.ok, listing.stage) == (True, False, "REST")
    assert "refused" in stream.detail  # of the bundled symbols the simulator lists some
    assert listing.detail.endswith("(0 instruments listed)")


async def test_password_in_an_address_is_not_told() -> None:
    port = closed_port()

    answer = await checked("okx", f"ws://me:s3cret@127.0.0.1:{port}", f"http://me:s3cret@127.0.0.1:{port}")

    assert [one.ok for one in answer.checks] == [False, False]
    assert "s3cret" not in str(answer)
    assert str(port) in answer.checks[0].detail


async def test_quiet_canary_is_no_failure_while_another_connection_has_data(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_MAY_BE_QUIET", 15.0)  # all of Bybit's may be quiet
    assert (await stream_of("bybit", simulator.ws_url("bybit"), rest_url=simulator.rest_url("bybit"))).ok

    simulator.silence("bybit")
    stream = await stream_of("bybit", simulator.ws_url("bybit"), rest_url=simulator.rest_url("bybit"))
    assert (stream.ok, stream.stage) == (False, "first data")


async def test_nothing_wanted_here_does_not_apply(simulator: Simulator) -> None:
    stream, listing = (
        await checked("bybit", simulator.ws_url("bybit"), simulator.rest_url("bybit"), wanted=["NOWHERE"])
    ).checks

    assert (stream.ok, stream.detail) == (None, "no symbol of the settings is listed here")
    assert listing.ok


async def test_configured_accounts_are_those_that_are_tried(simulator: Simulator) -> None:
    stream = await stream_of("hyperliquid", simulator.ws_url("hyperliquid"), accounts=("0x" + "a" * 40,))

    assert stream.ok
    assert "2 topics acknowledged" in stream.detail


async def test_all_steps_together_have_a_deadline(raw_server: Start) -> None:
    async def mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(1_024):
                pass

    url = (await raw_server(mute)).removesuffix("/stream")
    settings = VenueSettings(ws_url=url, rest_url=url.replace("ws:", "http:"))
    limits = Deadlines(listing=0.3, whole=0.6)
    began = time.monotonic()
    answer = await check_venue(VENUES["bybit"], settings, deadlines=limits)

    assert time.monotonic() - began < 4.0  # the rest is the closing of two connections
    assert [one.ok for one in answer.checks] == [False, False]
    assert answer.checks[0].detail.startswith("no time left; 0.6 s for all steps")


async def test_nothing_is_left_running(simulator: Simulator) -> None:
    await checked("bybit", simulator.ws_url("bybit"), simulator.rest_url("bybit"))
    simulator.refuse("bybit", 403)
    await checked("bybit", simulator.ws_url("bybit"), simulator.rest_url("bybit"))

    ours = [task for task in asyncio.all_tasks() if "check_" in repr(task) or "Connection.run" in repr(task)]
    assert ours == []


@pytest.mark.parametrize(
    ("lags_ms", "ok", "said"),
    [
        ([], None, "no venue sent data"),
        ([120], True, "0.12 s after their stamps (median of 1 venues)"),
        ([50, 2_000, 2_100], True, "2.00 s after"),
        ([50, 2_001, 2_100], False, "more than 2 s: set this machine's clock"),
        ([-3_000, -2_900, 100], False, "2.90 s before"),
        ([0, 90_000, 10], True, "0.01 s after their stamps (median of 3 venues); clock off: venue1, 90.0 s behind"),
    ],
    ids=["nothing", "one", "at the limit", "beyond it", "we are behind", "one venue is off"],
)
def test_clock_is_judged_by_the_median_of_the_venues(lags_ms: list[int], *, ok: bool | None, said: str) -> None:
    check = check_clock({f"venue{number}": lag_ms for number, lag_ms in enumerate(lags_ms)})

    assert (check.subject, check.ok) == ("clock", ok)
    assert said in check.detail
