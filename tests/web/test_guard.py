"""Who may ask: tokens, host names, other sites; and what every answer tells a browser."""

from collections.abc import Iterator
from typing import Any

import pytest

from liqtape.errors import ConfigurationError
from liqtape.settings import Settings
from liqtape.tracker import Tracker
from liqtape.web.livesource import LiveSource
from liqtape.web.webguard import cookie_of, is_loopback
from liqtape.web.webserver import WebServer, bound_socket, serving

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def guarded(web_loop: Any) -> Iterator[WebServer]:
    """A server with a token, over a service without a venue."""
    contexts: list[Any] = []

    async def start() -> WebServer:
        server = WebServer(LiveSource(Tracker(Settings(venues={}))), token=TOKEN, hosts=("tape.example.net",))
        contexts.append(server.listening(bound_socket("127.0.0.1", 0)))
        found: WebServer = await contexts[0].__aenter__()
        return found

    async def stop() -> None:
        await contexts[0].__aexit__(None, None, None)

    yield web_loop.run(start())
    web_loop.run(stop())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": f"bearer {TOKEN}"}, 200),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401),
        ({"Authorization": f"Bearer {TOKEN[:-1]}"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": "Bearer \xff\xfe"}, 401),
        ({"Cookie": f"liqtape={cookie_of(TOKEN)}"}, 200),
        ({"Cookie": f"other=1; liqtape={cookie_of(TOKEN)}"}, 200),
        ({"Cookie": f"liqtape={TOKEN}"}, 401),
        ({"Cookie": f"liqtape={cookie_of('another')}"}, 401),
        ({"Cookie": "liqtape"}, 401),
        ({"Cookie": '";;=,'}, 401),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/now", "/openapi.json", "/static/index.html"])
def test_token_decides(guarded: WebServer, fetch: Any, path: str, headers: dict[str, str], status: int) -> None:
    assert fetch(guarded.url, path, headers=headers).status == status


def test_token_in_the_address_is_no_token(guarded: WebServer, fetch: Any) -> None:
    assert fetch(guarded.url, f"/api/v1/now?token={TOKEN}").status == 401


def test_liveness_needs_no_token(guarded: WebServer, fetch: Any) -> None:
    assert fetch(guarded.url, "/healthz").status == 200
    assert fetch(guarded.url, "/readyz").status == 503


def test_browser_signs_in_and_keeps_a_cookie_no_script_reads(guarded: WebServer, fetch: Any) -> None:
    form = fetch(guarded.url, "/", headers={"Accept": "text/html"})
    wrong = fetch(guarded.url, "/login", "POST", body=b"token=guess")
    right = fetch(guarded.url, "/login", "POST", body=f"token={TOKEN}".encode())

    assert form.status == 401
    assert b"<form" in form.body
    assert b"<script" not in form.body
    assert wrong.status == 401
    assert "set-cookie" not in wrong.headers
    assert right.status == 303
    cookie = right.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    kept = cookie.partition(";")[0]
    assert fetch(guarded.url, "/api/v1/now", headers={"Cookie": kept}).status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8787", 200),
        ("127.0.0.1", 200),
        ("localhost:1", 200),
        ("LOCALHOST", 200),
        ("[::1]:8787", 200),
        ("192.168.1.5:8787", 200),
        ("tape.example.net", 200),
        ("evil.example.com", 421),
        ("evil.example.com:8787", 421),
        ("127.0.0.1.evil.example.com", 421),
        ("localhost.evil.example.com", 421),
        ("", 421),
        ("<img src=x>", 421),
    ],
)
def test_host_name_must_be_ours(guarded: WebServer, fetch: Any, host: str, status: int) -> None:
    answer = fetch(guarded.url, "/healthz", headers={"Host": host})

    assert answer.status == status
    if status == 421:
        assert "web.hosts" in answer.json()["mend"]


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example.com"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_order_of_another_site_is_refused(guarded: WebServer, fetch: Any, headers: dict[str, str]) -> None:
    assert fetch(guarded.url, "/login", "POST", headers, f"token={TOKEN}".encode()).status == 403


@pytest.mark.parametrize("path", ["/", "/static/index.html", "/api/v1/now", "/api/v1/none", "/openapi.json"])
def test_every_answer_ties_the_browser_down(running: Any, fetch: Any, path: str) -> None:
    headers = fetch(running.url, path).headers

    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"  # with none a form is sent without its origin
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"])
def test_other_methods_are_refused(running: Any, fetch: Any, method: str) -> None:
    answer = fetch(running.url, "/api/v1/now", method)

    assert answer.status == 405
    assert answer.json()["mend"]


def test_posting_to_a_question_is_refused(running: Any, fetch: Any) -> None:
    answer = fetch(running.url, "/api/v1/now", "POST", body=b"{}")

    assert answer.status == 405
    assert answer.json()["where"] == "/api/v1/now"


async def test_address_others_reach_needs_a_token() -> None:
    source = LiveSource(Tracker(Settings(venues={})))

    with pytest.raises(ConfigurationError, match="set a token"):
        async with serving(source, ("0.0.0.0", 0)):
            pass
    async with serving(source, ("0.0.0.0", 0), token=TOKEN) as server:
        assert server.url.startswith("http://0.0.0.0:")


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_is_told_apart(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


async def test_port_taken_gives_way_to_the_next() -> None:
    source = LiveSource(Tracker(Settings(venues={})))
    async with serving(source, ("127.0.0.1", 0)) as first:
        port = int(first.url.rpartition(":")[2])

        async with serving(source, ("127.0.0.1", port)) as second:
            assert port < int(second.url.rpartition(":")[2]) < port + 50


async def test_impossible_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="name another"):
        bound_socket("203.0.113.1", 8787)
