"""The published vectors of the bar estimators, and what they do with few bars."""

import json
from math import log
from pathlib import Path
from typing import Any

import pytest

from liqtape.engine.price.bars import Bar, garman_klass, parkinson, rogers_satchell, yang_zhang
from liqtape.engine.price.volatility import sigma_annual

_FILE = Path(__file__).resolve().parents[1] / "fixtures" / "metric_vectors_volatility.json"
_VECTORS = [v for v in json.loads(_FILE.read_bytes())["vectors"] if v["metric"] == "range_volatility"]
_FLAT = Bar(5.0, 5.0, 5.0, 5.0)


@pytest.mark.parametrize("vector", [pytest.param(v, id=v["id"]) for v in _VECTORS])
def test_range_volatility(vector: dict[str, Any]) -> None:
    bars = [Bar(*map(float, prices)) for prices in vector["input"]["bars"]]
    values = {
        "parkinson_var_per_bar": parkinson(bars),
        "garman_klass_var_per_bar": garman_klass(bars),
        "rogers_satchell_var_per_bar": rogers_satchell(bars),
        "yang_zhang_var_per_bar": yang_zhang(bars),
    }
    per_bar = values["parkinson_var_per_bar"]
    assert per_bar is not None
    values["parkinson_sigma_annual"] = sigma_annual(per_bar / vector["params"]["bar_s"])

    assert values.keys() == vector["expected"].keys()
    for name, expected in vector["expected"].items():
        digits = float(expected["digits"])
        assert values[name] == pytest.approx(digits, rel=1e-9, abs=0 if digits else 1e-12), name


@pytest.mark.parametrize("estimate", [parkinson, garman_klass, rogers_satchell, yang_zhang])
def test_no_bars_have_no_variance(estimate: Any) -> None:
    assert estimate([]) is None


@pytest.mark.parametrize(("n", "expected"), [(1, None), (2, None), (3, 0.0)])
def test_yang_zhang_needs_three_bars(n: int, expected: float | None) -> None:
    assert yang_zhang([_FLAT] * n) == expected


def test_the_gap_before_the_first_bar_is_not_known() -> None:
    bars = [_FLAT, _FLAT, Bar(10.0, 10.0, 10.0, 10.0)]

    assert yang_zhang(bars) == pytest.approx(log(2.0) ** 2 / 2)
