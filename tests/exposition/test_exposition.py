"""What `/metrics` answers, over a tracker that is fed by the simulated venues over real sockets."""

# ruff: noqa: ASYNC110 - a test polls what it does not own
import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from liqtape.events import Liquidation
from liqtape.exposition.causes import FEED_STATES
from liqtape.exposition.exposition import Exposition
from liqtape.exposition.families import FAMILIES
from liqtape.ourtime import our_ms
from liqtape.settings import HistorySettings, PriceSettings, Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.tracker import Tracker
from liqtape.venues import VENUES

_Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: bytes) -> _Values:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def summed(values: _Values, name: str, **labels: str) -> float:
    return sum(value for (own, pairs), value in values.items() if own == name and labels.items() <= dict(pairs).items())


async def running(directory: Path, seen: Callable[[Tracker, Exposition], None]) -> None:
    async with Simulator("cascade", speed=4.0) as simulator:
        venues = {
            name: VenueSettings(ws_url=simulator.ws_url(name), rest_url=simulator.rest_url(name)) for name in VENUES
        }
        settings = Settings(
            venues=venues,
            history=HistorySettings(url=str(directory), seal=False),
            price=PriceSettings(spot_url="ws://127.0.0.1:9"),
        )
        async with Tracker(settings) as tracker:
            exposition = Exposition(tracker)
            tracker.listen(exposition)
            async with asyncio.timeout(60):
                while tracker.ledger().events_accepted < 300 or {h.state for h in tracker.health()} != {"live"}:
                    await asyncio.sleep(0.1)
            seen(tracker, exposition)


def test_a_scrape_says_what_the_tracker_says(tmp_path: Path, require_server: Callable[[str], Path]) -> None:
    texts: list[bytes] = []

    def seen(tracker: Tracker, exposition: Exposition) -> None:
        exposition.text()  # the first chooses the instruments that have series
        texts.append(exposition.text())
        values, ledger = parsed(texts[-1]), tracker.ledger()

        in_windows = ledger.events_accepted - tracker.engine.late_dropped_total
        assert summed(values, "liqtape_events_total") == in_windows > 0
        assert summed(values, "liqtape_instrument_events_total") == in_windows
        assert summed(values, "liqtape_frames_total") == ledger.frames_received
        assert summed(values, "liqtape_frames_total", kind="liquidation") == ledger.frames_liquidation
        assert summed(values, "liqtape_duplicates_total") == ledger.events_duplicate
        assert summed(values, "liqtape_ledger_imbalance") == 0
        assert summed(values, "liqtape_log_events_total") + summed(values, "liqtape_log_pending_events") == (
            ledger.events_accepted
        )
        for health in tracker.health():
            assert summed(values, "liqtape_feed_state", venue=health.venue, state=health.state) == 1
            assert summed(values, "liqtape_feed_state", venue=health.venue) == 1
            age = our_ms() / 1000 - summed(values, "liqtape_feed_last_data_timestamp_seconds", venue=health.venue)
            assert 0 <= age < 60
        names = {name for name, _ in values}
        exposed = {dict(labels)["instrument"] for name, labels in values if name == "liqtape_velocity"}
        assert exposed
        assert exposed <= set(tracker.active())
        assert {"liqtape_velocity", "liqtape_market_velocity", "liqtape_btc_price_usd"} <= names
        assert summed(values, "liqtape_event_to_window_seconds_count") > 0

    asyncio.run(running(tmp_path / "history", seen))

    [text] = texts
    command = [str(require_server("promtool")), "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    families = {family.name for family in text_string_to_metric_families(text.decode())}
    assert families == {family.name.removesuffix("_total") for family in FAMILIES}


def test_states_are_those_that_health_may_have() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "redis.md").read_text("utf-8")

    assert [state for state in FEED_STATES if f"`{state}`" not in page] == []


@pytest.mark.parametrize("active", [500, 3_000])
def test_series_are_bounded(active: int) -> None:
    async def scraped() -> tuple[int, _Values]:
        async with Tracker(Settings(venues=dict.fromkeys(VENUES, VenueSettings(ws_url="ws://127.0.0.1:9")))) as tracker:
            exposition = Exposition(tracker)
            tracker.listen(exposition)
            ledger, now = tracker.new_ledger(), our_ms()
            for number in range(active):
                for venue in VENUES:
                    name = f"C{number}USDT"
                    tracker.admit(Liquidation(venue, name, name, "long", 1.0, "fill", 1.0, 1.0, now), ledger)
            tracker.pipeline.finish(now)
            exposition.text()
            return len(tracker.active()), parsed(exposition.text())

    shown, values = asyncio.run(scraped())

    assert shown == active
    assert len(values) < 5_000
    assert len({dict(labels)["instrument"] for name, labels in values if name == "liqtape_level"}) == 100
    assert summed(values, "liqtape_instrument_events_total") == active * len(VENUES)
    assert summed(values, "liqtape_market_active_instruments") == active
