"""The command `replay`: past events through the engine of live."""

import asyncio
import contextlib
import math
import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from liqtape.cli.ending import end_with, progress
from liqtape.cli.options import AsJson
from liqtape.cli.unwinding import SIGNALS
from liqtape.errors import ConfigurationError, DecodeError
from liqtape.venues import VENUES, watched

if TYPE_CHECKING:  # commands import what they need, so that none waits for what another needs
    from liqtape.cli.foreground import StopSignals
    from liqtape.eventfiles.replay import GridStep
    from liqtape.history.log.eventlog import EventLog
    from liqtape.instruments import Contract
    from liqtape.sinks.redis.redissink import RedisSink

    _Player = Callable[[Iterable[GridStep]], Coroutine[Any, Any, int]]

__all__ = ["replay"]

_MOST_PENDING = 200_000  # events waiting for the history
_PENDING_SECONDS = 0.01


def replay(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A recording; an event file (Parquet, NDJSON, CSV) or a directory of them."
        ),
    ],
    speed: Annotated[
        str | None, typer.Option(metavar="X|max", help="Times real time. Default: max, with --listen 1.")
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Metric rows go there: .ndjson or .parquet.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="Seconds from one row to the next.")] = 1,
    redis: Annotated[str, typer.Option(metavar="URL|off", help="Metrics and events go there, too.")] = "off",
    history: Annotated[str, typer.Option(metavar="DIR|off", help="Events go to the history there.")] = "off",
    coverage: Annotated[
        Path | None,
        typer.Option(
            metavar="F.csv", help="When the events' feeds were up: columns start_ms, end_ms. Event files only."
        ),
    ] = None,
    instruments: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A venue's REST answer, for the sizes in event files; may be given again."),
    ] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Play it on the page there, until interrupted.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Past events through the same engine as live; the same input gives the same rows, byte for byte."""
    from liqtape.recording.segments import is_recording
    from liqtape.sinks.redis.redissink import RedisSink

    listed = [contract for file in instruments or () for contract in _contracts(file)]
    if listen is not None:
        from liqtape.cli.replaypage import replay_on_page

        if any(output not in {None, "off"} for output in (metrics, redis, history)):
            raise ConfigurationError(
                "--listen: what is paused and sent back goes nowhere else; leave out --metrics, --redis, --history"
            )
        return replay_on_page(path, _pace(speed or "1"), coverage, listed, listen)
    pace = _pace(speed or "max")
    sink = None if redis == "off" else RedisSink(redis)
    outputs = _Outputs(metrics, sink, history)
    if is_recording(path):
        if coverage is not None:
            raise ConfigurationError(f"--coverage {coverage}: a recording says itself when its feeds were up")
        if instruments:
            raise ConfigurationError(f"--instruments {instruments[0]}: a recording has the sizes that it was made with")
        signalled, summary = _play_recording(path, every, lambda steps: _play(steps, pace, outputs))
    else:
        files = _EventFiles(path, metrics, coverage, listed)
        signalled, summary = _play_events(files, every, lambda steps: _play(steps, pace, outputs))
    SIGNALS.install()
    end_with("replay", summary, sys.stderr, as_json=as_json)
    if signalled:
        return 128 + signalled
    return int(outputs.lost > 0 or _nothing_came(summary))


def _pace(speed: str) -> float | None:
    try:
        pace = None if speed == "max" else float(speed)
    except ValueError:
        pace = math.nan
    if pace is not None and not 0 < pace < math.inf:
        raise typer.BadParameter(f"{speed!r} is neither max nor a number above 0.", param_hint="'--speed'")
    return pace


def _play_recording(path: Path, every: int, play: "_Player") -> tuple[int, dict[str, Any]]:
    from liqtape.recording.playback import Playback

    playback = Playback(path)
    rows = [0]
    with progress(playback.size) as advance:
        signalled = asyncio.run(play(_counted(playback.steps(every), rows, lambda _: advance(playback.take_read()))))
    for broken in playback.broken:
        print(f"liqtape replay: {broken}", file=sys.stderr)
    return signalled, msgspec.structs.asdict(playback.played()) | {"metric_rows": rows[0]}


class _EventFiles(msgspec.Struct, frozen=True):
    """What is read beside the options, and the file of metrics, which must be none of it."""

    path: Path
    metrics: Path | None
    coverage: Path | None
    contracts: "list[Contract]"


def _contracts(file: Path) -> "list[Contract]":
    """What a venue's list has, of whichever venue it is."""
    payload = file.read_bytes().removeprefix(BOM_UTF8)
    for venue in VENUES.values():
        with contextlib.suppress(DecodeError):
            if contracts := list(venue.decode_instruments(payload).contracts):
                return contracts
    raise ConfigurationError(f"--instruments {file}: no list of instruments as {', '.join(VENUES)} give it")


