"""Every Python snippet of the founding document, as it stands there, against the simulator.

Each runs in a program of its own, inside an async function, with stubs for `your_existing_system` and `send_alert`. One
that is a fragment finds the names that the document's earlier snippets gave: they stand before it, and what calls a
function it only defines stands behind it; the snippet itself is never changed.
"""

import asyncio
import json
import os
import re
import signal
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis.asyncio

from liqtape.simulator import Simulator

Point = Callable[[Simulator | None], dict[str, str]]
_ROOT = Path(__file__).resolve().parents[2]
_DOCUMENT = (_ROOT / "tests" / "fixtures" / "founding-document.md").read_text(encoding="utf-8")
_SPEED = 3.0  # the simulated shock begins after two seconds of the scenario

_PROGRAM = """\
import asyncio
import sys
from collections import deque
from dataclasses import dataclass, fields
from typing import Deque, Optional

import enhanced_websocket_manager
from enhanced_websocket_manager import *
from enhanced_websocket_manager import VelocityTracker

class Stub:
    class LiquidationProcessor:
        async def process(self, event):
            print("processed", event.symbol, flush=True)

sys.modules["your_existing_system"] = Stub

async def send_alert(text):
    print("alert sent:", text, flush=True)

async def snippet():
{before}
    # the snippet
{block}
    # what calls it
{after}

async def bounded():
    try:
        await asyncio.wait_for(snippet(), {seconds})
    except TimeoutError:
        print("time is up", flush=True)

asyncio.run(bounded())
"""

_STARTED = """\
manager = EnhancedWebSocketManager(symbols=['BTCUSDT'])
manager.add_cex_exchange('binance')
manager.add_cex_exchange('bybit')
started = asyncio.create_task(manager.start_all())
while not manager.events_processed: await asyncio.sleep(0.05)
await asyncio.sleep(0.5)
"""
_NOT_STARTED = """\
manager = EnhancedWebSocketManager(symbols=['BTCUSDT'])
manager.add_cex_exchange('bybit')
"""


class Around(NamedTuple):
    """What stands around a snippet, how long it runs, and what it must print (patterns) or write (keys)."""

    before: str = ""
    after: str = ""
    seconds: float = 8.0
    prints: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


_METRICS = (
    r"Velocity \(10s\): \d+\.\d\d events/s",
    r"Acceleration: -?\d+\.\d\d events/s²",
    r"Total Value: \$[\d,]+\.\d\d",
)
_LIVE = ("velocity:BTCUSDT:current", "btc:price:current", "cascade:events:buffer")
_AROUND: dict[str, Around] = {
    "Basic Usage (Backward Compatible)": Around(),  # a program: see the last test
    "With Custom Callback": Around(
        seconds=4.5, prints=(r"Liquidation: BTCUSDT (LONG|SHORT) \$[\d,]+\.\d\d", "time is up"), keys=_LIVE
    ),
    "Multi-Exchange (CEX + DEX)": Around(
        seconds=6,
        prints=("time is up",),
        keys=(*_LIVE, "velocity:ETHUSDT:current", "velocity:BTCUSDC:current", "velocity:ETHUSDC:current"),
    ),
    "VelocityMetrics Structure": Around(
        after="theirs, ours = ([(f.name) for f in fields(kind)] for kind in "
        "(VelocityMetrics, enhanced_websocket_manager.VelocityMetrics))\nprint(theirs == ours, len(ours))",
        before="from dataclasses import dataclass, fields",
        prints=("True 14",),
    ),
    "Accessing Velocity Metrics": Around(before=_STARTED, after="await manager.stop_all()", prints=_METRICS),
    "Accessing from External Tools": Around(
        before=_STARTED,
        after="await manager.stop_all()",
        prints=(r"Velocity: \d+\.\d", r"BTC Price: \$[\d,]+\.\d\d"),
        keys=_LIVE,
    ),
    "Configurable Thresholds": Around(
        after="print(VELOCITY_ALERT_THRESHOLD == enhanced_websocket_manager.VELOCITY_ALERT_THRESHOLD,"
        " ACCELERATION_ALERT_THRESHOLD == enhanced_websocket_manager.ACCELERATION_ALERT_THRESHOLD)",
        prints=("True True",),
    ),
    "Custom Alert Handler": Around(
        before="from types import SimpleNamespace\n" + _NOT_STARTED,
        after="manager.on_velocity_alert(handle_velocity_alert)\n"
        "for _ in range(60): await manager._handle_liquidation_event(SimpleNamespace(symbol='BTCUSDT', value_usd=1))\n"
        "await manager.stop_all()",
        prints=("^alert sent: High velocity: BTCUSDT$",),
    ),
    "Velocity Monitoring Loop": Around(
        before=_NOT_STARTED,
        seconds=11.5,
        prints=(r"Velocity: \d+\.\d\d events/s", r"Acceleration: -?\d+\.\d\d", "time is up"),
        keys=_LIVE,
    ),
    "Integration with Existing Code": Around(
        seconds=4.5, prints=(r"Event: LiquidationEvent\(.*symbol='BTCUSDT'", "time is up"), keys=_LIVE
    ),
    "Memory Optimization": Around(
        after="VelocityTracker._get_buffer = _get_buffer\n"
        "tracker = VelocityTracker()\n"
        "for _ in range(2000): tracker.add_event('BTCUSDT', 1.0)\n"
        "print(tracker.calculate_velocity('BTCUSDT').event_count_300s, tracker.velocity_history['BTCUSDT'].maxlen)",
        prints=("^1500 5$",),
    ),
    "Redis Connection Pooling": Around(
        after="manager.add_cex_exchange('bybit')\nawait manager.start_all()",
        seconds=4.5,
        keys=_LIVE,
        prints=("time is up",),
    ),
    "Velocity Calculation Frequency": Around(
        before=_STARTED,
        after="watching = asyncio.create_task(monitor_velocity())\nawait asyncio.sleep(0.3)\nwatching.cancel()\n"
        "print(manager.velocity_tracker.velocity_calculations > 0)\nawait manager.stop_all()",
        prints=("True",),
    ),
    "Import Errors": Around(after="assert sys.path[0].startswith('/path/to')", prints=(r"^\['",)),
    "With Existing Liquidation Aggregator": Around(seconds=4.5, prints=("processed BTCUSDT", "time is up"), keys=_LIVE),
    "With Cascade Detector": Around(
        before=_NOT_STARTED,
        after="await manager.start_all()",
        seconds=6,
        prints=("⚡ CASCADE DETECTED", "time is up"),
    ),
}
_SCRIPT = "Basic Usage (Backward Compatible)"


