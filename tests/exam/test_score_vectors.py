"""The published test vectors of probability scores and event scores."""

import json
from pathlib import Path
from typing import Any

import pytest

from liqtape.exam.alarmscores import MatchRule, Onset, score_alarms
from liqtape.exam.probabilityscores import probability_scores

_FILE = Path(__file__).resolve().parents[1] / "fixtures" / "metric_vectors_scores.json"
_VECTORS: list[dict[str, Any]] = json.loads(_FILE.read_bytes())["vectors"]


def _of(metric: str) -> list[Any]:
    return [pytest.param(one, id=one["id"]) for one in _VECTORS if one["metric"] == metric]


def _number(expected: dict[str, Any] | None) -> Any:
    return None if expected is None else pytest.approx(expected["value"], rel=1e-9, abs=1e-12)


def test_the_file_has_all_vectors() -> None:
    assert [len(_of(metric)) for metric in ("probability_scores", "event_scores")] == [3, 3]


@pytest.mark.parametrize("vector", _of("probability_scores"))
def test_probability_scores(vector: dict[str, Any]) -> None:
    found = probability_scores(vector["input"]["p"], [bool(y) for y in vector["input"]["y"]])

    assert {name: getattr(found, name) for name in vector["expected"]} == {
        name: _number(value) for name, value in vector["expected"].items()
    }


@pytest.mark.parametrize("vector", _of("event_scores"))
def test_event_scores(vector: dict[str, Any]) -> None:
    params, given, expected = vector["params"], vector["input"], vector["expected"]
    rule = MatchRule(*(1_000 * params[f"{name}_s"] for name in ("lead_max", "late_max", "refractory")))
    onsets = [Onset(1_000 * at, 1_000 * at) for at in given["onsets_s"]]

    found = score_alarms(onsets, [1_000 * at for at in given["alarms_s"]], params["days"], rule)

    assert list(found.episodes_ms) == [1_000 * at for at in expected["episodes_s"]]
    assert list(found.leads_ms) == [None if lead is None else 1_000 * lead for lead in expected["lead_s"]]
    median_s = None if found.median_lead_ms is None else found.median_lead_ms / 1_000
    assert (found.recall, found.precision) == (_number(expected["recall"]), _number(expected["precision"]))
    assert found.false_a_day == _number(expected["false_alarms_per_day"])
    assert median_s == expected["median_lead_s"]
