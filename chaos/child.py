"""The worker as its scenario sees it: started, asked, killed, started again."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import msgspec
from chaos.worker import Answer

__all__ = ["Child"]

_PATIENCE_SECONDS = 40.0
_LOG_TAIL = 4_000


class Child:
    """The worker process; started again after a kill."""

    def __init__(self, config: Path, log: Path) -> None:
        self._config = config
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "chaos.worker", str(self._config),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors, limit=64 * 1024 * 1024,
            )  # fmt: skip
        await self.hear()

    async def ask(self, what: str) -> Answer:
        process = self._running()
        if process.stdin is not None:
            process.stdin.write(what.encode() + b"\n")
        return await self.hear()

    async def hear(self) -> Answer:
        process = self._running()
        line = b"" if process.stdout is None else await asyncio.wait_for(process.stdout.readline(), _PATIENCE_SECONDS)
        if not line:
            raise RuntimeError(f"the worker ended by itself:\n{self.log_tail()}")
        return msgspec.json.decode(line, type=Answer)

    async def step_wall_clock(self, by_ms: int) -> None:
        """Set the clock of its machine, as it sees it."""
        with contextlib.suppress(RuntimeError, ConnectionError):  # between a kill and the next start there is none
            process = self._running()
            if process.stdin is not None:
                process.stdin.write(b"wall %d\n" % by_ms)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> Answer:
        """Its last word; it has ended afterwards."""
        answer = await self.ask("stop")
        process = self._running()
        if await asyncio.wait_for(process.wait(), _PATIENCE_SECONDS):
            raise RuntimeError(f"the worker ended with {process.returncode}:\n{self.log_tail()}")
        return answer

    def log_tail(self) -> str:
        """The newest of what the worker said to its log."""
        return self._log.read_text(errors="replace")[-_LOG_TAIL:] if self._log.exists() else ""

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the worker was not started")
        return self._process
