import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

_STARTS_AND_WAITS = """
import asyncio, pathlib, sys
from chaos.servers import Redis

async def main():
    server = Redis(pathlib.Path(sys.argv[1]))
    await server.start()
    print(server._process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means")
async def test_a_server_ends_with_the_run_that_is_killed(tmp_path: Path) -> None:
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _STARTS_AND_WAITS, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert run.stdout is not None
    server = int(await run.stdout.readline())
    os.kill(run.pid, signal.SIGKILL)
    await run.wait()

    async with asyncio.timeout(10):
        while _lives(server):  # noqa: ASYNC110 - it is nobody's child any more
            await asyncio.sleep(0.01)


def _lives(process: int) -> bool:
    """Whether it does anything still; one that waits to be reaped does not."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
