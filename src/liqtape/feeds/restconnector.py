"""The connections that REST requests go over: directly, through an HTTP proxy, or through a SOCKS proxy."""

import ssl

import aiohttp
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError

from liqtape.feeds.lookup import OwnThreadResolver

__all__ = ["SOCKS_ERRORS", "RestConnector"]

SOCKS_ERRORS = (ProxyConnectionError, ProxyError, ProxyTimeoutError)
"""What a SOCKS proxy does not do, and why; the library's own, of no kind that another error is."""


class RestConnector(aiohttp.TCPConnector):
    """Each name is resolved in a thread of its own, and all are trusted by one `ssl_context`, None being the usual."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        super().__init__(ssl=ssl_context or True, resolver=OwnThreadResolver())
        self._trusted = ssl_context

    def through(self, proxy: str) -> aiohttp.BaseConnector:
        """Return a connector whose connections go through a SOCKS proxy, which resolves the names. Raises ValueError.

        An HTTP proxy is named to the request; aiohttp speaks no SOCKS.
        """
        return ProxyConnector.from_url(proxy, ssl=self._trusted or True, rdns=True)
