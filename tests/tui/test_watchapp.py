"""`liqtape watch` over a tracker that is really served."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation
from liqtape.ourtime import our_ms
from liqtape.settings import PriceSettings, RedisSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS
from liqtape.tracker import Tracker
from liqtape.tui.apistream import ApiStream, NothingRuns
from liqtape.tui.watchapp import WatchApp
from liqtape.tui.watchhelp import HelpScreen
from liqtape.web.answers import MessagePlan, MessageThread
from liqtape.web.livesource import LiveSource
from liqtape.web.webserver import serving

LIMIT_SECONDS = 25.0
VENUES = ("binance", "bybit", "okx", "hyperliquid")


@asynccontextmanager
async def served(tracker: Tracker, port: int = 0, plan: MessagePlan | None = None) -> AsyncIterator[str]:
    """Serve a tracker; gives the address."""
    source = LiveSource(tracker, "demo", messages=lambda: plan)
    async with serving(source, ("127.0.0.1", port)) as server, tracker:
        yield server.url


def quiet() -> Tracker:
    """Return a tracker that connects to nothing: its liquidations are admitted."""
    return Tracker(Settings(venues={}, price=PriceSettings(always=False)))


@asynccontextmanager
async def market() -> AsyncIterator[str]:
    """Serve a tracker of the simulated venues."""
    async with Simulator("cascade", 1, 3.0) as simulator:
        addresses = {
            name: VenueSettings(ws_url=simulator.ws_url(name), rest_url=simulator.rest_url(name)) for name in DIALECTS
        }
        price = PriceSettings(spot_url=simulator.ws_url("binance"))
        async with served(Tracker(Settings(venues=addresses, redis=RedisSettings("off"), price=price))) as url:
            yield url


@asynccontextmanager
async def watching(url: str, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Pilot[int]]:
    """Look at an address in a terminal of that size."""
    async with ApiStream(url, pauses=(0.1,)) as stream, WatchApp(stream).run_test(size=size) as pilot:
        yield pilot


def lines(pilot: Pilot[int]) -> list[str]:
    """Return what the terminal shows."""
    return [strip.text.rstrip() for strip in pilot.app.screen._compositor.render_strips()]


async def until(pilot: Pilot[int], condition: Callable[[list[str]], bool]) -> list[str]:
    """Wait until what is shown fulfils a condition."""
    deadline = asyncio.get_running_loop().time() + LIMIT_SECONDS
    while not condition(lines(pilot)):
        assert asyncio.get_running_loop().time() < deadline, "\n".join(lines(pilot))
        await pilot.pause(0.05)
    return lines(pilot)


def count(shown: list[str], *words: str) -> int:
    return sum(all(word in line for word in words) for line in shown)


def event(symbol: str, usd: float, side: str = "long", venue: str = "mine") -> Liquidation:
    now_ms = our_ms()
    assert side in {"long", "short"}
    return Liquidation(venue, symbol, symbol, "long" if side == "long" else "short", 2.0, "fill", usd / 2, usd, now_ms)


def head_of(shown: list[str]) -> int:
    return next((number for number, line in enumerate(shown) if line.startswith("instrument ")), 0)


@pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_sentence_strip_instruments_tape_and_trust_are_seen(size: tuple[int, int]) -> None:
    async with market() as url, watching(url, size) as pilot:

        def is_full(shown: list[str]) -> bool:
            """Return whether there are eight instruments below their heads, five events, all venues and the ledger."""
            rows = shown[head_of(shown) + 1 :][:8]
            has_rows = len(rows) == 8 and all(" 0." in line or "." in line[24:31] for line in rows)
            text = " ".join(" ".join(shown).split())
            has_venues = all(f"{venue} live" in text for venue in VENUES) and "4 of 4 venues" in text
            return has_rows and has_venues and count(shown, ":", " at ") >= 5 and "ledger adds up" in text

        shown = await until(pilot, is_full)

        assert len(shown) == size[1]
        assert max(map(len, shown)) <= size[0]
        assert shown[0].split()[0] in {"calm", "WATCH", "ALERT", "CRITICAL", "EXTREME"}
        assert count(shown, " USD in 60 s") == 1
        strip = next(line for line in shown if line.startswith("DEMO"))
        assert "4 of 4 venues   warming up 0:" in strip
        names = [line.split()[0] for line in shown[head_of(shown) + 1 :][:8]]
        assert set(names) <= pilot.app._known.rows.keys()  # type: ignore[attr-defined]
        assert "Quit" in shown[-1]
        if size[0] > 80:
            assert count(shown, "level changes") == 1
            assert count(shown, "hyperliquid", "part of the liquidations only: fills of 6 watched accounts") == 1


async def test_event_told_of_and_effective_steps_are_seen() -> None:
    thread = MessageThread("event-1", 1_790_000_000_000, "ALERT", 3, ["BTCUSDT"], 9, 1e6, {"bybit": 1e6})
    plan = MessagePlan(3.0, 12.3, 0.25, None, thread)
    async with served(quiet(), plan=plan) as url, watching(url, (120, 40)) as pilot:
        shown = await until(pilot, lambda text: count(text, "level changes", "3 messages since 14:13:20") == 1)

        assert count(shown, "a message: market from once in 12 d, instrument from once in 6.0 h") == 1


async def test_rows_are_sorted_filtered_and_chosen() -> None:
    tracker = quiet()
    async with served(tracker) as url, watching(url) as pilot:
        ledger = tracker.new_ledger()
        for symbol, usd in (("AAAUSDT", 5_000.0), ("BBBUSDT", 90_000.0), ("CCCUSDT", 40_000.0)):
            tracker.admit(event(symbol, usd, "short" if symbol == "AAAUSDT" else "long"), ledger)
        await until(pilot, lambda text: count(text, "USDT", " at 2") == 3 and text[4].startswith("BBBUSDT"))

        def rows() -> list[str]:
            return [line.split()[0] for line in lines(pilot)[4:7] if line]

        assert rows() == ["BBBUSDT", "CCCUSDT", "AAAUSDT"]
        await pilot.press("s")  # by name
        await until(pilot, lambda _: rows() == ["AAAUSDT", "BBBUSDT", "CCCUSDT"])
        await pilot.press("r")
        await until(pilot, lambda _: rows() == ["CCCUSDT", "BBBUSDT", "AAAUSDT"])
        await pilot.press("S")  # back to the usual order
        await until(pilot, lambda _: rows() == ["BBBUSDT", "CCCUSDT", "AAAUSDT"])
        await pilot.press("j", "down", "enter")
        await until(pilot, lambda text: count(text, "tape of CCCUSDT") == 1 and count(text, " at 2") == 1)
        await pilot.press("enter")
        await until(pilot, lambda text: count(text, "tape of") == 0 and count(text, " at 2") == 3)
        await pilot.press("m")
        await until(pilot, lambda text: count(text, "tape, 1 hidden below 10.0k") == 1 and count(text, " at 2") == 2)
        await pilot.press("m", "m", "m", "l", "l")
        await until(pilot, lambda text: count(text, "tape, shorts only") == 1 and count(text, " at 2") == 1)
        await pilot.press("slash", "b", "b", "enter")
        await until(pilot, lambda text: text[3].startswith("instrument 1/3") and rows()[:1] == ["BBBUSDT"])
        await pilot.press("escape")
        await until(pilot, lambda text: text[3].startswith("instrument 3 ") and len(rows()) == 3)


async def test_a_pause_holds_what_is_seen() -> None:
    tracker = quiet()
    async with served(tracker) as url, watching(url) as pilot:
        ledger = tracker.new_ledger()
        tracker.admit(event("AAAUSDT", 5_000.0), ledger)
        await until(pilot, lambda text: count(text, "AAAUSDT", " at 2") == 1)
        await pilot.press("p")
        tracker.admit(event("BBBUSDT", 5_000.0), ledger)
        async with asyncio.timeout(LIMIT_SECONDS):
            while "BBBUSDT" not in pilot.app._known.rows:  # type: ignore[attr-defined]
                await pilot.pause(0.05)
        await pilot.press("j")  # what is held can be read
        shown = await until(pilot, lambda text: count(text, "PAUSED") == 1)
        assert count(shown, "BBBUSDT") == 0
        await pilot.press("p")
        await until(pilot, lambda text: count(text, "PAUSED") == 0 and count(text, "BBBUSDT") == 2)


async def test_help_theme_and_zone() -> None:
    async with served(quiet()) as url, watching(url) as pilot:
        await until(pilot, lambda text: count(text, "calm") == 1)
        await pilot.press("question_mark")
        shown = await until(pilot, lambda text: count(text, "liquidations that happened") == 1)
        assert isinstance(pilot.app.screen, HelpScreen)
        assert count(shown, "pause") == count(shown, "not known; never zero") == 1
        await pilot.press("x")
        await until(pilot, lambda text: count(text, "calm") == 1)
        assert pilot.app.theme == "dark"
        await pilot.press("t", "u")
        assert pilot.app.theme == "light"
        await until(pilot, lambda text: count(text, "calm") == 1)


@pytest.mark.parametrize("size", [(20, 6), (40, 10), (79, 23), (300, 90)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_odd_sizes_break_nothing(size: tuple[int, int]) -> None:
    tracker = quiet()
    async with served(tracker) as url, watching(url, size) as pilot:
        tracker.admit(event("AAAUSDT", 5_000.0), tracker.new_ledger())
        shown = await until(pilot, lambda text: count(text, "calm") == 1)
        assert max(map(len, shown)) <= size[0]
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda text: count(text, "AAAUSDT", " at 2") == 1)


async def test_a_strangers_text_is_text(hostile: str) -> None:
    tracker = quiet()
    async with served(tracker) as url, watching(url) as pilot:
        tracker.admit(event(hostile, 5_000.0, venue=hostile), tracker.new_ledger())
        shown = await until(pilot, lambda text: count(text, " at 2") == 1)

        # Control characters and line breaks were percent-encoded before anything was stored.
        name = next(iter(pilot.app._known.rows))  # type: ignore[attr-defined]
        said = "".join(character if character.isprintable() else "?" for character in " ".join(name.split()))
        assert count(shown, said[:12]) == 2
        assert all(line.isprintable() for line in shown)


async def test_a_restart_of_the_service_is_survived() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with served(first := quiet()) as url:
            pilot = await stack.enter_async_context(watching(url))
            first.admit(event("AAAUSDT", 5_000.0), first.new_ledger())
            await until(pilot, lambda text: count(text, "AAAUSDT", " at 2") == 1)
        shown = await until(pilot, lambda text: count(text, "no word from liqtape for 0:") == 1)
        assert count(shown, "this was true at") == 1
        assert count(shown, "AAAUSDT", " at 2") == 1  # what was known is still seen
        async with served(second := quiet(), int(url.rpartition(":")[2])) as again:
            assert again == url
            second.admit(event("BBBUSDT", 5_000.0), second.new_ledger())
            shown = await until(pilot, lambda text: count(text, "BBBUSDT", " at 2") == 1)
            assert count(shown, "AAAUSDT") == count(shown, "no word") == 0


async def test_where_nothing_answers_it_is_said_what_to_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with ApiStream(f"http://127.0.0.1:{port}") as stream:
        with pytest.raises(NothingRuns, match=r"start it with `liqtape run` or `liqtape demo` \(.*[Rr]efused.*\)"):
            await stream.now()
        assert await stream.health() is None


async def test_something_else_that_answers_is_named() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with ApiStream(url) as stream:
            with pytest.raises(ConfigurationError, match="answers, but not as liqtape does"):
                await stream.now()


async def test_a_token_is_asked_for_and_taken() -> None:
    tracker = quiet()
    token = "a token of sixteen characters or more"
    async with serving(LiveSource(tracker, "live"), ("127.0.0.1", 0), token=token) as server, tracker:
        async with ApiStream(server.url) as stream:
            with pytest.raises(ConfigurationError, match="wants its token: set LIQTAPE_WEB_TOKEN"):
                await stream.now()
        async with ApiStream(server.url, token) as stream:
            assert (await stream.now()).mode == "live"


@pytest.mark.parametrize("url", ["127.0.0.1:8787", "ftp://127.0.0.1", "http://", "http://h:99999", "http://h/?q=1", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is no address of liqtape; write it as http://127\.0\.0\.1:8787"):
        ApiStream(url)
