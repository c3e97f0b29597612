import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from liqtape.pipeline.clock import AHEAD_MS, ClockStep, EventClock

T = 1_790_000_000_000
HOUR_MS = 3_600_000
HOLDS = {"binance": 1_100, "bybit": 600, "okx": 1_100}


class Driver:
    """Trades of some venues, ten a second each, by clocks that may be changed on the way."""

    def __init__(self, **offs: int) -> None:
        self.clock = EventClock(HOLDS)
        self.offs = offs
        self.our_ms = T

    def go(self, seconds: float) -> EventClock:
        until_ms = self.our_ms + round(1000 * seconds)
        while self.our_ms < until_ms:
            self.our_ms += 100
            for venue, off_ms in self.offs.items():
                self.clock.observe(venue, [self.our_ms + off_ms], self.our_ms)
            self.clock.advance(self.our_ms)
            if self.our_ms % 1000 == 0:
                self.clock.estimate()
        return self.clock


def started(**offs: int) -> Driver:
    made = Driver(**offs)
    made.clock.wait()
    made.go(1)
    assert made.clock.is_started
    made.clock.steps.clear()
    made.clock.steps_total = 0
    return made


def test_the_offset_begins_as_the_smaller_middle_one_of_two() -> None:
    assert started(binance=-120, bybit=-80).clock.offset_ms(T + 1_000) == -80
    assert started(binance=120, bybit=-80).clock.offset_ms(T + 1_000) == -80
    assert started(binance=HOUR_MS, bybit=HOUR_MS - 10).clock.t_ms(T + 1_000) == T + 1_000 + HOUR_MS - 10


def test_it_waits_for_one_where_there_is_but_one_and_for_nobody_without_any() -> None:
    clock = EventClock({"okx": 1_100})
    clock.wait()
    for i in range(5):
        assert not clock.is_started
        clock.observe("okx", [T + i - 70], T + i)
    assert clock.is_started
    nobody = EventClock()
    nobody.wait()
    assert nobody.is_started


def test_without_trades_it_waits_five_seconds_from_the_first_that_waits() -> None:
    clock = EventClock(HOLDS)
    clock.wait()
    clock.advance(T)
    clock.estimate()
    clock.begin(T + 60_000)
    for our_ms in (T + 60_000, T + 64_999):
        clock.advance(our_ms)
        clock.estimate()
        assert not clock.is_started
    clock.advance(T + 65_000)
    clock.estimate()
    assert (clock.is_started, clock.t_ms(T + 65_000)) == (True, T + 65_000)


def test_the_offset_follows_the_median_by_a_millisecond_a_second() -> None:
    made = started(binance=-100, bybit=-100, okx=-100)
    made.offs = dict.fromkeys(made.offs, -400)
    made.go(6)  # until the median has changed
    before_ms = made.clock.offset_ms(made.our_ms)
    made.go(100)
    assert before_ms - 101 <= made.clock.offset_ms(made.our_ms) <= before_ms - 99
    made.go(400)
    assert made.clock.offset_ms(made.our_ms) == -400
    assert made.clock.steps_total == 0


def test_two_venues_that_agree_make_it_step_and_one_of_two_does_not() -> None:
    made = started(binance=0, bybit=0)
    made.offs["bybit"] = 60_000
    made.go(30)
    assert made.clock.offset_ms(made.our_ms) == 0
    assert made.clock.shifts == {"bybit": 60_000}
    made.clock.steps.clear()
    made.offs["binance"] = 60_500
    made.go(30)
    assert made.clock.offset_ms(made.our_ms) == 60_000  # of the two in the middle the one nearer to what stood
    assert made.clock.shifts == {}


def test_four_venues_of_which_two_are_off_alike_do_not_make_it_step() -> None:
    made = started(binance=0, bybit=-50)
    made.offs |= {"okx": 60_000, "hyperliquid": 60_000}
    made.go(90)
    assert abs(made.clock.offset_ms(made.our_ms)) <= 100
    assert made.clock.shifts.keys() == {"okx", "hyperliquid"}


def test_a_venue_that_is_alone_makes_it_step_after_a_minute() -> None:
    made = started(binance=0, bybit=0)
    del made.offs["bybit"]
    made.offs["binance"] = 5_000
    made.go(64)
    assert made.clock.shifts["binance"] == pytest.approx(5_000, abs=70)
    assert made.clock.offset_ms(made.our_ms) <= 60
    made.go(14)
    assert made.clock.offset_ms(made.our_ms) == 5_000
    assert made.clock.shifts == {"bybit": -5_000}  # its last value stands
    assert made.clock.steps[-1].venue == "" or made.clock.steps[0].venue == "binance"


