"""The adapters of docs/howto/wrap-a-library.md, as they stand there, with the real libraries over the simulator.

Each library runs in a program of its own: it brings loops, warnings and signals that are no business of these tests.
"""

import asyncio
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trustme

from liqtape.simulator import Simulator

CHECKOUT = Path(__file__).resolve().parents[2]
_PAGE = (CHECKOUT / "docs" / "howto" / "wrap-a-library.md").read_text("utf-8")
_SYMBOLS = ("BTCUSDT", "ETHUSDT")
_SECONDS = 90  # importing ccxt alone takes ten on a busy machine

_PROGRAM = """
import asyncio, json, logging, sys
from enhanced_websocket_manager import EnhancedWebSocketManager

{adapter}

async def main():
    ws, rest, port = sys.argv[1:]
    manager = EnhancedWebSocketManager(redis_host="127.0.0.1", redis_port=int(port))
{connect}
    read = []
    running = asyncio.create_task(manager.start_all())
    await asyncio.sleep(0)
    manager.user_callback = lambda event: None
    while manager.tracker is None:
        await asyncio.sleep(0.01)
        if running.done():
            running.result()
    manager.tracker.listen(OnLiquidation(read.append))
    loop = asyncio.get_running_loop()
    while len(read) < 10:
        await asyncio.sleep(0.02)
    print("enough", flush=True)
    expected = int(await loop.run_in_executor(None, sys.stdin.readline))
    async with asyncio.timeout(15):
        while len(read) < expected:
            await asyncio.sleep(0.02)
    stats = manager.get_stats()
    await manager.stop_all()
    await running
    rows = [[e.symbol, e.side, e.price, e.quantity, e.notional_usd, e.event_ms, e.venue] for e in read]
    print(json.dumps({{"rows": rows, "health": stats["health"], "sources": stats["sources"],
                      "errors": stats["stream_errors"]}}), flush=True)

asyncio.run(main())
"""

_CCXT = """
    import ccxt.pro
    exchange = ccxt.pro.bybit({"options": {"fetchMarkets": {"types": ["linear"]}, "loadAllOptions": False}})
    exchange.urls["api"] = {name: rest for name in ("spot", "futures", "v2", "public", "private")} | {
        "ws": {"public": {"spot": ws, "inverse": ws + "/v5/public/inverse", "linear": ws + "/v5/public/linear"}}}
    stream = CcxtLiquidations(exchange, ["BTC/USDT:USDT", "ETH/USDT:USDT"])
    manager.add_cex_exchange("bybit", stream=stream, side="position")
"""

_CRYPTOFEED = """
    from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
    from cryptofeed.exchanges import Bybit
    Bybit.websocket_endpoints = [WebsocketEndpoint(ws + "/v5/public/linear")]
    listed = "/v5/market/instruments-info?limit=1000&category="
    Bybit.rest_endpoints = [RestEndpoint(rest, routes=Routes([listed + "linear", listed + "inverse"]))]
    stream = lambda callback: CryptofeedLiquidations(callback, Bybit, ["BTC-USDT-PERP", "ETH-USDT-PERP"])
    manager.add_cex_exchange("bybit", stream=stream, side="position")
"""


def _adapter(name: str) -> str:
    """The block of the page that defines the class."""
    (found,) = (block for block in re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL) if f"class {name}" in block)
    return str(found)


def _python_with(library: str) -> str:
    """An interpreter that has the library: this one, or the one that LIBRARIES_PYTHON names."""
    for python in (sys.executable, os.environ.get("LIBRARIES_PYTHON", "")):
        if python and shutil.which(python):
            asked = [python, "-c", f"import {library}"]
            if subprocess.run(asked, capture_output=True, timeout=60, check=False).returncode == 0:
                return python
    pytest.skip(
        f"{library} is not installed for Python {sys.version_info[0]}.{sys.version_info[1]}: nothing is wrapped"
    )


def _certificates(tmp_path: Path) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(tmp_path / "ca.pem")} if (tmp_path / "ca.pem").exists() else {}


def _tls(tmp_path: Path) -> ssl.SSLContext:
    """The simulator's own certificate, whose authority the program is told of: cryptofeed takes no plain address."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def _told(python: str, adapter: str, connect: str, tmp_path: Path, port: int, simulator: Simulator) -> Any:
    """What the program read, once it has read as many events as the simulator sent."""
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM.format(adapter=_adapter(adapter), connect=connect), encoding="utf-8")
    path = os.pathsep.join((str(CHECKOUT), str(CHECKOUT / "src")))
    process = await asyncio.create_subprocess_exec(
        python,
        str(program),
        simulator.ws_url("bybit"),
        simulator.rest_url("bybit"),
        str(port),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(tmp_path), **_certificates(tmp_path)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said = asyncio.create_task(process.stderr.read())
    try:
        async with asyncio.timeout(_SECONDS):
            begun = await process.stdout.readline()
            assert begun == b"enough\n", (await said).decode()
            await simulator.stop_generating()
            process.stdin.write(b"%d\n" % sum(record.symbol in _SYMBOLS for record in simulator.ledger.records))
            rarity = await process.stdout.readline()
            assert rarity, (await said).decode()
            return json.loads(rarity)
    except TimeoutError:
        process.kill()
        pytest.fail((await said).decode())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await said


@pytest.mark.parametrize(
    ("library", "adapter", "connect"),
    [
        ("ccxt.pro", "CcxtLiquidations", _CCXT),
        ("cryptofeed", "CryptofeedLiquidations", _CRYPTOFEED),
    ],
    ids=["ccxt", "cryptofeed"],
)
async def test_a_library_brings_what_the_simulator_sent(
    library: str, adapter: str, connect: str, tmp_path: Path, free_port: int
) -> None:
    python = _python_with(library)
    context = _tls(tmp_path) if library == "cryptofeed" else None
    async with Simulator("cascade", seed=3, speed=4.0, ssl_context=context) as simulator:
        rarity = await _told(python, adapter, connect, tmp_path, free_port, simulator)
        sent = simulator.ledger.distinct("bybit")

    book = Counter(
        (record.symbol[:3], record.side, float(record.price), float(record.size), record.event_ms) for record in sent
    )
    read = Counter((symbol[:3], *rest, at_ms) for symbol, *rest, _, at_ms, _ in rarity["rows"])
    assert read == book
    assert len(rarity["rows"]) >= 10
    for _, _, price, size, usd, _, venue in rarity["rows"]:
        assert usd == pytest.approx(price * size, rel=1e-12)
        assert venue == "bybit"
    assert rarity["health"]["bybit"] == "live"
    source = rarity["sources"]["bybit"]
    assert (source["events"], source["no_side"], source["no_usd"], source["no_time"]) == (len(rarity["rows"]), 0, 0, 0)
    assert (source["restarts"], rarity["errors"]) == (0, {})
