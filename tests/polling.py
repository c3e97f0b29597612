"""Waiting for what tells nobody: look until it holds, within a limit that only a broken program reaches."""

import asyncio
import time
from collections.abc import Callable

LIMIT_SECONDS = 40.0
_EVERY_SECONDS = 0.005


async def until(condition: Callable[[], object], seconds: float = LIMIT_SECONDS) -> None:
    """Return when `condition` holds; raise TimeoutError when it does not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(_EVERY_SECONDS)


def wait_until(condition: Callable[[], object], seconds: float = LIMIT_SECONDS) -> None:
    """Block until `condition` holds, which another thread or process brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not become so within {seconds:g} s")
        time.sleep(_EVERY_SECONDS)
