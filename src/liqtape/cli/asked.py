"""The symbols of the settings as instruments, by the lists of the venues."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import aiohttp
from msgspec.structs import replace

from liqtape.errors import ConfigurationError, LiqtapeError
from liqtape.feeds.listing import PartialListing, fetch_contracts
from liqtape.feeds.restconnector import RestConnector
from liqtape.instruments import Contract
from liqtape.settings import Settings
from liqtape.symbols import Catalogue, spellings
from liqtape.venues import VENUES

__all__ = ["resolved", "unlisted"]

_LISTING_SECONDS = 8.0
_GUESSED_QUOTES = ("USDT", "USDC", "USD")

_Lists = Mapping[str, Sequence[Contract]]


def resolved(settings: Settings) -> tuple[Settings, list[str]]:
    """Return the settings with instruments for symbols, and what could not be looked up.

    Raises ConfigurationError for a name that no list has, with the nearest that some has.
    """
    enabled = [name for name, own in settings.venues.items() if own.enabled]
    asked = [*settings.symbols, *(text for name in enabled for text in settings.venues[name].symbols)]
    if not asked:
        return settings, []
    lists: dict[str, Sequence[Contract]] = {
        name: [VENUES[name].parse_symbol(symbol) for symbol in VENUES[name].bundled_symbols] for name in enabled
    }
    missing: list[str] = []
    bundled = Catalogue(contract for of_venue in lists.values() for contract in of_venue)
    if not all(bundled.meant(text) and not bundled.is_coin(text) for text in asked):
        lists, missing = asyncio.run(_fetched(settings, lists))
    doubts: list[str] = []
    venues = dict(settings.venues)
    for name in enabled:
        if own := venues[name].symbols:
            instruments = _instruments(own, {name: lists[name]}, [name] if name in missing else [], doubts)
            venues[name] = replace(venues[name], symbols=instruments)
    return replace(settings, symbols=_instruments(settings.symbols, lists, missing, doubts), venues=venues), doubts


def _instruments(asked: Iterable[str], lists: _Lists, missing: Sequence[str], doubts: list[str]) -> tuple[str, ...]:
    catalogue = Catalogue(contract for of_venue in lists.values() for contract in of_venue)
    meant: list[str] = []
    for text in asked:
        found = catalogue.meant(text)
        if not found and not missing:
            raise ConfigurationError(f"symbols: {unlisted(text, catalogue, list(lists))}")
        if not found:
            found = _guessed(text)
            doubts.append(f"{text} is taken for {', '.join(found)}: the list of {', '.join(missing)} cannot be had")
        meant += found
    return tuple(dict.fromkeys(meant))


def unlisted(text: str, catalogue: Catalogue, venues: Sequence[str]) -> str:
    """Return the line for a name that none of these venues lists."""
    nearest = catalogue.nearest(text)
    return f"{text} is listed by none of {', '.join(venues)}" + (f"; nearest: {', '.join(nearest)}" if nearest else "")


def _guessed(text: str) -> list[str]:
    """What the name may mean: what it says, or contracts of a coin in dollars."""
    name = spellings(text)[-1]
    if name.isalnum() and not name.endswith(_GUESSED_QUOTES):
        return [name + quote for quote in _GUESSED_QUOTES]
    instruments = {venue.parse_symbol(name).instrument for venue in VENUES.values()}
    return [name] if name in instruments else sorted(instruments)


async def _fetched(settings: Settings, bundled: _Lists) -> tuple[dict[str, Sequence[Contract]], list[str]]:
    """The venues' own lists over the bundled ones, and the venues whose list is not whole."""
    missing: list[str] = []
    lists = dict(bundled)

    async def fetch(name: str, session: aiohttp.ClientSession) -> None:
        try:
            async with asyncio.timeout(_LISTING_SECONDS):
                lists[name] = await fetch_contracts(VENUES[name], settings.venues[name].rest_url, session)
        except PartialListing as partly:
            lists[name] = [*bundled[name], *partly.contracts]
            missing.append(name)
        except (LiqtapeError, TimeoutError):
            missing.append(name)

    connector = RestConnector()
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for name in bundled:
            group.create_task(fetch(name, session))
    return lists, sorted(missing, key=list(bundled).index)
