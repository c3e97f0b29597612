"""The command `score`: logs of forecasts whose worth is known."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from liqtape.backtest.logscore import score_log
from liqtape.cli.app import main
from liqtape.forecast.forecaster import TARGETS, Forecast
from liqtape.forecast.issued import IssuedForecast, issued_line, issued_of
from liqtape.forecast.streamforecaster import Issue

_DAY_MS = 86_400_000
_BEGIN_MS = 1_790_000_000_000 // _DAY_MS * _DAY_MS


def _issues(count: int, late_ms: int = 500) -> Iterator[IssuedForecast]:
    """A minute in twenty is hot: then the target of 60 s is reached three times of ten, else once in two hundred."""
    draw = random.Random(2)
    chances = [0.3 if draw.random() < 0.05 else 0.005 for _ in range(count // 6 + 2)]
    came = [draw.random() < p for p in chances]
    for number in range(count):
        minute = number // 6
        at_ms = _BEGIN_MS + 10_000 * number
        reached = 5 * came[minute - 1] if number % 6 == 0 and minute else 0
        made = (Forecast(at_ms, TARGETS[0], chances[minute], 0.02, "m"),)
        yield issued_of(Issue(at_ms, "state", made, (reached, 0)), made, "market", "m", at_ms + late_ms)


def _write(directory: Path, issues: Iterator[IssuedForecast]) -> Path:
    (directory / "forecasts-00000001.ndjson").write_bytes(b"".join(map(issued_line, issues)))
    return directory


def _whole_minutes(issues: Iterator[IssuedForecast]) -> Iterator[IssuedForecast]:
    return (one for one in issues if one.at_ms % 60_000 == 0)


def test_a_true_forecast_gains_over_the_base_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path, _whole_minutes(_issues(4 * 8_640)))

    assert main(["score", str(tmp_path), "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    base, model = found["forecasts"]
    assert (base["forecaster"], model["forecaster"], found["late"], found["withheld"]) == (
        "base rate",
        "as logged",
        0,
        0,
    )
    assert found["judged"] == found["lines"] - 1  # the outcome of the last one is not known yet
    assert model["gains"][0]["gain"]["low"] > 0
    assert model["number"]["at_least"] >= 0.025
    assert model["number"]["at_most"] >= 0.025
    assert model["scores"]["brier_skill"] > 0.1
    assert model["days"] == 4


def test_a_person_reads_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path, _whole_minutes(_issues(2_000)))

    assert main(["score", str(tmp_path)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("333 forecasts judged in 334 lines by m; 0 of them were not shown, 0 others")
    assert any(line.startswith("  Brier skill") for line in lines)


def test_what_was_written_after_its_outcome_is_no_forecast(tmp_path: Path) -> None:
    scored = score_log(_write(tmp_path, _whole_minutes(_issues(600, late_ms=60_000))))

    assert (scored.judged, scored.late, scored.forecasts) == (0, 99, ())


def test_a_log_without_outcomes_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(_write(tmp_path, _issues(1)))]) == 1

    assert capsys.readouterr().err == "liqtape score: no forecast there whose outcome is known\n"


def test_no_log_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(tmp_path / "nowhere")]) == 2

    assert "no log of forecasts" in capsys.readouterr().err
