"""The venues' lists of instruments over REST."""

import asyncio
from collections.abc import Sequence

import aiohttp

from liqtape.errors import DecodeError, ListingError, RestError
from liqtape.feeds.rest import LISTING, fetch
from liqtape.feeds.restraint import Restraints
from liqtape.instruments import Contract
from liqtape.sanitize import sanitize, without_credentials
from liqtape.venues.base import InstrumentPage, InstrumentSource, Venue

__all__ = ["MOST_CONTRACTS", "PartialListing", "fetch_contracts"]

MOST_CONTRACTS = 20_000
"""So many of a source are enough to say that a list is too long: no more pages of it are asked for."""

_TOTAL_SECONDS = 15.0
_MOST_PAGES = 50


class PartialListing(ListingError):
    """Some of a venue's sources failed; `contracts` is what the others gave."""

    def __init__(self, message: str, contracts: Sequence[Contract]) -> None:
        super().__init__(message)
        self.contracts = list(contracts)


async def fetch_contracts(
    venue: Venue, rest_url: str | None, session: aiohttp.ClientSession, restraints: Restraints | None = None
) -> list[Contract]:
    """Fetch what the venue lists, all sources and pages, within 15 s; `rest_url` replaces scheme and host.

    Of a source at most `MOST_CONTRACTS` and a page. Answers are decoded in threads, for that takes a while. Raises
    ListingError when nothing could be had, PartialListing when some of it.
    """
    answers = await asyncio.gather(
        *(
            _all_pages(venue, source, rest_url or source.host, session, restraints)
            for source in venue.instrument_sources
        ),
        return_exceptions=True,
    )
    listed: dict[str, Contract] = {}  # once each, whatever a source tells beside what it was asked
    failures: list[str] = []
    for answer in answers:
        if isinstance(answer, ListingError):
            failures.append(sanitize(without_credentials(str(answer)), 400))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            for contract in answer:
                listed.setdefault(contract.symbol, contract)
    contracts = list(listed.values())
    if not failures:
        return contracts
    if contracts:
        raise PartialListing("; ".join(failures), contracts)
    raise ListingError("; ".join(failures))


async def _all_pages(
    venue: Venue, source: InstrumentSource, host: str, session: aiohttp.ClientSession, restraints: Restraints | None
) -> list[Contract]:
    contracts: list[Contract] = []
    asked: set[str] = set()
    query = ""
    url = ""
    try:
        async with asyncio.timeout(_TOTAL_SECONDS):
            while True:
                url = host.rstrip("/") + source.path + query
                page = await _page(venue, url, source.body, session, restraints)
                contracts += page.contracts
                asked.add(query)
                query = page.next_query
                if not query or len(contracts) > MOST_CONTRACTS:
                    break
                if query in asked or len(asked) >= _MOST_PAGES:
                    raise ListingError(f"{venue.name}: {url}: the pages do not end")
    except TimeoutError:
        raise ListingError(f"{venue.name}: {url}: no complete answer within {_TOTAL_SECONDS:g} s") from None
    if not contracts and not source.may_be_empty:
        raise ListingError(f"{venue.name}: {url}: lists no instrument")
    return contracts


async def _page(
    venue: Venue, url: str, body: bytes, session: aiohttp.ClientSession, restraints: Restraints | None
) -> InstrumentPage:
    try:
        payload = await fetch(url, body, session, LISTING, restraints)
    except RestError as error:
        raise ListingError(f"{venue.name}: {error}") from error
    try:
        return await asyncio.to_thread(venue.decode_instruments, payload)
    except DecodeError as error:
        raise ListingError(f"{venue.name}: {url}: {error}") from error
