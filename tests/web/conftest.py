"""A real server over a real tracker, fed by the simulator, in a loop of its own; and raw requests to it."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from liqtape.cascades.choice import CascadeSettings
from liqtape.cli.historyrows import HistoryRows
from liqtape.settings import HistorySettings, PriceSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS
from liqtape.tracker import Tracker
from liqtape.web.livesource import LiveSource
from liqtape.web.webserver import WebServer, bound_socket

T = TypeVar("T")
PATIENCE_SECONDS = 60.0


class Answer:
    """An answer: status, headers in lower case, body."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    url: str, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    host, _, port = url.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


class LoopThread:
    """An event loop in a thread, in which tests run what belongs there."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_SECONDS)

    def call(self, function: Callable[[], T]) -> T:
        async def work() -> T:
            return function()

        return self.run(work())

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self.loop.close()


def wait_for(is_done: Callable[[], object]) -> None:
    """Poll until it is so; a test that waits too long fails here."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


class Running:
    """The whole: simulator, tracker with a history, server."""

    def __init__(self, loop: LoopThread, directory: Path) -> None:
        self._loop = loop
        self._directory = directory
        self._stack = AsyncExitStack()
        self.call = loop.call
        self.wait_for = wait_for

    def start(self) -> "Running":
        self._loop.run(self._start())
        return self

    async def _start(self) -> None:
        self.simulator = await self._stack.enter_async_context(Simulator("cascade", 7, 4.0))
        venues = {
            name: VenueSettings(ws_url=self.simulator.ws_url(name), rest_url=self.simulator.rest_url(name))
            for name in DIALECTS
        }
        price = PriceSettings(spot_url=self.simulator.ws_url("binance"))
        history = HistorySettings(str(self._directory), seal=False)
        cascades = CascadeSettings(("return_periods", "threshold"), velocity_10s=0.5)  # with one that need not learn
        self.tracker = Tracker(Settings(venues=venues, price=price, history=history, cascades=cascades))
        self.server = WebServer(LiveSource(self.tracker), past=HistoryRows(str(self._directory)))
        await self._stack.enter_async_context(self.server.listening(bound_socket("127.0.0.1", 0)))
        await self._stack.enter_async_context(self.tracker)
        self.url = self.server.url

    def stop(self) -> None:
        self._loop.run(self._stack.aclose())

    def quiet(self) -> None:
        """No more events come, and all that were sent have arrived."""
        self._loop.run(self.simulator.stop_generating())
        wait_for(lambda: len(self.simulator.ledger.distinct()) <= self.call(self.tracker.ledger).events_accepted)

    def get(self, path: str) -> Any:
        answer = ask(self.url, path)
        assert answer.status == 200, answer.body
        return answer.json()


@pytest.fixture(scope="session")
def web_loop() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def running(web_loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A cascade that has been running for a while."""
    running = Running(web_loop, tmp_path_factory.mktemp("history")).start()
    wait_for(lambda: running.call(running.tracker.ledger).events_accepted > 500)
    yield running
    running.stop()


def raw(url: str) -> socket.socket:
    """A bare connection to the server."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="session")
def fetch() -> Callable[..., Answer]:
    return ask


@pytest.fixture(scope="session")
def connect() -> Callable[[str], socket.socket]:
    return raw


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object]], None]:
    return wait_for
