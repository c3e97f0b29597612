"""The log of the commands: a line a cause, for people or for machines."""

import json
import logging
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.cli.app import main
from liqtape.cli.logs import JsonLines, OncePerCause


def record(text: str, *args: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("liqtape.feeds", level, __file__, 1, text, args, None)


def test_a_repeated_cause_is_told_once_in_ten_seconds_with_the_number_left_out() -> None:
    now = [0.0]
    once = OncePerCause(lambda: now[0])
    told = []

    for second in range(25):
        now[0] = float(second)
        line = record("%s: lost, %d s", "okx", second)
        told += [line.getMessage()] if once.filter(line) else []

    assert told == [
        "okx: lost, 0 s",
        "okx: lost, 10 s (9 more like this in 10 s)",
        "okx: lost, 20 s (9 more like this in 10 s)",
    ]


def test_another_subject_and_errors_are_not_kept_back() -> None:
    once = OncePerCause(lambda: 0.0)

    passed = [once.filter(record("%s: lost", venue)) for venue in ("okx", "bybit", "okx")]
    errors = [once.filter(record("ledger", level=logging.ERROR)) for _ in range(3)]

    assert (passed, errors) == ([True, True, False], [True, True, True])


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("ab")), max_size=60))
def test_no_line_is_lost_uncounted(steps: list[tuple[int, str]]) -> None:
    now = [0.0]
    once = OncePerCause(lambda: now[0])
    told = left_out = 0
    for waited, subject in steps:
        now[0] += waited
        line = record("%s: lost", subject)
        if once.filter(line):
            told += 1
            left_out += int(line.getMessage().partition("(")[2].partition(" ")[0] or 0)
    waiting = sum(count for _, count in once._causes.values())

    assert told + left_out + waiting == len(steps)


def test_the_causes_are_bounded() -> None:
    once = OncePerCause(lambda: 0.0)
    for number in range(3_000):
        once.filter(record(f"cause {number}"))

    assert len(once._causes) == 1_000


def test_json_lines_are_objects_whatever_is_in_them() -> None:
    told = JsonLines().format(record('a "quote"\nand %s', "\x1b[2J"))

    assert "\n" not in told
    line = json.loads(told)
    assert line["level"] == "warning"
    assert line["logger"] == "liqtape.feeds"
    assert line["message"].startswith('a "quote" and ')
    assert line["time"].endswith("Z")


def test_a_command_logs_in_json() -> None:
    """Also where the option stands before the command."""
    command = [sys.executable, "-m", "liqtape", "--log-format", "json", "demo", "-v", "--seconds", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert lines
    assert {line["level"] for line in lines} <= {"info", "warning"}


def test_another_form_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "--log-format", "xml"]) == 2
    assert capsys.readouterr().err == "liqtape: --log-format xml: one of text, json\n"
