"""Windows that end at a time of their own for each venue, against loops over all events."""

from fractions import Fraction
from math import exp, fsum, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from liqtape.engine import VelocityEngine, velocity
from liqtape.engine.windows.forms import Form
from liqtape.events import WINDOWS, Liquidation, VelocityMetrics
from liqtape.money import micro_usd

T = 1_790_000_000_000
VENUES = ("binance", "bybit", "okx")
INSTRUMENTS = ("BTCUSDT", "ETHUSDT")

_events = st.lists(
    st.tuples(
        st.sampled_from(VENUES),
        st.sampled_from(INSTRUMENTS),
        st.sampled_from(["long", "short", None]),
        st.one_of(st.integers(-12_000, 3_000), st.integers(-299_000, 3_000)),
        st.sampled_from([None, 0.1, 250.0, 1e6 / 3]),
        st.booleans(),
    ),
    max_size=40,
)
_ats = st.fixed_dictionaries({}, optional={venue: st.integers(-4_000, 2_000) for venue in VENUES})


def _liquidation(n: int, event: tuple[str, str, object, int, float | None, bool]) -> tuple[Liquidation, int]:
    """An event, and where it stands in windows: half of them come from a clock that is an hour fast."""
    venue, instrument, side, at_ms, usd, is_off = event
    stamp = T + at_ms + (3_600_000 if is_off else 0)
    return Liquidation(venue, instrument, instrument, side, 1.0, "fill", 1.0, usd, stamp, None, str(n)), T + at_ms  # type: ignore[arg-type]


