"""`python -m chaos`: seeded scenarios in which nothing may be lost, doubled or hidden; also `fuzz` and `soak`."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from chaos.fuzz import fuzz, report
from chaos.many import run_all, table
from chaos.plan import plan
from chaos.scenario import Scenario
from chaos.soak import soak


def _fuzz(inputs: int, seed: int, only: str) -> int:
    with tempfile.TemporaryDirectory(prefix="liqtape-fuzz-") as directory:
        outcomes = fuzz(inputs, seed, Path(directory), only)
    print(report(outcomes))
    return 1 if any(outcome.failures for outcome in outcomes.values()) else 0


def main() -> None:
    """Run what was asked for; exit code 1 when something was lost, doubled, hidden, or failed."""
    options = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    options.add_argument("--seed", type=int, help="this one alone, with its plan")
    options.add_argument("--scenarios", type=int, default=200, metavar="N")
    options.add_argument("--first", type=int, default=1, metavar="SEED")
    options.add_argument("--workers", type=int, default=4, metavar="N", help="scenarios at a time (default 4)")
    options.add_argument("--json", action="store_true", help="the verdict of --seed as JSON")
    others = options.add_subparsers(dest="other", metavar="")
    fuzzing = others.add_parser("fuzz", help="bytes nobody should send into everything that reads")
    fuzzing.add_argument("--inputs", type=int, default=1_000_000, metavar="N")
    fuzzing.add_argument("--from", type=int, default=1, metavar="SEED", dest="origin")
    fuzzing.add_argument("--only", default="", metavar="NAME")
    soaking = others.add_parser("soak", help="a cascade without end, at speed, through the whole service")
    soaking.add_argument("--minutes", type=float, default=60.0, metavar="N")
    chosen = options.parse_args()
    if chosen.other == "fuzz":
        sys.exit(_fuzz(chosen.inputs, chosen.origin, chosen.only))
    if chosen.other == "soak":
        sys.exit(asyncio.run(soak(chosen.minutes * 60.0)))
    began = time.monotonic()
    if chosen.seed is None:
        seeds = range(chosen.first, chosen.first + chosen.scenarios)
        verdicts = asyncio.run(run_all(seeds, chosen.workers))
    else:
        if not chosen.json:
            print(msgspec.json.format(msgspec.json.encode(plan(chosen.seed))).decode())
        scenario = Scenario(plan(chosen.seed))
        verdicts = [asyncio.run(scenario.run())]
        if not (verdicts[0].is_good or chosen.json):
            print(scenario.log, file=sys.stderr)
    if chosen.json:
        sys.stdout.buffer.write(msgspec.json.encode(verdicts[0]))
    else:
        print(table(verdicts, time.monotonic() - began))
    sys.exit(0 if all(verdict.is_good for verdict in verdicts) else 1)


if __name__ == "__main__":
    main()