def test_a_time_that_followed_one_venue_takes_all_along_and_brings_all_back() -> None:
    made = started(binance=0, bybit=0, okx=0)
    made.go(20)
    made.offs = {"okx": -HOUR_MS}
    made.go(90)
    made.offs |= {"binance": 0, "bybit": 0}
    made.go(5)
    away, back = (step for step in made.clock.steps if not step.venue)
    assert (away.by_venue.keys(), back.by_venue.keys()) == (HOLDS.keys(), HOLDS.keys())
    for venue in HOLDS:
        assert away.by_venue[venue] == pytest.approx(-HOUR_MS, abs=70)  # what the time followed it meanwhile
        assert back.by_venue[venue] == pytest.approx(HOUR_MS, abs=70)
    assert made.clock.shifts == {"okx": -HOUR_MS}


def test_a_time_that_was_wrong_from_the_start_takes_everything_along() -> None:
    made = Driver(bybit=HOUR_MS, okx=HOUR_MS + 20)
    made.clock.estimate()  # nobody waits: O is 0, until two say otherwise
    made.clock.reached("bybit", T)
    made.clock.reached("own", T)
    made.go(1)
    first, *steps = made.clock.steps
    assert first == ClockStep("bybit", HOUR_MS, since_ms=1)  # alone it was taken for wrong
    assert steps == [ClockStep("", HOUR_MS, {"bybit": HOUR_MS})]  # with all that was shifted meanwhile
    assert made.clock.t_ms(made.our_ms) == made.our_ms + HOUR_MS


def test_a_venue_that_was_believed_too_much_at_first_moves_with_what_was_placed_by_it() -> None:
    made = Driver(bybit=HOUR_MS)
    made.clock.wait()
    made.go(6)
    assert made.clock.t_ms(made.our_ms) == made.our_ms + HOUR_MS
    made.clock.reached("bybit", made.our_ms + HOUR_MS)
    made.clock.steps.clear()
    made.offs |= {"binance": 0, "okx": 10}
    made.go(2)
    assert [(step.venue, step.by_venue) for step in made.clock.steps if not step.venue] == [
        ("", {"bybit": 10 - HOUR_MS})
    ]
    assert made.clock.shifts == {"bybit": HOUR_MS - 10}
    assert made.our_ms - 600 <= made.clock.now_at["bybit"] <= made.our_ms + AHEAD_MS


def test_when_all_jump_our_own_time_has_and_nothing_moves() -> None:
    made = started(binance=0, bybit=0, okx=0)
    made.offs = dict.fromkeys(made.offs, 600_000)
    made.go(6)
    assert [(step.by_venue, step.has_jumped) for step in made.clock.steps if not step.venue] == [({}, True)]
    assert made.clock.shifts == {}
    assert made.clock.t_ms(made.our_ms) == made.our_ms + 600_000


def test_a_shift_is_one_beyond_a_second_and_ends_below_seven_tenths() -> None:
    made = started(binance=0, bybit=0, okx=1_000)
    assert made.go(12).shifts == {}
    made.offs["okx"] = 1_001
    assert made.go(12).shifts == {"okx": 1_001}
    made.offs["okx"] = 701
    assert made.go(12).shifts == {"okx": 701}
    made.offs["okx"] = 700
    assert made.go(12).shifts == {}
    assert [step.venue for step in made.clock.steps] == ["okx", "okx"]


def test_a_source_without_trades_has_no_vote_and_no_shift() -> None:
    made = started(binance=0, bybit=0)
    for i in range(20):
        made.clock.reached("own", T + HOUR_MS + i)
    made.go(12)
    assert (made.clock.shift_ms("own"), made.clock.offset_ms(made.our_ms)) == (0, 0)
    assert made.clock.at(made.our_ms)["own"] == made.our_ms


def test_trades_that_a_venue_repeats_at_subscribe_are_no_samples() -> None:
    clock = EventClock(HOLDS)
    clock.observe("bybit", [T - 60_000 + 2_000 * i for i in range(30)], T)
    for i in range(5):
        assert clock.skews == {}
        clock.observe("bybit", [T + 1_000 + 200 * i], T + 1_000 + 200 * i)
    assert clock.skews == {"bybit": 0}


