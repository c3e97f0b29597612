"""A browser before a running liqtape: the demo as a process of its own, and a service that a test feeds by hand."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from liqtape.cli.serving import page_beside
from liqtape.cli.warmstart import warm_start
from liqtape.events import Liquidation
from liqtape.settings import HistorySettings, PriceSettings, RedisSettings, Settings, VenueSettings, WebSettings
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS
from liqtape.tracker import Tracker
from liqtape.venues import VENUES

_ROOT = Path(__file__).resolve().parents[3]
_PATIENCE_S = 90.0  # a busy machine is not a failing page


def _eventually(check: Callable[[], Any], patience_s: float = _PATIENCE_S) -> Any:
    """Return what `check` gives as soon as that is true; what it raised or gave last is in the failure."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            if found := check():
                return found
            last: object = found
        except (AssertionError, OSError) as error:
            last = error
        assert time.monotonic() < deadline, f"not within {patience_s:g} s: {last!r}"
        time.sleep(0.05)


def _read(url: str) -> Any:
    """Return the JSON that is answered, whatever the status."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return json.load(refusal)


class Command:
    """A command that serves the page, as a user starts it."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self._log = directory / f"said-{time.monotonic_ns()}.txt"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "liqtape", *arguments, "--listen", f"127.0.0.1:{self.port}"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=directory
            )
        try:
            _eventually(self._is_ready)
        except BaseException:
            self.end()
            raise

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:  # it will never be
            raise RuntimeError(self.said)
        return bool(_read(f"{self.url}/readyz")["is_ready"])

    @property
    def said(self) -> str:
        """All it printed so far."""
        return self._log.read_text()

    @property
    def redis_port(self) -> int:
        """The port of its Redis, as it prints it."""
        found = re.search(r"Redis on port (\d+)", self.said)
        assert found, self.said
        return int(found[1])

    def ask(self, path: str) -> Any:
        """Return what the API answers."""
        return _read(f"{self.url}{path}")

    def freeze(self) -> None:
        """Stop the process where it stands: connections stay open, nothing is said."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End the process, whatever it does: a second signal spares it the recount of all it has shown."""
        self.thaw()
        for _ in range(2):
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(2)
        self._process.kill()
        self._process.wait(20)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def chromium(require_server: Callable[[str], Path]) -> Iterator[Browser]:
    """Debian's Chromium; the tests are skipped where it is not.

    For a file at a time: while Playwright runs, its event loop is the one of this thread, and no asynchronous test can
    have one.
    """
    program = require_server("chromium")
    with sync_playwright() as playwright:
        # In a container without user namespaces the sandbox cannot start.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A demo with a cascade, shared by the tests that only look at it."""
    started = Command(tmp_path_factory.mktemp("demo"), "demo", "--seconds", "0", "--scenario", "cascade", "--seed", "7")
    yield started
    started.end()


