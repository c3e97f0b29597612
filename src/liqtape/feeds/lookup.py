"""Names to addresses, each name in a thread of its own: a resolver that hangs delays nobody else.

The loop's own way shares a handful of threads among all names, and among all else that is done in threads.
"""

import asyncio
import socket
import threading
from contextlib import suppress
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

__all__ = ["AddressInfo", "OwnThreadResolver", "look_up"]

AddressInfo = tuple[
    socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]

_Key = tuple[asyncio.AbstractEventLoop, str, int, int]
_pending: dict[_Key, "asyncio.Future[list[AddressInfo]]"] = {}


async def look_up(host: str, port: int, family: int = 0) -> list[AddressInfo]:
    """Return the addresses of a host for TCP. Raises socket.gaierror.

    Who asks while a question for the same name hangs waits for that one: there is one thread a name at most.
    """
    if _is_address(host):
        return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    loop = asyncio.get_running_loop()
    key = loop, host, port, family
    if key not in _pending:
        future = _pending[key] = loop.create_future()
        future.add_done_callback(lambda done: (_pending.pop(key, None), done.exception()))
        threading.Thread(target=_ask, args=(key, future), name=f"resolve {host[:60]}", daemon=True).start()
    return await asyncio.shield(_pending[key])


def _is_address(host: str) -> bool:
    """Return whether it is no name, so that nobody has to be asked."""
    with suppress(ValueError):
        ip_address(host)
        return True
    return False


def _ask(key: _Key, future: "asyncio.Future[list[AddressInfo]]") -> None:
    loop, host, port, family = key
    found: list[AddressInfo] | Exception
    try:
        found = list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        found = error
    try:
        loop.call_soon_threadsafe(_settle, future, found)
    except RuntimeError:  # the loop is closed: nobody waits
        _pending.pop(key, None)


def _settle(future: "asyncio.Future[list[AddressInfo]]", found: list[AddressInfo] | Exception) -> None:
    if future.done():
        return
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)


class OwnThreadResolver(AbstractResolver):
    """The same for aiohttp."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host."""
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=found_family,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found_family, _, proto, _, address in await look_up(host, port, family)
        ]

    async def close(self) -> None:
        """Nothing is to be closed: a thread that hangs ends when its question does."""
