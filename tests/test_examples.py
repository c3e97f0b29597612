"""The examples of a tracker, a sink and a venue run as their first lines show, and show what they are about."""

import csv
import re
import subprocess
import sys
from pathlib import Path

_EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def _run(program: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, program, *options], cwd=_EXAMPLES, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_tracker_prints_liquidations_with_their_velocity() -> None:
    lines = [
        line for line in _run("watch_liquidations.py", "--simulate", "--count", "5").splitlines() if line[0] != " "
    ]

    assert len(lines) == 5
    for line in lines:
        assert re.fullmatch(r"bybit \w+ (long|short) [\d,]+\.\d\d USD, \d+\.\d\d/s in 60 s", line)


def test_a_sink_keeps_the_rows_of_changed_instruments(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    assert _run("csv_sink.py", str(file), "--simulate", "--seconds", "10") == f"rows are in {file}\n"

    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert rows
    assert all(float(row["total_value_usd"]) >= 0.0 and row["symbol"] for row in rows)
    assert any(float(row["velocity_10s"]) > 0.0 for row in rows)


def test_a_venue_is_decoded_and_tracked() -> None:
    assert _run("toy_venue.py") == "toy BTCUSDT long 40000.0\n"
