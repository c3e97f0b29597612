"""The application: paths to answers, errors to one clear JSON object, the page, the stream and the token's door."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from liqtape.web.answers import ErrorAnswer
from liqtape.web.api import Api
from liqtape.web.broadcast import MOST_READERS, Broadcast
from liqtape.web.chartapi import ChartApi
from liqtape.web.keptfiles import KeptFiles
from liqtape.web.openapi import openapi
from liqtape.web.pasthistory import HistoryApi
from liqtape.web.paths import ApiPath, api_paths
from liqtape.web.questions import ReplayOrder, Unanswerable, asked
from liqtape.web.shown import Replayed
from liqtape.web.streamreader import StreamReader
from liqtape.web.webguard import COOKIE, Guard, cookie_of, is_token

__all__ = ["application"]

STATIC = Path(__file__).parent / "static"

_MOST_BODY = 4_096
_BODY_SECONDS = 20.0
_LOGIN_SECONDS = 0.5  # a wrong token costs so much
_COOKIE_SECONDS = 30 * 86_400

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_Endpoint = Callable[[Request], Awaitable[Response]]


def application(
    api: Api,
    past: HistoryApi,
    broadcast: Broadcast,
    *,
    token: str | None = None,
    hosts: tuple[str, ...] = (),
    metrics: Callable[[], bytes] | None = None,
) -> ASGIApp:
    """Return the application, guarded; `metrics` gives what Prometheus scrapes."""
    source = api.board.source
    control = source if isinstance(source, Replayed) else None
    paths = api_paths(api, ChartApi(api.board, past), past)
    document = _encode(openapi(paths, is_replay=control is not None))
    files = KeptFiles(STATIC)

    async def page(request: Request) -> Response:
        return files.response("index.html", request)

    routes = [_route(path) for path in paths]
    routes += [
        Route("/openapi.json", _fixed(document)),
        Route("/api/v1/stream", _Stream(broadcast), methods=["GET"]),
        Route("/login", _login(token), methods=["POST"]),
        Route("/", page),
        Route("/static/{path:path}", files.answer),
    ]
    if metrics is not None:
        routes.append(Route("/metrics", _metrics(metrics)))
    if control is not None:
        routes.append(Route("/api/v1/replay", _control(control), methods=["POST"]))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _failed})
    app.router.redirect_slashes = False
    return Guard(app, token, hosts)


def _json(answer: object, status: int = 200) -> Response:
    return Response(_encode(answer), status, media_type="application/json")


def _route(path: ApiPath) -> Route:
    async def answer(request: Request) -> Response:
        try:
            question = asked(_query(request), path.question, request.url.path)
            if path.names_instrument:
                found = await path.answer_with(question, request.path_params["instrument"])
            else:
                found = await path.answer_with(question)
        except Unanswerable as no:
            return _json(ErrorAnswer(no.error, no.where, no.mend), no.status)
        return _json(found, 200 if path.status_of is None else path.status_of(found))

    return Route(path.path.replace("{instrument}", "{instrument:path}"), answer)


def _query(request: Request) -> dict[str, str]:
    """The parameters; one that is there twice is refused."""
    query: dict[str, str] = {}
    for name, value in parse_qsl(request.url.query, keep_blank_values=True, errors="replace"):
        if name in query:
            raise Unanswerable(400, f"{name[:60]} is there twice", request.url.path, f"give {name[:60]} once")
        query[name] = value
    return query


def _fixed(document: bytes) -> _Endpoint:
    async def answer(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    return answer


def _metrics(text: Callable[[], bytes]) -> _Endpoint:
    async def answer(_request: Request) -> Response:
        return Response(text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return answer


def _login(token: str | None) -> _Endpoint:
    """A token for a cookie that no script reads and no other site sends."""

    async def answer(request: Request) -> Response:
        told = dict(parse_qsl((await _body(request)).decode("utf-8", "replace"))).get("token", "")
        response = RedirectResponse("/", 303)
        if token is None:
            return response
        if not is_token(told, token):
            await asyncio.sleep(_LOGIN_SECONDS)
            return _json(ErrorAnswer("the token is wrong", "token", "go back and give web.token"), 401)
        response.set_cookie(
            COOKIE,
            cookie_of(token),
            max_age=_COOKIE_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    return answer


def _control(replay: Replayed) -> _Endpoint:
    async def answer(request: Request) -> Response:
        path = request.url.path
        try:
            if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                raise Unanswerable(415, "an order is JSON", path, "send Content-Type: application/json")
            try:
                order = msgspec.json.decode(await _body(request), type=ReplayOrder)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                mend = 'send {"is_paused": true}, {"speed": 10} or {"at_ms": 1765416960000}'
                raise Unanswerable(400, f"no order: {error}", path, mend) from None
            return _json(await replay.obey(order))
        except Unanswerable as no:
            return _json(ErrorAnswer(no.error, no.where, no.mend), no.status)

    return answer


async def _body(request: Request) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > _MOST_BODY:
                    raise HTTPException(413, f"more than {_MOST_BODY} bytes")
    except TimeoutError:
        raise HTTPException(408, "the rest of the request did not come") from None
    return body


class _Stream:
    """Server-sent events, until the reader leaves or is let go."""

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        broadcast = self._broadcast
        if len(broadcast.readers) >= MOST_READERS:
            error = ErrorAnswer(f"{MOST_READERS} readers are here already", scope["path"], "close some, or ask later")
            await _json(error, 503)(scope, receive, send)
            return
        headers = dict(scope["headers"])
        reader = broadcast.join(headers.get(b"last-event-id", b"").decode("latin-1") or None)
        leaving = asyncio.create_task(_watch_for_end(receive, reader.leave))
        try:
            kind = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
            await send({"type": "http.response.start", "status": 200, "headers": kind})
            await self._tell(reader, send)
        except (TimeoutError, OSError):
            pass
        finally:
            leaving.cancel()
            broadcast.readers.discard(reader)

    async def _tell(self, reader: StreamReader, send: Send) -> None:
        while not reader.is_gone:
            data = await self._broadcast.snapshot(reader) if reader.is_behind else reader.take()
            if data:
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await reader.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _watch_for_end(receive: Receive, leave: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    leave()


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    told = error.detail if isinstance(error, HTTPException) else "this went wrong"
    mend = {404: "see /openapi.json for what is there", 405: "see /openapi.json for the methods"}.get(
        status, "ask less"
    )
    return _json(ErrorAnswer(told, request.url.path[:200], mend), status)


async def _failed(request: Request, _error: Exception) -> Response:
    """An error nobody foresaw; uvicorn logs it."""
    return _json(ErrorAnswer("something went wrong here", request.url.path[:200], "see the log of liqtape"), 500)
