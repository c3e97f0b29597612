"""Real scrapers beside a running demo: every query of the dashboards returns series."""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

_MONITORING = Path(__file__).resolve().parents[1] / "deploy" / "monitoring"
_LIMIT_SECONDS = 120.0
_AFTER_AN_HOUR = ("liqtape_btc_volatility_ratio",)  # there is no such price before, and the panel says so


@pytest.fixture(name="page", scope="module")
def _page() -> Iterator[str]:
    """The address of a demo that goes on."""
    command = [
        sys.executable,
        "-m",
        "liqtape",
        "demo",
        "--seconds",
        "0",
        "--seed",
        "7",
        "--listen",
        f"127.0.0.1:{free_port()}",
    ]
    with running(command, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield found[0]
                return
        pytest.fail("the demo told no address")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], **options: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,  # type: ignore[call-overload]
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def queries() -> list[str]:
    spec = importlib.util.spec_from_file_location("dashboards", _MONITORING / "dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    asked = [expr for board in module.DASHBOARDS for panel in board.panels for expr, _ in panel.queries]
    shown = [expr for expr in asked if not any(name in expr for name in _AFTER_AN_HOUR)]
    assert len(shown) > 35
    return [re.sub(r"\$(job|instance|venue)", ".*", expr) for expr in shown]


def series(server: str, query: str) -> int:
    address = f"{server}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return len(json.load(answer)["data"]["result"])
    except OSError:
        return 0


def without_series(server: str) -> list[str]:
    """The queries that never return anything, asked again for a while."""
    left = queries()
    deadline = time.monotonic() + _LIMIT_SECONDS
    while left and time.monotonic() < deadline:
        left = [query for query in left if not series(server, query)]
        time.sleep(0.5)
    return left


@pytest.mark.parametrize("scraper", ["prometheus", "victoria-metrics"])
def test_every_query_of_the_dashboards_returns_series(
    scraper: str, page: str, tmp_path: Path, require_server: Callable[[str], Path]
) -> None:
    program, port = str(require_server(scraper)), free_port()
    config = tmp_path / "scrape.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        f"  - {{job_name: liqtape, static_configs: [{{targets: ['{page.removeprefix('http://')}']}}]}}\n"
    )
    command = (
        [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        if scraper == "prometheus"
        else [
            program,
            f"-promscrape.config={config}",
            f"-storageDataPath={tmp_path / 'data'}",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-search.latencyOffset=0s",
        ]
    )

    with running(command):
        assert without_series(f"http://127.0.0.1:{port}") == []
