import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.cascades.samples import T0, cascade
from tests.polling import until

from liqtape.errors import SinkError, SinkUnavailable
from liqtape.events import Alert, Level, Liquidation, PriceTick, VelocityMetrics, VenueHealth
from liqtape.sinks import publisher as publisher_module
from liqtape.sinks.publisher import RECENT_EVENTS, Publisher
from liqtape.sinks.sink import Batch, Refusal

BOUND_SECONDS = 10.0
T = 1_790_000_000_000
TICK = PriceTick("binance", "BTCUSDT", 80_000.0, 0.1, T)
HEALTH = VenueHealth("bybit", "live", T, 0.1, 0, 1.0)


class MemorySink:
    """Keeps what it got; `trouble` is raised by the next calls, a call each; `gate` closed makes it hang."""

    name = "memory"

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.calls: list[str] = []
        self.trouble: list[Exception | None] = []
        self.refusal: Refusal | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.busy = False

    async def open(self) -> None:
        self.calls.append("open")

    async def publish(self, batch: Batch) -> Refusal | None:
        assert not self.busy, "publish was called again before it returned"
        self.busy = True
        self.calls.append("publish")
        try:
            await self.gate.wait()
            if self.trouble and (error := self.trouble.pop(0)):
                raise error
            self.batches.append(batch)
            return self.refusal
        finally:
            self.busy = False

    async def close(self) -> None:
        self.calls.append("close")

    @property
    def events(self) -> list[Liquidation]:
        """What the list of a sink that obeys `resync` would hold."""
        held: list[Liquidation] = []
        for batch in self.batches:
            held = [*([] if batch.resync else held), *batch.events][-RECENT_EVENTS:]
        return held

    @property
    def alerts(self) -> list[int]:
        return [alert.at_ms for batch in self.batches for alert in batch.alerts]


def row(symbol: str) -> VelocityMetrics:
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(VelocityMetrics):
        values[field.name] = 3 if field.type is int else False if field.type is bool else 1.5
    return VelocityMetrics(**(values | {"symbol": symbol, "level": "NONE"}))


def rows(symbols: Iterable[str]) -> list[VelocityMetrics]:
    return [row(symbol) for symbol in symbols]


def liquidation(number: int, instrument: str = "BTCUSDT") -> Liquidation:
    return Liquidation("bybit", instrument, instrument, "long", 8.0, "fill", 1.0, 8.0, T + number, T, str(number))


def alert(number: int, instrument: str = "BTCUSDT", level: Level = "ALERT") -> Alert:
    return Alert(instrument, level, "NONE", number, 6.5, 2.5, 90, 1e6, "threshold")


@asynccontextmanager
async def running(publisher: Publisher) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(publisher.run())
    try:
        yield task
    finally:
        publisher.stop()
        await asyncio.wait([task], timeout=BOUND_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "_FIRST_RETRY", 0.001)
    monkeypatch.setattr(publisher_module, "_LAST_RETRY", 0.004)


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def publisher(sink: MemorySink) -> Publisher:
    return Publisher(sink, rows, list)


async def test_writes_what_was_marked_and_everything_else_new(sink: MemorySink, publisher: Publisher) -> None:
    publisher.changed(["ETHUSDT", "BTCUSDT"])
    publisher.accepted([liquidation(1)])
    publisher.announce(alert(1))
    publisher.price(TICK)
    publisher.health([HEALTH])

    async with running(publisher):
        await until(lambda: bool(sink.batches))

    first = sink.batches[0]
    assert [metrics.symbol for metrics in first.metrics] == ["BTCUSDT", "ETHUSDT"]
    assert (list(first.events), list(first.alerts)) == ([liquidation(1)], [alert(1)])
    assert (first.price, list(first.health)) == (TICK, [HEALTH])
    assert sink.calls[0] == "open"
    assert sink.calls[-1] == "close"
    assert publisher.state == "closed"


async def test_flood_while_the_sink_hangs_is_a_backlog_of_instruments(sink: MemorySink, publisher: Publisher) -> None:
    sink.gate.clear()
    publisher.changed(["S0"])
    async with running(publisher):
        await until(lambda: sink.busy)
        for number in range(100_000):
            publisher.accepted([liquidation(number, f"S{number % 40}")])
        assert len(publisher._dirty) == 40
        assert len(publisher._recent) == RECENT_EVENTS
        assert publisher.events_dropped_total == 99_000

        sink.gate.set()
        await until(lambda: len(sink.batches) == 2)

    assert len(sink.batches[1].metrics) == 40
    assert [event.id for event in sink.batches[1].events] == [str(number) for number in range(99_000, 100_000)]
    assert sink.batches[1].events_dropped == publisher.events_dropped_total == 99_000
    assert sink.calls.count("publish") == 2