@pytest.fixture
def own_demo(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """`own_demo(*arguments)`: a demo that a test may freeze."""
    started: list[Command] = []

    def start(*arguments: str) -> Command:
        started.append(Command(tmp_path, "demo", "--seconds", "0", *arguments))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def played(history_file: Callable[[str], Path], tmp_path: Path) -> Iterator[Callable[[], str]]:
    """`played()`: the address of a replay of the morning of 11 December 2025; skipped where that is not there."""
    started: list[Command] = []

    def start() -> str:
        path = history_file("binance_all_20251211_0136_0230.parquet")
        started.append(Command(tmp_path, "replay", str(path), "--speed", "1"))
        return started[-1].url

    yield start
    for each in started:
        each.end()


class Visits:
    """Pages of a test; each must end without an error in its console, and without a word of the content policy."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.problems: list[str] = []
        self.expects_failures = False  # of requests, while nobody answers

    def open(self, url: str, width: int = 1440, height: int = 900, **options: Any) -> Page:
        """Open a page in a window of its own, and wait until it shows a state of the service and all its parts."""
        page = self.window(url, width, height, **options)
        page.wait_for_function("() => /of \\d+ venues/.test(document.getElementById('venues').textContent)")
        page.wait_for_function("() => document.getElementById('legend').textContent !== ''")
        return page

    def window(self, url: str, width: int = 1440, height: int = 900, **options: Any) -> Page:
        """Open whatever is answered there."""
        context = self._browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(1000 * _PATIENCE_S)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self._noted(message.type, message.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(url)
        return page

    @staticmethod
    def until(page: Page, asks: str) -> None:
        """Wait until an async function of the page gives what is true: `wait_for_function` takes a promise for true."""
        _eventually(lambda: page.evaluate(asks))

    def _noted(self, kind: str, text: str) -> None:
        if kind == "error" and not (self.expects_failures and "Failed to load resource" in text):
            self.problems.append(text)

    def close(self) -> None:
        """Close every window."""
        for context in self._contexts:
            context.close()


@pytest.fixture
def visits(chromium: Browser) -> Iterator[Visits]:
    """Windows that close with the test."""
    opened = Visits(chromium)
    yield opened
    opened.close()
    assert opened.problems == []


class Stage:
    """A service and its simulated venues in a thread of the test, which may silence a venue or feed liquidations."""

    def __init__(
        self,
        directory: Path,
        scenario: str | None = None,
        *,
        knows_usual: bool = False,
        web: WebSettings | None = None,
        redis: str = "off",
    ) -> None:
        self._directory, self._scenario, self._knows_usual = directory, scenario, knows_usual
        self._redis = RedisSettings(redis)
        self._web = WebSettings(listen="127.0.0.1:0") if web is None else web
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self.url = ""
        self._thread.start()
        assert self._ready.wait(_PATIENCE_S)

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            venues = {name: VenueSettings(enabled=False) for name in VENUES}
            if self._scenario is not None:
                self.simulator = await stack.enter_async_context(Simulator(self._scenario, 7))
                for name in DIALECTS:
                    ws_url, rest_url = self.simulator.ws_url(name), self.simulator.rest_url(name)
                    venues[name] = VenueSettings(ws_url=ws_url, rest_url=rest_url)
            price = PriceSettings(spot_url=None if self._scenario is None else self.simulator.ws_url("binance"))
            settings = Settings(venues=venues, price=price, redis=self._redis, history=HistorySettings("off"))
            self.tracker = Tracker(settings, data_dir=self._directory)
            notes = await stack.enter_async_context(page_beside(self.tracker, self._web, settings.history))
            self.url = notes[0].removeprefix("Page: ")
            await stack.enter_async_context(self.tracker)
            if self._knows_usual:
                learned = warm_start()
                self.tracker.begin_with(learned.states, str(learned))
            self._ledger = self.tracker.new_ledger()
            self._ready.set()
            await self._over.wait()

    def call(self, work: Callable[[], Any]) -> Any:
        """Do it in the loop of the service."""

        async def done() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(_PATIENCE_S)

    def feed(self, *liquidations: Liquidation) -> None:
        """Let these happen, as if a wrapped stream brought them."""

        def admit() -> None:
            for each in liquidations:
                self.tracker.admit(each, self._ledger)

        self.call(admit)

    def until(self, check: Callable[[], Any]) -> None:
        """Wait until it is so in the service."""
        _eventually(lambda: self.call(check))

    def end(self) -> None:
        """Stop the service and wait until it has."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(_PATIENCE_S)
        self._loop.close()


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """`staged(scenario=None, knows_usual=False, web=None, redis="off")`: a stage that ends with the test."""
    stages: list[Stage] = []

    def begin(scenario: str | None = None, **options: Any) -> Stage:
        stages.append(Stage(tmp_path / f"stage-{len(stages)}", scenario, **options))
        return stages[-1]

    yield begin
    for stage in stages:
        stage.end()
