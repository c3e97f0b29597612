"""Fills a venue's gaps from its REST interface, where it tells of past liquidations."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

import aiohttp

from liqtape.errors import DecodeError, RestError
from liqtape.events import Gap
from liqtape.feeds.feedlistener import BackfillListener
from liqtape.feeds.rest import PAST, fetch
from liqtape.feeds.restraint import Restraints
from liqtape.ledger import Ledger
from liqtape.ourtime import our_ms
from liqtape.sanitize import sanitize, without_credentials
from liqtape.venues.base import BackfillPage, BackfillRequest, Backfills
from liqtape.venues.limits import RateLimiter

__all__ = ["Backfill"]

_SETTLE_SECONDS = 2.0  # what happened last must have reached the venue's archive
_BEFORE_MS = 600_000  # what is pushed late bears an older stamp: OKX has been 8 min late
_AFTER_MS = 1_000
_ANSWER_SECONDS = 15.0
_PAUSES = (1.0, 4.0, 15.0)  # between attempts at one page
_MOST_PAGES = 50  # of one subject
_AGAIN_SECONDS = 600.0
_MOST_ROUNDS = 6  # of one gap
_MOST_GAPS = 100
_VAIN_QUESTIONS = 3  # without an answer, one after the other: then it is not the question
_TOO_LONG = "the gap is longer than the venue tells of"

_log = logging.getLogger(__name__)


class Backfill:
    """One venue's: `ask` for a gap, `run` in a task. What it gets goes the way of all events, marked as replayed.

    `subjects` gives the symbols or accounts to ask for, and whether these are all. A gap is filled when every page of
    every subject came, and the venue still tells of its beginning; else it stays a gap, and is tried again some minutes
    later, unless it is too long ago. `detail` says what stands open.
    """

    def __init__(
        self,
        name: str,
        venue: Backfills,
        rest_url: str | None,
        *,
        subjects: Callable[[], tuple[Sequence[str], bool]],
        listener: BackfillListener,
        restraints: Restraints | None = None,
    ) -> None:
        self.ledger = Ledger()
        self.backfilled_total = self.dropped_total = 0
        self.detail = ""
        self._name = name
        self._venue = venue
        self._rest_url = rest_url
        self._subjects = subjects
        self._listener = listener
        self._rounds: dict[Gap, int] = {}  # of each gap that stands open
        self._asked: dict[Gap, int] = {}  # when, by our time: it had just ended then
        self._rate_limiter = RateLimiter([venue.backfill_rate_limit])
        self._restraints = Restraints() if restraints is None else restraints
        self._wake = asyncio.Event()

    def ask(self, gap: Gap) -> None:
        """Fill this gap, which has ended; the newest 100 are tried."""
        if len(self._rounds) >= _MOST_GAPS:
            oldest = next(iter(self._rounds))
            del self._rounds[oldest], self._asked[oldest]
            self.dropped_total += 1
        self._rounds[gap] = 0
        self._asked[gap] = our_ms()
        self._wake.set()

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Fill what is asked for; ends only when cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_SECONDS if self._rounds else None):
                    await self._wake.wait()
            self._wake.clear()
            if self._rounds:
                await asyncio.sleep(_SETTLE_SECONDS)
                await self._round(session)

    async def _round(self, session: aiohttp.ClientSession) -> None:
        gaps = list(self._rounds)
        reason = await self._fill(gaps, session)
        too_long = False
        for gap in gaps:
            # Judged when the answers are there: what the venue told of at first it may have forgotten meanwhile.
            is_told = self._is_told(gap)
            too_long |= not is_told
            rounds = self._rounds.pop(gap, 0) + 1
            asked = self._asked.pop(gap, 0)
            if is_told and not reason:
                self.backfilled_total += 1
                self._listener.gap_backfilled(gap)
            elif is_told and rounds < _MOST_ROUNDS:
                self._rounds[gap], self._asked[gap] = rounds, asked
        reason = "; ".join(filter(None, [_TOO_LONG if too_long else "", reason]))
        if reason and reason != self.detail:
            _log.warning("%s: gap not filled: %s", self._name, reason)
        elif not reason:
            _log.info("%s: %d gaps filled", self._name, len(gaps))
        self.detail = reason

    def _is_told(self, gap: Gap) -> bool:
        """Return whether the venue still tells of the gap's beginning: when it was asked for, its end had just come."""
        elapsed_ms = our_ms() - self._asked.get(gap, 0)
        length_ms = (gap.until_ms or gap.from_ms) - gap.from_ms
        return gap in self._asked and length_ms + elapsed_ms <= 1_000 * self._venue.backfill_horizon_s

    async def _fill(self, gaps: Sequence[Gap], session: aiohttp.ClientSession) -> str:
        """Get everything between the first gap's beginning and the last one's end; why not all of it came.

        A question that is refused ends only itself: the others may have what is missing.
        """
        from_ms = min(gap.from_ms for gap in gaps)
        until_ms = max(gap.until_ms or gap.from_ms for gap in gaps)
        subjects, are_all = self._subjects()
        reasons = {} if are_all else {"the list of instruments is not known": 1}
        vain = 0
        for first in self._venue.backfill_requests(from_ms - _BEFORE_MS, until_ms + _AFTER_MS, subjects):
            reason, vain = await self._question(first, session, vain)
            if reason:
                reasons[reason] = reasons.get(reason, 0) + 1
            if vain >= _VAIN_QUESTIONS:
                break
        return "; ".join(reason if n == 1 else f"{reason} (and {n - 1} more)" for reason, n in reasons.items())[:400]

    async def _question(self, first: BackfillRequest, session: aiohttp.ClientSession, vain: int) -> tuple[str, int]:
        """Ask for all pages; return why not all of it came, and how many questions in a row had no answer by now."""
        reason = ""
        request: BackfillRequest | None = first
        for _ in range(_MOST_PAGES):
            if request is None:
                return reason, vain
            try:
                page = await self._page(request, session)
            except (RestError, DecodeError) as error:
                return sanitize(without_credentials(str(error)), 200), vain + 1
            vain = 0
            reason = reason if page.whole else "the venue keeps back a part"
            request = page.following
        return ("more pages than are asked for" if request is not None else reason), vain

    async def _page(self, request: BackfillRequest, session: aiohttp.ClientSession) -> BackfillPage:
        url = (self._rest_url or request.host).rstrip("/") + request.path
        for pause in _PAUSES:
            try:
                return await self._attempt(url, request, session)
            except (RestError, DecodeError):
                left = self._restraints.left(url)
                if left > _PAUSES[-1]:  # the round after may have more luck
                    raise
                await asyncio.sleep(max(pause, left))
        return await self._attempt(url, request, session)

    async def _attempt(self, url: str, request: BackfillRequest, session: aiohttp.ClientSession) -> BackfillPage:
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(self._rate_limiter.reserve(now) - now)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                payload = await fetch(url, request.body, session, PAST, self._restraints)
        except TimeoutError:
            raise RestError(f"{url}: no answer within {_ANSWER_SECONDS:g} s") from None
        return self._listener.answered(self._venue, self._name, request, payload, our_ms(), self.ledger)
