"""The published vectors of CUSUM, change points, Hawkes processes and criticality."""

import json
from fractions import Fraction
from math import exp
from pathlib import Path
from typing import Any

import pytest

from liqtape.cascades.criticality import criticality
from liqtape.cascades.cusumdetector import cusum
from liqtape.cascades.hawkesprocess import (
    HawkesParameters,
    HawkesState,
    collapsed,
    log_likelihood,
    spectral_radius,
    stationary_rates,
)
from liqtape.cascades.runlengths import RunLengths
from liqtape.simulator.generator import size_quantile

_FILE = Path(__file__).resolve().parents[1] / "fixtures" / "metric_vectors_detectors.json"
_VECTORS: list[dict[str, Any]] = json.loads(_FILE.read_bytes())["vectors"]


def _of(metric: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", [pytest.param(v, id=v["id"]) for v in _VECTORS if v["metric"] == metric])


def _agrees(value: float | None, expected: Any) -> bool:
    if value is None or expected is None:
        return value is None and expected is None
    wanted = expected["value"] if isinstance(expected, dict) else expected
    return value == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_the_file_has_all_vectors() -> None:
    metrics = [vector["metric"] for vector in _VECTORS]

    assert {name: metrics.count(name) for name in metrics} == {
        "poisson_cusum": 3,
        "bocpd_gamma_poisson": 3,
        "hawkes": 4,
        "criticality_moment": 3,
        "hawkes_stationary": 3,
        "size_quantile": 3,
    }


@_of("poisson_cusum")
def test_cusum(vector: dict[str, Any]) -> None:
    params = vector["params"]
    total, sums = 0.0, []
    for count in vector["input"]["counts"]:
        total = cusum(total, count, params["bin_s"], float(params["rate0"]), float(params["rate1"]))
        sums.append(total)

    assert all(_agrees(value, wanted) for value, wanted in zip(sums, vector["expected"]["S"], strict=True))
    alarms = (i for i, value in enumerate(sums) if value > float(params["h"]))
    assert next(alarms, None) == vector["expected"]["first_alarm_index"]


@_of("bocpd_gamma_poisson")
@pytest.mark.parametrize(("pruned", "within"), [(0.0, 1e-12), (1e-4, 3e-4)])
def test_change_points(vector: dict[str, Any], pruned: float, within: float) -> None:
    params = vector["params"]
    lengths = RunLengths(float(Fraction(params["hazard"])), float(params["a0"]), float(params["b0"]), pruned)
    for count, wanted in zip(vector["input"]["counts"], vector["expected"]["steps"], strict=True):
        lengths.step(count, params["exposure_per_step"])
        found = {run.steps: run.probability for run in lengths.runs}
        assert max(found, key=lambda steps: found[steps]) == wanted["map_run_length"]
        assert found[0] == pytest.approx(wanted["p_run_length_0"], abs=max(within, 1e-9))

    expected = vector["expected"]["final_posterior"]
    found = {run.steps: run.probability for run in lengths.runs}
    assert sum(found.values()) == pytest.approx(1.0)
    assert {int(steps): found.get(int(steps), 0.0) for steps in expected} == pytest.approx(
        {int(steps): value for steps, value in expected.items()}, abs=within
    )


@_of("hawkes")
def test_hawkes(vector: dict[str, Any]) -> None:
    params, given, expected = vector["params"], vector["input"], vector["expected"]
    children, decays = zip(*((float(n), float(b)) for n, b in params["components_n_beta"]), strict=True)
    parameters = HawkesParameters(float(params["mu"]), children, decays)
    marks = [float(mark) for mark in given["marks"] or [1] * len(given["times_s"])]
    events = list(collapsed([round(1_000 * at_s) for at_s in given["times_s"]], marks))
    end_ms = round(1_000 * given["T_s"])

    state = HawkesState(decays)
    before = []
    for event_ms, weight in events:
        before.append(parameters.intensity(state.at(event_ms)))
        state.add(event_ms, weight)
    sums = state.at(end_ms)

    assert all(_agrees(a, b) for a, b in zip(before, expected["lambda_before_each_event"], strict=True))
    assert _agrees(parameters.intensity(sums), expected["lambda_at_T"])
    assert _agrees(log_likelihood(parameters, events, end_ms), expected["loglik"])
    assert _agrees(parameters.branching_ratio, expected["branching_ratio"])
    if "stationary_rate" in expected:
        assert _agrees(parameters.stationary_rate, expected["stationary_rate"])
        assert _agrees(parameters.expected_count(sums, params["h_s"]), expected["expected_count_next_h"])
        at_least_one = 1 - exp(-parameters.expected_next(sums, params["h_s"]))
        assert _agrees(at_least_one, expected["p_at_least_one_next_h"])


def test_a_count_of_all_generations_is_known_for_one_stationary_kernel_only() -> None:
    with pytest.raises(ValueError, match="one kernel, not 2"):
        HawkesParameters(0.1, (0.2, 0.2), (1.0, 0.1)).expected_count((0.0, 0.0), 30)
    with pytest.raises(ValueError, match="below 1"):
        HawkesParameters(0.1, (1.0,), (1.0,)).expected_count((0.0,), 30)
    assert HawkesParameters(0.1, (1.0,), (1.0,)).stationary_rate is None


@_of("criticality_moment")
def test_criticality(vector: dict[str, Any]) -> None:
    found = criticality(vector["input"]["counts"])

    assert found is not None
    assert all(_agrees(getattr(found, name), wanted) for name, wanted in vector["expected"].items())


@_of("hawkes_stationary")
def test_stationary_streams(vector: dict[str, Any]) -> None:
    mu, matrix, expected = vector["input"]["mu"], vector["input"]["A"], vector["expected"]

    assert _agrees(spectral_radius(matrix), expected["spectral_radius"])
    rates = stationary_rates(mu, matrix)
    assert (rates is not None) == expected["stable"]
    if rates is not None:
        assert all(_agrees(a, b) for a, b in zip(rates, expected["mean_rate"], strict=True))
    if expected.get("long_run_fano_univariate") is not None:
        assert _agrees(1 / (1 - matrix[0][0]) ** 2, expected["long_run_fano_univariate"])


@_of("size_quantile")
def test_sizes(vector: dict[str, Any]) -> None:
    params = vector["params"]
    body, tail = (float(params["ln_mu"]), float(params["ln_sigma"])), (params["x_tail_usd"], float(params["alpha"]))
    found = [size_quantile(u, body, tail) for u in vector["input"]["u"]]

    assert all(_agrees(a, b) for a, b in zip(found, vector["expected"]["usd"], strict=True))
