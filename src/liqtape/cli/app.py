"""The command line: options in, one call, results to standard output, everything else to standard error."""

import asyncio
import contextlib
import logging
import math
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TextIO

import msgspec
import typer

from liqtape import __version__
from liqtape.cli.alarmreplay import alert_replay
from liqtape.cli.alarmtest import alert_test
from liqtape.cli.bench import bench
from liqtape.cli.check import check
from liqtape.cli.history import history
from liqtape.cli.run import demo, record, run
from liqtape.errors import ConfigurationError, DecodeError, LiqtapeError
from liqtape.sanitize import sanitize
from liqtape.venues import VENUES, watched
from liqtape.venues.base import Venue

if TYPE_CHECKING:  # commands import what they need, so that none waits for what another needs
    from liqtape.eventfiles.replay import GridStep
    from liqtape.history.log.eventlog import EventLog

    _Player = Callable[[Iterable[GridStep]], Coroutine[Any, Any, int]]
    from liqtape.cli.foreground import StopSignals
    from liqtape.instruments import Contract
    from liqtape.simulator import Simulator
    from liqtape.sinks.redis.redissink import RedisSink

__all__ = ["app", "main"]

_PROGRESS_EVERY = 1_000
_MOST_PENDING = 200_000  # events waiting for the history
_PENDING_SECONDS = 0.01

app = typer.Typer(
    name="liqtape",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_Json = Annotated[bool, typer.Option("--json", help="End with one JSON object instead of text.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 the answer is no, 2 cannot be asked like this."""
    command = typer.main.get_command(app)
    try:
        _signals.install()
        with command.make_context("liqtape", list(sys.argv[1:] if arguments is None else arguments)) as context:
            code = command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except (typer.TyperException, LiqtapeError, OSError) as error:
        return _refused(error)
    return int(code or 0)


def _refused(error: Exception) -> int:
    """The error as one line, and its exit code."""
    code = 2
    text = f"liqtape: {error}"
    if isinstance(error, typer.TyperException):
        path = getattr(getattr(error, "ctx", None), "command_path", "liqtape")
        text = f"{path}: {error.format_message()} See {path} --help"
    elif isinstance(error, BrokenPipeError):  # the reader has what it wanted, as in `| head`
        _abandon_stdout()
        return 0
    elif isinstance(error, OSError):
        _abandon_stdout()
        code = 1 if error.filename is None else 2  # with a name: a file that cannot be opened
    elif not isinstance(error, ConfigurationError):
        code = 1
    print(sanitize(text, 4_000), file=sys.stderr)
    return code


def _abandon_stdout() -> None:
    """Or the interpreter would fail once more at its end, when it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Signals:
    """SIGINT and SIGTERM unwind what runs, so that files are closed; one the parent ignores stays ignored.

    While `held`, the first waits for `release`, so that nothing is counted as written and is not.
    """

    def __init__(self) -> None:
        self.held = False
        self._received = 0

    def install(self) -> None:
        """Catch them from now on (again: an event loop that caught them gives them back to nobody)."""
        self.held, self._received = False, 0
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._arrived)

    def release(self) -> None:
        """Hold no longer; unwinds if one came meanwhile."""
        self.held = False
        if self._received:
            raise SystemExit(128 + self._received)

    def _arrived(self, number: int, _frame: object) -> None:
        waits = self.held and not self._received
        self._received = number
        if not waits:
            raise SystemExit(128 + number)


_signals = _Signals()


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], object]]:
    """A bar on a terminal, nothing in a pipe; gives the function that moves it on."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda amount: bar.advance(task, amount)


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"liqtape {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="More log; twice: all of it.")] = 0,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Tell the version.")
    ] = False,
) -> None:
    """Liquidations of crypto derivatives venues as a live tape."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    told = logging.StreamHandler()
    told.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[told], level=level)


class _Lines(logging.Formatter):
    """Whatever a library or a traceback quotes, a line of the log stays one, and moves no cursor."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        return sanitize(super().formatMessage(record), 4_000)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the library's name
        lines = super().formatException(ei).split("\n")
        return "\n".join(line[: len(line) - len(line.lstrip(" "))] + sanitize(line, 4_000) for line in lines)


def _end(command: str, summary: dict[str, Any], as_json: bool, text: TextIO) -> None:
    """The last word of a command: one JSON object on standard output, or a line of text."""
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
    else:
        print(f"liqtape {command}: {_spoken(summary)}", file=text)


def _spoken(summary: dict[str, Any]) -> str:
    """`{"events_late": 1, "frames": {"control": 2}}` -> `events late 1, frames (control 2)`."""
    return ", ".join(
        f"{key.replace('_', ' ')} " + (f"({_spoken(value)})" if isinstance(value, dict) and value else f"{value or 0}")
        for key, value in summary.items()
    )


def _known_venue(name: str) -> str:
    if name not in VENUES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(VENUES)}.")
    return name


