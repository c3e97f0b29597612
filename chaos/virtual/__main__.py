"""`python -m chaos.virtual`: the service in a world without sockets, threads and waiting; one seed, one execution."""

import argparse
import os
import sys
from pathlib import Path

from chaos.virtual.bugs import BUGS
from chaos.virtual.campaign import bug_table, campaign, repeated
from chaos.virtual.scheme import Scheme, parsed, scheme
from msgspec.structs import replace


def _chosen(options: argparse.Namespace) -> Scheme:
    drawn = scheme(options.seed, options.seconds)
    return drawn if options.only is None else replace(drawn, hazards=parsed(options.only))


def main() -> None:
    """Run what was asked for; exit code 1 when something was found, or a bug was not."""
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order in sets of names is a part of the execution
        os.execve(
            sys.executable,
            [sys.executable, "-m", "chaos.virtual", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    options = argparse.ArgumentParser(prog="python -m chaos.virtual", description=__doc__)
    options.add_argument("--minutes", type=float, default=10.0, metavar="N", help="stop after so long (default 10)")
    options.add_argument("--hours", type=float, default=0.0, metavar="N", help="stop after so many simulated hours")
    options.add_argument("--first", type=int, default=1, metavar="SEED")
    options.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default 2)")
    options.add_argument("--seconds", type=float, default=1_200.0, metavar="N", help="simulated, of each seed")
    options.add_argument("--seed", type=int, metavar="N", help="this one alone")
    options.add_argument("--only", metavar="HAZARDS", help="with --seed: these hazards instead of the drawn ones")
    options.add_argument("--trace", type=Path, metavar="FILE", help="with --seed: write what happened")
    options.add_argument("--bug", default="", choices=BUGS, help="put this bug back first")
    options.add_argument("--bugs", action="store_true", help="put each bug back, and count the seeds until it is found")
    chosen = options.parse_args()
    if chosen.seed is not None:
        sys.exit(repeated(_chosen(chosen), chosen.bug, chosen.trace))
    if chosen.bugs:
        sys.exit(bug_table(chosen.minutes, chosen.workers, chosen.seconds, chosen.first))
    sys.exit(campaign(chosen))


if __name__ == "__main__":
    main()
