import asyncio
import io
import os
import re
import signal
from collections.abc import Sequence

import pytest

from liqtape.cli import demo as demo_module
from liqtape.cli.demo import DemoSummary, demo
from liqtape.embedded import server_binary
from liqtape.engine import VelocityEngine
from liqtape.errors import EmbeddedUnavailable
from liqtape.events import Event, Liquidation, RawLiquidation
from liqtape.ledger import Ledger
from liqtape.pipeline.pipeline import Pipeline
from liqtape.simulator import SCENARIOS

SECONDS = 7.0
# The timeline of each, so fast that what makes it special happens: shocks at 2 s, the block at 5 s, the cut at 12 s.
SPEED = {"calm": 1.0, "cascade": 1.5, "block": 2.0, "faults": 3.0}


@pytest.fixture(autouse=True)
def usual_server() -> None:
    try:
        server_binary()
    except EmbeddedUnavailable as error:
        pytest.skip(str(error))


async def test_every_scenario_proves_itself() -> None:
    assert set(SPEED) == set(SCENARIOS)
    outs = {scenario: io.StringIO() for scenario in SPEED}

    runs = (demo(scenario, SECONDS, 3, speed, outs[scenario]) for scenario, speed in SPEED.items())
    summaries = {summary.scenario: summary for summary, _ in await asyncio.gather(*runs)}

    assert {scenario: summary.differences for scenario, summary in summaries.items()} == {s: [] for s in SPEED}
    for scenario, summary in summaries.items():
        assert summary.balanced
        assert summary.ledger["events_accepted"] == summary.sent_distinct > 0
        assert summary.ledger["events_decoded"] == summary.sent_events
        assert summary.metrics_checked >= 10 * summary.instruments / 2
        assert summary.seconds >= SECONDS
        text = outs[scenario].getvalue()
        assert text.startswith(f"demo, scenario {scenario}: simulated venues on this machine, no network")
        assert "\nlevels learned from 10 simulated days of the calm market" in text
        assert "Redis on port " in text
        assert " v10=" in text
        assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \w+ v10=", text, re.MULTILINE)
    assert set(summaries["calm"].levels.values()) <= {"WATCH"}
    assert summaries["cascade"].levels
    assert summaries["block"].levels["BTCUSDT"] == "CRITICAL"  # one instrument alone is not the market
    assert summaries["block"].venues["bybit"] >= 11_279
    assert summaries["block"].alerts > 0
    assert summaries["faults"].sent_events > summaries["faults"].sent_distinct
    assert summaries["faults"].ledger["events_duplicate"] > 0


async def short(seconds: float = 2.5) -> DemoSummary:
    summary, _ = await demo("cascade", seconds, 3, 4.0, io.StringIO())
    return summary


async def test_broken_engine_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    added = VelocityEngine.add
    lost: list[Liquidation] = []

    def forgetful(self: VelocityEngine, liquidation: Liquidation, window_ms: int | None = None) -> bool:
        """Lose one, also where it is put in its place again."""
        if liquidation.venue == "binance" and (not lost or liquidation.id == lost[0].id):
            lost.append(liquidation)
            return True
        return added(self, liquidation, window_ms)

    monkeypatch.setattr(VelocityEngine, "add", forgetful)
    summary = await short()

    said = [text for text in summary.differences if text.startswith(f"{lost[0].instrument} +0 s: event_count_300s ")]
    assert len(said) == 1 or f"{lost[0].instrument}: never seen here" in summary.differences
    assert summary.balanced


async def test_event_lost_on_the_way_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "_SETTLE_SECONDS", 0.2)
    ingest = Pipeline.ingest
    lost: list[int] = []

    def lossy(self: Pipeline, events: Sequence[Event], ledger: Ledger, our_ms: int | None = None) -> None:
        if not lost and isinstance(events[0], RawLiquidation):
            lost.append(len(events))
            return
        ingest(self, events, ledger, our_ms)

    monkeypatch.setattr(Pipeline, "ingest", lossy)
    summary = await short()

    assert summary.ledger["events_accepted"] < summary.sent_distinct
    assert (
        f"events accepted: {summary.ledger['events_accepted']} here, {summary.sent_distinct} sent"
        in summary.differences
    )


async def test_without_an_end_it_runs_until_a_signal_and_checks_itself_then() -> None:
    out = io.StringIO()
    running = asyncio.create_task(demo("cascade", 0, 3, 4.0, out))
    async with asyncio.timeout(15.0):
        while " v10=" not in out.getvalue():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.05)
        assert not running.done()
        os.kill(os.getpid(), signal.SIGINT)
        summary, signalled = await running

    assert signalled == signal.SIGINT
    assert summary.differences == []
    assert summary.sent_distinct > 0


async def test_unknown_scenario_is_refused() -> None:
    with pytest.raises(ValueError, match=r"calm.*cascade.*block.*faults"):
        await demo("doom", 1, 1, 1.0)
