"""Nothing of these tests leaves the machine: venues are the simulator's or nobody, Redis is a server of their own."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.polling import until

from liqtape.embedded import EmbeddedServer
from liqtape.errors import EmbeddedUnavailable
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS
from liqtape.venues import VENUES

CHECKOUT = Path(__file__).resolve().parents[2]
_PORT_SECONDS = 120.0


@pytest.fixture(autouse=True)
def addresses(monkeypatch: pytest.MonkeyPatch) -> Callable[[Simulator | None], dict[str, str]]:
    """Point every venue at a closed port; call it with a simulator to point them there. Returns the environment."""

    def point(simulator: Simulator | None) -> dict[str, str]:
        for venue in VENUES:
            ws, rest = ("ws://127.0.0.1:9", "http://127.0.0.1:9")
            if simulator is not None and venue in DIALECTS:
                ws, rest = simulator.ws_url(venue), simulator.rest_url(venue)
            monkeypatch.setenv(f"LIQTAPE_VENUES_{venue.upper()}_WS_URL", ws)
            monkeypatch.setenv(f"LIQTAPE_VENUES_{venue.upper()}_REST_URL", rest)
        monkeypatch.setenv("LIQTAPE_PRICE_SPOT_URL", "ws://127.0.0.1:9")
        return dict(os.environ)

    monkeypatch.delenv("LIQTAPE_CONFIG", raising=False)
    monkeypatch.syspath_prepend(str(CHECKOUT))
    point(None)
    return point


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def redis_port(free_port: int) -> AsyncIterator[int]:
    """The port of a fresh server."""
    server = EmbeddedServer(port=free_port)
    await server.start()
    yield free_port
    await server.stop()


@pytest.fixture
async def usual_redis() -> AsyncIterator[int]:
    """A fresh server on port 6379, which the document's snippets name; not where somebody else listens there."""
    is_required = bool(os.environ.get("LIQTAPE_REQUIRE_SERVERS"))
    # Other tests, which may run beside these, start services that take the port for some seconds where it is free.
    until = time.monotonic() + (_PORT_SECONDS if is_required else 0)
    while True:
        server = EmbeddedServer(port=6379)
        try:
            await server.start()
            break
        except EmbeddedUnavailable as error:
            if time.monotonic() >= until:
                refuse = pytest.fail if is_required else pytest.skip
                refuse(f"the snippet names port 6379, and somebody else listens there: {error}")
        await asyncio.sleep(0.2)
    yield 6379
    await server.stop()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel: what an installation puts on the path, and nothing of the checkout."""
    built, unpacked = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(CHECKOUT)]
    subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(unpacked)
    return unpacked


@pytest.fixture
def user_package(tmp_path: Path) -> Path:
    """A copy of a user's own package, to be broken at will."""
    source = CHECKOUT / "tests" / "fixtures" / "user_package"
    for path in source.rglob("*.py"):
        target = tmp_path / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """`await eventually(lambda: condition)`: looks until it holds."""

    return until
