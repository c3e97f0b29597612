"""The published vectors of the volatility estimators, and what they do at their edges."""

import json
from math import log, log2
from pathlib import Path
from typing import Any

import pytest

from liqtape.engine.price.volatility import (
    ewma_variances,
    grid_returns,
    log_return,
    realised,
    realised_of,
    realised_of_spells,
    sigma_annual,
    two_scale,
    volatility_factor,
)

_FILE = Path(__file__).resolve().parents[1] / "fixtures" / "metric_vectors_volatility.json"
_VECTORS: list[dict[str, Any]] = json.loads(_FILE.read_bytes())["vectors"]


def _of(metric: str) -> pytest.MarkDecorator:
    chosen = [pytest.param(v, id=v["id"]) for v in _VECTORS if v["metric"] == metric]
    return pytest.mark.parametrize("vector", chosen)


def agrees(value: float | None, expected: dict[str, str] | None) -> bool:
    """1e-9 relative, 1e-12 absolute near zero; null: None."""
    if value is None or expected is None:
        return value is None and expected is None
    digits = float(expected["digits"])
    return value == pytest.approx(digits, rel=1e-9, abs=1e-12 if abs(digits) < 1e-12 else 0)


def _trades(vector: dict[str, Any]) -> list[tuple[int, float]]:
    return [(event_ms, float(price)) for event_ms, price in vector["input"]["trades"]]


def test_the_file_has_all_vectors() -> None:
    metrics = [vector["metric"] for vector in _VECTORS]

    assert {name: metrics.count(name) for name in metrics} == {
        "realised_volatility": 4,
        "ewma_variance": 3,
        "range_volatility": 3,
        "two_scale_rv": 3,
        "volatility_factor": 3,
    }


@_of("realised_volatility")
def test_realised_volatility(vector: dict[str, Any]) -> None:
    expected, params = vector["expected"], vector["params"]

    result = realised(_trades(vector), vector["input"]["eval_ms"], params["T_s"], params["grid_ms"])

    assert (result.n_returns, result.coverage_s) == (expected["n_returns"], expected["coverage_s"])
    for name in ("rv", "sigma_per_sqrt_s", "sigma_annual", "bipower", "tripower", "jump_share", "jump_z"):
        assert agrees(getattr(result, name), expected[name]), name


@_of("ewma_variance")
def test_ewma_variance(vector: dict[str, Any]) -> None:
    expected = vector["expected"]

    variances = ewma_variances(_trades(vector), vector["params"]["half_life_s"])

    assert len(variances) == len(expected["variance_per_s"])
    assert all(map(agrees, variances, expected["variance_per_s"]))
    assert agrees(sigma_annual(variances[-1]), expected["sigma_annual_last"])


@_of("two_scale_rv")
def test_two_scale_rv(vector: dict[str, Any]) -> None:
    expected = vector["expected"]

    result = two_scale([float(price) for price in vector["input"]["prices"]], vector["params"]["K"])

    for name, value in (("rv_all", result.rv_all), ("rv_avg", result.rv_avg), ("tsrv", result.tsrv)):
        assert agrees(value, expected[name]), name
    assert agrees(result.noise_variance, expected["noise_var"])


@_of("volatility_factor")
def test_volatility_factor(vector: dict[str, Any]) -> None:
    given, expected = vector["input"], vector["expected"]

    factor = volatility_factor(float(given["rv_short"]), given["T_short_s"], float(given["rv_long"]), given["T_long_s"])

    assert factor is not None
    assert agrees(factor, expected["volatility_factor"])
    assert agrees(log2(factor), expected["log2"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "0.0"), (0.0, None), (1.0 + 2e-9, "1.0"), (1e-8 + 1e-16, "1e-8"), (2e-12, "0.0")],
    ids=["missing", "zero for null", "digits", "small digits", "near zero"],
)
def test_the_comparison_can_fail(value: float | None, expected: str | None) -> None:
    assert not agrees(value, None if expected is None else {"digits": expected})


def test_a_grid_that_does_not_divide_the_window_ends_now() -> None:
    assert grid_returns([(0, 1.0), (9_000, 2.0)], 10_000, 10, grid_ms=4_000) == [0.0, log(2.0)]


def test_a_trade_at_a_grid_point_belongs_to_it_and_the_last_of_a_millisecond_counts() -> None:
    assert grid_returns([(0, 1.0), (1_000, 3.0), (1_000, 2.0), (1_001, 4.0)], 2_000, 2) == [log(2.0), log(2.0)]


@pytest.mark.parametrize("trades", [[], [(5_001, 100.0)], [(5_000, 100.0)]], ids=["none", "newer", "just now"])
def test_nothing_is_defined_without_a_return(trades: list[tuple[int, float]]) -> None:
    result = realised(trades, 5_000, 60)

    assert (result.n_returns, result.coverage_s, result.rv) == (0, 0.0, 0.0)
    assert {result.bipower, result.tripower, result.sigma_annual, result.sigma_per_sqrt_s} == {None}
    assert (result.jump_share, result.jump_z) == (None, None)


def test_a_flat_price_has_no_jump_test() -> None:
    result = realised_of([0.0] * 10)

    assert (result.rv, result.bipower, result.sigma_annual) == (0.0, 0.0, 0.0)
    assert (result.jump_share, result.jump_z) == (None, None)


@pytest.mark.parametrize(("n", "defined"), [(1, (False, False)), (2, (True, False)), (3, (True, True))])
def test_bipower_needs_two_neighbours_and_tripower_three(n: int, defined: tuple[bool, bool]) -> None:
    result = realised_of([0.01] * n)

    assert (result.bipower is not None, result.tripower is not None) == defined


def test_one_spell_is_the_plain_estimate_and_neighbours_do_not_reach_across_a_gap() -> None:
    returns = [0.01, -0.02, 0.03, 0.01]

    assert realised_of_spells([returns]) == realised_of(returns)
    apart = realised_of_spells([returns[:2], [], returns[2:]])
    assert (apart.n_returns, apart.rv, apart.tripower) == (4, realised_of(returns).rv, None)
    assert apart.bipower == pytest.approx(3.141592653589793 / 2 * 4 / 2 * (0.0002 + 0.0003))


def test_tiny_returns_have_a_jump_test() -> None:
    assert realised_of([1e-100] * 5).jump_z == pytest.approx(realised_of([1e-3] * 5).jump_z or 0, rel=1e-9)


@pytest.mark.parametrize(
    ("before", "after"), [(1e-300, 1e300), (1e300, 1e-300), (2.0, 3.0)], ids=["beyond", "below", "plain"]
)
def test_log_return_of_any_two_prices(before: float, after: float) -> None:
    assert log_return(before, after) == pytest.approx(log(after) - log(before), rel=1e-15)


def test_ewma_of_one_trade_is_nothing() -> None:
    assert ewma_variances([], 60) == ewma_variances([(0, 1.0)], 60) == ewma_variances([(0, 1.0), (0, 2.0)], 60) == []


@pytest.mark.parametrize("k", [0, 1, 4])
def test_two_scales_need_a_sparse_grid_within_the_prices(k: int) -> None:
    with pytest.raises(ValueError, match="two scales need 1 < K <= 3"):
        two_scale([1.0, 2.0, 3.0, 4.0], k)


@pytest.mark.parametrize(
    ("short", "long"), [((0.1, 300), (0.0, 86_400)), ((0.0, 0), (0.1, 86_400)), ((0.1, 300), (0.1, 0))]
)
def test_no_factor_without_variance_or_coverage(short: tuple[float, float], long: tuple[float, float]) -> None:
    assert volatility_factor(*short, *long) is None
