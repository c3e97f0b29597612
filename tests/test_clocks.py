"""Clocks that are wrong: what the metrics definition holds in section 0, clause by clause, on a driven clock."""

from collections.abc import Callable, Iterator, Mapping
from heapq import merge

import pytest
from msgspec import Struct

from liqtape import tracker as tracker_module
from liqtape.events import Event, PriceTick, RawLiquidation, VelocityMetrics
from liqtape.ledger import Ledger
from liqtape.pipeline.clock import EventClock
from liqtape.settings import HistorySettings, RedisSettings, Settings, VenueSettings
from liqtape.tracker import Tracker
from liqtape.venues import VENUES

T = 1_790_000_000_000
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
WINDOWS = (10, 30, 60, 300)

Clock = Callable[[int], int]
"""By how much a clock goes before the true time, at a true time in ms."""


def right(_: int) -> int:
    return 0


def off(by_ms: int, from_ms: int = -(1 << 60), until_ms: int = 1 << 60) -> Clock:
    """A clock that is off between two moments after the beginning."""
    return lambda at_ms: by_ms if from_ms <= at_ms - T < until_ms else 0


class Line(Struct, frozen=True):
    """One venue as it is seen here: its clock, and after how many ms what happens there is received."""

    venue: str
    clock: Clock = right
    lag_ms: int = 100
    phase_ms: int = 0
    """Of its liquidations, one a second."""

    def frames(self, seconds: int) -> Iterator[tuple[int, int, Event]]:
        """(receipt, order, event), all in true time: trades ten times a second, a liquidation each second."""
        for at_ms in range(T, T + 1000 * seconds, 100):
            yield at_ms + 100, 0, PriceTick(self.venue, "BTCUSDT", 8e4, 0.1, at_ms + self.clock(at_ms), 0)
            if at_ms % 1000 == self.phase_ms:
                stamp = at_ms + self.clock(at_ms)
                size = 0.001 * (1 + (at_ms // 1000) % 7)
                yield (
                    at_ms + self.lag_ms,
                    1,
                    RawLiquidation(self.venue, "BTCUSDT", "long", 8e4, "fill", size, "base", stamp, 0, str(at_ms)),
                )


class Seen(Struct):
    """The rows of a run by true time, without what depends on prices: the instrument's, then those of its venues."""

    rows: dict[int, VelocityMetrics]
    of_venues: dict[str, dict[int, VelocityMetrics]]
    tracker: Tracker

    def counts(self, venue: str) -> dict[int, tuple[int, ...]]:
        return {at_ms: _counts(row) for at_ms, row in self.of_venues[venue].items()}


def _counts(row: VelocityMetrics) -> tuple[int, ...]:
    return row.event_count_10s, row.event_count_30s, row.event_count_60s, row.event_count_300s


def run(
    monkeypatch: pytest.MonkeyPatch,
    *lines: Line,
    seconds: int = 60,
    ours: Clock = right,
    asleep: tuple[int, int] | None = None,
    every_ms: int = 250,
) -> Seen:
    """Give a tracker what the lines bring, with a pulse a second, and take its rows four times a second.

    `ours` is our own steady time; while we are `asleep` (from, until) nothing is taken, and what was on its way is
    lost.
    """
    now = [T]
    monkeypatch.setattr(tracker_module, "_our_ms", lambda: now[0] + ours(now[0]))
    tracker = Tracker(
        Settings(
            venues={name: VenueSettings(enabled=name in {line.venue for line in lines}) for name in VENUES},
            redis=RedisSettings("off"),
            history=HistorySettings("off"),
        )
    )
    tracker.pipeline.begin()
    ledger = tracker.new_ledger()
    seen = Seen({}, {line.venue: {} for line in lines}, tracker)
    looks = ((T + at_ms, 2, None) for at_ms in range(0, 1000 * seconds, every_ms))
    for at_ms, _, event in merge(*(line.frames(seconds) for line in lines), looks, key=lambda frame: frame[:2]):
        if asleep is not None and asleep[0] <= at_ms - T < asleep[1]:
            continue
        now[0] = at_ms
        our_ms = at_ms + ours(at_ms)
        if isinstance(event, RawLiquidation | PriceTick):
            tracker.ingest([_received(event, our_ms)], ledger)
            continue
        if at_ms % 1000 == 0:
            tracker.pulse(our_ms)
        for row in tracker.snapshot(["BTCUSDT"]):
            seen.rows[at_ms] = row
        t_ms, at = tracker._moment()
        for venue, rows in seen.of_venues.items():
            if (row_of_venue := tracker.engine.metrics("BTCUSDT", t_ms, venue, at=at)) is not None:
                rows[at_ms] = row_of_venue
    assert ledger.balanced()
    return seen


def _received(event: RawLiquidation | PriceTick, our_ms: int) -> Event:
    if isinstance(event, PriceTick):
        return PriceTick(event.venue, event.symbol, event.price, event.quantity, event.event_ms, our_ms)
    return RawLiquidation(
        *(event.venue, event.symbol, event.side, event.price, event.price_kind, event.size, event.unit),
        event.event_ms,
        our_ms,
        event.native_id,
    )


def others() -> list[Line]:
    return [Line("okx", phase_ms=300), Line("binance", phase_ms=500)]


@pytest.mark.parametrize("lag_ms", [1_000, 1_090])
@pytest.mark.parametrize("company", [[], others()[:1]], ids=["alone", "with others"])
def test_one_order_a_second_that_comes_a_second_late_is_a_velocity_of_one_in_every_row(
    monkeypatch: pytest.MonkeyPatch, lag_ms: int, company: list[Line]
) -> None:
    seen = run(monkeypatch, Line("binance", lag_ms=lag_ms, phase_ms=900), *company, seconds=40, every_ms=50)
    rows = [row for at_ms, row in seen.of_venues["binance"].items() if at_ms >= T + 17_000]
    assert len(rows) > 400
    assert {(row.velocity_10s, row.saturated) for row in rows} == {(1.0, True)}


SKEWS = [1_000, -1_000, MINUTE_MS, -MINUTE_MS, HOUR_MS, -HOUR_MS]


def differences(one: Mapping[int, tuple[int, ...]], other: Mapping[int, tuple[int, ...]], since_ms: int) -> list[int]:
    """Moments after which counts differ, in ms after the beginning; each holds four, from 10 to 300 s."""
    assert one.keys() == other.keys()
    return [at_ms - T for at_ms in one if at_ms - T >= since_ms and one[at_ms] != other[at_ms]]


@pytest.mark.parametrize("skew_ms", SKEWS)
def test_a_venue_that_is_off_from_the_start_leaves_all_rows_right_within_twelve_seconds(
    monkeypatch: pytest.MonkeyPatch, skew_ms: int
) -> None:
    plain = run(monkeypatch, Line("bybit", phase_ms=400), *others())
    seen = run(monkeypatch, Line("bybit", off(skew_ms), phase_ms=400), *others())
    for venue in ("okx", "binance"):
        assert {at: row for at, row in seen.of_venues[venue].items() if at > T + 6_000} == {
            at: row for at, row in plain.of_venues[venue].items() if at > T + 6_000
        }
    found, expected = seen.counts("bybit"), plain.counts("bybit")
    for at_ms in (at for at in found if at >= T + 12_000):
        if abs(skew_ms) > 1_000:
            assert found[at_ms] == expected[at_ms]
        else:  # just a second is no clock that is off: its windows may end that much earlier or later
            assert all(abs(a - b) <= 1 for a, b in zip(found[at_ms], expected[at_ms], strict=True))
    assert {h.venue: h.shift_ms for h in seen.tracker.health()}["bybit"] == (skew_ms if abs(skew_ms) > 1_000 else 0)


@pytest.mark.parametrize("skew_ms", SKEWS)
def test_a_venue_whose_clock_steps_for_ever_is_right_within_six_seconds(
    monkeypatch: pytest.MonkeyPatch, skew_ms: int
) -> None:
    plain = run(monkeypatch, Line("bybit", phase_ms=400), *others())
    seen = run(monkeypatch, Line("bybit", off(skew_ms, 30_000), phase_ms=400), *others())
    for venue in ("okx", "binance"):
        assert seen.of_venues[venue] == plain.of_venues[venue]
    found, expected = seen.counts("bybit"), plain.counts("bybit")
    assert differences(found, expected, 0)[0:1] == [] or differences(found, expected, 0)[0] >= 30_000
    for at_ms in (at for at in found if at >= T + 36_000):
        if abs(skew_ms) > 1_000:
            assert found[at_ms] == expected[at_ms]
        else:
            assert all(abs(a - b) <= 1 for a, b in zip(found[at_ms], expected[at_ms], strict=True))


@pytest.mark.parametrize("skew_ms", SKEWS)
def test_a_venue_whose_clock_is_off_for_three_seconds_is_right_within_six_seconds_of_the_end(
    monkeypatch: pytest.MonkeyPatch, skew_ms: int
) -> None:
    """Its windows go on from where they were; what came in the three seconds bears no time that could be known."""
    plain = run(monkeypatch, Line("bybit", phase_ms=400), *others())
    seen = run(monkeypatch, Line("bybit", off(skew_ms, 30_000, 33_000), phase_ms=400), *others())
    for venue in ("okx", "binance"):
        assert seen.of_venues[venue] == plain.of_venues[venue]
    found, expected = seen.counts("bybit"), plain.counts("bybit")
    for at_ms in (at for at in found if at >= T + 39_000):
        assert all(0 <= b - a <= 3 or abs(a - b) <= 1 for a, b in zip(found[at_ms], expected[at_ms], strict=True))
    assert all(found[at_ms][0] == 10 for at_ms in found if at_ms >= T + 43_500)
    assert seen.tracker.pipeline.clock.steps_total == 0


@pytest.mark.parametrize("skew_ms", [HOUR_MS, -HOUR_MS, MINUTE_MS])
def test_our_own_clock_may_be_wrong_from_the_start(monkeypatch: pytest.MonkeyPatch, skew_ms: int) -> None:
    lines = [Line("bybit", phase_ms=400), *others()]
    plain, seen = run(monkeypatch, *lines), run(monkeypatch, *lines, ours=off(skew_ms))
    for at_ms in (at for at in plain.rows if at >= T + 6_000):
        assert seen.rows[at_ms] == plain.rows[at_ms]


@pytest.mark.parametrize("jump_ms", [600_000, HOUR_MS])
def test_a_step_of_our_steady_time_leaves_rows_right_within_six_seconds(
    monkeypatch: pytest.MonkeyPatch, jump_ms: int
) -> None:
    """Which should not be; all venues seem to jump then."""
    lines = [Line("bybit", phase_ms=400), *others()]
    plain = run(monkeypatch, *lines)
    seen = run(monkeypatch, *lines, ours=off(jump_ms, 30_000))
    for venue in seen.of_venues:
        found, expected = seen.counts(venue), plain.counts(venue)
        assert [at for at in differences(found, expected, 0) if not 30_000 <= at <= 36_000] == []
    assert abs(seen.rows[T + 59_750].timestamp - plain.rows[T + 59_750].timestamp) <= 0.06  # on its way: 1 ms/s


@pytest.mark.parametrize("is_noticed", [True, False])
def test_after_ten_minutes_of_sleep_rows_are_right_within_five_seconds(
    monkeypatch: pytest.MonkeyPatch, *, is_noticed: bool
) -> None:
    """Our time goes on in sleep where there is such a clock; where there is none, the venues tell."""
    lines = [Line("bybit", phase_ms=400), *others()]
    asleep = (30_000, 630_000)
    ours = right if is_noticed else off(-600_000, 630_000)
    seen = run(monkeypatch, *lines, seconds=680, ours=ours, asleep=asleep)
    for venue, rows in seen.of_venues.items():
        phase_ms = next(line.phase_ms for line in lines if line.venue == venue)
        for at_ms in (at for at in rows if at - T > 636_000):
            since_ms = T + 630_000 + (0 if phase_ms + 100 < 1000 else 1000)
            awake = range(max(since_ms, at_ms - 10_000), at_ms)
            expected = sum(1 for at in awake if at % 1000 == phase_ms)
            assert abs(rows[at_ms].event_count_10s - expected) <= 1
            assert rows[at_ms].event_count_300s <= (at_ms - T - 630_000) // 1000 + 1


def test_a_step_of_the_wall_clock_changes_nothing() -> None:
    from liqtape.ourtime import SteadyClock

    steady, wall = [5_000_000_000], [1_790_000_000_000_000_000]
    ours = SteadyClock(lambda: steady[0], lambda: wall[0])
    assert ours.ns() == wall[0]
    wall[0] += HOUR_MS * 1_000_000
    steady[0] += 1_000_000
    assert ours.ns() == 1_790_000_000_001_000_000


def test_time_and_the_times_of_venues_never_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [Line("bybit", off(40, 20_000), lag_ms=900, phase_ms=400), *others()]
    seen = run(monkeypatch, *lines, ours=lambda at_ms: (at_ms - T) // 700, every_ms=50)  # a crystal that is 0.14 % fast
    times = [row.timestamp for row in seen.rows.values()]
    assert times == sorted(times)
    assert seen.tracker.pipeline.clock.steps_total == 0


def test_the_clock_waits_for_two_venues_at_most_five_seconds() -> None:
    clock = EventClock({"bybit": 600, "okx": 1_100})
    clock.wait()
    for i in range(50):
        clock.observe("bybit", [T + 100 * i], T + 100 * i + 50)
        assert not clock.is_started
    clock.observe("bybit", [T + 5_000], T + 5_050)
    assert clock.is_started
    assert clock.offset_ms(T + 5_050) == -50


def test_trades_that_were_held_up_together_leave_no_event_in_a_wrong_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen in chaos: a way that was shut for two seconds just after the connection opens, and all comes at once."""
    now = [T]
    monkeypatch.setattr(tracker_module, "_our_ms", lambda: now[0])
    tracker = Tracker(Settings(redis=RedisSettings("off"), history=HistorySettings("off")))
    ledger = tracker.new_ledger()

    def at(ms: int, venue: str, *stamps: int, is_event: bool = False) -> None:
        now[0] = T + ms
        for stamp in stamps:
            if is_event:
                raw = RawLiquidation(venue, "BTCUSDT", "long", 1.0, "fill", 1.0, "base", T + stamp, now[0], str(stamp))
                tracker.ingest([raw], ledger)
            else:
                tracker.ingest([PriceTick(venue, "BTCUSDT", 1.0, 1.0, T + stamp, now[0])], ledger)

    for ms in range(0, 10_000, 100):
        at(ms, "okx", ms)
        at(ms, "binance", ms)
    at(10_000, "bybit", *[9_990 + i for i in range(8)])
    at(12_300, "bybit", *range(10_100, 11_000, 50))  # all that waited
    at(12_500, "bybit", 11_000)
    assert -2_000 < tracker.pipeline.clock.shifts["bybit"] < -1_000
    at(12_500, "bybit", *range(10_100, 11_000, 300), is_event=True)  # and what was liquidated meanwhile
    for ms in range(12_510, 13_300, 10):
        at(ms, "bybit", ms)
    assert tracker.pipeline.clock.shifts == {}
    row = tracker.engine.metrics("BTCUSDT", T + 11_000, at={"bybit": T + 11_000})
    assert row is not None
    assert row.event_count_10s == 3


def traded(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], Tracker, Ledger, Callable[[int, str, int], None]]:
    """Our time, a tracker by it, a ledger, and `trade(ms, venue, stamp)`: a trade that comes `ms` after T."""
    now = [T]
    monkeypatch.setattr(tracker_module, "_our_ms", lambda: now[0])
    tracker = Tracker(Settings(redis=RedisSettings("off"), history=HistorySettings("off")))
    ledger = tracker.new_ledger()

    def trade(ms: int, venue: str, stamp: int) -> None:
        now[0] = T + ms
        tracker.ingest([PriceTick(venue, "BTCUSDT", 1.0, 1.0, T + stamp, now[0])], ledger)

    return now, tracker, ledger, trade


def test_a_shift_that_passes_leaves_no_event_where_it_moved_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen in chaos: a way that was narrow for four seconds. What it had brought before it was known stayed moved."""
    now, tracker, ledger, trade = traded(monkeypatch)

    for ms in range(0, 10_000, 100):
        for venue in ("okx", "binance", "bybit"):
            trade(ms, venue, ms)
    stamps = range(10_000, 12_000, 500)
    for stamp in stamps:  # each 3 s later than it was
        now[0] = T + stamp + 3_000
        raw = RawLiquidation("bybit", "BTCUSDT", "long", 1.0, "fill", 1.0, "base", T + stamp, now[0], str(stamp))
        tracker.ingest([raw], ledger)
    for ms in range(14_600, 15_800, 10):
        trade(ms, "bybit", ms - 3_000)
    assert tracker.pipeline.clock.shifts["bybit"] < -2_000
    for ms in range(16_000, 18_000, 10):
        trade(ms, "bybit", ms)
    assert tracker.pipeline.clock.shifts == {}
    assert [sum(tracker.engine.counts(T + at, T + at + 1)["BTCUSDT"].values()) for at in stamps] == [1] * 4


@pytest.mark.parametrize("stamp_ms", [3_000, 5_900])
def test_what_a_venue_tells_of_its_past_before_its_clock_is_known_stands_where_it_happened(
    monkeypatch: pytest.MonkeyPatch, stamp_ms: int
) -> None:
    """Seen in virtual time: after a restart, an answer of a clock a minute fast came before the fifth of its trades.

    Also where the past by that clock is just the present.
    """
    _, tracker, ledger, trade = traded(monkeypatch)

    for ms in range(0, 6_000, 100):
        trade(ms, "binance", ms)
        trade(ms, "bybit", ms)
    # It happened a minute before; by a clock that is right it would have been 3 s ago, or just now.
    raw = RawLiquidation(
        "okx", "BTCUSDT", "long", 1.0, "fill", 1.0, "base", T + stamp_ms, T + 6_000, "1", replayed=True
    )
    tracker.ingest([raw], ledger)
    for ms in range(6_100, 7_100, 100):
        trade(ms, "okx", ms + MINUTE_MS)
    assert tracker.pipeline.clock.shifts == {"okx": MINUTE_MS}
    row = tracker.engine.metrics("BTCUSDT", T + 7_000, at={"okx": T + 7_000})
    assert row is not None
    assert (row.event_count_60s, row.event_count_300s) == (0, 1)
