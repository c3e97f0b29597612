"""The commands that run the service in the foreground: `run` and `demo`."""

import asyncio
import gc
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import msgspec
import typer
from msgspec.structs import replace

from liqtape.cli.logs import quiet_until
from liqtape.cli.options import AsJson, Scenario
from liqtape.cli.serving import listen_option, page_beside
from liqtape.errors import ConfigurationError
from liqtape.history.log.directories import data_directory
from liqtape.sanitize import sanitize
from liqtape.settings import COMMAND_DEFAULTS, Settings, load_settings, settings_file
from liqtape.venues import VENUES, watched

if TYPE_CHECKING:  # the service is imported by the commands that run it
    from liqtape.cli.demo import DemoSummary
    from liqtape.cli.foreground import StopSignals
    from liqtape.events import Level
    from liqtape.recording.recorder import Recording
    from liqtape.tracker import Tracker

__all__ = ["demo", "record", "run"]

_Config = Annotated[Path | None, typer.Option(metavar="FILE", help="A liqtape.toml; default: the one here, if any.")]
_Venues = Annotated[
    list[str] | None,
    typer.Option(metavar="VENUE", help=f"{', '.join(VENUES)}; repeatable. Default: those enabled."),
]
_Symbols = Annotated[
    list[str] | None,
    typer.Option(metavar="SYMBOL", help="BTCUSDT, a venue's spelling, BTC/USDT:USDT, or a coin; may be given again."),
]

_Listen = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT|off", help="Page and API; default: 127.0.0.1:8787 or the next free port."),
]

_END_SECONDS = 4.5  # after a signal; a tracker takes four at most


def run(
    config: _Config = None,
    venue: _Venues = None,
    symbol: _Symbols = None,
    redis: Annotated[str | None, typer.Option(metavar="URL|embedded|off", help="Default: embedded.")] = None,
    record: Annotated[Path | None, typer.Option(metavar="DIR", help="Raw frames go there, for `replay`.")] = None,
    history: Annotated[
        str | None,
        typer.Option(metavar="DIR|postgresql://..|off", help="Default: the user's data directory."),
    ] = None,
    listen: _Listen = None,
    levels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of `simulate --levels`: what levels know where the history has nothing."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="NDJSON of rows, alerts and states.")] = False,
) -> int:
    """Track liquidations live: feeds, metrics, every sink; until interrupted."""
    options = _options(venue, symbol, redis, history) | listen_option(listen)
    file = settings_file(config)
    settings = _with_instruments(_settings(file, options))
    if settings.history.url is None:
        settings = replace(settings, history=replace(settings.history, url=str(data_directory() / "history")))
    from liqtape.cli.foreground import StopSignals

    os.umask(0o077)  # what it writes is its user's alone
    # Around the loop: it waits for its threads at the end, and one of them may hang in a dead disk.
    with StopSignals(_END_SECONDS).installed() as stop:
        asyncio.run(_run(settings, stop, record, levels, as_json, _named(file)))
    return 128 + stop.received


def record(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The recording; one that is there goes on.")],
    config: _Config = None,
    venue: _Venues = None,
    symbol: _Symbols = None,
    seconds: Annotated[float, typer.Option(metavar="N", min=0, help="0 records until interrupted.")] = 0.0,
    as_json: AsJson = False,
) -> int:
    """Raw frames of the venues to a recording, for `replay`; ends with what was written."""
    settings = _with_instruments(_settings(settings_file(config), _options(venue, symbol, "off", "off")))
    from liqtape.cli.foreground import StopSignals

    os.umask(0o077)  # as in `run`
    with StopSignals(_END_SECONDS).installed() as stop:
        recording = asyncio.run(_record(settings, out, seconds, stop, sys.stderr if as_json else sys.stdout))
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(recording) + b"\n")
    else:
        share = f", {recording.written / recording.bytes:.0%} of their bytes" if recording.bytes else ""
        counts = f"{recording.frames:,} frames in {recording.segments} segments{share}"
        sys.stdout.write(f"recorded in {out}: {counts}, {recording.dropped_frames:,} dropped\n")
    if stop.received:
        return 128 + stop.received
    if not recording.frames:
        print("liqtape record: no venue sent anything; `liqtape check` says why", file=sys.stderr)
    return 1 if recording.dropped_frames or recording.errors or not recording.frames else 0


def _named(file: Path | None) -> list[str]:
    """The first line: which file the settings are of, when there is one."""
    return [] if file is None else [f"Settings: {file.absolute()}"]


def _settings(file: Path | None, options: dict[str, Any]) -> Settings:
    settings = load_settings(file, None, options, frozenset(VENUES), watched, COMMAND_DEFAULTS)
    if not any(own.enabled for own in settings.venues.values()):
        raise ConfigurationError(f"no venue is enabled; known: {', '.join(VENUES)}")
    return settings


