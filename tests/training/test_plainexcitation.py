import numpy as np
import pytest
from tests.training.streams import clustered

from liqtape.cascades.hawkesdetector import HawkesPast
from liqtape.cascades.hawkesprocess import DECAYS, HawkesParameters
from liqtape.training.hawkesfit import fit_past
from liqtape.training.plainexcitation import excited_times, expected_counts, fit_hawkes


def test_expected_counts_by_the_formula_of_one_exponential() -> None:
    # E = L h + (lambda - L) (1 - e^(-k h)) / k, with L = mu / (1 - n) and k = b (1 - n).
    mu, n, b, h, r = 0.5, 0.5, 1.0, 30.0, 0.16
    level, k, intensity = mu / (1 - n), b * (1 - n), mu + n * b * r
    expected, shares = expected_counts(HawkesParameters(mu, (n, 0.0, 0.0, 0.0)), h)
    assert expected + shares[0] * r == pytest.approx(level * h + (intensity - level) * (1 - np.exp(-k * h)) / k)


def test_expected_counts_of_several_decays_by_small_steps() -> None:
    hawkes = HawkesParameters(0.01, (0.2, 0.3, 0.1, 0.2))
    states, step = np.array([0.5, 1.0, 2.0, 3.0]), 0.001
    intensity, counted = states * np.array(DECAYS) * hawkes.children, 0.0
    for _ in range(60_000):
        rate = hawkes.mu + intensity.sum()
        counted += rate * step
        intensity = intensity + step * np.array(DECAYS) * (np.array(hawkes.children) * rate - intensity)
    expected, shares = expected_counts(hawkes, 60.0)
    assert expected + float(np.dot(shares, states)) == pytest.approx(counted, rel=1e-3)


def test_states_are_sums_over_earlier_events_and_equal_stamps_are_one_moment() -> None:
    excited = excited_times(np.array([1_000, 1_000, 3_000, 13_000]))
    assert excited.times_ms.tolist() == [1_000, 3_000, 13_000]
    assert excited.counts.tolist() == [2, 1, 1]
    assert excited.states[0].tolist() == [0.0] * 4
    assert excited.states[1] == pytest.approx(2 * np.exp(-2.0 * np.array(DECAYS)))
    assert excited.states[2] == pytest.approx(2 * np.exp(-12.0 * np.array(DECAYS)) + np.exp(-10.0 * np.array(DECAYS)))


def test_the_fit_finds_how_many_offspring_an_event_has() -> None:
    stream = clustered(4, 20.0)
    hawkes = fit_hawkes(excited_times(stream.times_ms), 20 * 86_400.0)
    assert sum(hawkes.children) == pytest.approx(0.6, abs=0.06)
    assert hawkes.children[1] + hawkes.children[2] > 0.8 * sum(hawkes.children)
    assert hawkes.mu == pytest.approx(350 / 86_400, rel=0.15)


def test_the_fit_is_where_no_neighbour_is_likelier() -> None:
    stream = clustered(4, 5.0)
    excited, seconds, decays = excited_times(stream.times_ms), 5 * 86_400.0, np.array(DECAYS)

    def likelihood(rate: float, offspring: np.ndarray) -> float:
        inside = rate + excited.states @ (offspring * decays)
        return float((excited.counts * np.log(inside)).sum() - rate * seconds - offspring.sum() * excited.counts.sum())

    hawkes = fit_hawkes(excited, seconds)
    best, offspring = likelihood(hawkes.mu, np.array(hawkes.children)), np.array(hawkes.children)
    for place in range(4):
        for change in (0.98, 1.02):
            other = offspring.copy()
            other[place] *= change
            assert likelihood(hawkes.mu, other) < best + 0.05
    for change in (0.98, 1.02):
        assert likelihood(change * hawkes.mu, offspring) < best + 0.05


def test_the_fit_is_that_of_the_hourly_refit() -> None:
    """Which sums anew from the first event, and knows the end of what was watched."""
    stream = clustered(4, 5.0)
    times, end_ms = stream.times_ms.tolist(), int(stream.spans[0][1])
    other = fit_past(HawkesPast(stream.spans[0][0], end_ms, tuple(times), (1.0,) * len(times)))
    own = fit_hawkes(excited_times(stream.times_ms), 5 * 86_400.0)

    assert other is not None
    assert own.mu == pytest.approx(other.parameters.mu, rel=0.03)
    assert own.children == pytest.approx(other.parameters.children, abs=0.03)
