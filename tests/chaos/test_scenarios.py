"""A few scenarios of the many: `make chaos` runs 200."""

import asyncio

from chaos.plan import plan
from chaos.scenario import Scenario

# Between them: kills, both servers restarted, TLS, wrong clocks, two connections a venue, every long outage.
SEEDS = (1, 2, 12, 20, 22, 24, 45, 52)


async def test_nothing_is_lost_doubled_or_hidden() -> None:
    verdicts = await asyncio.gather(*(Scenario(plan(seed)).run() for seed in SEEDS))

    assert [verdict.problems for verdict in verdicts if not verdict.is_good] == []
    assert sum(verdict.events for verdict in verdicts) > 1_000
