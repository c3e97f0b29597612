"""The command `normalize`: raw frames in, liquidations out."""

import contextlib
import os
import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import msgspec
import typer

from liqtape.cli.ending import in_a_line, progress
from liqtape.cli.options import known_venue
from liqtape.cli.unwinding import SIGNALS
from liqtape.errors import ConfigurationError, DecodeError
from liqtape.venues import VENUES
from liqtape.venues.base import Venue

if TYPE_CHECKING:
    from liqtape.instruments import Contract

__all__ = ["normalize"]

_PROGRESS_EVERY = 1_000


def normalize(
    venue: Annotated[str, typer.Option(metavar="VENUE", callback=known_venue, help=f"One of {', '.join(VENUES)}.")],
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="Raw frames, one a line.")] = "-",
    instruments: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="The venue's REST answer, as downloaded; may be given again."),
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
        msgspec.json.encode(summary).decode() if as_json else f"liqtape normalize: {in_a_line(summary)}",
        file=sys.stderr,
    )
    if stopped is not None:
        raise stopped
    return int(strict and normalizer.ledger.frames_undecodable > 0)


def _contracts(venue: Venue, files: Iterable[Path]) -> "list[Contract]":
    contracts: list[Contract] = []
    for file in files:
        try:
            contracts += venue.decode_instruments(file.read_bytes().removeprefix(BOM_UTF8)).contracts
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
    with progress(size) as advance:
        passed = 0
        for count, frame in enumerate(frames(source)):
            SIGNALS.held = True
            yield frame
            SIGNALS.release()
            passed += len(frame) + 1
            if count % _PROGRESS_EVERY == 0:
                advance(passed)
                passed = 0