def test_what_waited_in_the_sockets_while_we_were_stopped_is_no_sample() -> None:
    made = started(binance=0, bybit=0)
    made.our_ms += 600_000
    for venue in made.offs:
        for i in range(100):
            made.clock.observe(venue, [made.our_ms - 600_000 + 100 * i], made.our_ms)
    made.go(10)
    assert (made.clock.offset_ms(made.our_ms), made.clock.steps_total, made.clock.shifts) == (0, 0, {})


def test_the_time_of_a_venue_is_its_newest_event_or_what_it_may_hold_back() -> None:
    clock = EventClock(HOLDS)
    clock.advance(T)
    assert clock.at(T) == {"binance": T - 1_100, "bybit": T - 600, "okx": T - 1_100}
    clock.reached("bybit", T + 1_999)
    clock.reached("binance", T - 5_000)
    assert (clock.now_at["bybit"], clock.now_at["binance"]) == (T + 1_999, T - 1_100)
    clock.reached("bybit", T + 3_500)  # beyond t + 2 s: not yet
    assert clock.at(T + 1_499)["bybit"] == T + 1_999
    assert clock.at(T + 1_500)["bybit"] == T + 3_500
    assert clock.now_at["bybit"] == T + 1_999  # looking changes nothing
    clock.advance(T + 1_500)
    assert clock.now_at["bybit"] == T + 3_500


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("trades"), st.sampled_from(sorted(HOLDS)), st.integers(-900, 900)),
        st.tuples(st.just("event"), st.sampled_from([*sorted(HOLDS), "own"]), st.integers(-5_000, 4_000)),
        st.tuples(st.just("skew"), st.sampled_from(sorted(HOLDS)), st.sampled_from([0, 0, 3_000, -3_000, HOUR_MS])),
        st.tuples(st.just("pass"), st.just(""), st.integers(1, 3_000)),
    ),
    max_size=120,
)


@example(
    [
        ("trades", "binance", 0),
        ("trades", "binance", 0),
        ("trades", "bybit", 0),
        ("event", "own", 2000),
        ("trades", "bybit", -21),
    ]
)
@given(_steps)
def test_no_time_ever_goes_back_but_at_a_counted_step(steps: list[tuple[str, str, int]]) -> None:
    clock = EventClock(HOLDS)
    clock.wait()
    our_ms, skews = T, dict.fromkeys(HOLDS, 0)
    t_ms, at, counted, was_started = 0, dict[str, int](), 0, False
    for what, venue, value in steps:
        if what == "trades":
            clock.observe(venue, [our_ms + skews[venue] + value // 10 + i for i in range(3)], our_ms)
        elif what == "event":
            window_ms = our_ms + skews.get(venue, 0) + value - clock.shift_ms(venue)
            if window_ms <= clock.reach_of(venue)[1] + AHEAD_MS:
                clock.reached(venue, window_ms)
        elif what == "skew":
            skews[venue] = value
        else:
            our_ms += value
            clock.advance(our_ms)
            clock.estimate()
        for look_ms in (our_ms, our_ms + 150):
            now_ms, now_at = clock.t_ms(look_ms), clock.at(look_ms)
            if clock.steps_total == counted and was_started:
                assert now_ms >= t_ms
                assert all(now_at[name] >= at_ms for name, at_ms in at.items())
            assert all(now_ms - HOLDS.get(name, 0) <= at_ms <= now_ms + AHEAD_MS for name, at_ms in now_at.items())
        t_ms, at = clock.t_ms(our_ms), dict(clock.at(our_ms))
        counted, was_started = clock.steps_total, clock.is_started
        clock.steps.clear()


def test_a_lag_that_ends_little_by_little_moves_no_event_that_stood_at_its_own_stamp() -> None:
    """As when a process begins on a busy machine: what it reads at first has waited."""
    made = started(binance=-2_500, bybit=-2_500, okx=-2_500)
    for i in range(30):
        made.offs = dict.fromkeys(made.offs, -2_500 + 80 * i)
        made.go(1)
    made.go(30)
    assert abs(made.clock.offset_ms(made.our_ms) + 180) < 1_000
    assert all(not step.by_venue for step in made.clock.steps)
    assert made.clock.shifts == {}
