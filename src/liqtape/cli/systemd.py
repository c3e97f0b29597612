"""What a service tells systemd: that it is ready, that it lives, that it stops. Elsewhere nothing happens.

Protocol: sd_notify(3), datagrams of `KEY=value` to the socket named in NOTIFY_SOCKET; WATCHDOG_USEC says how often
systemd wants to hear of it.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

__all__ = ["notified"]


@asynccontextmanager
async def notified(beats: Callable[[], int], environ: Mapping[str, str] | None = None) -> AsyncIterator[None]:
    """READY inside the block and STOPPING after it; in between WATCHDOG, only while the number of `beats` grows.

    A loop that hangs sends nothing, and neither does one that turns while the work has ended: systemd then restarts it.
    """
    variables = os.environ if environ is None else environ
    address = variables.get("NOTIFY_SOCKET", "")
    if not address:
        yield
        return
    _tell(address, "READY=1")
    interval = _interval(variables)
    watch = asyncio.get_running_loop().create_task(_watch(address, interval, beats)) if interval else None
    try:
        yield
    finally:
        _tell(address, "STOPPING=1")
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


def _interval(variables: Mapping[str, str]) -> float | None:
    """Half of what systemd waits, in seconds; None where it does not watch, or watches another process."""
    microseconds, pid = variables.get("WATCHDOG_USEC", ""), variables.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / 2e6


async def _watch(address: str, interval: float, beats: Callable[[], int]) -> None:
    seen = beats() - 1
    while True:
        if (now := beats()) != seen:
            _tell(address, "WATCHDOG=1")
        seen = now
        await asyncio.sleep(interval)


def _tell(address: str, state: str) -> None:
    # An abstract socket is written with @. One that is gone is systemd's affair: the service goes on.
    name = "\0" + address[1:] if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.settimeout(0.0)
        out.sendto(state.encode(), name)
