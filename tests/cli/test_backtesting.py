"""The command `backtest`: what it prints, writes and refuses."""

import json
from pathlib import Path

import pytest
from tests.backtest.pasts import BEGIN_MS, rows, write

from liqtape.cli.app import main


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("events") / "tape.csv", rows(1))


def test_a_table_says_first_what_was_reached(events: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", str(events), "--detector", "return_periods"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(("Reached: ", "Not reached: "))
    assert any(line.startswith("return_periods ") for line in lines)
    assert any(line.startswith("never ") for line in lines)
    assert "a forecast needs 4 days" in lines[-1]


def test_page_and_twin_are_written_and_the_twin_is_what_json_prints(
    events: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    page = tmp_path / "found.html"

    assert main(["backtest", str(events), "--detector", "cusum:usd", "--report", str(page), "--json"]) == 0

    printed = capsysbinary.readouterr().out
    assert page.with_suffix(".json").read_bytes() == printed
    assert page.read_text("utf-8").startswith("<!doctype html>")
    found = json.loads(printed)
    assert found["examined"]["source"] == "tape.csv"
    assert found["looks_ahead"] == []
    assert str(tmp_path) not in printed.decode()


def test_labels_may_be_given(events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(f"start_ms,end_ms\n{BEGIN_MS + 3_600_000},{BEGIN_MS + 3_700_000}\n")

    assert main(["backtest", str(events), "--labels", str(labels), "--detector", "cusum", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["examined"]["cascades"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--detector", "entropy"], "--detector entropy: there are return_periods, threshold, surprise"),
        (["--report", "found.pdf"], "--report found.pdf: the name of a page ends in .html"),
        (["--symbol", "DOGEUSDT"], "--symbol DOGEUSDT: not in"),
    ],
)
def test_what_cannot_be_done_is_a_line(
    events: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", str(events), *arguments]) == 2

    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]
