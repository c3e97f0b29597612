"""The budget over many clustered instruments, small: `python -m benchmarks alarms` is the whole of it."""

import pytest
from benchmarks.alarms import Threads, least_by_chance, threads_of
from benchmarks.calibration import most_by_chance
from benchmarks.marketdays import market_days

_DAYS = 21.0


@pytest.fixture(scope="module")
def threads() -> dict[float, Threads]:
    return threads_of(market_days(7, 20, _DAYS), (3.0, 21.0))


@pytest.mark.parametrize("budget", [3.0, 21.0])
def test_the_budget_holds_from_a_fresh_start(threads: dict[float, Threads], budget: float) -> None:
    mean = budget * _DAYS / 7

    assert least_by_chance(mean) <= len(threads[budget].began_ms) <= most_by_chance(mean)


@pytest.mark.parametrize("budget", [3.0, 21.0])
def test_the_first_week_is_within_its_interval(threads: dict[float, Threads], budget: float) -> None:
    assert least_by_chance(budget) <= threads[budget].between(0, 7) <= most_by_chance(budget)


def test_every_thread_ends_and_none_begins_before_the_last_has_ended(threads: dict[float, Threads]) -> None:
    for one in threads.values():
        moments = [moment for both in zip(one.began_ms, one.ended_ms, strict=False) for moment in both]
        assert moments == sorted(moments)
        assert len(one.began_ms) - len(one.ended_ms) in {0, 1}


def test_a_market_shock_opens_a_thread() -> None:
    market = market_days(6, 20, _DAYS, [3.3, 11.1, 19.2])

    threads = threads_of(market, (3.0,))[3.0]

    assert [threads.meets(at_ms) for at_ms in market.shocks_ms] == [True] * 3
