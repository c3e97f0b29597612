"""The proxies of the environment, the same for REST and for WebSockets.

`HTTPS_PROXY` is for https and wss, `HTTP_PROXY` for http and ws, `ALL_PROXY` where the other is not set; `NO_PROXY`
names hosts that are reached directly. This machine is never reached through a proxy: the simulator is here.
"""

import ipaddress
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

__all__ = ["proxy_of", "shown_proxy"]

_ASKED = {
    "wss": ("wss", "https", "all"),
    "https": ("https", "all"),
    "ws": ("ws", "http", "all"),
    "http": ("http", "all"),
}
_SPELLINGS = {"socks": "socks5", "socks5h": "socks5", "socks4a": "socks4"}  # names are always resolved at the proxy


def proxy_of(url: str) -> str | None:
    """Return the proxy of this address, None where it is reached directly. Raises ValueError for a bad address."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if _is_here(host) or proxy_bypass(host) or (port is not None and proxy_bypass(f"{host}:{port}")):
        return None
    known = getproxies()
    named = next((known[key] for key in _ASKED.get(parts.scheme, ()) if known.get(key)), None)
    if named is None:
        return None
    given, _, place = named.rpartition("://")
    scheme = _SPELLINGS.get(given.lower(), given.lower()) or "http"
    bare = place.rstrip("/")
    return f"{scheme}://{bare}" + (":1080" if scheme.startswith("socks") and urlsplit(f"//{bare}").port is None else "")


def shown_proxy(proxy: str) -> str:
    """Return the address without user and password."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
