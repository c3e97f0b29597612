"""The whole system against the built-in simulator, and the check that what came out is what went in."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

import msgspec
from msgspec import Struct

from liqtape.alarms.policy.messages import AlarmMessage
from liqtape.cli.foreground import StopSignals, watch
from liqtape.cli.serving import page_beside
from liqtape.cli.warmstart import WarmStart, warm_start
from liqtape.events import LEVELS, WINDOWS, Alert, Level, VelocityMetrics
from liqtape.settings import (
    COMMAND_DEFAULTS,
    HistorySettings,
    PriceSettings,
    RedisSettings,
    Settings,
    VenueSettings,
    WebSettings,
)
from liqtape.simulator import Recount, Simulator, recount
from liqtape.simulator.dialects import DIALECTS
from liqtape.tracker import Tracker

__all__ = ["DemoSummary", "demo", "metric_differences"]

_LISTEN: str = COMMAND_DEFAULTS["web"]["listen"]
_SETTLE_SECONDS = 5.0
_READ_AT_ONCE = 100_000
_CHECK_OFFSETS_S = (0, 1, 5, 9.999, 10, 25, 59, 60, 240, 300)


class DemoSummary(Struct, frozen=True):
    """What the demo sent, what arrived, and every difference; no differences means it proved itself.

    `levels` has the highest level of each instrument, and of the market under `MARKET`, where one was announced;
    `messages` are the titles of what a person would have been told.
    """

    scenario: str
    seed: int
    seconds: float
    redis_url: str | None
    sent_events: int
    sent_distinct: int
    venues: dict[str, int]
    instruments: int
    alerts: int
    levels: dict[str, Level]
    messages: list[str]
    ledger: dict[str, int]
    balanced: bool
    metrics_checked: int
    differences: list[str]


async def demo(
    scenario: str, seconds: float, seed: int, speed: float, out: TextIO | None = None, listen: str | None = "off"
) -> tuple[DemoSummary, int]:
    """Run for `seconds` (0: until a signal); returns the summary and the signal that ended it, if any.

    Raises ValueError for an unknown scenario.
    """
    with tempfile.TemporaryDirectory(prefix="liqtape-demo-") as directory, StopSignals().installed() as stop:
        async with Simulator(scenario, seed, speed) as simulator:
            tracker = Tracker(_settings(simulator, Path(directory)), data_dir=Path(directory))
            alerts: list[Alert] = []
            tracker.on_alert(alerts.append, "demo")
            messages: list[AlarmMessage] = []
            tracker.on_message(messages.append, "demo messages")
            began = time.monotonic()
            learned = warm_start()
            web = WebSettings(listen=listen or _LISTEN)
            async with page_beside(tracker, web, tracker.settings.history, "demo") as page, tracker:
                tracker.begin_with(learned.states, _learned_note(learned, speed), learned.messages)
                notes = [_note(scenario), *page]
                await watch(tracker, stop, seconds or None, notes, out, f"demo, {scenario}")
                lasted = time.monotonic() - began
                await simulator.stop_generating()
                await _settle(tracker, simulator)
                differences, checked = _compare(tracker, simulator)
                summary = _summary(
                    tracker, simulator, (scenario, seed, lasted), alerts, messages, (differences, checked)
                )
        return summary, stop.received


def _settings(simulator: Simulator, directory: Path) -> Settings:
    venues = {
        name: VenueSettings(ws_url=simulator.ws_url(name), rest_url=simulator.rest_url(name)) for name in DIALECTS
    }
    # Without an address of its own the price would look for its spot host on the network.
    price = PriceSettings(spot_url=simulator.ws_url("binance"))
    return Settings(
        venues=venues,
        redis=RedisSettings("embedded"),
        price=price,
        history=HistorySettings(str(directory / "history"), seal=False),
    )


def _note(scenario: str) -> str:
    return f"demo, scenario {scenario}: simulated venues on this machine, no network, nothing is kept"


def _learned_note(learned: WarmStart, speed: float) -> str:
    """What levels mean here: the compressed days of another speed are louder than those that were learned."""
    return f"{learned} of the calm market" + ("" if speed == 1.0 else " at speed 1")


async def _settle(tracker: Tracker, simulator: Simulator) -> None:
    """Wait until what was sent has arrived."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline:
        ledger = tracker.ledger()
        waiting = ledger.events_pending + ledger.events_log_pending + max(0, _told(simulator) - ledger.events_decoded)
        if ledger.events_accepted >= len(simulator.ledger.distinct()) and not waiting:
            return
        await asyncio.sleep(0.05)


