"""One answer of a venue's REST interface, of bounded length."""

import aiohttp

from liqtape.errors import RestError
from liqtape.feeds.disconnects import printable
from liqtape.feeds.proxies import proxy_of, shown_proxy
from liqtape.sanitize import without_credentials

__all__ = ["fetch"]

_LONGEST_ANSWER = 32 * 1024 * 1024
_JSON = {"Content-Type": "application/json"}


async def fetch(url: str, body: bytes, session: aiohttp.ClientSession) -> bytes:
    """Fetch the answer to a GET, or to a POST where there is a body. Raises RestError, and TimeoutError as it is."""
    method, data, headers = ("POST", body, _JSON) if body else ("GET", None, None)
    try:
        proxy = proxy_of(url)
        if proxy is not None and not proxy.startswith(("http://", "https://")):
            raise RestError(f"{url}: {shown_proxy(proxy)} brings WebSockets only; name an http:// proxy in HTTPS_PROXY")
        async with session.request(
            method, url, data=data, headers=headers, allow_redirects=False, proxy=proxy
        ) as response:
            payload = bytearray()
            async for piece in response.content.iter_chunked(65_536):
                payload += piece
                if len(payload) > _LONGEST_ANSWER:
                    raise RestError(f"{url}: an answer of more than {_LONGEST_ANSWER} bytes")
            if response.status != 200:
                said = printable(bytes(payload))
                raise RestError(f"{url}: HTTP {response.status}" + (f": {said}" if said else ""))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise RestError(without_credentials(f"{url}: {str(error) or type(error).__name__}")) from error
    return bytes(payload)
