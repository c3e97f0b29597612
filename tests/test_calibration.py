"""The short form of `python -m benchmarks calibration`: levels are as rare as they say on streams that never change."""

import math
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from benchmarks import __main__ as command
from benchmarks.calibration import LEAST, MOST, PERIODS, PLAIN, Alone, Raises, follow, most_by_chance, poisson_interval
from benchmarks.freshstart import SCOPES, highest_steps
from benchmarks.measure import Figure, Scale
from benchmarks.stationary import DAY_MS, KERNELS, Streams, hawkes, sizes, streams
from benchmarks.surprises import surprise_raises
from msgspec.structs import replace

from liqtape.engine.levels.streamlevel import LevelSteps, StreamLevel
from liqtape.engine.levels.surpriselevels import LevelRule
from liqtape.simulator.generator import SIZE, TAILS, size_quantile

_WEEK_MS = 7 * DAY_MS
_SHORT = {820.0: (40, 21), 84.0: (150, 21), 8.0: (300, 35), 0.9: (1_000, 35)}
"""Streams of each rate, and days of each."""


def _counted(per_day: float, steps: LevelSteps = PLAIN) -> tuple[Raises, Raises, int, float]:
    """First day, what is after seven days, and the streams and stream-weeks that is of."""
    count, days = _SHORT[per_day]
    first, later = Raises(0, DAY_MS, [0] * len(PERIODS)), Raises(_WEEK_MS, math.inf, [0] * len(PERIODS))
    follow(streams(1, per_day, count, days), steps, (first, later))
    return first, later, count, count * (days - 7) / 7


@pytest.mark.parametrize("per_day", _SHORT)
def test_levels_are_raised_as_often_as_they_say(per_day: float) -> None:
    first, later, count, weeks = _counted(per_day)

    for days, early, raised in zip(PERIODS, first.raises, later.raises, strict=True):
        assert LEAST <= raised / weeks / min(7 / days, later.episodes / weeks) <= MOST
        assert early <= most_by_chance(count / days)


def test_a_rule_that_says_twice_as_much_is_found_out() -> None:
    doubled = replace(PLAIN, periods_days=tuple(days / 2 for days in PERIODS))

    _, later, _, weeks = _counted(84.0, doubled)

    assert all(raised / weeks * days / 7 > MOST for raised, days in zip(later.raises, PERIODS, strict=True))


def test_episodes_told_apart_alone_are_those_of_the_rule() -> None:
    lot = streams(2, 84.0, 20, 7)

    for number in range(lot.count):
        level, alone = StreamLevel(PLAIN), Alone()
        level.up(0)
        for at_ms, usd, count in lot.minutes(number):
            was_open = level.is_open and at_ms < level.due_ms
            level.look(at_ms, usd, count)
            assert alone.opens(at_ms, usd) == (level.is_open and not was_open)
            assert alone.peak == level.peak


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fresh_start_in_a_calm_market_says_nothing_above_watch(seed: int) -> None:
    assert max(highest_steps("calm", seed, 600).values()) <= 1


def test_a_fresh_start_is_looked_at_in_every_scope() -> None:
    highest = highest_steps("block", 2, 10)  # 11,279 of one symbol in a millisecond, 200 M USD and more

    assert list(highest) == list(SCOPES)
    assert min(highest.values()) >= 3


def test_streams_have_their_rate_from_the_start_and_the_spread_of_their_clusters() -> None:
    branching = sum(mean for _, mean in KERNELS)
    fano = 1 / (1 - branching) ** 2  # of long windows, metrics 10

    which, at_ms = hawkes(np.random.default_rng(1), 84.0, 1_000, 7)

    counts = np.bincount(which, minlength=1_000)
    assert counts.mean() == pytest.approx(7 * 84, abs=3 * math.sqrt(fano * 7 * 84 / 1_000))
    assert counts.var() / counts.mean() == pytest.approx(fano, rel=3 * math.sqrt(2 / 1_000) + 0.02)
    for day in range(7):
        of_day = ((at_ms >= day * DAY_MS) & (at_ms < (day + 1) * DAY_MS)).sum()
        assert of_day / 1_000 == pytest.approx(84, abs=4 * math.sqrt(fano * 84 / 1_000))
    assert at_ms.min() >= 0
    assert at_ms.max() < _WEEK_MS


def test_sizes_in_columns_are_those_of_the_simulator() -> None:
    drawn = sizes(np.random.default_rng(1), 1_000_000)

    for u in (0.05, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999):
        expected = math.sqrt(1_000_000 * u * (1 - u))
        assert (drawn <= size_quantile(u, SIZE, *TAILS)).sum() == pytest.approx(1_000_000 * u, abs=4 * expected)
    assert len(set(np.sort(drawn)[-100:])) == 100


def test_minutes_are_those_of_brute_force() -> None:
    lot = streams(3, 820.0, 3, 1)
    times, micro = lot.times(1).tolist(), lot.micro_usd[lot.first[1] : lot.first[2]].tolist()

    for i, minute in enumerate(lot.minutes(1)):
        within = [j for j in range(i + 1) if times[i] - 60_000 < times[j]]
        assert minute == (times[i], sum(micro[j] for j in within) / 1e6, len(within))


def _chance_of_at_most(count: int, mean: float) -> float:
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))


@pytest.mark.parametrize("count", [1, 2, 10, 100, 5_000])
def test_poisson_interval_leaves_two_and_a_half_percent_at_each_end(count: int) -> None:
    low, high = poisson_interval(count)

    assert 1 - _chance_of_at_most(count - 1, low) == pytest.approx(0.025, rel=1e-6)
    assert _chance_of_at_most(count, high) == pytest.approx(0.025, rel=1e-6)


def test_nothing_seen_speaks_against_means_above_three_or_four() -> None:
    low, high = poisson_interval(0)

    assert low == 0.0
    assert high == pytest.approx(-math.log(0.025))


def test_most_by_chance_is_the_last_count_that_reaches_down() -> None:
    assert most_by_chance(10.0) == 17
    assert poisson_interval(17)[0] <= 10.0 < poisson_interval(18)[0]


def _stream(times: Sequence[int], usd: float) -> Streams:
    return Streams(np.array(times), np.full(len(times), round(1e6 * usd)), np.array([0, len(times)]))


def test_surprise_counts_each_way_up_once() -> None:
    calm = range(0, 3 * DAY_MS, 600_000)
    bursts = [at_ms + 100 * i for at_ms in (DAY_MS, 2 * DAY_MS) for i in range(1, 61)]
    lot = _stream(sorted([*calm, *bursts]), 1_000.0)

    plain, ruled = surprise_raises(lot, 0, (LevelRule(alert_count=0, floor_usd=0.0), LevelRule()), DAY_MS)

    assert plain == [2, 2, 2]
    assert ruled == [2, 2, 0]  # 60,000 USD
    assert surprise_raises(lot, 0, (LevelRule(),), 2 * DAY_MS) == [[1, 1, 0]]


def test_a_missed_bound_is_an_error_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(name: str, scale: Scale) -> list[Figure]:  # noqa: ARG001
        return [Figure("figure", 3.0, 2.0, 4.0, "a week", "made up", 1.0, 2.0)]

    monkeypatch.setattr(command, "measured", measured)
    monkeypatch.setattr(command, "cores", lambda: (set(), set()))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "calibration"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 1

    monkeypatch.setattr(sys, "argv", ["benchmarks", "engine"])  # a figure, not a check
    command.main()
