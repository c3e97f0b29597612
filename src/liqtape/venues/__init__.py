"""The venues, by name, in the order in which they are shown and asked for the price: CONTRIBUTING.md adds one."""

from collections.abc import Sequence

from liqtape.errors import ConfigurationError
from liqtape.venues import binance, bybit, hyperliquid, okx
from liqtape.venues.base import Endpoint, Venue, WatchesAccounts

__all__ = ["VENUES", "watched"]

VENUES: dict[str, Venue] = {
    binance.name: binance,
    bybit.name: bybit,
    okx.name: okx,
    hyperliquid.name: hyperliquid,
}


def watched(name: str, accounts: Sequence[str]) -> list[Endpoint]:
    """Return the connections for the liquidations these accounts take part in. Raises ConfigurationError."""
    venue = VENUES[name]
    if not isinstance(venue, WatchesAccounts):
        others = ", ".join(other for other, module in VENUES.items() if isinstance(module, WatchesAccounts))
        raise ConfigurationError(f"{name} prints its liquidations, no account is watched; only at {others}")
    return venue.watching(accounts)
