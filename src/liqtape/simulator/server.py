"""The simulator's server: one loopback port that speaks the wire protocols of all its venues, plain or TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

from liqtape.simulator.clientconnection import ClientConnection, wall_ms
from liqtape.simulator.deliverylog import DeliveryLog
from liqtape.simulator.dialects import DIALECTS
from liqtape.simulator.faults import Faults
from liqtape.simulator.incidents import Incidents
from liqtape.simulator.market import Market
from liqtape.simulator.scenario import scenario as scenario_named
from liqtape.simulator.wire import Frame, RestRequest, ServerLimits

__all__ = ["Simulator", "run_until_stopped"]

_TICK_SECONDS = 0.02
_SETTLE_SECONDS = 5.0


class Simulator:
    """The venues on loopback. Their timeline begins with the first subscription to liquidations.

    `speed` compresses the scenario's timeline only: stamps are dates of the real clock, throttles and batches keep
    their length. `skew_ms` is how far a venue's clock goes before the real one. Unknown scenarios and faults raise
    `ValueError`.
    """

    def __init__(  # noqa: PLR0913 - every one of them is an option of the command line
        self,
        scenario: str = "calm",
        seed: int = 1,
        speed: float = 1.0,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        faults: Sequence[str] = (),
        limits: ServerLimits | None = None,
        skew_ms: Mapping[str, int] | None = None,
    ) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        chosen = scenario_named(scenario)
        self.ledger = DeliveryLog()
        self._faults = Faults((*chosen.faults, *faults), seed)
        self._incidents = Incidents(self)
        self._market = Market(chosen, seed, speed, self._faults, limits or ServerLimits(), skew_ms)
        self._host = host
        self._port = port
        self._ssl = ssl_context
        self._connections: dict[ClientConnection, None] = {}
        self._silent: set[str] = set()
        self._withheld: set[str] = set()
        self._refused: dict[str, int] = {}
        self._rest_refused: dict[str, int] = {}
        self._refusals: dict[str, dict[str, int]] = {venue: {} for venue in DIALECTS}
        if self._faults.refuses_topic:
            for venue, dialect in DIALECTS.items():
                if dialect.refused_topic:
                    self.refuse_topic(venue, dialect.refused_topic)
        self._runner: web.AppRunner | None = None
        self._pump: asyncio.Task[None] | None = None
        self._somebody = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Binds the port; `OSError` when it is taken."""
        app = web.Application()
        app.router.add_get("/{venue}/{path:.*}", self._request)
        app.router.add_post("/{venue}/{path:.*}", self._request)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._ssl)
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        self._pump = asyncio.create_task(self._advance())

    async def stop(self) -> None:
        """Closes every connection (1001) and the port; may be called twice."""
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump
            self._pump = None
        await self._incidents.stop()
        await self.drop_connections(code=1001)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def ws_url(self, venue: str) -> str:
        """Where the venue's own WebSocket paths begin, e.g. `ws://127.0.0.1:40001/binance`."""
        return self._url("ws" if self._ssl is None else "wss", venue)

    def rest_url(self, venue: str) -> str:
        """Where the venue's own REST paths begin."""
        return self._url("http" if self._ssl is None else "https", venue)

    async def drop_connections(self, venue: str | None = None, code: int = 1012) -> None:
        """Sends what is queued, then closes with a close frame."""
        await asyncio.gather(*(connection.close(code) for connection in self._of(venue)))

    async def abort_connections(self, venue: str | None = None) -> None:
        """Resets the connections without a close frame."""
        for connection in self._of(venue):
            connection.abort()
        await asyncio.sleep(0)

    async def notice(self, venue: str, seconds: float = 0.5) -> None:
        """Announces to the venue's clients that their connections will be closed, and closes them so much later."""
        told = [connection for connection in self._of(venue) if connection.give_notice()]
        await asyncio.sleep(seconds)
        await asyncio.gather(*(connection.close(1001) for connection in told))

    def silence(self, venue: str) -> None:
        """From now on connections live and requests are acknowledged, but no data comes."""
        self._silent.add(venue)
        self._hush()

    def resume(self, venue: str) -> None:
        """Ends the silence; what happened meanwhile is lost, as it would be."""
        self._silent.discard(venue)
        self._hush()

    def refuse(self, venue: str, status: int | None) -> None:
        """Answers handshakes with this HTTP status (403, 451, ...), or serves them again (None)."""
        _refuse(self._refused, venue, status)

    def refuse_rest(self, venue: str, status: int | None) -> None:
        """Answers REST requests with this HTTP status, or serves them again (None)."""
        _refuse(self._rest_refused, venue, status)

    def refuse_topic(self, venue: str, topic: str, times: int = 1) -> None:
        """Refuses the next so many subscriptions to a topic, while connections live on.

        Who asks for it among others is refused as well, as at Bybit, and counted is only who asks for it alone.
        """
        self._refusals[venue][topic] = times

    def withhold_pongs(self, venue: str, *, withheld: bool = True) -> None:
        """Leaves pings without answer, those of the WebSocket and those of the venue's own kind."""
        (self._withheld.add if withheld else self._withheld.discard)(venue)
        for connection in self._of(venue):
            connection.withholds_pongs = withheld

    def step_clock(self, venue: str, by_ms: int) -> None:
        """Sets the venue's clock forward, or back, by so much."""
        self._market.step_clock(venue, by_ms, self._connections)

    def on_published(self, hear: Callable[[Frame], None]) -> None:
        """Tell `hear` each frame with liquidations as a venue publishes it, whether or not somebody gets it."""
        self._market.on_published = hear

    async def stop_generating(self) -> None:
        """Ends the liquidations and sends what was held back; returns when the ledger does not grow by them any more.

        Trades go on, so that clients do not mistake the end for a stall.
        """
        self._market.finish(self._connections)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                await asyncio.gather(*(connection.settle() for connection in list(self._connections)))

    def _url(self, scheme: str, venue: str) -> str:
        if venue not in DIALECTS:
            raise ValueError(f"unknown venue {venue!r}: simulated are {', '.join(DIALECTS)}")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}/{venue}"

    def _of(self, venue: str | None) -> list[ClientConnection]:
        return [connection for connection in self._connections if venue in (None, connection.tally.venue)]

    def _hush(self) -> None:
        for connection in self._connections:
            connection.silenced = connection.tally.venue in self._silent

    async def _advance(self) -> None:
        await self._somebody.wait()
        while True:
            now_ms = wall_ms()
            self._market.advance(now_ms, self._connections)
            at_ms = self._market.begun_ms(now_ms)
            incident = None if at_ms is None else self._faults.incident(at_ms, tuple(DIALECTS))
            if incident is not None:
                self._incidents.begin(*incident)
            await asyncio.sleep(_TICK_SECONDS)

    async def _request(self, request: web.Request) -> web.StreamResponse:
        venue = request.match_info["venue"]
        if venue not in DIALECTS:
            return web.Response(status=404)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._converse(request, venue)
        if venue in self._rest_refused:
            return web.Response(status=self._rest_refused[venue])
        asked = RestRequest(request.match_info["path"], request.query, request.method, await request.read())
        answer = self._market.publishers[venue].rest(asked, self._market.time_of(venue, wall_ms()))
        if answer is None:
            return web.Response(status=404)
        self.ledger.delivered(self.ledger.asked(venue), answer.rows, copy=False, snapshot=True)
        return web.json_response(answer.body, status=answer.status)

    async def _converse(self, request: web.Request, venue: str) -> web.StreamResponse:
        if venue in self._refused:
            return web.Response(status=self._refused[venue])
        number = len(self.ledger.connections) + 1
        session = self._market.publishers[venue].converse(request.match_info["path"], request.query, number)
        if session is None:
            return web.Response(status=404)
        connection = ClientConnection(self.ledger.opened(venue), self.ledger, session)
        session.refusals = self._refusals[venue]
        connection.silenced = venue in self._silent
        connection.withholds_pongs = venue in self._withheld
        self._connections[connection] = None
        self._somebody.set()
        try:
            return await connection.serve(request, self._heard)
        finally:
            del self._connections[connection]

    def _heard(self, connection: ClientConnection) -> None:
        if connection.client_session.follows_liquidations:
            self._market.start(wall_ms())


def _refuse(refused: dict[str, int], venue: str, status: int | None) -> None:
    if status is None:
        refused.pop(venue, None)
    else:
        refused[venue] = status


async def run_until_stopped(simulator: Simulator) -> None:
    """Serves until the task is cancelled, then stops the simulator; prints nothing."""
    async with simulator:
        await asyncio.Event().wait()
