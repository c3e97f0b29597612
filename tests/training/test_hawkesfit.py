"""The fit of a Hawkes process against an independent library, against its own optimum, and on what it must refuse."""

import random
from collections.abc import Iterator
from math import exp
from typing import Any

import pytest
from msgspec.structs import replace

from liqtape.cascades.hawkesdetector import HawkesPast
from liqtape.cascades.hawkesprocess import HawkesParameters, collapsed, log_likelihood

pytest.importorskip("numpy")

from liqtape.training.fitrecords import HawkesFit
from liqtape.training.hawkesfit import fit_past

_DAY_MS = 86_400_000
_TRUE = HawkesParameters(0.02, (0.2, 0.4, 0.1, 0.05))


def drawn(parameters: HawkesParameters, until_ms: int, seed: int) -> list[int]:
    """Draw the process by its clusters: each event has children after exponential delays."""
    dice = random.Random(seed)

    def times(rate: float, scale: float) -> Iterator[float]:
        at = 0.0
        while (at := at + dice.expovariate(rate)) < 1.0:
            yield at * scale

    seconds = until_ms / 1000
    generation = list(times(parameters.mu * seconds, seconds))
    found = list(generation)
    while generation:
        generation = [
            child
            for at in generation
            for children, decay in zip(parameters.children, parameters.decays, strict=True)
            if children
            for _ in times(children, 1.0)
            if (child := at + dice.expovariate(decay)) < seconds
        ]
        found += generation
    return sorted(round(1000 * at) for at in found)


def past_of(times: list[int], weights: list[float] | None = None, end_ms: int = _DAY_MS) -> HawkesPast:
    return HawkesPast(0, end_ms, tuple(times), tuple(weights or [1.0] * len(times)))


def fitted(past: HawkesPast, start: HawkesParameters | None = None) -> HawkesFit:
    fit = fit_past(past, start)
    assert fit is not None
    return fit


@pytest.fixture(scope="module")
def day() -> list[int]:
    return drawn(_TRUE, _DAY_MS, seed=5)


@pytest.fixture(scope="module")
def fit(day: list[int]) -> HawkesFit:
    return fitted(past_of(day))


def test_a_fit_finds_what_was_drawn(fit: HawkesFit, day: list[int]) -> None:
    assert fit.branching_ratio == pytest.approx(_TRUE.branching_ratio, abs=0.06)
    assert fit.parameters.mu == pytest.approx(_TRUE.mu, rel=0.35)
    assert fit.parameters.stationary_rate == pytest.approx(len(day) / 86_400, rel=0.05)
    assert fit.refused == ""
    assert fit.ks < 1.5 * fit.ks_95


def test_its_likelihood_is_the_definitions(fit: HawkesFit, day: list[int]) -> None:
    assert fit.events == len(set(day))
    assert fit.log_likelihood == pytest.approx(log_likelihood(fit.parameters, collapsed(day), _DAY_MS), rel=1e-9)


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("times", [0.9, 1.1])
def test_nothing_near_it_is_likelier(fit: HawkesFit, day: list[int], place: int, times: float) -> None:
    own = fit.parameters
    values = [own.mu, *own.children]
    values[place] *= times
    other = HawkesParameters(values[0], tuple(values[1:]))

    assert log_likelihood(other, collapsed(day), _DAY_MS) < fit.log_likelihood + 1e-3


def test_a_warm_start_takes_fewer_steps_to_the_same_end(fit: HawkesFit, day: list[int]) -> None:
    again = fitted(past_of(day), fit.parameters)

    assert again.steps < fit.steps / 5
    assert again.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-3)


def test_equal_stamps_are_one_event_of_their_weight(day: list[int]) -> None:
    batches = [at - at % 500 for at in day]  # as a venue that sends twice a second
    fit = fitted(past_of(batches))
    stamps = list(collapsed(batches))

    assert fit.events == len(stamps) < len(day)
    assert fit == fitted(past_of([at for at, _ in stamps], [weight for _, weight in stamps]))
    assert fit.mean_weight == pytest.approx(len(day) / len(stamps))
    assert fit.branching_ratio == pytest.approx(fit.parameters.branching_ratio * fit.mean_weight)
    assert 0.5 < fit.branching_ratio < 0.99


def test_a_nearly_critical_stream_is_refused() -> None:
    times = [round(80_000_000 * (1 - exp(-i / 600))) for i in range(3_000)]  # one outburst that fades
    fit = fitted(past_of(times, end_ms=80_000_001), HawkesParameters(0.01, (0.5,), (0.0001,)))

    assert fit.branching_ratio >= 0.99
    assert fit.refused.startswith("branching ratio ")


def test_too_few_events_and_no_time_have_no_fit() -> None:
    assert fit_past(past_of(list(range(0, 99_000, 1_000)))) is None
    assert fit_past(past_of([5] * 500)) is None
    assert fit_past(past_of(list(range(200)), end_ms=0)) is None


def test_a_stream_without_clusters_has_hardly_any_children() -> None:
    fit = fitted(past_of(drawn(replace(_TRUE, children=(0.0, 0.0, 0.0, 0.0), mu=0.05), _DAY_MS, seed=1)))

    assert fit.branching_ratio < 0.15
    assert fit.parameters.mu == pytest.approx(0.05, rel=0.15)


@pytest.fixture(scope="module")
def other() -> Any:
    return pytest.importorskip("intensify", reason="the independent library has no wheel here")


def test_an_independent_library_has_the_same_likelihood(other: Any, fit: HawkesFit, day: list[int]) -> None:
    times = [at / 1000 for at in sorted(set(day))]
    once = [(at, 1.0) for at in sorted(set(day))]
    for parameters in (_TRUE, fit.parameters):
        kernel = other.SumExponentialKernel(list(parameters.children), list(parameters.decays))
        theirs = other.Hawkes(mu=parameters.mu, kernel=kernel).log_likelihood(times, 86_400.0)
        assert log_likelihood(parameters, once, _DAY_MS) == pytest.approx(theirs, rel=1e-9)


def test_an_independent_library_fits_the_same(other: Any) -> None:
    times = sorted(set(drawn(HawkesParameters(0.02, (0.6,), (0.1,)), _DAY_MS, seed=2)))
    fit = fitted(past_of(times), HawkesParameters(0.05, (0.3,), (0.1,)))
    model = other.Hawkes(mu=0.05, kernel=other.ExponentialKernel(0.3, 0.1))
    theirs = model.fit([at / 1000 for at in times], T=86_400.0, fit_decay=False)
    found = theirs.flat_params()

    assert fit.log_likelihood == pytest.approx(theirs.log_likelihood, abs=0.01)
    assert fit.log_likelihood >= theirs.log_likelihood - 1e-4
    assert fit.parameters.mu == pytest.approx(found["mu"], rel=0.01)
    assert fit.branching_ratio == pytest.approx(found["alpha"], rel=0.01)
    rescaled = pytest.importorskip("intensify.core.diagnostics.goodness_of_fit")
    assert fit.ks == pytest.approx(rescaled.time_rescaling_test(theirs)[0], abs=0.005)
