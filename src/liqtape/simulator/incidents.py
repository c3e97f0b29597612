"""Incidents: a venue that is silent, hangs up, refuses or says that it will, on the scenario's timeline."""

import asyncio
import random
from typing import Protocol

from liqtape.simulator.faults import CLOSE_CODES

__all__ = ["STATUSES", "Incidents"]

STATUSES = (403, 418, 429, 451, 500, 502, 503)
_SECONDS = (0.5, 6.0)


class _Venues(Protocol):
    """The simulator as an incident needs it."""

    def silence(self, venue: str) -> None: ...
    def resume(self, venue: str) -> None: ...
    def refuse(self, venue: str, status: int | None) -> None: ...
    def refuse_rest(self, venue: str, status: int | None) -> None: ...
    def withhold_pongs(self, venue: str, *, withheld: bool = True) -> None: ...
    async def drop_connections(self, venue: str | None = None, code: int = 1012) -> None: ...
    async def notice(self, venue: str, seconds: float = 0.5) -> None: ...


class Incidents:
    """Runs each incident in a task of its own; `stop` ends them."""

    def __init__(self, venues: _Venues) -> None:
        self._venues = venues
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, kind: str, venue: str, dice: random.Random) -> None:
        """Let it happen from now on; all that is random is drawn at once."""
        seconds, code, status = dice.uniform(*_SECONDS), dice.choice(CLOSE_CODES), dice.choice(STATUSES)
        task = asyncio.get_running_loop().create_task(self._happen(kind, venue, seconds, code, status))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End those that last."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _happen(self, kind: str, venue: str, seconds: float, code: int, status: int) -> None:
        venues = self._venues
        if kind == "bad_close":
            await venues.drop_connections(venue, code)
        elif kind == "notice":
            await venues.notice(venue, seconds)
        elif kind == "stall":
            venues.silence(venue)
            await asyncio.sleep(seconds)
            venues.resume(venue)
        elif kind == "http_error":
            venues.refuse(venue, status)
            venues.refuse_rest(venue, status)
            await venues.drop_connections(venue, code)
            await asyncio.sleep(seconds)
            venues.refuse(venue, None)
            venues.refuse_rest(venue, None)
        else:
            venues.withhold_pongs(venue)
            await asyncio.sleep(seconds)
            venues.withhold_pongs(venue, withheld=False)
