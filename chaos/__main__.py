"""`python -m chaos`: seeded scenarios in which nothing may be lost, doubled or hidden."""

import argparse
import asyncio
import sys

import msgspec

from chaos.judge import Verdict
from chaos.plan import plan
from chaos.scenario import Scenario


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    options.add_argument("--seed", type=int)
    chosen = options.parse_args()
    what = plan(chosen.seed)
    print(what, file=sys.stderr)
    verdict: Verdict = asyncio.run(Scenario(what).run())
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(verdict)) + b"\n")


if __name__ == "__main__":
    main()