def _with_instruments(settings: Settings) -> Settings:
    """The settings with instruments for symbols; what could not be looked up is told in red."""
    from liqtape.cli.asked import resolved

    settings, doubts = resolved(settings)
    red, plain = ("\x1b[31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    for doubt in doubts:
        print(f"{red}liqtape: {sanitize(doubt, 1_000)}{plain}", file=sys.stderr)
    return settings


def _options(
    venue: Sequence[str] | None, symbol: Sequence[str] | None, redis: str | None, history: str | None
) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if venue:
        for name in venue:
            if name not in VENUES:
                raise typer.BadParameter(f"{name!r} is not one of {', '.join(VENUES)}.", param_hint="'--venue'")
        options["venues"] = {name: {"enabled": name in venue} for name in VENUES}
    if symbol:
        options["symbols"] = list(symbol)
    if redis:
        options["redis"] = {"url": redis}
    if history is not None:
        options["history"] = {"url": history}
    return options


async def _run(
    settings: Settings, stop: "StopSignals", record: Path | None, levels: Path | None, as_json: bool, notes: list[str]
) -> None:
    from liqtape.cli.foreground import watch
    from liqtape.cli.systemd import notified
    from liqtape.recording.recorder import Recorder
    from liqtape.tracker import Tracker

    learned = None
    if levels is not None:
        from liqtape.cli.warmstart import warm_start

        learned = warm_start(levels)
    recorder = None if record is None else Recorder(record)
    tracker = Tracker(settings, data_dir=data_directory(), recorder=recorder)
    page_is_served = page_beside(tracker, settings.web, settings.history)
    spare_the_collector()
    async with page_is_served as page, _quiet_feeds(tracker), tracker, notified(lambda: tracker.pulses):
        if learned is not None:
            tracker.begin_with(learned.states, str(learned), learned.messages)
        if as_json:
            from liqtape.cli.jsonlines import tell

            sys.stderr.write("\n".join([*notes, *page]) + "\n")
            await tell(tracker, stop, sys.stdout)
        else:
            await watch(tracker, stop, None, [*notes, *page], sys.stdout)


def spare_the_collector() -> None:
    """Leave what is there for good, as code is, out of each full collection: it kept the loop for 70 ms."""
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def _quiet_feeds(tracker: "Tracker") -> AsyncIterator[None]:
    """Say of a venue that cannot be reached what its state says, once."""

    def has_data(venue: str) -> bool:
        connections = (one for feed in tracker.feeds if feed.venue.name == venue for one in feed.connections)
        return any(one.last_data_age is not None for one in connections)

    with quiet_until(has_data):
        yield


async def _record(settings: Settings, to: Path, seconds: float, stop: "StopSignals", out: TextIO) -> "Recording":
    """What was written."""
    from liqtape.cli.foreground import watch
    from liqtape.recording.recorder import Recorder
    from liqtape.tracker import Tracker

    recorder = Recorder(to)
    tracker = Tracker(settings, recorder=recorder)
    async with _quiet_feeds(tracker), tracker:
        await watch(tracker, stop, seconds or None, [f"recording to {to}"], out, "record")
    return recorder.summary()


def demo(
    scenario: Annotated[Scenario, typer.Option(help="The market, and what goes wrong with it.")] = "cascade",
    seconds: Annotated[float, typer.Option(metavar="N", min=0, help="0 runs until interrupted.")] = 60.0,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed makes the same market.")] = 1,
    speed: Annotated[float, typer.Option(metavar="X", help="Compresses the scenario's timeline.")] = 1.0,
    listen: _Listen = None,
    as_json: AsJson = False,
) -> int:
    """The same system against the built-in venues: no network, nothing kept; checks itself at the end."""
    from liqtape.cli.demo import demo as run_demo

    try:
        summary, signalled = asyncio.run(
            run_demo(scenario, seconds, seed, speed, sys.stderr if as_json else sys.stdout, listen)
        )
    except ValueError as error:
        raise ConfigurationError(f"demo: {error}") from error
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
    else:
        sys.stdout.write("\n".join(_spoken(summary)) + "\n")
    if signalled:
        return 128 + signalled
    return 1 if summary.differences else 0


def _spoken(summary: "DemoSummary") -> list[str]:
    ledger = summary.ledger
    sent = ", ".join(f"{venue} {count:,}" for venue, count in summary.venues.items())
    rejected = sum(count for name, count in ledger.items() if name.startswith("events_rejected"))
    frames = ", ".join(
        f"{ledger[f'frames_{kind}']:,} {kind.replace('_', ' ')}"
        for kind in ("liquidation", "other_topic", "control", "undecodable")
    )
    facts = {
        "sent by the simulator": f"{summary.sent_events:,} liquidations, {summary.sent_distinct:,} distinct ({sent})",
        "accepted here": f"{ledger['events_accepted']:,}",
        "repeats dropped": f"{ledger['events_duplicate']:,}",
        "rejected, waiting": f"{rejected:,}, {ledger['events_pending']:,}",
        "frames received": f"{ledger['frames_received']:,} ({frames})",
        "in the history": f"{ledger['events_logged']:,}, {ledger['events_log_pending']:,} waiting",
        "ledger": "balanced" if summary.balanced else "NOT BALANCED",
        "metrics recounted": f"{summary.metrics_checked:,} rows of {summary.instruments} symbols",
        "level changes": f"{summary.alerts:,}",
        "highest levels": _levels(summary.levels),
        "messages": f"{len(summary.messages):,}",
        "differences": f"{len(summary.differences):,}",
    }
    return [
        f"demo: scenario {summary.scenario}, seed {summary.seed}, {summary.seconds:g} s",
        *(f"  {name:<22} {text}" for name, text in facts.items()),
        *(f"    {difference}" for difference in summary.differences[:20]),
        *(f"    message: {message}" for message in summary.messages),
    ]


def _levels(highest: "dict[str, Level]") -> str:
    from liqtape.engine.velocity import MARKET

    market = highest.get(MARKET, "NONE")
    counts = Counter(level for instrument, level in highest.items() if instrument != MARKET)
    found = [f"{counts[level]} {level}" for level in ("EXTREME", "CRITICAL", "ALERT", "WATCH") if counts[level]]
    return f"the market {market}; instruments: {', '.join(found) or 'NONE'}"
