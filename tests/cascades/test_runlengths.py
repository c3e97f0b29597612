"""The posterior of the run length against its definition, and where floats end."""

from math import exp, lgamma, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqtape.cascades.runlengths import RunLengths

_HAZARD, _SHAPE, _RATE = 0.02, 1.5, 0.5


def _run_likelihood(counts: list[tuple[int, float]]) -> float:
    """Return the probability of a whole run's counts under the Gamma prior, in closed form."""
    events, exposure = sum(count for count, _ in counts), sum(length for _, length in counts)
    total = lgamma(_SHAPE + events) - lgamma(_SHAPE) + _SHAPE * log(_RATE) - (_SHAPE + events) * log(_RATE + exposure)
    for count, length in counts:
        total += count * log(length) - lgamma(count + 1)
    return exp(total)


def _posterior(counts: list[tuple[int, float]]) -> list[float]:
    """Return the probability of each run length, by summing over all ways to cut the steps into runs."""
    size = len(counts)
    ended = [1 - (1 - _HAZARD) ** length for _, length in counts]
    begun = [1.0] + [0.0] * size  # that a run begins with step i
    for end in range(1, size + 1):
        for begin in range(end):
            kept = 1.0
            for i in range(begin, end - 1):
                kept *= 1 - ended[i]
            begun[end] += begun[begin] * _run_likelihood(counts[begin:end]) * kept * ended[end - 1]
    weights = []
    for length in range(size + 1):
        begin = size - length
        kept = 1.0
        for i in range(begin, size):
            kept *= 1 - ended[i]
        weights.append(begun[begin] * (_run_likelihood(counts[begin:]) if length else 1.0) * kept)
    return [weight / sum(weights) for weight in weights]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from([1.0, 3.0])), min_size=1, max_size=7))
def test_posterior_is_that_of_all_ways_to_cut(counts: list[tuple[int, float]]) -> None:
    lengths = RunLengths(_HAZARD, _SHAPE, _RATE, pruned=0.0)
    for count, exposure in counts:
        lengths.step(count, exposure)

    assert [run.probability for run in lengths.runs] == pytest.approx(_posterior(counts), rel=1e-9)
    assert [run.events for run in lengths.runs] == [
        sum(count for count, _ in counts[len(counts) - length :]) for length in range(len(counts) + 1)
    ]


def test_a_long_silence_costs_what_a_short_one_does() -> None:
    lengths = RunLengths(1 / 360, 1.0, 1.0)
    for _ in range(500):
        lengths.step(1)
        lengths.step(0, 10_000.0)

    assert len(lengths.runs) < 60
    assert sum(run.probability for run in lengths.runs) == pytest.approx(1.0)


def test_what_no_run_could_bring_begins_a_new_one() -> None:
    lengths = RunLengths(0.02, 1e9, 1e9)
    lengths.step(1_000_000)

    assert [(run.steps, run.probability) for run in lengths.runs] == [(0, 1.0)]
    assert lengths.chance_above(0.0) == 0.0
