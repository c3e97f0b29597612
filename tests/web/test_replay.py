"""A past on the page: the same as a plain replay, whatever is paused, sped up or sought."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from liqtape.cli.replaypage import _file, _recording
from liqtape.engine import VelocityEngine
from liqtape.eventfiles.filerun import FileRun
from liqtape.eventfiles.readers import load
from liqtape.eventfiles.replay import steps
from liqtape.events import Alert, Liquidation
from liqtape.recording.playback import Playback
from liqtape.recording.recordedrun import RecordedRun
from liqtape.recording.recorder import Recorder
from liqtape.settings import PriceSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS
from liqtape.tracker import Tracker
from liqtape.web.answers import ReplayState
from liqtape.web.replaysource import ReplaySource
from liqtape.web.webserver import WebServer, bound_socket

_BEGAN_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def event_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bursts an hour apart, of three instruments."""
    path = tmp_path_factory.mktemp("events") / "past.ndjson"
    lines: list[bytes] = []
    for burst in range(2):
        for number in range(400):
            instrument = ("BTCUSDT", "ETHUSDT", "SOLUSDT")[number % 3]
            at_ms = _BEGAN_MS + burst * 3_600_000 + number * 173
            price = {"BTCUSDT": 90_000.0, "ETHUSDT": 3_000.0, "SOLUSDT": 100.0}[instrument]
            event = Liquidation("bybit", instrument, instrument, "long", price, "fill", 1.0, 5_000.0 + number, at_ms)
            lines.append(msgspec.json.encode(event))
    path.write_bytes(b"\n".join(lines))
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded cascade of some hundred liquidations."""
    path = tmp_path_factory.mktemp("recording")

    async def record() -> None:
        async with Simulator("cascade", 3, 8.0) as simulator:
            venues = {
                name: VenueSettings(ws_url=simulator.ws_url(name), rest_url=simulator.rest_url(name))
                for name in DIALECTS
            }
            price = PriceSettings(spot_url=simulator.ws_url("binance"))
            async with Tracker(Settings(venues=venues, price=price), recorder=Recorder(path)) as tracker:
                async with asyncio.timeout(60):
                    count = 0
                    async for _ in tracker.liquidations():
                        count += 1
                        if count >= 300:
                            break

    asyncio.run(record())
    return path


def _told(past: Any, until_ms: int, slice_ms: int) -> tuple[list[Liquidation], list[Alert]]:
    events: list[Liquidation] = []
    alerts: list[Alert] = []
    while past.now_ms < until_ms:
        past.advance(min(until_ms, past.now_ms + slice_ms))
        new_events, new_alerts = past.take()
        events += new_events
        alerts += new_alerts
    return events, alerts


@pytest.mark.parametrize("slice_ms", [377, 1_000, 60_000, 10_000_000])
def test_file_tells_what_a_plain_replay_tells(event_file: Path, slice_ms: int) -> None:
    table = load(event_file)
    plain = list(steps(table, 1, (), VelocityEngine()))
    past = FileRun(table, VelocityEngine())

    events, alerts = _told(past, max(table.times_ms) + 400_000, slice_ms)

    assert events == [event for step in plain for event in step.events]
    assert alerts == [alert for step in plain for alert in step.alerts]
    assert past.ledger().balanced()


def test_rows_are_those_of_the_grid(event_file: Path) -> None:
    table = load(event_file)
    past = FileRun(table, VelocityEngine())
    checked = 0

    for step in steps(table, 1, (), VelocityEngine()):
        past.advance(1000 * step.second)
        rows = {row.symbol: row for row in past.snapshot(past.active())}
        for row in step.rows:
            if row.event_count_300s:
                assert rows[row.symbol] == row
                checked += 1

    assert checked > 300


def test_recording_tells_what_a_plain_playback_tells(recording: Path) -> None:
    plain = list(Playback(recording).steps())
    past = RecordedRun(recording)

    events, _ = _told(past, 1000 * plain[-1].second, 250)

    assert [event.id for event in events] == [event.id for step in plain for event in step.events]
    assert len(events) >= 300
    assert past.ledger().balanced()
    assert {venue.venue for venue in past.health()} == set(DIALECTS)
    assert past.gaps()
    at_end = RecordedRun(recording)
    at_end.advance(_recording(recording)[1][1])
    assert at_end.market().event_count_300s > 0
    assert {row.symbol for row in at_end.snapshot(at_end.active())} == set(at_end.active()) != set()


def test_price_of_the_market_is_that_of_btc(page: "_Page", until: Any) -> None:
    until(lambda: page.get("/api/v1/now")["replay"]["is_over"])
    page.order(b'{"is_paused": true}')

    answer = page.get("/api/v1/price?seconds=86400")

    assert answer["prices"]
    assert min(answer["prices"]) > 10_000
    assert page.get("/api/v1/price/ETHUSDT?seconds=86400")["line_kind"] in {"fill", "bankruptcy"}


class _Page:
    """A replay that is served."""

    def __init__(self, server: WebServer, loop: Any, fetch: Callable[..., Any]) -> None:
        self.url, self._server, self._loop, self._fetch = server.url, server, loop, fetch

    def told(self) -> set[tuple[str, int, str]]:
        """All liquidations that were told."""
        found: set[tuple[str, int, str]] = self._loop.call(
            lambda: {(event.id, event.event_ms, event.instrument) for event in self._server.board.recent}
        )
        return found

    def get(self, path: str) -> Any:
        answer = self._fetch(self.url, path)
        assert answer.status == 200, answer.body
        return answer.json()

    def order(self, body: bytes, kind: str = "application/json") -> Any:
        return self._fetch(self.url, "/api/v1/replay", "POST", {"Content-Type": kind}, body)


@pytest.fixture(params=["file", "recording"])
def page(
    request: pytest.FixtureRequest, event_file: Path, recording: Path, web_loop: Any, fetch: Any
) -> Iterator[_Page]:
    contexts: list[Any] = []

    async def start() -> WebServer:
        begin, span = (
            _recording(recording)
            if request.param == "recording"
            else _file(load(event_file), event_file, None, Settings())
        )
        source = ReplaySource("past", span, begin, None)
        context = WebServer(source).listening(bound_socket("127.0.0.1", 0))
        contexts.append(context)
        contexts.append(asyncio.create_task(source.run()))
        return await context.__aenter__()

    async def stop() -> None:
        contexts[1].cancel()
        await contexts[0].__aexit__(None, None, None)

    yield _Page(web_loop.run(start()), web_loop, fetch)
    web_loop.run(stop())


def test_replay_plays_to_its_end_and_back(page: _Page, until: Any) -> None:
    until(lambda: page.get("/api/v1/now")["replay"]["is_over"])
    now = page.get("/api/v1/now")
    everything = page.get("/api/v1/events?limit=1")
    earlier = page.told()
    state = now["replay"]

    middle = (state["from_ms"] + state["until_ms"]) // 2
    assert now["mode"] == "replay"
    assert page.order(b'{"is_paused": true}').json()["is_paused"]
    sought = page.order(b'{"at_ms": %d}' % middle).json()
    kept = page.get("/api/v1/events?limit=1")

    assert sought["at_ms"] == middle
    assert page.get("/api/v1/now")["replay"]["at_ms"] == middle  # it is paused
    assert 0 < kept["matched"] < everything["matched"]
    assert page.told() < earlier
    msgspec.json.decode(page.order(b'{"is_paused": false, "speed": null}').body, type=ReplayState)
    until(lambda: page.get("/api/v1/now")["replay"]["is_over"])
    assert page.get("/api/v1/events?limit=1")["matched"] == everything["matched"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"speed": -1}', "application/json", 400),
        (b'{"speed": 1e400}', "application/json", 400),
        (b'{"at_ms": "now"}', "application/json", 400),
        (b'{"volume": 11}', "application/json", 400),
        (b'{"is_paused": true}', "text/plain", 415),
        (b'{"is_paused": true}' + b" " * 5_000, "application/json", 413),
    ],
)
def test_bad_order_is_refused_and_changes_nothing(page: _Page, body: bytes, kind: str, status: int) -> None:
    answer = page.order(body, kind)

    assert answer.status == status
    assert answer.json()["mend"]
    assert page.get("/api/v1/now")["replay"]["is_paused"] is False


def test_live_service_has_no_replay_to_control(running: Any, fetch: Any) -> None:
    answer = fetch(running.url, "/api/v1/replay", "POST", {"Content-Type": "application/json"}, b'{"speed": 2}')

    assert answer.status == 404
