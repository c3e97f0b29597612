"""What `run` serves beside the tracker: the page's API knows of messages, Prometheus of everything counted."""

# ruff: noqa: ASYNC110 - a test polls what it does not own
import asyncio
import json
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from liqtape.cli.serving import page_beside
from liqtape.events import Liquidation
from liqtape.ourtime import our_ms
from liqtape.settings import HistorySettings, Settings, WebSettings
from liqtape.tracker import Tracker


async def got(address: str) -> bytes:
    def get() -> bytes:
        with urllib.request.urlopen(address, timeout=20) as answer:
            data: bytes = answer.read()
            return data

    return await asyncio.to_thread(get)


async def test_an_open_event_and_the_counters_are_served() -> None:
    tracker = Tracker(Settings(venues={}))
    web = WebSettings(listen="127.0.0.1:0")
    async with page_beside(tracker, web, HistorySettings()) as notes, tracker:
        url = notes[0].removeprefix("Page: ")
        before: dict[str, Any] = json.loads(await got(f"{url}/api/v1/now"))
        ledger, now = tracker.new_ledger(), our_ms()
        for number in range(60):
            name = f"C{number % 3}USDT"
            event = Liquidation(
                "bybit", name, name, "long", 1.0, "fill", 1.0, 1e7, now + number, now + number, str(number)
            )
            tracker.admit(event, ledger)
        async with asyncio.timeout(40):
            while not (after := json.loads(await got(f"{url}/api/v1/now")))["messages"]["open"]:
                await asyncio.sleep(0.2)
            while 'channel="log",result="sent"' not in (metrics := (await got(f"{url}/metrics")).decode()):
                await asyncio.sleep(0.2)

    assert before["messages"]["open"] is None
    assert before["messages"]["budget_per_week"] == 3.0
    assert after["messages"]["open"]["messages"] >= 1
    assert after["messages"]["open"]["usd"] > 0
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
    }
    assert samples["liqtape_events_total", (("side", "long"), ("venue", "bybit"))] == 60
    assert samples["liqtape_usd_total", (("side", "long"), ("venue", "bybit"))] == 60e7
    assert samples["liqtape_ledger_imbalance", ()] == 0
    assert samples["liqtape_notifications_total", (("channel", "log"), ("result", "sent"))] >= 1


async def test_nothing_is_served_where_it_is_off() -> None:
    tracker = Tracker(Settings(venues={}))
    async with page_beside(tracker, WebSettings(listen="off"), HistorySettings()) as notes:
        assert notes == ["Page: off"]