def _told(simulator: Simulator) -> int:
    """Liquidations the venues told us of, repeats and what they answered to REST requests included."""
    sent = simulator.ledger
    return sum(tally.liquidations for tally in (*sent.connections, *sent.rest.values()))


def _compare(tracker: Tracker, simulator: Simulator) -> tuple[list[str], int]:
    ledger = tracker.ledger()
    sent = simulator.ledger
    total = _told(simulator)
    distinct = sent.distinct()
    differences = []
    if not ledger.balanced():
        differences.append(f"the ledger does not balance: {ledger.as_dict()}")
    for what, ours, theirs in (
        ("events accepted", ledger.events_accepted, len(distinct)),
        ("events decoded", ledger.events_decoded, total + ledger.events_rejected_invalid),
        ("repeats dropped", ledger.events_duplicate, total - len(distinct)),
        ("events without USD", ledger.events_unsized, 0),
        ("events in the history", _logged(tracker), len(distinct)),
    ):
        if ours != theirs:
            differences.append(f"{what}: {ours} here, {theirs} sent")
    checked = 0
    newest = max((record.event_ms for record in distinct), default=0)
    for offset in _CHECK_OFFSETS_S:
        now = newest + round(1000 * offset)
        for instrument, expected in recount(distinct, now).items():
            metrics = tracker.engine.metrics(instrument, now)
            checked += 1
            if metrics is None:
                differences.append(f"{instrument}: never seen here")
            else:
                differences.extend(
                    f"{instrument} +{offset} s: {text}" for text in metric_differences(metrics, expected)
                )
    return differences, checked


def metric_differences(metrics: VelocityMetrics, expected: Recount) -> list[str]:
    """Where a row is not what its recount says; empty when they agree to the last digit."""
    wanted: dict[str, Any] = {"acceleration": float(expected.acceleration)}
    for w in WINDOWS:
        count = expected.windows[w]
        wanted[f"event_count_{w}s"] = count.count
        wanted[f"velocity_{w}s"] = count.count / w
        wanted[f"long_count_{w}s"] = count.long_count
        wanted[f"short_count_{w}s"] = count.short_count
        wanted[f"usd_velocity_{w}s"] = float(Fraction(count.micro_usd, 1_000_000 * w))
        wanted[f"long_usd_{w}s"] = count.long_micro_usd / 1_000_000
        wanted[f"short_usd_{w}s"] = count.short_micro_usd / 1_000_000
    wanted["total_value_usd"] = expected.windows[300].micro_usd / 1_000_000
    got = msgspec.structs.asdict(metrics)
    return [f"{field} {got[field]} here, {value} recounted" for field, value in wanted.items() if got[field] != value]


def _logged(tracker: Tracker) -> int:
    """How many events a reader finds in the log, whatever its own count says."""
    found = seq = 0
    while tracker.log is not None and (batch := tracker.log.after(seq, _READ_AT_ONCE)):
        found, seq = found + len(batch), batch[-1][0]
    return found


def _summary(
    tracker: Tracker,
    simulator: Simulator,
    run: tuple[str, int, float],
    alerts: Sequence[Alert],
    messages: Sequence[AlarmMessage],
    check: tuple[Sequence[str], int],
) -> DemoSummary:
    scenario, seed, lasted = run
    differences, checked = check
    distinct = simulator.ledger.distinct()
    ledger = tracker.ledger()
    venues = {name: sum(1 for record in distinct if record.venue == name) for name in DIALECTS}
    return DemoSummary(
        scenario,
        seed,
        round(lasted, 1),
        tracker.redis_url,
        _told(simulator),
        len(distinct),
        venues,
        len({record.symbol for record in distinct}),
        len(alerts),
        _highest(alerts),
        [f"{message.kind} {message.title}" for message in messages if message.stream == "market"],
        ledger.as_dict(),
        ledger.balanced(),
        checked,
        list(differences),
    )


def _highest(alerts: Sequence[Alert]) -> dict[str, Level]:
    highest: dict[str, Level] = {}
    for alert in alerts:
        highest[alert.instrument] = max(alert.level, highest.get(alert.instrument, "NONE"), key=LEVELS.index)
    return highest
