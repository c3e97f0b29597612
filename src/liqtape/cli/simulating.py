"""The command `simulate`: the venues' protocols on loopback."""

import asyncio
import contextlib
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from liqtape.cli.ending import end_with
from liqtape.cli.options import AsJson, Scenario
from liqtape.cli.unwinding import SIGNALS
from liqtape.errors import ConfigurationError
from liqtape.sanitize import sanitize

if TYPE_CHECKING:
    from liqtape.simulator import Simulator

__all__ = ["simulate"]


def simulate(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Port 0 takes a free one.")] = "127.0.0.1:0",
    scenario: Annotated[Scenario, typer.Option(help="The market, and what goes wrong with it.")] = "calm",
    faults: Annotated[
        list[str] | None, typer.Option(metavar="FAULT", help="duplicate, cut, torn, late ...; may be given again.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed makes the same market.")] = 1,
    speed: Annotated[float, typer.Option(metavar="X", help="Compresses the scenario's timeline.")] = 1.0,
    levels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What some days of the calm market teach goes there, for `run --levels`."),
    ] = None,
    as_json: AsJson = False,
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
    signalled = asyncio.run(_serve(simulator, listen, sys.stderr if as_json else sys.stdout))
    SIGNALS.install()
    end_with("simulate", _sent(simulator), sys.stdout, as_json=as_json)
    return 128 + signalled


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise typer.BadParameter(f"{text!r} is not HOST:PORT.", param_hint="'--listen'")
    return host.removeprefix("[").removesuffix("]"), int(port)


async def _serve(simulator: "Simulator", listen: str, out: TextIO) -> int:
    """Serve until a signal; return its number."""
    from liqtape.cli.foreground import StopSignals
    from liqtape.simulator.dialects import DIALECTS

    async with contextlib.AsyncExitStack() as stack:
        stop = stack.enter_context(StopSignals().installed())
        try:
            await stack.enter_async_context(simulator)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise ConfigurationError(f"simulate: --listen {listen}: {why}; port 0 takes a free one") from error
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
