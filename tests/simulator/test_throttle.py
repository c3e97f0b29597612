import random
from itertools import pairwise

import pytest

from liqtape.simulator.generator import TrueLiquidation
from liqtape.simulator.listings import listing
from liqtape.simulator.throttle import Printed, Throttle
from liqtape.simulator.wire import Arrival

T0 = 1_795_000_000_000


def arrival(at_ms: int, serial: int = 1, symbol: str = "BTCUSDT", late_ms: int = 0) -> Arrival:
    true = TrueLiquidation(serial, at_ms, listing("binance", symbol), "long", "84000.10", "83000.00", "0.010")
    return Arrival(true, T0 + at_ms, T0 + at_ms + late_ms)


def serials(printed: list[Printed]) -> list[int]:
    return [one.arrival.liquidation.serial for one in printed]


def test_the_newest_of_a_second_is_printed_a_second_after_it_happened() -> None:
    throttle = Throttle()
    for serial, at_ms in enumerate((0, 400, 700), start=1):
        throttle.add(arrival(at_ms, serial))

    assert throttle.due(T0 + 1_699) == []
    (printed,) = throttle.due(T0 + 1_700)

    assert (serials([printed]), printed.push_ms) == ([3], T0 + 1_700)
    assert throttle.due(T0 + 10_000) == throttle.flush() == []


def test_windows_are_seconds_of_the_clock() -> None:
    throttle = Throttle()
    throttle.add(arrival(100, 1))
    throttle.add(arrival(1_150, 2))

    assert serials(throttle.due(T0 + 5_000)) == [1, 2]


def test_what_happens_within_a_second_of_the_last_print_is_lost() -> None:
    throttle = Throttle()
    for serial, at_ms in enumerate((900, 1_000, 1_899, 1_900, 2_899), start=1):
        throttle.add(arrival(at_ms, serial))

    assert serials(throttle.due(T0 + 5_000)) == [1, 4]


def test_symbols_do_not_know_each_other() -> None:
    throttle = Throttle()
    throttle.add(arrival(0, 1))
    throttle.add(arrival(1, 2, "ETHUSDT"))

    assert serials(throttle.flush()) == [1, 2]


@pytest.mark.parametrize(("late_at", "expected"), [(500, [1, 2]), (501, [1])])
def test_late_one_is_printed_where_it_is_far_enough_from_what_waits(late_at: int, expected: list[int]) -> None:
    throttle = Throttle()
    throttle.add(arrival(1_500, 1))
    throttle.add(arrival(late_at, 2, late_ms=1_600 - late_at))

    assert sorted(serials(throttle.flush())) == expected


def test_late_one_near_a_print_of_minutes_ago_is_lost() -> None:
    throttle = Throttle()
    throttle.add(arrival(0, 1))
    assert serials(throttle.due(T0 + 400_000)) == [1]

    throttle.add(arrival(900, 2, late_ms=400_000))
    throttle.add(arrival(2_000, 3, late_ms=400_000))

    assert serials(throttle.flush()) == [3]


@pytest.mark.parametrize("seed", range(3))
def test_prints_of_a_symbol_are_never_closer_than_a_second(seed: int) -> None:
    dice = random.Random(seed)
    throttle = Throttle()
    at_ms = 0
    arrivals = []
    for serial in range(2_000):
        at_ms += dice.choice((0, 3, 90, 700, 1_400))
        arrivals.append(arrival(at_ms, serial, late_ms=dice.randint(1, 8_000) if dice.random() < 0.1 else 0))

    printed: list[Printed] = []
    for one in sorted(arrivals, key=lambda item: item.arrived_ms):
        throttle.add(one)
        if dice.random() < 0.7:
            printed += throttle.due(one.arrived_ms)
    printed += throttle.flush()

    times = sorted(one.arrival.event_ms for one in printed)
    assert min(later - earlier for earlier, later in pairwise(times)) >= 1_000
    assert len(times) > 300
    assert all(one.push_ms >= one.arrival.arrived_ms for one in printed)
