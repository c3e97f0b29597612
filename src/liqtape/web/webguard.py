"""Who may ask: host name, token, origin; and the headers that keep a browser from being used against its user."""

import asyncio
import hmac
from collections.abc import Collection, Iterable
from contextlib import suppress
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from liqtape.web.answers import ErrorAnswer

__all__ = ["COOKIE", "MOST_HEAD", "Guard", "answer_error", "cookie_of", "is_loopback", "is_token"]

COOKIE = "liqtape"

_POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-cache"),
)
_TAKE_SECONDS = 20.0  # a guest that takes nothing for so long is let go
MOST_HEAD = 16_384
"""Bytes of address and headers. The parser bounds what is incomplete only, and what comes at once is never that."""

_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/login", "/static/login.css"})
_SIGN_IN = b"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>liqtape</title><link rel="stylesheet" href="/static/login.css">
<h1>liqtape</h1><form method="post" action="/login">
<label for="token">Token (<code>web.token_file</code> or LIQTAPE_WEB_TOKEN)</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Open</button></form></html>
"""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def cookie_of(token: str) -> str:
    """Return what the cookie holds: made of the token, which it does not give away."""
    return hmac.new(token.encode(), b"liqtape cookie", sha256).hexdigest()


class Guard:
    """Lets through what may ask. A token, where one is set, is compared in constant time.

    The host of a request is an IP address, `localhost` or one of `hosts`: another name that leads here is a trick of
    some page to read what only this machine may (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._token = token
        self._hosts: Collection[str] = {host.lower() for host in hosts} | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        guarded = _with_headers(send)
        asked = len(scope["path"]) + len(scope["query_string"])
        if asked + sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEAD:
            status = 414 if asked > MOST_HEAD // 2 else 431
            mend = f"keep address and headers below {MOST_HEAD:,} bytes together"
            await answer_error(guarded, status, ErrorAnswer("the request is too long", scope["path"][:60], mend))
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if not self._is_ours(host):
            shown = host[:100]
            mend = "open it by its address or localhost, or add the name to web.hosts"
            await answer_error(guarded, 421, ErrorAnswer(f"{shown!r} is no host name of this liqtape", "Host", mend))
        elif scope["method"] not in {"GET", "HEAD", "POST"}:
            await answer_error(
                guarded, 405, ErrorAnswer("only GET, HEAD and POST are served", scope["path"], "ask with GET")
            )
        elif scope["method"] == "POST" and not _is_same_origin(headers, host):
            mend = "send it from the page itself, or without a browser"
            await answer_error(guarded, 403, ErrorAnswer("the request came from another site", "Origin", mend))
        elif self._token is not None and scope["path"] not in _OPEN_PATHS and not self._may(headers):
            await self._refuse(guarded, scope, headers)
        else:
            with suppress(TimeoutError):
                await self._app(scope, receive, guarded)

    def _is_ours(self, host: str) -> bool:
        name, _, port = host.rpartition(":")
        if not (name and port.isdecimal()):
            name = host
        name = name.removeprefix("[").removesuffix("]").lower().rstrip(".")
        if name in self._hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    def _may(self, headers: dict[bytes, str]) -> bool:
        token = self._token or ""
        scheme, _, told = headers.get(b"authorization", "").partition(" ")
        if scheme.lower() == "bearer" and is_token(told.strip(), token):
            return True
        try:
            cookie = SimpleCookie(headers.get(b"cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and is_token(cookie.value, cookie_of(token))

    async def _refuse(self, send: Send, scope: Scope, headers: dict[bytes, str]) -> None:
        is_wrong = b"authorization" in headers
        if scope["path"] == "/" and "text/html" in headers.get(b"accept", ""):
            await _answer(send, 401, b"text/html; charset=utf-8", _SIGN_IN)
            return
        mend = (
            "send Authorization: Bearer TOKEN, or open / in a browser; the token is web.token_file or LIQTAPE_WEB_TOKEN"
        )
        error = ErrorAnswer("the token is wrong" if is_wrong else "a token is needed", "Authorization", mend)
        await answer_error(send, 401, error, [(b"www-authenticate", b"Bearer")])


def is_token(told: str, expected: str) -> bool:
    """Return whether both are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(told.encode(), expected.encode())


def _is_same_origin(headers: dict[bytes, str], host: str) -> bool:
    origin = headers.get(b"origin")
    if origin is not None:
        return origin.partition("://")[2].lower() == host.lower()
    return headers.get(b"sec-fetch-site", "same-origin") in {"same-origin", "none"}


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = message.get("headers", [])
            names = {name.lower() for name, _ in own}
            message = {**message, "headers": [*own, *(pair for pair in _HEADERS if pair[0] not in names)]}
        async with asyncio.timeout(_TAKE_SECONDS):
            await send(message)

    return guarded


async def answer_error(
    send: Send, status: int, error: ErrorAnswer, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with an error as JSON."""
    await _answer(send, status, b"application/json", msgspec.json.encode(error), headers)


async def _answer(
    send: Send, status: int, kind: bytes, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    own: list[Any] = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})