def _snippets() -> dict[str, str]:
    """Every ```python block by the heading above it."""
    found: dict[str, str] = {}
    heading, language, lines = "", "", list[str]()
    for line in _DOCUMENT.splitlines():
        if line.startswith("```"):
            if language == "python":
                assert heading not in found
                found[heading] = "\n".join(lines)
            language, lines = ("" if line == "```" else line[3:]), []
        elif language:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    return found


SNIPPETS = _snippets()


def test_every_snippet_of_the_document_is_run() -> None:
    assert list(SNIPPETS) == list(_AROUND)
    assert len(SNIPPETS) == _DOCUMENT.count("```python") == 16


async def _run(
    source: Path, environment: dict[str, str], during: Callable[[int], Awaitable[None]] | None = None
) -> str:
    """The output of the program, which must end well, or by the interrupt that `during` sends."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(source),
        cwd=source.parent,
        env={**environment, "PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(18):
            if during is not None:
                await during(program.pid)
            out, errors = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    text = errors.decode()
    assert program.returncode == 0 or (during is not None and text.rstrip().endswith("KeyboardInterrupt")), text
    return out.decode()


async def _keys(port: int) -> set[str]:
    client = redis.asyncio.Redis(port=port, db=1, decode_responses=True)
    try:
        keys: Any = await client.keys("*")
    finally:
        await client.aclose()
    return set(keys)


@pytest.mark.parametrize("heading", [heading for heading in _AROUND if heading != _SCRIPT])
async def test_snippet_runs_as_it_stands(heading: str, tmp_path: Path, addresses: Point, usual_redis: int) -> None:
    around = _AROUND[heading]
    indented = {
        name: textwrap.indent(text or "pass", "    ")
        for name, text in (("before", around.before), ("block", SNIPPETS[heading]), ("after", around.after))
    }
    source = tmp_path / "snippet.py"
    source.write_text(_PROGRAM.format(**indented, seconds=around.seconds), encoding="utf-8")

    async with Simulator("cascade", speed=_SPEED) as simulator:
        out = await _run(source, addresses(simulator))

    assert SNIPPETS[heading] in textwrap.dedent(indented["block"])
    for pattern in around.prints:
        assert re.search(pattern, out, re.MULTILINE), out
    assert set(around.keys) <= await _keys(usual_redis)


async def test_the_first_snippet_is_a_program(tmp_path: Path, addresses: Point, usual_redis: int) -> None:
    """It has a main of its own: run as it stands, and ended as one ends a program in a terminal."""
    source = tmp_path / "basic.py"
    source.write_text(SNIPPETS[_SCRIPT], encoding="utf-8")

    async def until_written(pid: int) -> None:
        while not set(_LIVE) <= await _keys(usual_redis):  # noqa: ASYNC110 - a server tells nobody
            await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGINT)

    async with Simulator("cascade", speed=_SPEED) as simulator:
        await _run(source, addresses(simulator), until_written)

    client = redis.asyncio.Redis(port=usual_redis, db=1, decode_responses=True)
    row: Any = await client.hgetall("velocity:BTCUSDT:current")
    price: Any = await client.get("btc:price:current")
    events: Any = await client.llen("cascade:events:buffer")
    await client.aclose()
    assert {"symbol", "timestamp", "event_count_10s", "velocity_10s", "acceleration", "total_value_usd"} <= set(row)
    assert json.loads(price)["source"] == "binance"
    assert events > 0
