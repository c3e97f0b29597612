"""`replay --listen`: an event file or a recording on the page, with speed, pause and seek."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from liqtape.cli.foreground import StopSignals
from liqtape.engine import VelocityEngine
from liqtape.errors import ConfigurationError
from liqtape.eventfiles.coveragefile import load_coverage
from liqtape.eventfiles.eventtable import EventTable
from liqtape.eventfiles.filerun import FileRun
from liqtape.eventfiles.readers import load
from liqtape.instruments import Contract
from liqtape.recording.chunks import Group
from liqtape.recording.recordedrun import RecordedRun
from liqtape.recording.segments import is_recording, read_recording, segment_files
from liqtape.runscope import rule_of
from liqtape.sanitize import sanitize
from liqtape.settings import Settings, WebSettings, load_settings, settings_file
from liqtape.venues import VENUES, watched
from liqtape.web.replaysource import ReplaySource
from liqtape.web.webserver import serving

if TYPE_CHECKING:
    from liqtape.web.replaysource import PastRun

__all__ = ["replay_on_page"]

_AFTER_MS = 300_000  # until the last event has left all windows


def replay_on_page(
    path: Path, speed: float | None, coverage: Path | None, contracts: Sequence[Contract], listen: str
) -> int:
    """Serve a past until a signal; returns its exit code."""
    settings = load_settings(settings_file(None), None, {"web": {"listen": listen}}, frozenset(VENUES), watched)
    if is_recording(path):
        if coverage is not None:
            raise ConfigurationError(f"--coverage {coverage}: a recording says itself when its feeds were up")
        if contracts:
            raise ConfigurationError("--instruments: a recording has the sizes that it was made with")
        begin, span = _recording(path)
    else:
        begin, span = _file(load(path, contracts), path, coverage, settings)
    return 128 + asyncio.run(_serve(ReplaySource(path.name, span, begin, speed), settings.web))


def _file(
    table: EventTable, path: Path, coverage: Path | None, settings: Settings
) -> "tuple[Callable[[int], PastRun], tuple[int, int]]":
    """What begins the events of a file, and their span."""
    if not len(table):
        raise ConfigurationError(f"{path}: no liquidation can be read from it; name another file")
    spans: Sequence[tuple[int, int]] = () if coverage is None else load_coverage(coverage)

    def begin(target_ms: int) -> "PastRun":
        engine = VelocityEngine(rule=rule_of(settings.alerts, VENUES))
        return FileRun(table, engine, spans, target_ms, settings.cascades)

    span = begin(0).now_ms, -(-max(table.times_ms) // 1000) * 1000 + _AFTER_MS
    return begin, span


def _recording(path: Path) -> "tuple[Callable[[int], PastRun], tuple[int, int]]":
    """What begins a recording, and its span."""
    first, last = RecordedRun(path), 0
    for part in read_recording(segment_files(path)[-1], []):
        if isinstance(part, Group):
            last = max(last, part.receive_ns // 1_000_000)
    if last <= first.now_ms:
        raise ConfigurationError(f"{path}: no frame can be read from it; name another recording")
    return (lambda _target_ms: RecordedRun(path)), (first.now_ms, last + 1_000)


async def _serve(source: ReplaySource, web: WebSettings) -> int:
    address = web.address()
    if address is None:
        raise ConfigurationError("--listen off: there is nothing else to see; name HOST:PORT, or leave out --listen")
    with StopSignals().installed() as stop:
        async with serving(source, address, token=web.secret(), hosts=web.hosts) as server:
            playing = asyncio.create_task(source.run(), name="replay")
            sys.stdout.write(f"replay of {sanitize(source.replay.name)} on {server.url}\n")
            sys.stdout.flush()
            try:
                await stop.wait()
            finally:
                playing.cancel()
        return stop.received
