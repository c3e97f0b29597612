"""What the simulated venues print in days of a market: no socket, no clock, as fast as it can be drawn."""

from collections.abc import Iterator, Mapping, Sequence

from liqtape.simulator.dialects import DIALECTS
from liqtape.simulator.faults import Faults
from liqtape.simulator.generator import Generator
from liqtape.simulator.listings import MARKETS
from liqtape.simulator.prices import Prices
from liqtape.simulator.scenario import Scenario
from liqtape.simulator.wire import Arrival, FollowsAccounts, SentRow, ServerLimits, VenuePublisher

__all__ = ["printed"]

_STEP_MS = 10_000
_LATEST_MS = 5_000
"""A throttle prints a second after the event, and OKX sometimes keeps that back for 2.5 s."""


class _StillPrices(Prices):
    """A price that never moves: sizes are drawn in USD, and ten walks a second of each coin would cost the most."""

    def factor(self, coin: str, at_ms: int) -> float:  # noqa: ARG002 - the same at any time
        return 1.0


def printed(scenario: Scenario, seed: int, until_ms: int, accounts: Mapping[str, Sequence[str]]) -> Iterator[SentRow]:
    """Yield what a scenario prints from 0 to `until_ms` of its timeline, throttled as live, in event-time order.

    Of a venue that prints only the fills of accounts it is what these of its accounts take part in, each part once.
    """
    no_faults = Faults((), seed)
    generators = [
        Generator(scenario, seed, listings, market, _StillPrices(scenario, seed))
        for market, listings in MARKETS.items()
    ]
    publishers = {name: dialect.publisher(seed, ServerLimits(), no_faults) for name, dialect in DIALECTS.items()}
    for name, publisher in publishers.items():
        if isinstance(publisher, FollowsAccounts):
            publisher.follow(accounts.get(name, ()))
    waiting: list[SentRow] = []
    for at_ms in range(_STEP_MS, until_ms + _STEP_MS, _STEP_MS):
        for generator in generators:
            for liquidation in generator.until(min(at_ms, until_ms)):
                arrival = Arrival(liquidation, liquidation.at_ms, liquidation.at_ms)
                publishers[liquidation.listing.venue].add(arrival)
        waiting += _rows(publishers, at_ms)
        waiting.sort(key=lambda row: row.event_ms)
        ready = next((i for i, row in enumerate(waiting) if row.event_ms > at_ms - _LATEST_MS), len(waiting))
        yield from waiting[:ready]
        del waiting[:ready]
    yield from sorted([*waiting, *_rows(publishers, until_ms + _LATEST_MS)], key=lambda row: row.event_ms)


def _rows(publishers: dict[str, VenuePublisher], now_ms: int) -> list[SentRow]:
    """Return the new rows; two accounts may have taken part in one of them."""
    rows: dict[tuple[str, int], SentRow] = {}
    for publisher in publishers.values():
        for frame in publisher.due(now_ms):
            for row in frame.rows:
                rows[row.venue, row.serial] = row
    return list(rows.values())
