"""Filling gaps, with the REST interface played by the test; over real sockets it is proved in test_tracker_life."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.polling import until

from liqtape.errors import DecodeError, RestError
from liqtape.events import Event, Gap, Invalid, RawLiquidation
from liqtape.feeds import backfill
from liqtape.feeds.backfill import Backfill
from liqtape.ledger import Ledger
from liqtape.pipeline.fromrest import read_answer
from liqtape.venues import okx
from liqtape.venues.base import BackfillPage, BackfillRequest, Backfills
from liqtape.venues.limits import RateLimit

T = 1_790_000_000_000
EVENT = RawLiquidation("toy", "X", "long", 1.0, "fill", 1.0, "base", T, replayed=True)


class Archive:
    """A venue and its REST interface: each subject has as many pages as are scripted."""

    backfill_rate_limit = RateLimit(1_000, 1.0)
    backfill_horizon_s = 86_400.0

    def __init__(self, **pages: Sequence[BackfillPage | Exception]) -> None:
        self.pages = {subject: list(given) for subject, given in pages.items()}
        self.asked: list[str] = []
        self.spans: list[tuple[int, int]] = []

    def backfill_requests(self, from_ms: int, until_ms: int, subjects: Sequence[str]) -> list[BackfillRequest]:
        self.spans.append((from_ms, until_ms))
        return [BackfillRequest("https://toy", f"/{subject}", subject=subject) for subject in subjects]

    def decode_backfill(self, request: BackfillRequest, payload: bytes, receive_ms: int | None) -> BackfillPage:
        assert payload == b"answer"
        assert receive_ms
        page = self.pages[request.subject].pop(0)
        if isinstance(page, DecodeError):
            raise page
        assert isinstance(page, BackfillPage)
        return page

    async def fetch(self, url: str, _body: bytes, _session: Any, _bounds: Any, _restraints: Any) -> bytes:
        subject = url.rpartition("/")[2]
        self.asked.append(subject)
        if isinstance(self.pages[subject][0], RestError | TimeoutError):
            failed = self.pages[subject].pop(0)
            assert isinstance(failed, Exception)
            raise failed
        return b"answer"


class Heard:
    """What a backfill tells: answers are read as the service reads them."""

    def __init__(self, take: Callable[[Sequence[Event], Ledger], None], filled: list[Gap]) -> None:
        self._take = take
        self._filled = filled

    def gap_backfilled(self, gap: Gap, /) -> None:
        self._filled.append(gap)

    def answered(
        self, venue: Backfills, name: str, request: BackfillRequest, payload: bytes, receive_ms: int, ledger: Ledger
    ) -> BackfillPage:
        assert name in {"toy", "okx"}
        return read_answer(venue, request, payload, receive_ms, ledger, self._take)


class Rig:
    def __init__(self, archive: Archive, *, are_all: bool = True) -> None:
        self.archive = archive
        self.events: list[Event] = []
        self.filled: list[Gap] = []
        self.backfill = Backfill(
            "toy",
            archive,
            None,
            subjects=lambda: (list(archive.pages), are_all),
            listener=Heard(self.take, self.filled),
        )

    def take(self, events: Sequence[Event], ledger: Ledger) -> None:
        assert ledger is self.backfill.ledger
        self.events += events


@asynccontextmanager
async def running(rig: Rig, *gaps: Gap) -> AsyncIterator[None]:
    session: Any = None
    task = asyncio.create_task(rig.backfill.run(session))
    for gap in gaps:
        rig.backfill.ask(gap)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[Archive], None]:
    monkeypatch.setattr(backfill, "_SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(backfill, "_PAUSES", (0.0, 0.0))
    return lambda archive: monkeypatch.setattr(backfill, "fetch", archive.fetch)


Use = Callable[[Archive], None]
GAP = Gap("toy", T, T + 5_000, "reset")


async def test_every_page_of_every_subject_is_taken_and_the_gap_filled(quick: Use) -> None:
    following = BackfillRequest("https://toy", "/a", subject="a")
    archive = Archive(a=[BackfillPage([EVENT], following), BackfillPage([EVENT])], b=[BackfillPage([])])
    quick(archive)
    rig = Rig(archive)
    async with running(rig, GAP):
        await until(lambda: rig.filled)

    assert archive.asked == ["a", "a", "b"]
    assert archive.spans == [(T - 600_000, T + 6_000)]
    assert rig.events == [EVENT, EVENT]
    assert rig.filled == [GAP]
    ledger = rig.backfill.ledger
    assert (ledger.frames_received, ledger.frames_liquidation, ledger.frames_other_topic) == (3, 2, 1)
    assert rig.backfill.backfilled_total == 1


async def test_gaps_that_wait_together_are_asked_for_at_once(quick: Use) -> None:
    archive = Archive(a=[BackfillPage([])])
    quick(archive)
    rig = Rig(archive)
    later = Gap("toy", T + 60_000, T + 70_000, "reset")
    async with running(rig, GAP, later):
        await until(lambda: len(rig.filled) == 2)

    assert archive.spans == [(T - 600_000, T + 71_000)]


@pytest.mark.parametrize(
    "failure",
    [RestError("https://toy/a: HTTP 429"), TimeoutError(), DecodeError("toy: not JSON")],
    ids=["http", "time", "garbage"],
)
async def test_a_page_that_fails_is_asked_for_again(quick: Use, failure: Exception) -> None:
    archive = Archive(a=[failure, BackfillPage([EVENT])])
    quick(archive)
    rig = Rig(archive)
    async with running(rig, GAP):
        await until(lambda: rig.filled)

    assert archive.asked == ["a", "a"]
    assert rig.backfill.ledger.balanced()
    assert rig.backfill.ledger.frames_undecodable == isinstance(failure, DecodeError)


async def test_a_failed_round_leaves_the_gap_and_is_repeated_some_times(
    quick: Use, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backfill, "_AGAIN_SECONDS", 0.01)
    archive = Archive(a=[RestError("https://toy/a: HTTP 403")] * 100)
    quick(archive)
    rig = Rig(archive)
    async with running(rig, GAP):
        await until(lambda: len(archive.asked) == 18)
        await asyncio.sleep(0.05)

    assert len(archive.asked) == 18  # three attempts in each of six rounds
    assert rig.filled == []
    assert rig.backfill.detail == "https://toy/a: HTTP 403"
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("page", "are_all", "gap", "reason"),
    [
        (BackfillPage([EVENT], whole=False), True, GAP, "the venue keeps back a part"),
        (BackfillPage([EVENT]), False, GAP, "the list of instruments is not known"),
        (BackfillPage([EVENT]), True, Gap("toy", T, T + 100_000_000, "x"), "the gap is longer than the venue tells of"),
        (
            BackfillPage([], BackfillRequest("https://toy", "/a", subject="a")),
            True,
            GAP,
            "more pages than are asked for",
        ),
    ],
    ids=["a part", "list", "depth", "endless"],
)
async def test_what_is_not_whole_is_taken_and_stays_a_gap(
    quick: Use, page: BackfillPage, are_all: bool, gap: Gap, reason: str
) -> None:
    archive = Archive(a=[page] * 60)
    quick(archive)
    rig = Rig(archive, are_all=are_all)
    async with running(rig, gap):
        await until(lambda: rig.backfill.detail)

    assert rig.backfill.detail == reason
    assert rig.events == ([EVENT] if page.events else [])
    assert rig.filled == []


async def test_one_refused_question_does_not_end_the_round(quick: Use) -> None:
    refused = RestError("https://toy/b: HTTP 400: Parameter uly error")
    archive = Archive(a=[BackfillPage([EVENT])], b=[refused] * 3, c=[BackfillPage([EVENT])], d=[refused] * 3)
    quick(archive)
    rig = Rig(archive)
    async with running(rig, GAP):
        await until(lambda: rig.backfill.detail)

    assert archive.asked == ["a", *"bbb", "c", *"ddd"]
    assert rig.events == [EVENT, EVENT]
    assert rig.filled == []
    assert rig.backfill.detail == "https://toy/b: HTTP 400: Parameter uly error (and 1 more)"


async def test_a_venue_that_answers_nothing_is_not_asked_everything(quick: Use) -> None:
    archive = Archive(**{name: [RestError("https://toy: HTTP 503")] * 3 for name in "abcdef"})
    quick(archive)
    rig = Rig(archive)
    async with running(rig, GAP):
        await until(lambda: rig.backfill.detail)

    assert sorted(set(archive.asked)) == ["a", "b", "c"]


async def test_a_gap_too_long_ago_is_not_filled_and_the_one_beside_it_is(quick: Use) -> None:
    archive = Archive(a=[BackfillPage([EVENT])] * 10)
    quick(archive)
    rig = Rig(archive)
    long = Gap("toy", T - 108_000_000, T - 60_000, "not running")
    async with running(rig, long, GAP):
        await until(lambda: rig.filled)

    assert rig.filled == [GAP]
    assert rig.backfill.detail == "the gap is longer than the venue tells of"
    assert rig.backfill._rounds == {}  # nothing else will be told of it tomorrow


async def test_a_gap_whose_beginning_left_the_archive_while_it_waited_is_not_filled(
    quick: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(a=[BackfillPage([EVENT])])
    quick(archive)
    rig = Rig(archive)
    now = [T]
    monkeypatch.setattr(backfill, "our_ms", lambda: now[0])
    rig.backfill.ask(Gap("toy", T - 86_000_000, T, "closed"))
    now[0] += 600_000
    async with running(rig):
        await until(lambda: rig.backfill.detail)

    assert rig.filled == []
    assert rig.backfill.detail == "the gap is longer than the venue tells of"


async def test_the_venues_pace_is_kept(quick: Use) -> None:
    archive = Archive(**{f"s{i}": [BackfillPage([Invalid("toy", "x")])] for i in range(6)})
    archive.backfill_rate_limit = RateLimit(2, 0.05)
    quick(archive)
    rig = Rig(archive)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with running(rig, GAP):
        await until(lambda: rig.filled)

    assert loop.time() - began >= 0.1  # two at once, two after 50 ms, two after 100 ms


def test_gaps_beyond_the_bound_are_counted() -> None:
    rig = Rig(Archive())
    for i in range(150):
        rig.backfill.ask(Gap("toy", T + i, T + i + 1, "reset"))
    assert rig.backfill.dropped_total == 50
    assert len(rig.backfill._rounds) == 100


class OkxRig:
    def __init__(self, rest_url: str, symbols: Sequence[str]) -> None:
        self.events: list[Event] = []
        self.filled: list[Gap] = []
        self.backfill = Backfill(
            "okx",
            okx,
            rest_url,
            subjects=lambda: (symbols, True),
            listener=Heard(lambda events, _: self.events.extend(events), self.filled),
        )


@asynccontextmanager
async def okx_at(answer: Callable[[web.Request], Awaitable[web.Response]], *symbols: str) -> AsyncIterator[OkxRig]:
    """OKX's own module against a REST interface on loopback."""
    app = web.Application()
    app.router.add_get("/api/v5/public/liquidation-orders", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    rig = OkxRig(f"http://127.0.0.1:{runner.addresses[0][1]}", symbols)
    async with aiohttp.ClientSession() as session:
        task = asyncio.create_task(rig.backfill.run(session))
        try:
            yield rig
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await runner.cleanup()


async def test_contracts_in_usd_um_are_asked_for_by_their_family() -> None:
    """Case c04: their underlying is another than their family."""
    known = {("FUTURES", "BTC-USD_UM"): "BTC-USD", ("FUTURES", "BTC-USD"): "BTC-USD", ("SWAP", "BTC-USDT"): "BTC-USDT"}
    asked: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        kind, family = request.query["instType"], request.query["instFamily"]
        asked.append((kind, family))
        if (kind, family) not in known:
            return web.json_response({"code": "51000", "msg": "Parameter instFamily error", "data": []}, status=400)
        return web.json_response({"code": "0", "msg": "", "data": []})

    async with okx_at(answer, "BTC-USDT-SWAP", "BTC-USD_UM-261030", "BTC-USD-261030") as rig:
        gap = Gap("okx", T - 60_000, T - 30_000, "closed by the venue")
        rig.backfill.ask(gap)
        await until(lambda: rig.filled)

    assert (rig.filled, rig.backfill.detail) == ([gap], "")
    assert asked == [("SWAP", "BTC-USDT"), ("FUTURES", "BTC-USD_UM"), ("FUTURES", "BTC-USD")]


async def test_a_gap_of_thirty_hours_is_not_filled_by_an_archive_of_a_day() -> None:
    """Case c05: of 29 liquidations, one an hour, the archive has 23."""
    now = time.time_ns() // 1_000_000
    happened = [now - hour * 3_600_000 - 5_000 for hour in range(40)]

    async def answer(request: web.Request) -> web.Response:
        newer, older = int(request.query["before"]), int(request.query["after"])
        rows = [at for at in happened if at > now - 86_400_000 and newer < at < older]
        details = [
            {"bkPx": "80000", "posSide": "long", "side": "sell", "sz": "1", "ts": str(at), "bkLoss": "0", "ccy": ""}
            for at in rows
        ]
        order = {"details": details, "instFamily": "BTC-USDT", "instId": "BTC-USDT-SWAP", "instType": "SWAP"}
        return web.json_response({"code": "0", "msg": "", "data": [order] if rows else []})

    async with okx_at(answer, "BTC-USDT-SWAP") as rig:
        gap = Gap("okx", now - 30 * 3_600_000, now - 60_000, "not running")
        rig.backfill.ask(gap)
        await until(lambda: rig.backfill.detail)

    inside = [event for event in rig.events if gap.from_ms <= getattr(event, "event_ms", 0) <= now - 60_000]
    assert (len(inside), rig.filled) == (23, [])
    assert rig.backfill.detail == "the gap is longer than the venue tells of"
