"""`python -m chaos`: seeded scenarios in which nothing may be lost, doubled or hidden; also `fuzz` and `soak`."""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from chaos.fuzz import fuzz, report
from chaos.judge import Verdict
from chaos.plan import plan
from chaos.scenario import Scenario
from chaos.soak import soak

_LONGEST_SECONDS = 180.0


async def run_all(seeds: Sequence[int], workers: int) -> list[Verdict]:
    """Each scenario in a process of its own, a few at a time; progress on a terminal."""
    waiting = asyncio.Semaphore(workers)
    verdicts: list[Verdict] = []

    async def one(seed: int) -> None:
        async with waiting:
            verdicts.append(await _in_process(seed))
        if sys.stderr.isatty():
            print(f"\r{len(verdicts)} of {len(seeds)}", end="", file=sys.stderr, flush=True)
        if not verdicts[-1].is_good:
            print(f"\rseed {seed}: {verdicts[-1].problems[:2]}", file=sys.stderr, flush=True)

    await asyncio.gather(*map(one, seeds))
    return sorted(verdicts, key=lambda verdict: verdict.seed)


async def _in_process(seed: int) -> Verdict:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chaos", "--seed", str(seed), "--json", stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        out, said = await asyncio.wait_for(process.communicate(), _LONGEST_SECONDS)
        return msgspec.json.decode(out, type=Verdict)
    except (TimeoutError, msgspec.DecodeError) as error:
        words = "longer than it may last" if isinstance(error, TimeoutError) else said.decode()[-500:]
        return Verdict(seed, problems=[f"the scenario itself failed: {words}"])
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)
            await process.wait()


def table(verdicts: Sequence[Verdict], seconds: float) -> str:
    """The sums, and each failure with the command that repeats it."""
    sums = {
        "scenarios": len(verdicts),
        "events": sum(verdict.events for verdict in verdicts),
        "delivered": sum(verdict.delivered for verdict in verdicts),
        "lost": sum(verdict.lost for verdict in verdicts),
        "duplicated": sum(verdict.duplicated for verdict in verdicts),
        "unreported gaps": sum(verdict.unreported for verdict in verdicts),
        "other failures": sum(not verdict.is_good for verdict in verdicts)
        - sum(bool(verdict.lost or verdict.duplicated or verdict.unreported) for verdict in verdicts),
        "in gaps of our kills": sum(verdict.excused for verdict in verdicts),
        "arrived before the kill, ms": round(max((verdict.excused_ms for verdict in verdicts), default=0.0)),
        "unsized": sum(verdict.unsized for verdict in verdicts),
        "not subscribed": sum(verdict.unasked for verdict in verdicts),
        "seconds": round(seconds),
    }
    lines = [
        "| " + " | ".join(sums) + " |",
        "|" + "---:|" * len(sums),
        "| " + " | ".join(f"{value:,}" for value in sums.values()) + " |",
    ]
    lines += [
        f"seed {verdict.seed}: {verdict.excused:,} arrived up to {verdict.excused_ms:g} ms before our kill"
        for verdict in sorted(verdicts, key=lambda verdict: -verdict.excused)[:5]
        if verdict.excused
    ]
    for verdict in verdicts:
        if not verdict.is_good:
            lines += [f"\nseed {verdict.seed} (repeat: python -m chaos --seed {verdict.seed})"]
            lines += [f"  {problem}" for problem in verdict.problems]
    return "\n".join(lines)


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
