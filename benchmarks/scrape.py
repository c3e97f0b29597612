"""What Prometheus costs the path of the events: 500 active instruments, scraped each second, as fast as it goes.

Runs with and without come in turn, in one process: what is compared is how long the same liquidations take.
"""

import asyncio
import time
from random import Random

from benchmarks.measure import Figure, Scale, figure, ratio
from liqtape.events import Liquidation
from liqtape.exposition.exposition import Exposition
from liqtape.settings import Settings
from liqtape.tracker import Tracker

_INSTRUMENTS = 500
_EVENTS = 40_000
_BATCH = 200
_ROUNDS = 5
_SCRAPES_PER_SECOND = 1.0


async def _run(count: int, *, is_scraped: bool) -> tuple[float, int, float]:
    """Return CPU seconds of `count` liquidations, series of a scrape, and CPU seconds of all scrapes."""
    draw = Random(1)
    async with Tracker(Settings(venues={})) as tracker:
        exposition = Exposition(tracker)
        if is_scraped:
            tracker.listen(exposition)
        ledger, now_ms = tracker.new_ledger(), time.time_ns() // 1_000_000
        names = [f"C{number}USDT" for number in range(_INSTRUMENTS)]
        made = [
            Liquidation(
                "bybit", names[n % _INSTRUMENTS], "X", "long", 1.0, "fill", 1.0, 10.0 + draw.random(), now_ms, now_ms
            )
            for n in range(count)
        ]
        for event in made[:_INSTRUMENTS]:
            tracker.admit(event, ledger)
        tracker.pipeline.finish(now_ms)
        scraping, due = 0.0, time.perf_counter()
        began = time.process_time()
        for place in range(0, count, _BATCH):
            for event in made[place : place + _BATCH]:
                tracker.admit(event, ledger)
            if is_scraped and time.perf_counter() >= due:
                due += 1 / _SCRAPES_PER_SECOND
                at = time.process_time()
                exposition.text()
                scraping += time.process_time() - at
            await asyncio.sleep(0)
        return time.process_time() - began, exposition.series, scraping


def run(scale: Scale) -> list[Figure]:
    """Return the ratio of CPU, pair by pair."""
    count = max(_INSTRUMENTS, int(_EVENTS * min(1.0, scale.seconds)))
    plain: list[float] = []
    scraped: list[float] = []
    series, share = 0, 0.0
    for _ in range(min(scale.rounds, _ROUNDS)):
        plain.append(asyncio.run(_run(count, is_scraped=False))[0])
        took, series, scraping = asyncio.run(_run(count, is_scraped=True))
        scraped.append(took)
        share = scraping / took
    text = f"{count:,} liquidations of {_INSTRUMENTS} instruments; {series:,} series; scrapes alone {100 * share:.1f} %"
    return [figure("CPU of the events, scraped each second", ratio(scraped, plain), "x", text, at_most=1.03)]
