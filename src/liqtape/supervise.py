"""Tasks that go on whatever happens in them."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Supervisor"]

_RESTART_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Supervisor:
    """Runs parts; an error nobody foresaw is logged once per cause and counted in `crashes`, and the part goes on."""

    def __init__(self) -> None:
        self.crashes: Counter[str] = Counter()

    def spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run `work` in a task, again and again until it ends by itself."""
        return asyncio.get_running_loop().create_task(self._supervised(name, work), name=name)

    async def _supervised(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - the task supervisor
                cause = f"{name}: {type(error).__name__}: {error}"
                if not self.crashes[cause]:
                    _log.exception("%s failed; restarting it", name)
                self.crashes[cause] += 1
                await asyncio.sleep(_RESTART_SECONDS)
            else:
                return
