"""Wrapped streams: how they are built, their states and their life, and what their events do not say."""

import asyncio
import contextlib
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from enhanced_websocket_manager import EnhancedWebSocketManager

from liqtape.compat import attach, sources
from liqtape.compat.sources import Source
from liqtape.events import Liquidation
from liqtape.pipeline.onevent import OnLiquidation

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
Callback = Callable[[Any], Any]
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "wrap-a-library.md"


@pytest.fixture
def manager(free_port: int) -> EnhancedWebSocketManager:
    """One whose Redis is not there."""
    return EnhancedWebSocketManager(symbols=["BTCUSDT"], redis_port=free_port)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources are started again after hundredths of a second."""
    monkeypatch.setattr(sources, "FAILED_SECONDS", 0.01)
    monkeypatch.setattr(sources, "ENDED_SECONDS", 0.01)
    monkeypatch.setattr(attach, "_LOOK_SECONDS", 0.01)


@contextlib.asynccontextmanager
async def _running(manager: EnhancedWebSocketManager) -> AsyncIterator[list[Liquidation]]:
    """The manager at work, and what its engine took in."""
    read: list[Liquidation] = []
    await manager.initialize()
    assert manager.tracker is not None
    manager.tracker.listen(OnLiquidation(read.append))  # before a stream starts, which may have an event at once
    task = asyncio.create_task(manager.start_all())
    try:
        yield read
    finally:
        await manager.stop_all()
        await task


def _event(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**({"symbol": "BTCUSDT", "price": 5.0, "quantity": 2.0} | fields))


class Standing:
    """A stream that waits, and emits when told."""

    def __init__(self, callback: Callback) -> None:
        self.callback = callback

    async def start(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        pass


@pytest.mark.parametrize(
    ("declared", "said", "closed"),
    [
        ("order", "buy", "short"),
        ("order", "SELL", "long"),
        ("position", "Buy", "long"),
        ("position", "sell", "short"),
        (None, "buy", None),
        ("order", "long", "long"),
        ("position", "SHORT", "short"),
    ],
)
async def test_buy_and_sell_are_read_where_the_source_is_declared(
    manager: EnhancedWebSocketManager, declared: Any, said: str, closed: str | None
) -> None:
    manager.add_cex_exchange("mine", stream=Standing, side=declared)
    async with _running(manager) as read:
        manager.cex_streams["mine"].callback(_event(side=said))

    assert [one.side for one in read] == [closed]


def test_another_declaration_is_refused(manager: EnhancedWebSocketManager) -> None:
    with pytest.raises(ValueError, match='say "order" or "position"'):
        manager.add_cex_exchange("mine", stream=Standing, side="taker")  # type: ignore[arg-type]


async def test_what_events_do_not_say_is_told_once_a_source_and_counted(
    manager: EnhancedWebSocketManager, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("one", "two"):
        manager.add_cex_exchange(name, stream=Standing)
    async with _running(manager):
        for name in ("one", "two"):
            for _ in range(3):
                manager.cex_streams[name].callback({"symbol": "BTCUSDT", "side": "buy"})
        manager.cex_streams["one"].callback({"symbol": "BTCUSDT", "side": "long", "notional": 5, "ts": time.time()})
        stats = manager.get_stats()["sources"]

    facts = {"no_side": 3, "no_usd": 3, "no_time": 3, "restarts": 0}
    assert stats == {
        "one": {"state": "live", "events": 4, **facts},
        "two": {"state": "live", "events": 3, **facts},
    }
    rarity = [record.getMessage() for record in caplog.records if "told once" in record.getMessage()]
    assert len(rarity) == 6
    assert [sum(f"events of {name} do not say" in text for text in rarity) for name in ("one", "two")] == [3, 3]


@pytest.mark.parametrize("fields", [{}, {"exchange": "Kraken"}, {"exchange": 3}], ids=str)
@pytest.mark.parametrize("is_overridden", [False, True])
async def test_venue_is_the_events_own_else_the_name_given(
    free_port: int, fields: dict[str, Any], is_overridden: bool, eventually: Eventually
) -> None:
    class Overriding(EnhancedWebSocketManager):
        async def _handle_liquidation_event(self, event: Any) -> None:
            await super()._handle_liquidation_event(event)

    manager = (Overriding if is_overridden else EnhancedWebSocketManager)(redis_port=free_port)
    manager.add_cex_exchange("Bitget", stream=Standing)
    async with _running(manager) as read:
        manager.cex_streams["bitget"].callback(_event(**fields))
        await eventually(lambda: bool(read))

    assert [one.venue for one in read] == ["kraken" if fields.get("exchange") == "Kraken" else "bitget"]
    assert manager.get_stats()["sources"]["bitget"]["events"] == 1


@pytest.mark.parametrize(("is_raising", "state"), [(True, "failing"), (False, "ended")])
async def test_a_source_that_ends_or_raises_says_so_and_is_started_again(
    manager: EnhancedWebSocketManager,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
    is_raising: bool,
    state: str,
) -> None:
    starts: list[float] = []

    class Short(Standing):
        async def start(self) -> None:
            starts.append(time.monotonic())
            if is_raising and len(starts) < 4:
                raise OSError("no route")
            if len(starts) == 4:
                await self.callback(_event())
                await asyncio.Event().wait()

    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds in {0.01, 0.02, 0.04}:
            pauses.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(sources, "FAILED_SECONDS", 0.01)
    monkeypatch.setattr(sources, "ENDED_SECONDS", 0.01)
    monkeypatch.setattr(sources, "asyncio", SimpleNamespace(sleep=noted, current_task=asyncio.current_task))
    manager.add_cex_exchange("mine", stream=Short)
    seen: set[str] = set()

    def looks() -> bool:
        seen.add(manager.get_stats()["health"]["mine"])
        return "live" in seen

    async with _running(manager):
        await eventually(looks)
        stats = manager.get_stats()["sources"]["mine"]

    assert state in seen
    assert (stats["restarts"], stats["events"], len(starts)) == (3, 1, 4)
    assert pauses == [0.01, 0.02, 0.04]
    assert manager.get_stats()["stream_errors"] == ({"Short: OSError: no route": 3} if is_raising else {})
    assert manager.get_stats()["sources"]["mine"]["state"] == "ended"


@pytest.mark.usefixtures("at_once")
async def test_an_iterator_that_ends_is_asked_for_another(
    manager: EnhancedWebSocketManager, eventually: Eventually
) -> None:
    class Iterating:
        async def start_monitoring(self) -> AsyncIterator[Any]:
            yield _event()

    manager.add_cex_exchange("mine", stream=Iterating())
    async with _running(manager) as read:
        await eventually(lambda: len(read) >= 3)

    assert manager.get_stats()["sources"]["mine"]["restarts"] >= 2


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("kind", ["thread", "task", "attribute"])
async def test_a_start_that_leaves_something_running_has_not_ended(
    manager: EnhancedWebSocketManager, eventually: Eventually, kind: str
) -> None:
    starts: list[threading.Event] = []

    class Behind(Standing):
        running = False

        async def start(self) -> None:
            ended = threading.Event()
            starts.append(ended)
            if kind == "thread":
                threading.Thread(target=ended.wait).start()
            elif kind == "task":
                self.task = asyncio.create_task(self._until(ended))
            else:
                self.running = True

        async def _until(self, ended: threading.Event) -> None:
            while not ended.is_set():  # noqa: ASYNC110 - an event of threads tells no loop
                await asyncio.sleep(0.01)

    manager.add_cex_exchange("mine", stream=Behind)
    async with _running(manager):
        await eventually(lambda: len(starts) == 1)
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert len(starts) == 1
        assert manager.get_stats()["health"]["mine"].startswith("silent since ")
        manager.cex_streams["mine"].running = False
        starts[0].set()
        await eventually(lambda: len(starts) == 2)
        manager.cex_streams["mine"].running = False
        for ended in starts:
            ended.set()


def test_a_source_is_silent_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: 1_000.0, time=lambda: 1_790_000_000.0)
    monkeypatch.setattr(sources, "time", clock)
    source = Source("mine")
    source.read({"symbol": "BTCUSDT", "side": "long", "value_usd": 1, "time": 1_790_000_000})
    states = []
    for seconds in (0, 59, 60):
        clock.monotonic = lambda seconds=seconds: 1_000.0 + seconds
        states.append(source.state)

    assert states == ["live", "live", "silent since 2026-09-21T14:13:20Z"]


@pytest.mark.usefixtures("at_once")
async def test_a_start_and_a_stop_that_block_run_in_threads(
    manager: EnhancedWebSocketManager, eventually: Eventually
) -> None:
    where: list[int] = []

    class Blocking:
        def __init__(self, callback: Callback) -> None:
            self.callback = callback
            self.stopped = threading.Event()

        def start(self) -> None:
            where.append(threading.get_ident())
            self.callback(_event())
            self.stopped.wait()

        def stop(self) -> None:
            where.append(threading.get_ident())
            self.stopped.set()

    manager.add_cex_exchange("mine", stream=Blocking)
    async with _running(manager) as read:
        await eventually(lambda: len(read) == 1)
        assert manager.get_stats()["health"]["mine"] == "live"

    assert len(where) == 2
    assert threading.get_ident() not in where


async def test_a_plain_start_may_make_tasks_of_the_loop(
    manager: EnhancedWebSocketManager, eventually: Eventually
) -> None:
    class Spawning(Standing):
        def start(self) -> None:  # type: ignore[override]
            self.task = asyncio.create_task(self._run())

        async def _run(self) -> None:
            await self.callback(_event())
            await asyncio.Event().wait()

        def stop(self) -> None:  # type: ignore[override]
            self.task.cancel()

    manager.add_cex_exchange("mine", stream=Spawning)
    async with _running(manager) as read:
        await eventually(lambda: len(read) == 1)


def _with_config(config: Any = None) -> Any:
    raise AssertionError(f"built with {config}")


def _with_anything(*given: Any, **named: Any) -> Any:
    raise AssertionError(f"built with {given} {named}")


def _with_key_and_callback(key: str, callback: Callback) -> Any:
    raise AssertionError(f"built with {key} {callback}")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (_with_config, "no parameter of _with_config is named for a callback"),
        (_with_anything, "no parameter of _with_anything is named for a callback"),
        (_with_key_and_callback, "_with_key_and_callback asks for more than a callback"),
        (lambda callback: SimpleNamespace(callback=callback), "SimpleNamespace has neither `start` nor"),
        (dict, "none can be the callback|no parameter of dict"),
    ],
)
def test_what_takes_no_callback_is_told_how_to_be_wrapped(
    manager: EnhancedWebSocketManager, given: Any, text: str
) -> None:
    with pytest.raises(TypeError, match=f"(?:{text}).*wrap-a-library.md"):
        manager.add_cex_exchange("mine", stream=given)


@pytest.mark.parametrize("name", ["callback", "on_liquidation", "on_event", "handler", "listener", "cb", "my_callback"])
def test_a_parameter_named_for_a_callback_gets_it_whatever_stands_before(
    manager: EnhancedWebSocketManager, name: str
) -> None:
    namespace: dict[str, Any] = {"Standing": Standing}
    exec(f"def build(config=None, *, {name}=None):\n    assert config is None\n    return Standing({name})", namespace)
    manager.add_cex_exchange("mine", stream=namespace["build"])

    manager.cex_streams["mine"].callback(_event())

    assert manager.events_processed == 1


async def test_redis_client_is_there_while_the_manager_runs(redis_port: int) -> None:
    manager = EnhancedWebSocketManager(redis_port=redis_port)
    before = manager.redis_client
    async with _running(manager):
        assert await manager.redis_client.ping()
        assert await manager.redis_client.set("mine", "1")
    assert (before, manager.redis_client) == (None, None)


async def test_the_poller_of_the_page_brings_each_row_once(
    manager: EnhancedWebSocketManager, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    rows: list[dict[str, Any]] = []
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        rows.append(
            {"id": asked, "pair": "BTC/USDT", "size": 0.5, "price": 80_000, "side": "long", "time": time.time()}
        )
        return web.json_response(rows)

    blocks = re.findall(r"```python\n(.*?)```", _PAGE.read_text("utf-8"), re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(next(block for block in blocks if "class PolledLiquidations" in block), namespace)
    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    manager.add_cex_exchange("mine", stream=lambda callback: namespace["PolledLiquidations"](callback, url, "id", 0.01))
    with caplog.at_level(logging.WARNING, "liqtape.compat.sources"):
        async with _running(manager) as read:
            await eventually(lambda: len(read) >= 3)
            state = manager.get_stats()["health"]["mine"]
    await runner.cleanup()

    assert state == "live"
    assert {one.notional_usd for one in read} == {40_000.0}
    assert len(read) == len({one.event_ms for one in read}) <= asked
    assert [record.message for record in caplog.records if record.name == "liqtape.compat.sources"] == []


_SYMBOLS = ("BTC/USDT:USDT", "XBT/USD", "SPX 500", "FTSE&MIB", "BTC+ETH", "币安人生USDT", "a" * 200, "BTC\r\nUSDT")


async def test_symbols_of_any_spelling_become_keys(redis_port: int) -> None:
    manager = EnhancedWebSocketManager(redis_host="127.0.0.1", redis_port=redis_port)
    manager.add_cex_exchange("mine", stream=Standing)
    async with _running(manager):
        for symbol in _SYMBOLS:
            manager.cex_streams["mine"].callback(_event(symbol=symbol, side="long"))
        keys = [f"velocity:{symbol}:current" for symbol in (*_SYMBOLS[:-1], "BTC%0D%0AUSDT")]
        async with asyncio.timeout(15):
            while not all([await manager.redis_client.exists(key) for key in keys]):  # noqa: ASYNC110 - a server that tells nobody
                await asyncio.sleep(0.05)
        rows = [await manager.redis_client.hgetall(key) for key in keys]

    assert [row[b"event_count_300s"] for row in rows] == [b"1"] * len(keys)
    assert {row[b"saturated"] for row in rows} == {b"false"}
    assert not any(b"btc_price" in row for row in rows)
