import pytest
from msgspec.structs import replace

from liqtape.events import Liquidation
from liqtape.pipeline.clock import EventClock
from liqtape.pipeline.receipts import Receipts

T = 1_790_000_000_000
AHEAD = {"binance": 0, "bybit": 0, "okx": -10_000}


def _clock(our_ms: int) -> EventClock:
    clock = EventClock(dict.fromkeys(AHEAD, 0))
    clock.wait()
    for ms in range(0, 2_000, 250):
        for venue, ahead_ms in AHEAD.items():
            clock.observe(venue, [T + ms + ahead_ms], our_ms + ms)
        clock.estimate()
    assert clock.shifts == {"okx": -10_000}
    return clock


def _received(venue: str, at_ms: int, set_ms: int, late_ms: int = 1_000) -> Liquidation:
    """An event of then, by its venue's clock, received when our clock was set by so much."""
    event = Liquidation(venue, "BTCUSDT", "BTCUSDT", "long", 80_000.0, "fill", 0.01, 800.0, at_ms + AHEAD[venue])
    return replace(event, receive_ms=at_ms + late_ms + set_ms)


@pytest.mark.parametrize("now_ms", [0, 3_660_000, -7_200_000])
def test_what_each_of_several_runs_received_is_known_however_often_the_clock_was_set(now_ms: int) -> None:
    """Seen in virtual time: set by a minute, by an hour, and not since; what the last run had stood by the first."""
    clock, moments = _clock(T + now_ms), range(T - 200_000, T - 20_000, 20_000)
    sets = (3_660_000, 3_600_000, 0)
    events = [_received(venue, at, sets[n % 3]) for venue in AHEAD for n, at in enumerate(moments)]
    receipts = Receipts(clock)
    receipts.learn(events)

    found = [receipts.of(event) for event in events]
    true = [at + now_ms for _ in AHEAD for at in moments]  # what is always on the way belongs to the difference
    assert all(one is not None and abs(one - right) <= 1_000 for one, right in zip(found, true, strict=True))


def test_one_venue_alone_and_what_was_told_late_say_nothing() -> None:
    receipts = Receipts(_clock(T))
    late = [_received(venue, T - 90_000, 0, 100 + 20_000 * n * (2 + len(venue))) for venue in AHEAD for n in range(3)]
    alone = [_received("okx", T - 60_000, 3_600_000)]
    receipts.learn([*late, *alone])

    assert [receipts.of(event) for event in [*late, *alone]] == [event.receive_ms for event in [*late, *alone]]
    assert receipts.of(replace(late[0], receive_ms=None)) is None


def test_a_clock_that_was_set_by_just_what_a_venue_is_off_says_nothing_of_what_came_since() -> None:
    """Seen in virtual time: okx a minute ahead, and our clock set by a minute between the runs before."""
    receipts, at = Receipts(_clock(T)), range(T - 200_000, T - 20_000, 20_000)
    first = [_received(venue, ms, 10_000) for venue in ("binance", "bybit") for ms in at]
    last = [_received("okx", ms, 0) for ms in at]
    receipts.learn([*first, *last])

    assert receipts.of(first[0]) == pytest.approx(at[0], abs=1_000)
    assert [receipts.of(event) for event in last] == [event.receive_ms for event in last]


def test_a_clock_that_is_known_later_is_looked_at_then() -> None:
    clock = EventClock(dict.fromkeys(AHEAD, 0))
    events = [_received(venue, T - 20_000, 3_600_000) for venue in AHEAD]
    receipts = Receipts(clock)
    for ms in range(0, 2_000, 250):
        clock.observe("bybit", [T + ms], T + ms)
    receipts.learn(events)
    assert receipts.of(events[0]) == events[0].receive_ms
    for ms in range(2_000, 4_000, 250):
        clock.observe("binance", [T + ms], T + ms)
    receipts.learn(events)
    assert receipts.of(events[0]) == pytest.approx(T - 20_000, abs=1_000)
