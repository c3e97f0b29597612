"""`liqtape watch` as a program in a real terminal."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from liqtape.events import Liquidation
from liqtape.ourtime import our_ms
from liqtape.settings import Settings
from liqtape.tracker import Tracker
from liqtape.web.livesource import LiveSource
from liqtape.web.webserver import serving


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The address of a tracker with one liquidation."""
    tracker = Tracker(Settings(venues={}))
    async with serving(LiveSource(tracker, "live"), ("127.0.0.1", 0)) as server, tracker:
        at_ms = our_ms()
        event = Liquidation("mine", "牛来USDT", "牛来USDT", "long", 2.0, "fill", 10.0, 20.0, at_ms)
        tracker.admit(event, tracker.new_ledger())
        yield server.url


def command(url: str) -> list[str]:
    return [sys.executable, "-m", "liqtape", "watch", url]


async def opened(terminal: Callable[..., Any], url: str, **known: str) -> Any:
    seen = terminal(80, 24, command(url), **known)

    def is_there() -> bool:
        shown = seen.screens.other.display
        return any("牛来USDT" in line and " at 2" in line for line in shown) and "Quit" in shown[-1]

    await asyncio.to_thread(seen.wait_for, is_there)
    return seen


async def ended(seen: Any) -> int:
    await asyncio.to_thread(seen.wait_for, lambda: seen.process.poll() is not None)
    await asyncio.to_thread(seen.read)
    assert not seen.screens.is_other
    assert b"\x1b[?25h" in seen.received.rpartition(b"\x1b[?1049l")[0][-200:] + seen.received[-200:]
    return int(seen.process.returncode)


async def test_it_quits_clean(terminal: Callable[..., Any], url: str) -> None:
    seen = await opened(terminal, url)
    seen.press("q")

    assert await ended(seen) == 0
    assert "".join(seen.screens.normal.display).strip() == ""


async def test_a_key_and_a_signal_end_it_with_their_codes(terminal: Callable[..., Any], url: str) -> None:
    seen = await opened(terminal, url)
    seen.press("\x03")
    assert await ended(seen) == 128 + signal.SIGINT

    seen = await opened(terminal, url)
    seen.process.send_signal(signal.SIGTERM)
    assert await ended(seen) == 128 + signal.SIGTERM


async def test_sixteen_colours_are_enough(terminal: Callable[..., Any], url: str) -> None:
    seen = await opened(terminal, url, TERM="xterm", COLORTERM="")

    colours = {cell.fg for line in seen.screens.other.buffer.values() for cell in line.values()}
    assert b"[38;" not in seen.received
    assert b";38;" not in seen.received
    assert len(colours) > 1


async def test_no_colour_is_enough(terminal: Callable[..., Any], url: str) -> None:
    seen = await opened(terminal, url, NO_COLOR="1")

    used = {
        colour
        for line in seen.screens.other.buffer.values()
        for cell in line.values()
        for colour in (cell.fg, cell.bg)
        if len(colour) == 6 and len({colour[:2], colour[2:4], colour[4:]}) > 1  # no grey
    }
    assert used == set()


async def test_the_size_of_the_terminal_is_followed(terminal: Callable[..., Any], url: str) -> None:
    seen = await opened(terminal, url)
    seen.resize(200, 60)
    seen.process.send_signal(signal.SIGWINCH)

    await asyncio.to_thread(seen.wait_for, lambda: any("level changes" in line for line in seen.screens.other.display))


def test_where_nothing_answers_no_screen_is_taken(terminal: Callable[..., Any]) -> None:
    seen = terminal(80, 24, command("http://127.0.0.1:1"))
    seen.wait_for(lambda: seen.process.poll() is not None)
    seen.read()

    assert seen.process.returncode == 1
    assert not seen.screens.was_other
    said = "".join(line.rstrip() for line in seen.screens.normal.display)
    assert said.startswith("liqtape: nothing answers at http://127.0.0.1:1; start it with `liqtape run`")
    assert said.endswith("(Connection refused)")
