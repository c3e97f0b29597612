"""The service inside a program of your own: each liquidation, its instrument's velocity, and each change of level.

python watch_liquidations.py                        # the live venues, until Ctrl+C
python watch_liquidations.py --simulate --count 20  # the built-in ones
"""

import argparse
import asyncio
from contextlib import AsyncExitStack

from liqtape import Alert, Settings, Tracker
from liqtape.settings import VenueSettings
from liqtape.simulator import Simulator


def print_alert(alert: Alert) -> None:
    """Called by the tracker; it may be a coroutine function as well, and never delays a feed."""
    print(f"  {alert.instrument}: {alert.previous} -> {alert.level}")


async def watch(settings: Settings, count: int) -> None:
    async with Tracker(settings) as tracker:
        tracker.on_alert(print_alert)
        async for liquidation in tracker.liquidations():
            [row] = tracker.snapshot([liquidation.instrument])
            usd = "unknown size" if liquidation.notional_usd is None else f"{liquidation.notional_usd:,.2f} USD"
            velocity = f"{row.velocity_60s:.2f}/s in 60 s"
            print(f"{liquidation.venue} {liquidation.instrument} {liquidation.side} {usd}, {velocity}")
            count -= 1
            if count == 0:
                break


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--simulate", action="store_true", help="the built-in venues, no network")
    parser.add_argument("--count", type=int, default=0, help="end after so many liquidations")
    options = parser.parse_args()
    async with AsyncExitStack() as stack:
        settings = Settings()
        if options.simulate:
            simulator = await stack.enter_async_context(Simulator("cascade"))
            bybit = VenueSettings(ws_url=simulator.ws_url("bybit"), rest_url=simulator.rest_url("bybit"))
            settings = Settings(venues={"bybit": bybit})
        await watch(settings, options.count)


if __name__ == "__main__":
    asyncio.run(main())
