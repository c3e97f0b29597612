"""Bad guests: garbage, idle and half-open connections, large requests; feeds go on meanwhile."""

import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

import pytest

from liqtape.web.webserver import MOST_CONNECTIONS

_GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),  # TLS where none is spoken
    b"\x00" * 4096,
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\nzz\r\n",
    b"GET /?" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-Long: " + b"b" * 100_000 + b"\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: \u202elocalhost\r\n\r\n".encode(),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


def _all_of(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while part := connection.recv(65_536):
            answer += part
    except OSError:
        pass
    return answer


@pytest.mark.parametrize("garbage", _GARBAGE, ids=range(len(_GARBAGE)))
def test_garbage_is_refused_and_the_service_goes_on(running: Any, connect: Any, garbage: bytes) -> None:
    with connect(running.url) as connection:
        try:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # closed while it was still sent
        answer = _all_of(connection)

    assert b" 200 " not in answer.partition(b"\r\n")[0] + b" "
    assert running.get("/api/v1/now")["events_total"] > 0


def test_thousand_idle_connections_leave_the_page_and_the_feeds_alone(running: Any, connect: Any, until: Any) -> None:
    reconnects = [venue["reconnects"] for venue in running.get("/api/v1/health")["venues"]]
    with ExitStack() as stack:
        for _ in range(1_000):
            stack.enter_context(connect(running.url))

        before = running.get("/api/v1/now")["events_total"]
        until(lambda: running.get("/api/v1/now")["events_total"] > before)
        health = running.get("/api/v1/health")

    assert [venue["reconnects"] for venue in health["venues"]] == reconnects
    assert health["is_balanced"]
    assert MOST_CONNECTIONS < 1_000


def test_half_a_request_hinders_nobody(running: Any, connect: Any) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(connect(running.url))
            connection.sendall(b"GET /api/v1/now HTTP/1.1\r\nHost: loc")

        assert running.get("/api/v1/now")["mode"] == "live"


def test_service_without_a_server_imports_none() -> None:
    program = (
        "import asyncio, sys\n"
        "from liqtape.cli.serving import page_beside\n"
        "from liqtape.settings import Settings, WebSettings\n"
        "from liqtape.tracker import Tracker\n"
        "async def main():\n"
        "    tracker = Tracker(Settings(venues={}))\n"
        "    async with page_beside(tracker, WebSettings(listen='off'), tracker.settings.history) as notes, tracker:\n"
        "        print(*notes)\n"
        "asyncio.run(main())\n"
        "print(sorted({'starlette', 'uvicorn', 'liqtape.web'} & {*sys.modules}))\n"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert run.stdout == "Page: off\n[]\n", run.stderr
