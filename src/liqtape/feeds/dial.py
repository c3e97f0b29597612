"""TCP connections that are ours from the first moment, so that nothing stays open when a handshake is given up."""

import asyncio
import socket
from collections import Counter
from contextlib import suppress

from liqtape.feeds.lookup import look_up

__all__ = ["dial", "release"]

_ADDRESS_SECONDS = 2.0


async def dial(host: str, port: int) -> socket.socket:
    """Connect to the first address that answers, families alternating: a dead IPv6 route costs two seconds at most."""
    loop = asyncio.get_running_loop()
    seen: Counter[int] = Counter()
    ranked = []
    for found in await look_up(host, port):
        ranked.append((seen[found[0]], found))
        seen[found[0]] += 1
    ranked.sort(key=lambda entry: entry[0])
    for left, (_, (family, kind, proto, _, address)) in zip(range(len(ranked) - 1, -1, -1), ranked, strict=True):
        sock = socket.socket(family, kind, proto)
        sock.settimeout(0)
        try:
            async with asyncio.timeout(_ADDRESS_SECONDS if left else None):
                await loop.sock_connect(sock, address)
        except BaseException as error:
            sock.close()
            if left and isinstance(error, OSError):
                continue
            raise
        return sock
    raise OSError(f"no address of {host}")


async def release(sock: socket.socket) -> None:
    """End a connection whose handshake came to nothing. Its transport closes it at the end of stream it now reads."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    for _ in range(5):
        if sock.fileno() == -1:
            return
        await asyncio.sleep(0)
    sock.close()