@app.command()
def normalize(
    venue: Annotated[str, typer.Option(callback=_known_venue, help=f"One of {', '.join(VENUES)}.")],
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="Raw frames, one a line.")] = "-",
    instruments: Annotated[
        list[Path] | None, typer.Option(help="The venue's REST answer, as downloaded; may be given again.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if any frame was undecodable.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as a JSON object (on stderr, too).")] = False,
) -> int:
    """Raw frames to liquidation events (NDJSON), repeats dropped; a summary on stderr."""
    from liqtape.eventfiles.normalize import Normalizer

    normalizer = Normalizer(VENUES[venue], _contracts(VENUES[venue], instruments or []))
    stopped: SystemExit | None = None
    with contextlib.nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as source:
        try:
            _write(sys.stdout.buffer, normalizer.lines(_watched(source)))
        except SystemExit as signalled:
            stopped = signalled
    sys.stdout.buffer.flush()
    if normalizer.forgotten_total:
        print(f"liqtape normalize: {normalizer.forgotten_total} identities forgotten, too many", file=sys.stderr)
    summary = normalizer.summary()
    print(
        msgspec.json.encode(summary).decode() if as_json else f"liqtape normalize: {_spoken(summary)}", file=sys.stderr
    )
    if stopped is not None:
        raise stopped
    return int(strict and normalizer.ledger.frames_undecodable > 0)


def _contracts(venue: Venue, files: Iterable[Path]) -> "list[Contract]":
    contracts: list[Contract] = []
    for file in files:
        try:
            contracts += venue.decode_instruments(file.read_bytes()).contracts
        except DecodeError as error:
            raise ConfigurationError(f"--instruments {file}: not the venue's list of instruments: {error}") from error
    return contracts


def _write(out: BinaryIO, lines: Iterable[bytes]) -> None:
    on_terminal = out.isatty()
    for line in lines:
        out.write(line)
        if on_terminal:
            out.flush()


def _watched(source: BinaryIO) -> Iterator[bytes]:
    """The frames of a stream, with a bar on a terminal when it is a file."""
    from liqtape.eventfiles.normalize import frames

    size = os.fstat(source.fileno()).st_size
    with _progress(size) as advance:
        passed = 0
        for count, frame in enumerate(frames(source)):
            _signals.held = True
            yield frame
            _signals.release()
            passed += len(frame) + 1
            if count % _PROGRESS_EVERY == 0:
                advance(passed)
                passed = 0


@app.command()
def replay(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A recording; an event file (Parquet, NDJSON, CSV) or a directory of them."
        ),
    ],
    speed: Annotated[str, typer.Option(metavar="X|max", help="Times real time.")] = "max",
    metrics: Annotated[Path | None, typer.Option(help="Metric rows go there: .ndjson or .parquet.")] = None,
    every: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="Seconds from one row to the next.")] = 1,
    redis: Annotated[str, typer.Option(metavar="URL|off", help="Metrics and events go there, too.")] = "off",
    history: Annotated[str, typer.Option(metavar="DIR|off", help="Events go to the history there.")] = "off",
    coverage: Annotated[
        Path | None,
        typer.Option(
            metavar="F.csv", help="When the events' feeds were up: columns start_ms, end_ms. Event files only."
        ),
    ] = None,
    as_json: _Json = False,
) -> int:
    """Past events through the same engine as live; the same input gives the same rows, byte for byte."""
    from liqtape.recording.segments import is_recording
    from liqtape.sinks.redis.redissink import RedisSink

    pace = _pace(speed)
    sink = None if redis == "off" else RedisSink(redis)
    outputs = _Outputs(metrics, sink, history)
    if is_recording(path):
        if coverage is not None:
            raise ConfigurationError(f"--coverage {coverage}: a recording says itself when its feeds were up")
        signalled, summary = _play_recording(path, every, lambda steps: _play(steps, pace, outputs))
    else:
        signalled, summary = _play_events(path, every, (metrics, coverage), lambda steps: _play(steps, pace, outputs))
    _signals.install()
    _end("replay", summary, as_json, sys.stderr)
    return signalled and 128 + signalled


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
    with _progress(playback.size) as advance:
        signalled = asyncio.run(play(_counted(playback.steps(every), rows, lambda _: advance(playback.take_read()))))
    for broken in playback.broken:
        print(f"liqtape replay: {broken}", file=sys.stderr)
    return signalled, msgspec.structs.asdict(playback.played()) | {"metric_rows": rows[0]}


def _play_events(
    path: Path, every: int, files: tuple[Path | None, Path | None], play: "_Player"
) -> tuple[int, dict[str, Any]]:
    """`files` are those of the metrics and of the coverage."""
    from liqtape.engine import VelocityEngine
    from liqtape.eventfiles.coveragefile import load_coverage
    from liqtape.eventfiles.readers import event_files, load
    from liqtape.eventfiles.replay import steps
    from liqtape.factory import rule_of
    from liqtape.settings import load_settings, settings_file

    metrics, coverage = files
    alerts = load_settings(settings_file(None), None, None, frozenset(VENUES), watched).alerts
    spans = [] if coverage is None else load_coverage(coverage)
    if metrics is not None and any(metrics.exists() and metrics.samefile(file) for file in event_files(path)):
        raise ConfigurationError(f"--metrics {metrics}: is also read from; name another file")
    table = load(path)
    rows = [0]
    taken = steps(table, every, spans, VelocityEngine(rule=rule_of(alerts, VENUES)))
    with _progress(len(table)) as advance:
        signalled = asyncio.run(play(_counted(taken, rows, advance)))
    return signalled, table.summary() | {"metric_rows": rows[0]}


