"""The command `train`: a model of cascades from the user's own past, with its card."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from liqtape.cli.ending import end_with, progress
from liqtape.cli.options import AsJson
from liqtape.errors import ConfigurationError, MissingExtra

if TYPE_CHECKING:  # commands import what they need, so that none waits for what another needs
    from liqtape.backtest.pastsources import SourceRead
    from liqtape.events import Liquidation
    from liqtape.forecast.model import CascadeModel, ModelScore

__all__ = ["train"]

_PARTS = 1_000


def train(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="A recording, the directory of a history, an event file or several."),
    ],
    out: Annotated[Path, typer.Option(metavar="MODEL", help="The model goes there, one JSON file.")],
    venue: Annotated[
        list[str] | None, typer.Option(metavar="V", help="Only what this venue printed; may be given again.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(metavar="S", help="Only this instrument; else the market.")] = None,
    coverage: Annotated[
        Path | None,
        typer.Option(
            metavar="F.csv", help="When the events' feeds were up: columns start_ms, end_ms. Event files only."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Fixes what is left to chance.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="Without the challenger: takes half the time.")] = False,
    as_json: AsJson = False,
) -> int:
    """Fit the cascade model to past events, examine it on days it had not seen, and write it with its card."""
    if find_spec("sklearn") is None or find_spec("numpy") is None:
        raise MissingExtra("train", "ml")
    if not out.parent.is_dir():  # rather now than after minutes
        raise ConfigurationError(f"--out {out}: there is no directory {out.parent}")
    from liqtape.backtest.pastsources import read_source
    from liqtape.forecast.model import model_bytes
    from liqtape.training.modeltraining import TrainedOn
    from liqtape.training.modeltraining import train as trained
    from liqtape.training.pastmarks import past_stream

    source = read_source(path, coverage)
    events = _chosen(source, venue or [], symbol)
    on = TrainedOn(tuple(sorted({event.venue for event in events})), symbol or "", seed)
    done = [0]
    with progress(_PARTS) as advance:

        def tell(part: float) -> None:
            advance(round(_PARTS * part) - done[0])
            done[0] = round(_PARTS * part)

        model = trained(past_stream(events, source.spans), on, tell, with_boosting=not quick)
    try:
        out.write_bytes(model_bytes(model))
    except OSError as error:
        raise ConfigurationError(f"--out {out}: cannot be written: {error.strerror}") from error
    end_with("train", _summary(model, out, is_whole=as_json), sys.stdout, as_json=as_json)
    return int(all(target.verdict for target in model.targets))


def _chosen(source: "SourceRead", venues: Sequence[str], symbol: str | None) -> "list[Liquidation]":
    """Return the events asked for, in order; raises ConfigurationError where there are none, naming what there is."""
    table = source.table
    there = table.venues()
    if unknown := sorted(set(venues) - set(there)):
        raise ConfigurationError(f"--venue {unknown[0]}: not there; there are {', '.join(there) or 'no events'}")
    events = [table.event(place) for place in table.in_order()]
    names = sorted({event.instrument for event in events})
    if symbol is not None and symbol not in names:
        more = " ..." if len(names) > 12 else ""
        raise ConfigurationError(f"--symbol {symbol}: not there; there are {', '.join(names[:12])}{more}")
    return [
        event
        for event in events
        if (not venues or event.venue in venues) and (symbol is None or event.instrument == symbol)
    ]


def _summary(model: "CascadeModel", out: Path, *, is_whole: bool) -> dict[str, Any]:
    """Return what the model learned from, and how each model did on the days it had not seen."""
    if is_whole:
        return {"model": str(out), "identity": model.identity(), "card": msgspec.to_builtins(model)}
    summary: dict[str, Any] = {
        "model": f"{out}: {model.identity()}",
        "learned_from": f"{model.events:,} liquidations on {model.days} days; {', '.join(model.venues)}"
        f"{f', {model.instrument}' if model.instrument else ''}",
    }
    for own in model.targets:
        name = f"{own.target.count} in {own.target.seconds} s"
        summary[name] = f"not shown: {own.verdict}" if own.verdict else f"shown: {own.kind}"
        scores = [score for score in model.scores if score.target == own.target]
        summary |= {f"{name} {score.model}": _said(score) for score in scores}
    return summary


def _said(score: "ModelScore") -> str:
    skill, precision = _figure(score.brier_skill), _figure(score.average_precision)
    gain = f"{_figure(score.gain)} +- {_figure(score.gain_se)}"
    return (
        f"Brier skill {skill}, average precision {precision}, {gain} nats a target, "
        f"of {score.targets} targets on {score.days} days"
    )


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
