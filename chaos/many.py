"""Many scenarios, each in a process of its own, and the table of what was found."""

import asyncio
import os
import sys
from collections.abc import Sequence
from functools import partial

import msgspec
from chaos.judge import Verdict

from liqtape.embedded.guard import die_with_parent

__all__ = ["run_all", "table"]

_LONGEST_SECONDS = 240.0


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
        stderr=asyncio.subprocess.PIPE, start_new_session=True, preexec_fn=partial(die_with_parent, os.getpid()),
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
        "refused as ahead": sum(verdict.refused for verdict in verdicts),
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
