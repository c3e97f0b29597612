"""One server behind one guard, seen from the event loop."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from liqtape.embedded.directory import WorkDirectory
from liqtape.embedded.guard import GRACE_SECONDS
from liqtape.errors import EmbeddedUnavailable

__all__ = ["Child"]

_GUARD = Path(__file__).with_name("guard.py")
_POLL_SECONDS = 0.002


class Child:
    """A started server; `pid` is the server's own.

    Plain `Popen` and one readable pipe instead of asyncio's subprocess transport: that one kills the guard when it is
    garbage collected, and then nobody would be left to remove the temporary directory.
    """

    __slots__ = ("_guard", "_output", "pid")

    def __init__(self, guard: "subprocess.Popen[bytes]") -> None:
        self._guard = guard
        self._output = guard.stdout.fileno() if guard.stdout is not None else -1
        self.pid = 0

    @classmethod
    async def launch(cls, command: Sequence[str], directory: WorkDirectory, log: Path) -> "Child":
        """Start `command` in `directory` with its output in `log`; returns once the server's pid is known."""
        child = cls(_start_guard(command, directory, log))
        try:
            await _readable(child._output)
        except BaseException:
            await child.end()
            raise
        child.pid = int(os.read(child._output, 32) or b"0")
        return child

    @property
    def alive(self) -> bool:
        """True while the guard, and so the server, lives."""
        return self._guard.poll() is None

    async def died(self) -> int:
        """Wait for the end, however it comes; returns the exit status (128 + signal)."""
        # The guard says one line; after it the pipe is readable only when the guard has ended.
        await _readable(self._output)
        while self._guard.poll() is None:  # noqa: ASYNC110 - a few ms between closing its pipe and its end
            await asyncio.sleep(_POLL_SECONDS)
        self._close()
        code = self._guard.returncode
        if code < 0 and self.pid:
            # The guard itself was killed. On Linux its server went with it, elsewhere it is an orphan now.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)
        return 128 - code if code < 0 else code

    async def end(self) -> None:
        """Stop the server and wait until it and the guard are gone; its temporary directory goes with them."""
        if self._guard.stdin is None or self._guard.stdin.closed:
            return
        with suppress(BrokenPipeError):
            # A byte, not only the close: a fork of this program may still hold the pipe open.
            self._guard.stdin.write(b"q")
        self._guard.stdin.close()
        try:
            async with asyncio.timeout(GRACE_SECONDS + 2.0):
                await self.died()
        except TimeoutError:
            self._guard.kill()
            await self.died()

    def _close(self) -> None:
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                pipe.close()


def _start_guard(command: Sequence[str], directory: WorkDirectory, log: Path) -> "subprocess.Popen[bytes]":
    temp_dir = str(directory.path) if directory.temporary else ""
    try:
        directory.path.mkdir(mode=0o700, exist_ok=True)  # cleaners of /tmp may have taken it after some days
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), temp_dir, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                bufsize=0,
                cwd=directory.path,
                pass_fds=(directory.lock,),
                start_new_session=True,  # Ctrl-C in the terminal is ours to see, not the server's
            )
    except OSError as error:
        raise EmbeddedUnavailable(f"embedded Redis cannot start: {error.strerror}") from error


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
