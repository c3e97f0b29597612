import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).resolve().parents[2]
_EXAMPLES = _CHECKOUT / "examples"
_PROGRAM = _EXAMPLES / "enhanced_websocket_example.py"
_SHOWS = {
    "1": ("Basic Usage", r"^events: [1-9]\d*, alerts: \d+, streams: \['binance', 'bybit', 'okx'\]$"),
    "2": ("Custom Callback", r"^(binance|bybit): BTCUSDT (LONG|SHORT) \$[\d,]+\.\d\d$"),
    "3": ("Multi-Exchange", r"^ETHUSDC: \d+\.\d\d events/s over 10 s.*BTC [\d,]+\.\d$"),
    "4": ("Velocity Monitoring", r"^BTCUSDT: \d+\.\d\d events/s over 10 s.*acceleration [+-]\d+\.\d+ events/s²"),
    "5": ("Redis Inspection", r"^velocity:BTCUSDT:current.*events in 10 s"),
}


def _run(*options: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    """As the document shows: from the folder of the examples."""
    return subprocess.run(
        [sys.executable, _PROGRAM.name, *options],
        cwd=_EXAMPLES,
        env={**os.environ, "LIQTAPE_PRICE_SPOT_URL": "ws://127.0.0.1:9"},
        input=answer,
        capture_output=True,
        text=True,
        timeout=18,
        check=False,
    )


@pytest.mark.parametrize("number", _SHOWS)
def test_example_runs_and_shows_what_it_is_about(number: str) -> None:
    done = _run(number, "--simulate", "--seconds", "3")

    title, pattern = _SHOWS[number]
    assert done.returncode == 0, done.stderr
    assert f"Example {number}: {title}\n" in done.stdout
    assert re.search(pattern, done.stdout, re.MULTILINE), done.stdout
    assert "Traceback" not in done.stderr
    if number == "5":
        price = r"^btc:price:current: \{'price': \d+\.\d+, 'timestamp': .*'source': 'binance'\}$"
        assert re.search(price, done.stdout, re.MULTILINE)
        assert re.search(r"^cascade:events:buffer: [1-9]\d* events$", done.stdout, re.MULTILINE)


def test_example_is_chosen_at_the_prompt_until_it_is_one_of_them() -> None:
    done = _run("--simulate", "--seconds", "3", answer="9\n2\n")

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Which example") == 2
    assert "Example 2: Custom Callback\n" in done.stdout


def test_all_of_them_one_after_the_other() -> None:
    done = _run("all", "--simulate", "--seconds", "1.5")

    assert done.returncode == 0, done.stderr
    assert re.findall(r"^Example (\d):", done.stdout, re.MULTILINE) == list(_SHOWS)


def test_no_answer_is_no_example() -> None:
    done = _run("--simulate")

    assert done.returncode == 2
    assert done.stderr.endswith("error: which example? 1 to 5, or all\n")


@pytest.mark.parametrize(
    "script", ["examples/enhanced_websocket_example.py", "tests/test_enhanced_websocket_compatibility.py"]
)
@pytest.mark.parametrize(("path", "missing"), [("", "liqtape"), ("src", "redis")])
def test_after_the_documents_own_install_line_it_says_what_is_missing(script: str, path: str, missing: str) -> None:
    """The founding document installs other libraries than liqtape needs, and not liqtape."""
    done = subprocess.run(
        [sys.executable, "-S", script],  # without any installed package
        cwd=_CHECKOUT,
        env={"PYTHONPATH": str(_CHECKOUT / path) if path else ""},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{missing} is not installed: pip install -r {_CHECKOUT / 'requirements.txt'}\n"
