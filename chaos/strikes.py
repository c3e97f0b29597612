"""What a plan says, done: to a venue, to the way there, to a server, to the service itself."""

import asyncio
import time
from collections.abc import Mapping
from typing import Protocol

from chaos.child import Child
from chaos.plan import Strike
from chaos.proxy import FaultProxy, Weather

from liqtape.simulator import Simulator

__all__ = ["Strikes"]

_FAST_RATE = 1_000_000


class _Server(Protocol):
    async def start(self) -> None: ...
    async def kill(self) -> None: ...


class Strikes:
    """Carries out strikes; `killed_ms` are the moments in which the service was killed.

    `done_ms` is when each strike that has ended began and ended really.
    """

    def __init__(
        self, simulator: Simulator, proxies: Mapping[str, FaultProxy], servers: Mapping[str, _Server], child: Child
    ) -> None:
        self.killed_ms: list[float] = []
        self.done_ms: dict[Strike, tuple[float, float]] = {}
        self._simulator = simulator
        self._proxies = proxies
        self._servers = servers
        self._child = child

    async def strike(self, strike: Strike) -> None:
        await asyncio.sleep(strike.at)
        began_ms = time.time() * 1000
        await self._strike(strike)
        self.done_ms[strike] = began_ms, time.time() * 1000

    async def _strike(self, strike: Strike) -> None:
        if strike.kind == "wall":
            await self._child.step_wall_clock(strike.number)
        elif strike.kind == "clock":
            self._simulator.step_clock(strike.against, strike.number)
        elif strike.against == "worker":
            self.killed_ms.append(time.time() * 1000)
            await self._child.kill()
            self.killed_ms[-1] = time.time() * 1000
            await asyncio.sleep(strike.seconds)
            await self._child.start()
        elif strike.kind == "restart":
            if (server := self._servers.get(strike.against)) is not None:
                await server.kill()
                await asyncio.sleep(strike.seconds)
                await server.start()
        elif (proxy := self._proxies.get(strike.against)) is not None:
            await self._befall_way(strike, proxy)

    async def _befall_way(self, strike: Strike, proxy: FaultProxy) -> None:
        kind, seconds = strike.kind, strike.seconds
        weathers: Mapping[str, Weather] = {
            "slow": Weather(delay=0.4, jitter=0.5),
            "throttle": Weather(rate=strike.number or _FAST_RATE),
            "drip": Weather(drip=True),
        }
        if kind in ("cut", "reset", "half_open"):
            getattr(proxy, kind)()
        elif kind == "refuse":
            proxy.refuse()
            await asyncio.sleep(seconds)
            proxy.open_way()
        elif kind == "black_hole":
            proxy.close_way()
            await asyncio.sleep(seconds)
            proxy.open_way()
        elif kind in weathers:
            proxy.weather = weathers[kind]
            await asyncio.sleep(seconds)
            proxy.weather = Weather()
        else:
            await self._befall_venue(strike)

    async def _befall_venue(self, strike: Strike) -> None:
        simulator, venue = self._simulator, strike.against
        if strike.kind == "stall":
            simulator.silence(venue)
            await asyncio.sleep(strike.seconds)
            simulator.resume(venue)
        elif strike.kind == "http_error":
            simulator.refuse(venue, strike.number)
            simulator.refuse_rest(venue, strike.number)
            await simulator.drop_connections(venue)
            await asyncio.sleep(strike.seconds)
            simulator.refuse(venue, None)
            simulator.refuse_rest(venue, None)
        elif strike.kind == "no_pong":
            simulator.withhold_pongs(venue)
            await asyncio.sleep(strike.seconds)
            simulator.withhold_pongs(venue, withheld=False)
        elif strike.kind == "bad_close":
            await simulator.drop_connections(venue, strike.number)
        else:
            await simulator.notice(venue, strike.seconds)
