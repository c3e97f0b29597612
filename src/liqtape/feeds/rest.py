"""One answer of a venue's REST interface, of bounded length and of a bounded number of values."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from msgspec import Struct

from liqtape.errors import RestError
from liqtape.feeds.disconnects import printable
from liqtape.feeds.proxies import proxy_of
from liqtape.feeds.restconnector import SOCKS_ERRORS, RestConnector
from liqtape.feeds.restraint import Restraints
from liqtape.sanitize import without_credentials

__all__ = ["LISTING", "PAST", "AnswerBounds", "fetch"]

_JSON = {"Content-Type": "application/json"}
_MIB = 1024 * 1024


class AnswerBounds(Struct, frozen=True):
    """What an answer has at most: bytes, JSON objects and JSON values, counted before it is parsed.

    Parsing keeps the interpreter to itself until it ends, so its time has to be bounded before it begins.
    """

    length: int
    objects: int
    values: int


LISTING = AnswerBounds(8 * _MIB, 60_000, 1_000_000)
"""Of a list of instruments: the largest has 2 MB, 10,000 objects and 100,000 values."""

PAST = AnswerBounds(4 * _MIB, 6_000, 200_000)
"""Of past liquidations: a full page of 2,000 fills has 1 MB, 4,000 objects and 40,000 values."""


async def fetch(
    url: str,
    body: bytes,
    session: aiohttp.ClientSession,
    bounds: AnswerBounds = LISTING,
    restraints: Restraints | None = None,
) -> bytes:
    """Fetch the answer to a GET, or to a POST where there is a body. Raises RestError, and TimeoutError as it is.

    An address that asks to be left alone is not asked before its time.
    """
    if restraints is not None and (why := restraints.why(url)):
        raise RestError(f"{url}: {why}")
    method, data, headers = ("POST", body, _JSON) if body else ("GET", None, None)
    try:
        async with (
            _way(session, url) as (asking, proxy),
            asking.request(method, url, data=data, headers=headers, allow_redirects=False, proxy=proxy) as response,
        ):
            if restraints is not None:
                restraints.note(url, response.status, response.headers.get("Retry-After"))
            payload = bytearray()
            async for piece in response.content.iter_chunked(65_536):
                payload += piece
                if len(payload) > bounds.length:
                    raise RestError(f"{url}: an answer of more than {bounds.length} bytes")
            if response.status != 200:
                raise RestError(_refused(url, response.status, bytes(payload), restraints))
    except (aiohttp.ClientError, OSError, ValueError, *SOCKS_ERRORS) as error:
        if isinstance(error, TimeoutError):
            raise
        raise RestError(without_credentials(f"{url}: {str(error) or type(error).__name__}")) from error
    if payload.count(b"{") > bounds.objects or payload.count(b",") > bounds.values:
        raise RestError(f"{url}: an answer of more than {bounds.objects} objects or {bounds.values} values")
    return bytes(payload)


@asynccontextmanager
async def _way(session: aiohttp.ClientSession, url: str) -> AsyncIterator[tuple[aiohttp.ClientSession, str | None]]:
    """Give whom to ask, and the HTTP proxy to name: where a SOCKS proxy leads there, a session of its own."""
    proxy, connector = proxy_of(url), session.connector
    if proxy is None or not proxy.startswith("socks") or not isinstance(connector, RestConnector):
        yield session, proxy
        return
    async with aiohttp.ClientSession(connector=connector.through(proxy)) as beyond:
        yield beyond, None


def _refused(url: str, status: int, payload: bytes, restraints: Restraints | None) -> str:
    said = printable(payload)
    why = "" if restraints is None else restraints.why(url)
    return f"{url}: HTTP {status}" + (f": {said}" if said else "") + (f"; {why}" if why else "")