def _play_events(files: _EventFiles, every: int, play: "_Player") -> tuple[int, dict[str, Any]]:
    from liqtape.engine import VelocityEngine
    from liqtape.eventfiles.coveragefile import load_coverage
    from liqtape.eventfiles.readers import event_files, load
    from liqtape.eventfiles.replay import steps
    from liqtape.runscope import rule_of
    from liqtape.settings import load_settings, settings_file

    path, metrics, coverage = files.path, files.metrics, files.coverage
    alerts = load_settings(settings_file(None), None, None, frozenset(VENUES), watched).alerts
    spans = [] if coverage is None else load_coverage(coverage)
    if metrics is not None and any(metrics.exists() and metrics.samefile(file) for file in event_files(path)):
        raise ConfigurationError(f"--metrics {metrics}: is also read from; name another file")
    table = load(path, files.contracts)
    rows = [0]
    taken = steps(table, every, spans, VelocityEngine(rule=rule_of(alerts, VENUES)))
    with progress(len(table)) as advance:
        signalled = asyncio.run(play(_counted(taken, rows, advance)))
    return signalled, table.summary() | {"metric_rows": rows[0]}


def _counted(steps: "Iterable[GridStep]", rows: list[int], advance: Callable[[int], object]) -> "Iterator[GridStep]":
    for step in steps:
        rows[0] += len(step.rows)
        advance(len(step.events))
        yield step


class _Outputs:
    """Where a replay goes: the metrics file, Redis, the history; None or `off` where it does not.

    `lost` counts events that could not be written there.
    """

    def __init__(self, metrics: Path | None, redis: "RedisSink | None", history: str) -> None:
        self.metrics, self.redis, self.history = metrics, redis, history
        self.lost = 0


def _nothing_came(summary: Mapping[str, Any]) -> bool:
    """Whether there was something, and none of it became an event."""
    ledger = summary.get("ledger")
    if ledger is None:
        return bool(summary["rows"] and not summary["events"])
    broken = ledger["frames_received"] and ledger["frames_undecodable"] == ledger["frames_received"]
    rejected = sum(count for name, count in ledger.items() if name.startswith("events_rejected"))
    return bool(broken or (rejected and rejected == ledger["events_decoded"]))


async def _play(taken: "Iterable[GridStep]", pace: float | None, outputs: _Outputs) -> int:
    """The steps to the metrics file, to Redis and to the history; the signal that ended it early, or 0."""
    from liqtape.cli.foreground import StopSignals
    from liqtape.eventfiles.replay import paced
    from liqtape.eventfiles.rowfile import open_rows
    from liqtape.sinks.newest import publishing_newest
    from liqtape.sinks.sink import Batch

    metrics, sink = outputs.metrics, outputs.redis
    async with contextlib.AsyncExitStack() as stack:
        stop = stack.enter_context(StopSignals().installed())
        rows = None if metrics is None else stack.enter_context(open_rows(metrics))
        publish = None if sink is None else await stack.enter_async_context(publishing_newest(sink))
        log = None if outputs.history == "off" else stack.enter_context(_open_history(outputs))
        async for step in paced(taken, pace, sleep=lambda seconds: _sleep(stop, seconds)):
            if stop.received:
                break
            if rows is not None:
                rows.write(step.rows)
            if publish is not None:
                publish(Batch(step.rows, step.events, step.alerts, cascades=step.cascades))
            if log is not None:
                log.offer(step.events)
                while log.events_pending > _MOST_PENDING and not await stop.wait(_PENDING_SECONDS):
                    pass  # a replay can wait, live cannot
    return stop.received


@contextlib.contextmanager
def _open_history(outputs: _Outputs) -> "Iterator[EventLog]":
    """An event log there; what it could not write is an error, for a replay can be done again."""
    from liqtape.history.log.opening import event_log
    from liqtape.settings import HistorySettings

    directory = outputs.history
    if "://" in directory:
        raise ConfigurationError(f"--history {directory}: a replay writes into a directory")
    log = event_log(HistorySettings(url=directory), None)
    if log is None:
        raise ConfigurationError(f"--history {directory!r}: name a directory")
    log.start()
    try:
        yield log
    finally:
        log.stop()
        outputs.lost = log.health().events_lost + log.events_pending
        if outputs.lost:
            print(f"liqtape replay: {outputs.lost:,} events could not be written to {directory}", file=sys.stderr)


async def _sleep(stop: "StopSignals", seconds: float) -> None:
    if seconds:
        await stop.wait(seconds)
    else:
        await asyncio.sleep(0)  # also where nothing waits, signals and the publisher get their turn
