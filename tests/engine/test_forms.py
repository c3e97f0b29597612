"""The forms of acceleration that the engine publishes, against the formulas on plain lists."""

from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.engine import VelocityEngine
from liqtape.engine.levels.threshold import Threshold
from liqtape.engine.windows.acceleration import difference, exponential, least_squares
from liqtape.engine.windows.decayedwindows import DecayedVenueWindows, ThrottledDecayedVenueWindows
from liqtape.engine.windows.forms import Accelerated, Form, highest
from liqtape.events import Liquidation

_T = 1_790_000_000_000
_FORMS: list[Form] = ["least_squares", "difference", "exponential"]
_STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 400, 5_000, 40_000, 400_000, 10 * 365 * 86_400_000]),
        st.integers(0, 2_000) | st.integers(0, 60_000),
        st.sampled_from(["binance", "bybit"]),
        st.sampled_from([1, 2, 300]),
    ),
    min_size=1,
    max_size=25,
)


def event(at_ms: int, venue: str = "bybit") -> Liquidation:
    return Liquidation(venue, "BTCUSDT", "BTCUSDT", "long", 1.0, "fill", None, 1.0, at_ms)


@given(_STEPS, st.integers(-2_000, 30_000))
@settings(max_examples=100)
def test_each_form_equals_its_formula_on_the_list(steps: list[tuple[int, int, str, int]], delay: int) -> None:
    engines = {form: VelocityEngine(acceleration=form) for form in _FORMS}
    times: list[int] = []
    clock = _T
    for ahead, late, venue, count in steps:
        clock += ahead
        for _ in range(count):
            if clock - late > max([*times[-1:], *times[:1], clock - 300_000]) - 300_000:
                is_added = {engine.add(event(clock - late, venue)) for engine in engines.values()}
                if is_added == {True}:
                    times.append(clock - late)
    now = max(times) + delay
    times.sort()

    rows = {form: engine.metrics("BTCUSDT", now) for form, engine in engines.items()}

    straight, plain = rows["least_squares"], rows["difference"]
    assert straight is not None
    assert plain is not None
    assert (straight.acceleration, straight.acceleration_se) == least_squares(times, now, 10)
    assert (plain.acceleration, plain.acceleration_se) == difference(times, now, 10)
    faded = rows["exponential"]
    assert faded is not None
    scale = len(times) / 25
    assert faded.acceleration == pytest.approx(exponential(times, now, 5.0, 10.0), rel=1e-6, abs=1e-12 * scale)
    for form, engine in engines.items():
        row, totals = rows[form], engine.totals("BTCUSDT", now)
        assert row is not None
        assert totals is not None
        assert totals.acceleration == pytest.approx(row.acceleration, rel=1e-9, abs=1e-12 * scale)
        in_horizon = sum(now - 20_000 < t <= now for t in times)
        assert row.acceleration <= highest(form, in_horizon) * (1 + 1e-9) + 1e-9


def test_z_is_in_standard_errors_of_a_steady_stream() -> None:
    assert Accelerated(0.3, 0.1, 12 / 8000).z(0.75) == 0.3 / sqrt(12 * 0.75 / 8000)


def test_z_is_not_defined_where_fewer_than_ten_events_are_expected_in_20_s() -> None:
    assert Accelerated(0.3, 0.1, 12 / 8000).z(0.25) is None
    assert Accelerated(0.3, 0.1, 12 / 8000).z(0.499) is None
    assert Accelerated(0.3, 0.1, 12 / 8000).z(0.5) is not None


def test_a_row_has_a_z_once_its_baseline_expects_ten_events() -> None:
    engine = VelocityEngine()
    for second in range(7_200):
        for i in range(2):
            engine.add(event(_T + 1_000 * second + i))
        if second in {400, 7_199}:
            row = engine.metrics("BTCUSDT", _T + 1_000 * second + 999)
            assert row is not None
            # Two a second; after 100 final seconds the 30 bins of the prior, one event an hour, outweigh them.
            assert (row.acceleration_z is None) is (second == 400)


@pytest.mark.parametrize("form", _FORMS)
def test_the_threshold_rule_compares_the_form_that_is_published(form: Form) -> None:
    engine = VelocityEngine(rule=Threshold(1_000.0, 0.3), acceleration=form)
    for i in range(40):
        engine.add(event(_T + i))
        row = engine.metrics("BTCUSDT", _T + i)
        assert row is not None
        assert engine.level("BTCUSDT", _T + i) == row.level == ("ALERT" if row.acceleration >= 0.3 else "NONE")
    assert engine.level("BTCUSDT", _T + 39) == "ALERT"


@pytest.mark.parametrize("kind", [DecayedVenueWindows, ThrottledDecayedVenueWindows])
def test_decayed_windows_from_which_something_went_are_as_if_it_had_never_been(kind: type[DecayedVenueWindows]) -> None:
    stamps = [_T + 700 * n for n in range(40)]
    changed, right = kind(), kind()
    for n, at_ms in enumerate(stamps):
        changed.add("long", at_ms - 90_000, n, 0)
    assert changed.take_out("long", stamps[7] - 90_000, 7)
    assert not changed.take_out("short", stamps[7] - 90_000, 7)
    gone = {(at_ms - 90_000, n): 1 for n, at_ms in enumerate(stamps) if n % 3 == 0}
    come = [(at_ms - 90_000 + 5, n) for n, at_ms in enumerate(stamps) if n % 3 == 0]
    assert len(changed.replace("long", gone, come)) == len(gone)
    changed.move(90_000)
    for n, at_ms in enumerate(stamps):
        if n != 7:
            right.add("long", at_ms + 5 * (n % 3 == 0), n, 0)

    for windows in (changed, right):
        windows.advance(stamps[-1] - 3_000, 0)
    sums = [windows.decayed.sums(windows.columns, stamps[-1] - 3_000) for windows in (changed, right)]
    assert sums[0] == pytest.approx(sums[1], rel=1e-9)
    assert changed.minute(stamps[-1]) == right.minute(stamps[-1])
