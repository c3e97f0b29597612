"""The command `score`: a log of forecasts against what came."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from liqtape.cli.options import AsJson

__all__ = ["score"]


def score(
    log: Annotated[
        Path, typer.Argument(metavar="LOG", help="The directory of a log of forecasts, or one of its files.")
    ],
    as_json: AsJson = False,
) -> int:
    """Judge forecasts that were written before their outcomes; exit 1 where no outcome is known yet."""
    from liqtape.backtest.logscore import score_lines, score_log

    scored = score_log(log)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(scored) + b"\n")
    else:
        print("\n".join(score_lines(scored)))
    if not scored.judged:
        print("liqtape score: no forecast there whose outcome is known", file=sys.stderr)
    return int(not scored.judged)
