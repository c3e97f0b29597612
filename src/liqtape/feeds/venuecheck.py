"""Does a venue reach us: its stream from the name of its host to its first data, its list, and how far our clock is."""

import asyncio
import ssl
import statistics
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct

from liqtape.errors import LiqtapeError
from liqtape.feeds.listing import PartialListing, fetch_contracts
from liqtape.feeds.probe import MISSED, Deadlines, Probe
from liqtape.feeds.proxies import shown_proxy
from liqtape.feeds.restconnector import RestConnector
from liqtape.feeds.venuefeed import clock_words, endpoints_of
from liqtape.instruments import Contract
from liqtape.sanitize import without_credentials
from liqtape.settings import VenueSettings
from liqtape.symbols import Catalogue
from liqtape.venues.base import Venue, is_partial

__all__ = ["Check", "VenueCheck", "check_clock", "check_venue"]

_SKEW_MS = 2_000
_OFF_MS = 1_000


class Check(Struct, frozen=True):
    """What was found of one subject: `ok` is None where it does not apply.

    `stage` is where it failed, or the last it passed; `detail` is for people and bears no secret.
    """

    subject: str
    ok: bool | None
    stage: str
    detail: str
    seconds: float

    @classmethod
    def passed(cls, subject: str, stage: str, detail: str, seconds: float = 0.0) -> Self:
        return cls(subject, True, stage, detail, seconds)  # noqa: FBT003 - the name says it

    @classmethod
    def failed(cls, subject: str, stage: str, detail: str, seconds: float = 0.0) -> Self:
        return cls(subject, False, stage, detail, seconds)  # noqa: FBT003 - the name says it

    @classmethod
    def left_out(cls, subject: str, stage: str, detail: str) -> Self:
        return cls(subject, None, stage, detail, 0.0)


class VenueCheck(Struct, frozen=True):
    """The checks of one venue, how much later than its stamps its freshest trade came (None without one), its list."""

    checks: list[Check]
    lag_ms: int | None = None
    listed: list[Contract] = []


async def check_venue(
    venue: Venue,
    settings: VenueSettings,
    *,
    wanted: Collection[str] = (),
    ssl_context: ssl.SSLContext | None = None,
    deadlines: Deadlines | None = None,
) -> VenueCheck:
    """Check its stream and its list of instruments; `wanted` limits the symbols, by any name of theirs."""
    limits = deadlines or Deadlines()
    until = asyncio.get_running_loop().time() + limits.whole
    listing = asyncio.get_running_loop().create_task(_check_listing(venue, settings, ssl_context, limits))
    contracts = [venue.parse_symbol(symbol) for symbol in venue.bundled_symbols]
    if venue.listing_needed or wanted:
        contracts = (await listing)[1] or contracts
    catalogue = Catalogue(contracts)
    named = {instrument for text in wanted for instrument in catalogue.meant(text)}
    chosen = [contract.symbol for contract in contracts if not wanted or contract.instrument in named]
    probes = [Probe(venue, end, ssl_context, limits) for end in endpoints_of(venue, settings, chosen)]
    stream = await _check_stream(venue, probes, limits, until)
    lags = [probe.lag_ms for probe in probes if probe.lag_ms is not None]
    listed, contracts = await listing
    return VenueCheck([stream, listed], min(lags, default=None), contracts)


def check_clock(lags_ms: Mapping[str, int]) -> Check:
    """Check how far our clock is off: the median over the venues of how much later than stamped their trades come.

    A venue that differs from it by more than a second is named: its clock is off, which a run takes off in windows.
    """
    if not lags_ms:
        return Check.left_out("clock", "skew", "no venue sent data to compare with")
    skew_ms = round(statistics.median(lags_ms.values()))
    direction = "after" if skew_ms >= 0 else "before"
    detail = f"trades come {abs(skew_ms) / 1000:.2f} s {direction} their stamps (median of {len(lags_ms)} venues)"
    for venue, lag_ms in lags_ms.items():
        if abs(lag_ms - skew_ms) > _OFF_MS:
            detail += f"; clock off: {venue}, {clock_words(skew_ms - lag_ms)}"
    if abs(skew_ms) > _SKEW_MS:
        return Check.failed("clock", "skew", f"{detail}; more than {_SKEW_MS // 1000} s: set this machine's clock")
    return Check.passed("clock", "skew", detail)


async def _check_listing(
    venue: Venue, settings: VenueSettings, ssl_context: ssl.SSLContext | None, limits: Deadlines
) -> tuple[Check, list[Contract]]:
    began = time.monotonic()
    contracts: list[Contract] = []
    failed = ""
    connector = RestConnector(ssl_context)
    try:
        async with (
            asyncio.timeout(limits.listing),
            aiohttp.ClientSession(connector=connector) as session,
        ):
            contracts = await fetch_contracts(venue, settings.rest_url, session)
    except PartialListing as partly:
        contracts, failed = partly.contracts, str(partly)
    except TimeoutError:
        failed = f"no complete answer within {limits.listing:g} s"
    except LiqtapeError as error:
        failed = str(error)
    counted = f"{len(contracts)} instruments listed"
    detail = f"{without_credentials(failed)} ({counted})" if failed else counted
    verdict = Check.failed if failed else Check.passed
    return verdict(f"{venue.name} instruments", "REST", detail, time.monotonic() - began), contracts


async def _check_stream(venue: Venue, probes: Sequence[Probe], limits: Deadlines, until: float) -> Check:
    if not probes:
        return Check.left_out(venue.name, "subscription", "no symbol of the settings is listed here")
    began = time.monotonic()
    answers = await asyncio.gather(*(probe.run(until) for probe in probes), return_exceptions=True)
    seconds = time.monotonic() - began
    for probe, answer in zip(probes, answers, strict=True):
        if isinstance(answer, LiqtapeError):
            way = f" through {shown_proxy(probe.proxy)}" if probe.proxy else ""
            return Check.failed(venue.name, probe.stage, f"{answer} ({_place(probe.endpoint.url)}{way})", seconds)
        if isinstance(answer, BaseException):
            raise answer
    if not any(probe.has_data for probe in probes):
        missed = f"{MISSED['first data']} within {limits.first_data:g} s"
        return Check.failed(venue.name, "first data", missed, seconds)
    return Check.passed(venue.name, "first data", _passed(venue, probes), seconds)


def _passed(venue: Venue, probes: Sequence[Probe]) -> str:
    topics = sum(probe.acknowledged for probe in probes)
    refused = sum(len(probe.endpoint.topics) for probe in probes) - topics
    transports = ", ".join(dict.fromkeys(probe.transport for probe in probes))
    first = max(probe.data_after for probe in probes)
    words = [f"{transports}, {topics} topics acknowledged", f"first data after {first:.2f} s"]
    if refused:
        words.insert(1, f"{refused} refused")
    if is_partial(venue):
        words.append("part of the liquidations only: fills of watched accounts")
    return ", ".join(words)


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
