"""A venue of your own: constants and pure functions, bytes in and events out. This module is the venue.

python toy_venue.py    # serves the venue on loopback, and tracks it
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence

import msgspec
from aiohttp import web

from liqtape import Settings, Tracker
from liqtape.errors import DecodeError
from liqtape.events import Ack, Event, PriceTick, RawLiquidation, Side
from liqtape.instruments import Contract
from liqtape.settings import VenueSettings
from liqtape.venues import VENUES
from liqtape.venues.base import MALFORMED, Endpoint, Heartbeat, InstrumentPage, InstrumentSource
from liqtape.venues.limits import Limits, RateLimit

name = "toy"
ws_url = "wss://stream.toy.example"
heartbeat: Heartbeat | None = None  # it pings by itself
limits = Limits(connections=(RateLimit(10, 1.0),), messages=(RateLimit(10, 1.0),))
topics_per_request = 10
slot_seconds: int | None = None  # it prints every liquidation
max_publish_delay_ms = 100
listing_needed = False  # one topic has the liquidations of all symbols
bundled_symbols: tuple[str, ...] = ()
instrument_sources: tuple[InstrumentSource, ...] = ()

_SIDE: dict[str, Side] = {"SELL": "long", "BUY": "short"}  # the side of the order: a sale closes a long position


class _Frame(msgspec.Struct):
    """Any frame of the venue: `ack` answers a subscription; liquidations and trades share the other fields."""

    topic: str = ""
    ack: str = ""
    symbol: str = ""
    side: str = ""
    price: float = 0.0
    coins: float = 0.0
    time_ms: int = 0


_decoder = msgspec.json.Decoder(_Frame)


def endpoints(symbols: Sequence[str]) -> list[Endpoint]:  # noqa: ARG001 - the topic has them all
    """Trades are the canary: while they come, silence of the liquidations means that there are none."""
    return [Endpoint(f"{ws_url}/ws", ("liquidations", "trades"), silence_limit=15.0, canary="trades")]


def subscribe(request_id: str, topics: Sequence[str]) -> bytes:
    return json.dumps({"id": request_id, "subscribe": list(topics)}).encode()


def decode(payload: bytes, receive_ms: int | None) -> list[Event]:
    """Turn one frame into events; every failure is a DecodeError, which is counted and ends nothing."""
    try:
        frame = _decoder.decode(payload)
        if frame.ack:
            return [Ack(frame.ack)]
        if frame.topic == "trades":
            return [PriceTick(name, frame.symbol, frame.price, frame.coins, frame.time_ms)]
        side = _SIDE[frame.side]
    except (*MALFORMED, KeyError) as error:
        raise DecodeError(f"toy: {error}: {payload[:200]!r}") from error
    return [
        RawLiquidation(
            name, frame.symbol, side, frame.price, "fill", frame.coins, "base", frame.time_ms, receive_ms=receive_ms
        )
    ]


def parse_symbol(symbol: str) -> Contract:
    """BTC-USDT is BTCUSDT."""
    return Contract(name, symbol, symbol.replace("-", ""), coin=symbol.partition("-")[0])


def decode_instruments(payload: bytes) -> InstrumentPage:  # noqa: ARG001 - it lists nothing
    return InstrumentPage([])


async def serve(request: web.Request) -> web.WebSocketResponse:
    """The other end: acknowledges, then a trade and a liquidation ten times a second."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    asked = await socket.receive_json()
    await socket.send_json({"ack": asked["id"]})
    while not (socket.closed or request.transport is None or request.transport.is_closing()):
        printed = {"symbol": "BTC-USDT", "price": 80_000.0, "coins": 0.5, "time_ms": time.time_ns() // 1_000_000}
        await socket.send_json({"topic": "trades", **printed})
        await socket.send_json({"topic": "liquidations", "side": "SELL", **printed})
        await asyncio.sleep(0.1)
    return socket


async def main() -> None:
    VENUES[name] = sys.modules[__name__]  # in liqtape itself: its line in venues/__init__.py
    app = web.Application()
    app.router.add_get("/ws", serve)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = runner.addresses[0]
    settings = Settings(venues={name: VenueSettings(ws_url=f"ws://{address[0]}:{address[1]}")})
    async with Tracker(settings) as tracker:
        liquidation = await anext(tracker.liquidations())
        print(liquidation.venue, liquidation.instrument, liquidation.side, liquidation.notional_usd)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