class Model:
    """All events, looked through each time."""

    def __init__(self) -> None:
        self.events: list[tuple[Liquidation, int]] = []

    def check(self, row: VelocityMetrics, now_ms: int, at: dict[str, int], form: Form = "least_squares") -> None:
        mine = [
            (event, window_ms, at.get(event.venue, now_ms))
            for event, window_ms in self.events
            if row.symbol in {"MARKET", event.instrument} and row.venue in {None, event.venue}
        ]
        assert row.timestamp == now_ms / 1000
        for w in WINDOWS:
            inside = [event for event, window_ms, end in mine if end - 1000 * w < window_ms <= end]
            assert getattr(row, f"event_count_{w}s") == len(inside)
            assert getattr(row, f"long_count_{w}s") == sum(event.side == "long" for event in inside)
            micro = sum(micro_usd(event.notional_usd) for event in inside if event.notional_usd is not None)
            assert getattr(row, f"usd_velocity_{w}s") == float(Fraction(micro, 1_000_000 * w))
            assert getattr(row, f"velocity_est_{w}s") == self._estimate(mine, w)
        ages = [end - window_ms for _, window_ms, end in mine if end - window_ms >= 0]
        if form == "least_squares":
            slope = Fraction(12, 20**3 * 1000) * sum(10_000 - age for age in ages if age < 20_000)
            assert row.acceleration == float(slope)
        elif form == "difference":
            recent, before = sum(age < 10_000 for age in ages), sum(10_000 <= age < 20_000 for age in ages)
            assert row.acceleration == (recent - before) / 100
        else:
            v1, v2 = (sum(exp(-age / 1000 / tau) for age in ages) / tau for tau in (5, 10))
            assert row.acceleration == pytest.approx((v1 - v2) / 5, abs=1e-9)

    @staticmethod
    def _estimate(mine: list[tuple[Liquidation, int, int]], w: int) -> float:
        rates, plain = [], 0
        for key in {(event.venue, event.instrument) for event, _, _ in mine}:
            inside = [t for e, t, end in mine if (e.venue, e.instrument) == key and end - 1000 * w < t <= end]
            if key[0] == "bybit":
                plain += len(inside)
                continue
            taken = len({t // 1000 for t in inside})
            rates.append(log(2 * w) if taken >= w else -log(1 - taken / w))
        return fsum([plain / w, *rates])


@settings(max_examples=150)
@given(st.lists(st.tuples(_events, st.integers(0, 5_000), _ats), min_size=1, max_size=5))
@pytest.mark.parametrize("form", ["least_squares", "difference", "exponential"])
def test_every_row_is_a_recount_of_each_venue_at_its_own_time(
    form: Form, rounds: list[tuple[list[tuple[str, str, object, int, float | None, bool]], int, dict[str, int]]]
) -> None:
    engine, model, now_ms, n = VelocityEngine(acceleration=form, spread_ms=8_000), Model(), T, 0
    for events, passed_ms, ends in rounds:
        for event in events:
            n += 1
            made, window_ms = _liquidation(n, event)
            engine.add(made, window_ms)
            model.events.append((made, window_ms))
        now_ms += passed_ms
        at = {venue: now_ms + ahead for venue, ahead in ends.items()}
        for instrument in INSTRUMENTS:
            engine.level(instrument, now_ms, at)
            row = engine.metrics(instrument, now_ms, at=at)
            if row is None:
                continue
            model.check(row, now_ms, at, form)
            totals = engine.totals(instrument, now_ms, at)
            assert totals is not None
            assert totals.counts == tuple(getattr(row, f"event_count_{w}s") for w in WINDOWS)
            assert totals.acceleration == row.acceleration
            assert engine.is_empty(instrument, now_ms, at) == (row.event_count_300s == 0)
            for venue in VENUES:
                of_venue = engine.metrics(instrument, now_ms, venue, at=at)
                window = engine.window(instrument, 60, now_ms, venue, at=at)
                assert (of_venue is None) == (window is None)
                if of_venue is not None and window is not None:
                    model.check(of_venue, now_ms, at, form)
                    assert window.count == of_venue.event_count_60s
        model.check(engine.market(now_ms, at=at), now_ms, at, form)


@given(st.lists(st.tuples(_events, st.integers(0, 5_000), _ats), min_size=1, max_size=5))
def test_the_surprise_is_that_of_an_engine_that_was_never_asked_before(
    rounds: list[tuple[list[tuple[str, str, object, int, float | None, bool]], int, dict[str, int]]],
) -> None:
    asked, now_ms, n, added = VelocityEngine(spread_ms=8_000), T, 0, []
    for events, passed_ms, ends in rounds:
        for event in events:
            n += 1
            added.append(_liquidation(n, event))
            asked.add(*added[-1])
        now_ms += passed_ms
        at = {venue: now_ms + ahead for venue, ahead in ends.items()}
        fresh = VelocityEngine(spread_ms=8_000)
        for one in added:
            fresh.add(*one)
        for instrument in INSTRUMENTS:
            score, expected = asked.score(instrument, now_ms, at), fresh.score(instrument, now_ms, at)
            assert score == expected


def test_without_the_times_of_venues_an_engine_may_be_asked_two_seconds_back_and_with_them_as_needed() -> None:
    engine = VelocityEngine()
    engine.add(_liquidation(1, ("bybit", "BTCUSDT", "long", 0, 1.0, False))[0])
    with pytest.raises(ValueError, match="more than 2 s before"):
        engine.metrics("BTCUSDT", T - 2_001)
    row = engine.metrics("BTCUSDT", T - 5_000, at={"bybit": T - 4_000})
    assert row is not None
    assert row.event_count_300s == 0


def test_coverage_is_judged_where_the_windows_of_the_venue_end() -> None:
    engine = VelocityEngine()
    engine.feed_up("bybit", T - 400_000)
    engine.feed_up("okx", T - 400_000)
    engine.feed_down("okx", T - 1_000)
    engine.lists_instrument("okx", "BTCUSDT")
    engine.add(_liquidation(1, ("bybit", "BTCUSDT", "long", -5_000, 1.0, False))[0])
    at = {"bybit": T + 1_000, "okx": T - 1_000}
    whole, cut = engine.metrics("BTCUSDT", T, at=at), engine.metrics("BTCUSDT", T)
    assert whole is not None
    assert cut is not None
    assert (whole.coverage_10s, whole.partial) == (1.0, False)
    assert (cut.coverage_10s, cut.partial) == (0.9, True)
    assert (engine.coverage("okx", T, at), engine.coverage("okx", T)) == (1.0, 299 / 300)


def test_late_is_what_came_after_its_own_venue_was_evaluated() -> None:
    engine = VelocityEngine()
    engine.add(_liquidation(1, ("bybit", "BTCUSDT", "long", -9_000, 1.0, False))[0])
    engine.metrics("BTCUSDT", T, at={"binance": T - 1_100, "bybit": T - 600})
    engine.add(_liquidation(2, ("binance", "BTCUSDT", "long", -1_000, 1.0, False))[0])
    assert engine.late_total == 0
    engine.add(_liquidation(3, ("binance", "BTCUSDT", "long", -1_100, 1.0, False))[0])
    engine.add(_liquidation(4, ("bybit", "BTCUSDT", "long", -700, 1.0, False))[0])
    assert engine.late_total == 2


@given(_events, st.integers(-4_000_000, 4_000_000), st.integers(-4_000_000, 4_000_000))
def test_what_was_placed_wrong_moves_and_is_as_if_it_had_been_placed_there(
    events: list[tuple[str, str, object, int, float | None, bool]], by_ms: int, of_okx_ms: int
) -> None:
    by_venue = {"binance": by_ms, "bybit": by_ms, "okx": of_okx_ms}
    moved, right = VelocityEngine(acceleration="exponential"), VelocityEngine(acceleration="exponential")
    for n, event in enumerate(events):
        made, window_ms = _liquidation(n, event)
        moved.add(made, window_ms)
        right.add(made, window_ms + by_venue[made.venue])
    moved.metrics("BTCUSDT", T + 3_000)
    moved.move(by_ms, by_venue)
    now_ms = T + 3_000 + max(by_ms, of_okx_ms)
    if by_ms < 0:
        moved.rewind(now_ms)
    if abs(by_ms - of_okx_ms) > 2_000:  # one or the other is beyond what both keep
        return
    for instrument in INSTRUMENTS:
        one, other = moved.metrics(instrument, now_ms), right.metrics(instrument, now_ms)
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.acceleration == pytest.approx(other.acceleration, abs=1e-9)
            for w in WINDOWS:
                for name in (f"event_count_{w}s", f"usd_velocity_{w}s", f"velocity_est_{w}s", f"short_usd_{w}s"):
                    assert getattr(one, name) == getattr(other, name)


@given(_events, st.data(), st.sampled_from(["least_squares", "exponential"]))
def test_many_that_are_placed_anew_stand_as_if_one_after_the_other(
    events: list[tuple[str, str, object, int, float | None, bool]], data: st.DataObject, form: Form
) -> None:
    """At once costs as much as one; of 10,000 one after the other it was seconds."""
    made = [_liquidation(n, event) for n, event in enumerate(events)]
    shift = st.integers(-310_000, 4_000)
    moves = [(one, at_ms, min(T + 5_000, at_ms + data.draw(shift))) for one, at_ms in made if data.draw(st.booleans())]
    moves += [(one, T + 50_000, at_ms) for one, at_ms in made[:2]]  # those were not there
    seen: list[list[object]] = []
    for many in (velocity._MANY, 1):
        engine = VelocityEngine(acceleration=form)
        for event, window_ms in made:
            engine.add(event, window_ms)
        engine.metrics("BTCUSDT", T + 3_000)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(velocity, "_MANY", many)
            engine.place_anew(moves)
        seen.append([engine.metrics(instrument, T + 4_000) for instrument in INSTRUMENTS])
        seen[-1].append(list(engine.ever_added()))
    for one, other in zip(*seen, strict=True):
        if isinstance(one, VelocityMetrics) and isinstance(other, VelocityMetrics):
            for name in ("acceleration", "acceleration_se"):  # sums in another order
                assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-9)
                one = replace(one, **{name: None})  # noqa: PLW2901
                other = replace(other, **{name: None})  # noqa: PLW2901
        assert one == other


def test_what_stood_right_while_the_time_was_wrong_makes_nothing_late() -> None:
    """The newest was taken for an hour later than it was, and all that came was too old for any window."""
    hour_ms = 3_600_000
    engine = VelocityEngine()
    behind = _liquidation(2, ("bybit", "BTCUSDT", "long", -200, 2.0, False))[0]
    engine.add(behind, behind.event_ms - hour_ms)
    engine.add(_liquidation(1, ("okx", "BTCUSDT", "long", 0, 1.0, False))[0])
    engine.move(hour_ms, {"bybit": hour_ms})
    assert engine.newest_ms == T
    assert engine.add(_liquidation(3, ("okx", "BTCUSDT", "long", 1_000, 4.0, False))[0])
    row = engine.metrics("BTCUSDT", T + 1_000)
    assert row is not None
    assert row.event_count_10s == 3


@given(_events, st.data())
def test_what_is_taken_out_was_never_there(
    events: list[tuple[str, str, object, int, float | None, bool]], data: st.DataObject
) -> None:
    made = [_liquidation(n, event) for n, event in enumerate(events)]
    out = data.draw(st.sets(st.sampled_from(range(len(made))))) if made else set()
    engine, rest = VelocityEngine(spread_ms=8_000), Model()
    for event, window_ms in made:
        engine.add(event, window_ms)
    engine.metrics("BTCUSDT", T + 3_000)
    for i in sorted(out):
        assert engine.take_out(*made[i])
    assert not engine.take_out(_liquidation(0, ("bybit", "BTCUSDT", "long", 1, 77.0, False))[0], T + 1)
    rest.events = [one for i, one in enumerate(made) if i not in out]
    for instrument in INSTRUMENTS:
        row = engine.metrics(instrument, T + 3_000)
        if row is not None:
            rest.check(row, T + 3_000, {})