async def test_flush_is_bounded_and_takes_who_waited_longest(
    sink: MemorySink, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_ROWS", 200)
    names = [f"S{number:03}" for number in range(500)]
    async with running(publisher):
        sink.gate.clear()
        publisher.changed(["S000"])
        await until(lambda: sink.busy)
        publisher.changed(reversed(names))
        publisher.changed(names)
        sink.gate.set()
        await until(lambda: len(sink.batches) == 4)

    written = [[metrics.symbol for metrics in batch.metrics] for batch in sink.batches[1:]]
    assert written == [names[300:], names[100:300], names[:100]]


async def test_flood_lets_the_next_flush_rest_but_no_alert(
    sink: MemorySink, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_FLOOD", 0)
    monkeypatch.setattr(publisher_module, "_REST", float("inf"))
    monkeypatch.setattr(publisher_module, "_LONGEST_REST", 3_600.0)
    publisher.accepted([liquidation(number) for number in range(100)])
    async with running(publisher) as task:
        await until(lambda: len(sink.batches) == 1)
        publisher.changed(["BTCUSDT"])
        await asyncio.sleep(0.02)
        assert len(sink.batches) == 1

        publisher.announce(alert(1))
        await until(lambda: len(sink.batches) == 2)
        publisher.accepted([liquidation(number) for number in range(100)])
        await until(lambda: len(sink.batches) == 3)
        publisher.stop()
        await asyncio.wait_for(task, BOUND_SECONDS)

    assert [metrics.symbol for metrics in sink.batches[1].metrics] == ["BTCUSDT"]


async def test_events_that_come_one_by_one_are_written_at_once(
    sink: MemorySink, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_FLOOD", 1_000_000)
    monkeypatch.setattr(publisher_module, "_REST", float("inf"))
    monkeypatch.setattr(publisher_module, "_LONGEST_REST", 3_600.0)
    async with running(publisher):
        for number in range(5):
            publisher.accepted([liquidation(number)])
            await until(lambda: len(sink.events) == number + 1)  # noqa: B023 - waited for at once


async def test_events_come_once_and_in_order(sink: MemorySink, publisher: Publisher) -> None:
    async with running(publisher):
        for number in range(300):
            publisher.accepted([liquidation(2 * number), liquidation(2 * number + 1)])
            if number % 7 == 0:
                await asyncio.sleep(0)
        await until(lambda: len(sink.events) == 600)

    assert [event.id for event in sink.events] == [str(number) for number in range(600)]


async def test_first_batch_replaces_what_an_earlier_run_left(sink: MemorySink, publisher: Publisher) -> None:
    async with running(publisher):
        publisher.changed(["BTCUSDT"])
        await until(lambda: len(sink.batches) == 1)
        publisher.accepted([liquidation(1)])
        await until(lambda: len(sink.batches) == 2)

    assert [batch.resync for batch in sink.batches] == [True, False]
    assert list(sink.batches[0].events) == []


@pytest.mark.parametrize("error", [SinkUnavailable("gone"), SinkError("refused"), KeyError("unforeseen")], ids=repr)
async def test_failed_batch_comes_again_with_all_recent_events(
    sink: MemorySink, publisher: Publisher, error: Exception
) -> None:
    async with running(publisher):
        publisher.accepted([liquidation(1)])
        await until(lambda: len(sink.batches) == 1)
        sink.trouble = [error]
        publisher.accepted([liquidation(2, "ETHUSDT")])
        publisher.price(TICK)
        publisher.health([HEALTH])
        await until(lambda: len(sink.batches) == 2)

    second = sink.batches[1]
    assert second.resync
    assert [event.id for event in second.events] == ["1", "2"]
    assert [metrics.symbol for metrics in second.metrics] == ["ETHUSDT"]
    assert (second.price, list(second.health)) == (TICK, [HEALTH])
    assert publisher.failures_total == 1


async def test_newer_state_wins_over_what_comes_back(sink: MemorySink, publisher: Publisher) -> None:
    newer = PriceTick("binance", "BTCUSDT", 81_000.0, 0.1, T + 1)
    async with running(publisher):
        publisher.price(TICK)
        sink.gate.clear()
        await until(lambda: sink.busy)
        publisher.price(newer)
        sink.trouble = [SinkUnavailable("gone")]
        sink.gate.set()
        await until(lambda: bool(sink.batches))

    assert sink.batches[0].price == newer


async def test_sink_that_was_away_gets_every_live_instrument(sink: MemorySink) -> None:
    publisher = Publisher(sink, rows, lambda: ["AAA", "BBB"])
    async with running(publisher):
        await until(lambda: len(sink.batches) == 1)
        sink.trouble = [SinkUnavailable("gone")]
        publisher.changed(["CCC"])
        await until(lambda: len(sink.batches) == 2)

    assert sink.calls[:5] == ["open", "publish", "publish", "open", "publish"]
    assert [metrics.symbol for metrics in sink.batches[1].metrics] == ["AAA", "BBB", "CCC"]


async def test_refused_command_does_not_reopen_and_repeats_no_alert(sink: MemorySink, publisher: Publisher) -> None:
    sink.trouble = [SinkError("WRONGTYPE"), SinkError("WRONGTYPE")]
    async with running(publisher):
        publisher.announce(alert(1))
        publisher.changed(["BTCUSDT"])
        await until(lambda: len(sink.batches) == 1)

    assert sink.calls.count("open") == 1
    assert sink.alerts == []  # the first try announced it
    assert [metrics.symbol for metrics in sink.batches[0].metrics] == ["BTCUSDT"]


async def test_refusal_is_a_state_until_it_ends_and_the_rest_goes_on(
    sink: MemorySink, publisher: Publisher, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_FIRST_RETRY", 3_600.0)  # nothing of this waits
    monkeypatch.setattr(publisher_module, "_LAST_RETRY", 3_600.0)
    caplog.set_level(logging.INFO, "liqtape")
    async with running(publisher):
        sink.refusal = Refusal("refuses PUBLISH: NOPERM", "NOPERM", 2)
        publisher.announce(alert(1))
        publisher.announce(alert(2))
        await until(lambda: publisher.state == "failing")
        assert publisher.detail == "refuses PUBLISH: NOPERM; 2 alerts could not be published"

        sink.refusal = Refusal("refuses PUBLISH: NOPERM", "NOPERM")
        for number in range(3):
            publisher.changed([f"S{number}"])
            await until(lambda: len(sink.batches) == number + 2)  # noqa: B023 - waited for at once
            assert publisher.state == "failing"
        assert [batch.resync for batch in sink.batches] == [True, False, False, False]
        assert [len(batch.alerts) for batch in sink.batches] == [2, 0, 0, 0]

        sink.refusal = None
        publisher.announce(alert(3))
        await until(lambda: publisher.state == "ok")
        assert publisher.detail == ""

    assert (publisher.alerts_dropped_total, publisher.failures_total) == (2, 1)
    assert caplog.messages == [
        "memory: refuses PUBLISH: NOPERM; feeds and callbacks go on, retrying",
        "memory: back, caught up; 2 alerts could not be published",
    ]


async def test_alerts_that_are_lost_at_the_end_are_told(
    sink: MemorySink, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    sink.refusal = Refusal("refuses PUBLISH: NOPERM", "NOPERM", 1)
    async with running(publisher):
        publisher.announce(alert(1))
        await until(lambda: publisher.state == "failing")

    assert caplog.messages[-1] == "memory: 1 alert could not be published"


async def test_refused_in_part_counts_the_alerts_that_were_not_announced(
    sink: MemorySink, publisher: Publisher
) -> None:
    sink.trouble = [SinkError("refused", unannounced=[alert(2)])]
    async with running(publisher):
        publisher.announce(alert(1))
        publisher.announce(alert(2))
        publisher.changed(["BTCUSDT"])
        await until(lambda: len(sink.batches) == 1)

    assert sink.alerts == []
    assert publisher.alerts_dropped_total == 1


async def test_only_what_was_not_announced_is_announced_again(sink: MemorySink, publisher: Publisher) -> None:
    sink.trouble = [SinkUnavailable("a replica", unannounced=[alert(2)]), SinkUnavailable("gone")]
    async with running(publisher):
        for number in (1, 2, 3):
            publisher.announce(alert(number))
        await until(lambda: len(sink.batches) == 1)

    assert sink.alerts == [2]
    assert publisher.alerts_dropped_total == 0


async def test_levels_above_none_are_written_again_and_again(
    sink: MemorySink, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def levels() -> list[dict[str, Level]]:
        return [dict(batch.levels) for batch in sink.batches]

    async with running(publisher):
        publisher.announce(alert(1, "MARKET", "CRITICAL"))
        publisher.announce(alert(2, "ETHUSDT", "WATCH"))
        await until(lambda: len(sink.batches) == 1)
        publisher.changed(["BTCUSDT"])
        await until(lambda: len(sink.batches) == 2)
        monkeypatch.setattr(publisher_module, "_LEVELS_SECONDS", 0.0)
        publisher.changed(["BTCUSDT"])
        await until(lambda: len(sink.batches) == 3)
        publisher.announce(alert(3, "ETHUSDT", "NONE"))
        await until(lambda: len(sink.batches) == 4)
        publisher.changed(["BTCUSDT"])
        await until(lambda: len(sink.batches) == 5)

    raised = {"MARKET": "CRITICAL", "ETHUSDT": "WATCH"}
    assert levels() == [raised, {}, raised, {"MARKET": "CRITICAL", "ETHUSDT": "NONE"}, {"MARKET": "CRITICAL"}]


async def test_level_of_a_row_that_nobody_announced_is_kept_as_well(sink: MemorySink) -> None:
    """After a restart an instrument may begin above NONE."""
    publisher = Publisher(sink, lambda names: [msgspec.structs.replace(row(n), level="WATCH") for n in names], list)
    async with running(publisher):
        publisher.changed(["BTCUSDT"])
        await until(lambda: len(sink.batches) == 1)
        sink.trouble = [SinkUnavailable("gone")]
        publisher.price(TICK)
        await until(lambda: len(sink.batches) == 2)

    assert [dict(batch.levels) for batch in sink.batches] == [{"BTCUSDT": "WATCH"}] * 2


async def test_cascades_come_as_they_stand_then_and_again_after_a_failure(
    sink: MemorySink, publisher: Publisher
) -> None:
    sink.trouble = [SinkUnavailable("away", "lost")]
    first, second = cascade(is_over=False), cascade("ETHUSDT", T0 + 1, is_over=False)
    over = cascade()
    async with running(publisher):
        for one in (first, second, over):
            publisher.cascade(one)
        await until(lambda: len(sink.batches) >= 1)
        more = msgspec.structs.replace(over, move_hour_after=0.5)
        publisher.cascade(more)
        await until(lambda: any(more in batch.cascades for batch in sink.batches))

    (told,) = [batch for batch in sink.batches if over in batch.cascades]
    assert list(told.cascades) == [second, over]  # each once, the newest word last
    assert told.standing_cascades == (second, over)
    assert sink.batches[-1].standing_cascades == (second, more)


async def test_levels_that_could_not_be_written_come_again(sink: MemorySink, publisher: Publisher) -> None:
    async with running(publisher):
        publisher.announce(alert(1, "MARKET", "CRITICAL"))
        await until(lambda: len(sink.batches) == 1)
        sink.trouble = [SinkError("refused"), SinkUnavailable("gone")]
        publisher.announce(alert(2, "MARKET", "NONE"))
        await until(lambda: len(sink.batches) == 2)

    assert [dict(batch.levels) for batch in sink.batches] == [{"MARKET": "CRITICAL"}, {"MARKET": "NONE"}]


async def test_alerts_all_arrive_in_order_across_an_outage(sink: MemorySink, publisher: Publisher) -> None:
    sink.trouble = [None, SinkUnavailable("gone"), SinkUnavailable("gone"), None, SinkUnavailable("gone")]
    async with running(publisher):
        for number in range(200):
            publisher.announce(alert(number))
            if number % 20 == 0:
                await asyncio.sleep(0.002)
        await until(lambda: len(sink.alerts) == 200)

    assert sink.alerts == list(range(200))
    assert publisher.alerts_dropped_total == 0


async def test_alerts_have_a_bound_that_drops_the_oldest_and_counts(sink: MemorySink, publisher: Publisher) -> None:
    sink.gate.clear()
    publisher.announce(alert(0))
    async with running(publisher):
        await until(lambda: sink.busy)
        for number in range(1, RECENT_EVENTS + 50):
            publisher.announce(alert(number))
        sink.trouble = [SinkUnavailable("gone")]
        sink.gate.set()
        await until(lambda: bool(sink.batches))

    assert sink.alerts == list(range(50, RECENT_EVENTS + 50))
    assert publisher.alerts_dropped_total == 50


async def test_outage_is_one_warning_and_one_line_at_its_end(
    sink: MemorySink, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "liqtape")
    sink.trouble = [SinkUnavailable("gone")] * 5
    async with running(publisher):
        publisher.changed(["BTCUSDT"])
        await until(lambda: len(sink.batches) == 1)
        publisher.changed(["BTCUSDT"])
        await until(lambda: len(sink.batches) == 2)

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "memory: gone; feeds and callbacks go on, retrying"),
        ("INFO", "memory: back, caught up"),
    ]


async def test_back_off_grows_to_its_cap_and_starts_afresh(
    sink: MemorySink, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(publisher, "_pause", pause)
    sink.trouble = [*[SinkUnavailable("gone")] * 4, None, SinkUnavailable("gone")]
    async with running(publisher):
        for count in (1, 2):
            publisher.changed(["BTCUSDT"])
            await until(lambda: len(sink.batches) >= count)  # noqa: B023 - waited for at once

    assert waits == [0.001, 0.002, 0.004, 0.004, 0.001]


async def test_unforeseen_error_is_logged_once_counted_and_the_sink_made_anew(
    sink: MemorySink, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    sink.trouble = [ZeroDivisionError("oops")] * 3
    async with running(publisher) as task:
        publisher.changed(["BTCUSDT"])
        publisher.announce(alert(7))
        await until(lambda: len(sink.batches) == 1)
        assert not task.done()

    assert publisher.errors == {"write: ZeroDivisionError": 3}
    assert publisher.failures_total == 3
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert caplog.records[0].exc_info is not None
    assert sink.calls[:8] == ["open", "publish", "close", "open", "publish", "close", "open", "publish"]
    assert sink.alerts == [7]


async def test_snapshot_that_fails_loses_nothing(sink: MemorySink) -> None:
    fails = [True, False]

    def snapshot(symbols: Iterable[str]) -> list[VelocityMetrics]:
        if fails.pop(0) if fails else False:
            raise ValueError("evaluation too far back")
        return rows(symbols)

    publisher = Publisher(sink, snapshot, list)
    async with running(publisher):
        publisher.accepted([liquidation(1)])
        publisher.announce(alert(1))
        await until(lambda: len(sink.batches) == 1)

    assert [event.id for event in sink.batches[0].events] == ["1"]
    assert [metrics.symbol for metrics in sink.batches[0].metrics] == ["BTCUSDT"]
    assert sink.alerts == [1]


async def test_sink_that_never_opens_is_tried_again_and_again(publisher: Publisher, sink: MemorySink) -> None:
    attempts: list[int] = []

    async def open_() -> None:
        attempts.append(1)
        if len(attempts) < 4:
            raise SinkUnavailable("nobody listens")

    sink.open = open_  # type: ignore[method-assign]
    async with running(publisher):
        publisher.changed(["BTCUSDT"])
        await until(lambda: len(sink.batches) == 1)

    assert len(attempts) == 4


async def test_stop_flushes_what_is_pending(sink: MemorySink, publisher: Publisher) -> None:
    async with running(publisher) as task:
        await until(lambda: "open" in sink.calls)
        publisher.changed(["BTCUSDT"])
        publisher.accepted([liquidation(1)])
        publisher.stop()
        await asyncio.wait_for(task, BOUND_SECONDS)

    assert [event.id for event in sink.events] == ["1"]


async def test_stop_of_a_dead_sink_ends_without_waiting_for_the_back_off(
    sink: MemorySink, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_FIRST_RETRY", 3_600.0)
    monkeypatch.setattr(publisher_module, "_LAST_RETRY", 3_600.0)
    sink.trouble = [SinkUnavailable("gone")] * 100
    async with running(publisher) as task:
        publisher.changed(["BTCUSDT"])
        await until(lambda: publisher.failures_total == 1)
        publisher.stop()
        await asyncio.wait_for(task, BOUND_SECONDS)

    assert publisher.failures_total == 2  # one last attempt
    assert sink.calls[-1] == "close"


async def test_sink_that_hangs_or_fails_when_closed_does_not_keep_the_publisher(
    sink: MemorySink, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def close() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(publisher_module, "_CLOSE_SECONDS", 0.01)
    sink.close = close  # type: ignore[method-assign]
    async with running(publisher) as task:
        publisher.stop()
        await asyncio.wait_for(task, BOUND_SECONDS)

    assert publisher.errors == {"close: TimeoutError": 1}
    assert len(caplog.records) == 1


async def test_cancelled_run_closes_the_sink(sink: MemorySink, publisher: Publisher) -> None:
    sink.gate.clear()
    publisher.changed(["BTCUSDT"])
    async with running(publisher) as task:
        await until(lambda: sink.busy)
        task.cancel()
        await asyncio.wait([task])

    assert task.cancelled()
    assert sink.calls == ["open", "publish", "close"]