def _counted(steps: "Iterable[GridStep]", rows: list[int], advance: Callable[[int], object]) -> "Iterator[GridStep]":
    for step in steps:
        rows[0] += len(step.rows)
        advance(len(step.events))
        yield step


class _Outputs(msgspec.Struct, frozen=True):
    """Where a replay goes: the metrics file, Redis, the history; None or `off` where it does not."""

    metrics: Path | None
    redis: "RedisSink | None"
    history: str


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
        log = None if outputs.history == "off" else stack.enter_context(_open_history(outputs.history))
        async for step in paced(taken, pace, sleep=lambda seconds: _sleep(stop, seconds)):
            if stop.received:
                break
            if rows is not None:
                rows.write(step.rows)
            if publish is not None:
                publish(Batch(step.rows, step.events, step.alerts))
            if log is not None:
                log.offer(step.events)
                while log.events_pending > _MOST_PENDING and not await stop.wait(_PENDING_SECONDS):
                    pass  # a replay can wait, live cannot
    return stop.received


@contextlib.contextmanager
def _open_history(directory: str) -> "Iterator[EventLog]":
    """An event log there; what it could not write is an error, for a replay can be done again."""
    from liqtape.history.log.opening import event_log
    from liqtape.settings import HistorySettings

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
        if lost := log.health().events_lost + log.events_pending:
            print(f"liqtape replay: {lost} events could not be written to {directory}", file=sys.stderr)


async def _sleep(stop: "StopSignals", seconds: float) -> None:
    if seconds:
        await stop.wait(seconds)
    else:
        await asyncio.sleep(0)  # also where nothing waits, signals and the publisher get their turn


@app.command()
def simulate(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Port 0 takes a free one.")] = "127.0.0.1:0",
    scenario: Annotated[str, typer.Option(help="calm, cascade, block or faults.")] = "calm",
    faults: Annotated[
        list[str] | None, typer.Option(help="duplicate, cut, torn, late ...; may be given again.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same market.")] = 1,
    speed: Annotated[float, typer.Option(metavar="X", help="Compresses the scenario's timeline.")] = 1.0,
    levels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What some days of the calm market teach goes there, for `run --levels`."),
    ] = None,
    as_json: _Json = False,
) -> int:
    """Serve the venues' wire protocols on loopback until interrupted; ends with what was sent."""
    from liqtape.simulator import Simulator

    host, port = _address(listen)
    try:
        simulator = Simulator(scenario, seed, speed, host=host, port=port, faults=faults or ())
    except ValueError as error:
        raise ConfigurationError(f"simulate: {error}") from error
    if levels is not None:
        from liqtape.cli.warmstart import warm_start, write_warm_start

        write_warm_start(levels)
        if not as_json:
            print(f"{warm_start()}: liqtape run --levels {sanitize(str(levels))}", file=sys.stderr)
    signalled = asyncio.run(_serve(simulator, sys.stderr if as_json else sys.stdout))
    _signals.install()
    _end("simulate", _sent(simulator), as_json, sys.stdout)
    return 128 + signalled


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise typer.BadParameter(f"{text!r} is not HOST:PORT.", param_hint="'--listen'")
    return host.removeprefix("[").removesuffix("]"), int(port)


async def _serve(simulator: "Simulator", out: TextIO) -> int:
    """Serve until a signal; returns its number."""
    from liqtape.cli.foreground import StopSignals
    from liqtape.simulator.dialects import DIALECTS

    with StopSignals().installed() as stop:
        async with simulator:
            for venue in DIALECTS:
                print(venue, simulator.ws_url(venue), simulator.rest_url(venue), file=out)
            out.flush()
            await stop.wait()
        return stop.received


def _sent(simulator: "Simulator") -> dict[str, Any]:
    """The simulator's own ledger, summed over the connections of each venue."""
    ledger = simulator.ledger
    sent: dict[str, Counter[str]] = {}
    for tally in ledger.connections:
        sent.setdefault(tally.venue, Counter()).update(
            connections=1,
            frames=tally.frames,
            frames_liquidation=tally.liquidation,
            frames_other_topic=tally.other_topic,
            frames_control=tally.control,
            frames_garbage=tally.garbage,
            liquidations=tally.liquidations,
            copies=tally.copies,
        )
    return {
        venue: dict(counts) | {"distinct_liquidations": len(ledger.distinct(venue))} for venue, counts in sent.items()
    }


app.command()(run)
app.command()(record)
app.command()(demo)
app.command()(check)
app.command()(bench)
app.command()(history)
app.command()(alert_test)
app.command()(alert_replay)
