"""The command `watch`: a running instance in a terminal."""

import asyncio
import sys
from typing import Annotated

import typer

from liqtape.errors import ConfigurationError, MissingExtra
from liqtape.settings import load_settings, settings_file
from liqtape.venues import VENUES, watched

__all__ = ["watch"]

_LOCAL = "http://127.0.0.1:8787"


def watch(
    url: Annotated[str, typer.Argument(metavar="[URL]", help="Of the page of `run`, `demo` or `replay`.")] = _LOCAL,
) -> int:
    """Show a running instance in a terminal: the sentence, instruments, tape, level changes, venues."""
    try:
        from liqtape.tui.watchapp import WatchApp
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        raise MissingExtra("watch", "tui") from error
    from liqtape.tui.apistream import ApiStream
    from liqtape.tui.fullscreen import can_draw

    token = load_settings(settings_file(None), None, {}, frozenset(VENUES), watched).web.secret()
    stream = ApiStream(url, token)
    if not (can_draw(sys.stdout) and sys.stdin.isatty()):
        raise ConfigurationError(f"watch: draws on a terminal; in a pipe: curl -sN {stream.url}/api/v1/stream")

    async def look() -> int:
        async with stream:
            await stream.now()
            return await WatchApp(stream).run_async() or 0

    return asyncio.run(look())
