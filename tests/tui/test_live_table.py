"""The real demo in a real terminal, from 80x24 to 200x60."""

import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
from wcwidth import wcswidth

from liqtape.embedded import server_binary
from liqtape.errors import EmbeddedUnavailable
from liqtape.ledger import Ledger
from liqtape.tui.fullscreen import FullScreen
from liqtape.tui.livescreen import LiveView, live_screen

SIZES = [(80, 24), (100, 30), (120, 40), (160, 50), (200, 60)]
VENUES = ("binance", "bybit", "okx", "hyperliquid")
LEVELS = ("NONE", "WATCH", "ALERT", "CRITICAL", "EXTREME")


@pytest.fixture(autouse=True)
def usual_server() -> None:
    try:
        server_binary()
    except EmbeddedUnavailable as error:
        pytest.skip(str(error))


def checked(lines: list[str], columns: int) -> int:
    """Check a screen; returns how many instruments it shows."""
    assert lines[0].startswith("liqtape  demo, cascade")
    assert " UTC   up " in lines[0]
    assert lines[1].startswith("market ")
    assert lines[1].split()[1] in LEVELS
    assert " events   " in lines[-1]
    for venue in VENUES:
        assert any(f"{venue} live" in " ".join(line.split()) for line in lines), venue
    assert all(wcswidth(line.rstrip()) <= columns for line in lines)
    return len(rows_of(lines))


def rows_of(lines: list[str]) -> list[str]:
    """Return the rows of the instruments; the level of each stands below its head."""
    first, head = next((number, line) for number, line in enumerate(lines, 1) if line.startswith("instrument"))
    rows = []
    for line in lines[first:]:
        # A wide character takes two columns, and pyte has an empty text for the second.
        at = next((index for index in range(len(line)) if wcswidth(line[:index]) >= head.index("level")), 0)
        if line[at:].split()[:1] not in [[level] for level in LEVELS]:
            break
        rows.append(line)
    return rows


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_columns_stand_behind_wide_names(make: Any, terminal: Callable[..., Any], size: tuple[int, int]) -> None:
    names = ["牛来USDT", "BTCUSDT", "한국어한국어한국어한국어한국어USDT", "e\u0301USDT"]
    rows = [make.row(name, level="ALERT", usd_velocity_60s=float(-place)) for place, name in enumerate(names)]
    venues = [make.health(venue) for venue in VENUES]
    view = LiveView("demo, cascade", 0, 0.0, make.row("MARKET"), None, rows, venues, Ledger())
    seen = terminal(*size)
    with FullScreen(seen.out) as screen:
        screen.draw(live_screen(view, *size))
        seen.wait_for(lambda: " events   " in seen.screens.other.display[-1])

    assert checked(list(seen.screens.other.display), size[0]) == len(names)


def test_the_demo_at_five_sizes(terminal: Callable[..., Any]) -> None:
    command = [sys.executable, "-m", "liqtape", "-v", "demo", "--seconds", "0", "--speed", "3"]
    seen = terminal(*SIZES[0], command)

    def display() -> list[str]:
        return list(seen.screens.other.display)

    def is_whole() -> bool:
        """Return whether the last line of a frame is there, with all venues and some instruments."""
        text = " ".join(" ".join(display()).split())
        has_venues = all(f"{venue} live" in text for venue in VENUES)
        return " events   " in display()[-1] and has_venues and len(rows_of(display())) >= 8

    seen.wait_for(lambda: seen.screens.is_other)
    shown = []
    for columns, lines in SIZES:
        seen.resize(columns, lines)
        seen.screens.other.reset()
        seen.wait_for(is_whole)
        shown.append(checked(display(), columns))
    assert shown == sorted(shown)  # the larger the screen, the more instruments

    seen.process.send_signal(signal.SIGINT)
    seen.wait_for(lambda: seen.process.poll() is not None)
    seen.read()

    drawn, _, afterwards = seen.received.partition(b"\x1b[?1049h")[2].partition(b"\x1b[?1049l")
    assert b"\n" not in drawn  # nothing but whole frames; what was logged meanwhile is written now
    assert b" INFO liqtape." in afterwards
    text = "\n".join(line.rstrip() for line in seen.screens.normal.display)
    assert seen.process.returncode == 130
    assert not seen.screens.is_other
    assert seen.received.endswith(b"\n")
    assert b"\nRedis on port " in seen.received.partition(b"\x1b[?1049h")[0]
    assert "UTC, after 0:" in text
    assert "\n  differences            0" in text


_HANGS = """
import sys, time
from liqtape.cli.foreground import StopSignals
from liqtape.tui.fullscreen import FullScreen
with StopSignals(end_within=0.1).installed() as stop, FullScreen(sys.stdout) as screen:
    stop.before_end = screen.leave
    print("ready", file=sys.stderr, flush=True)
    while True:
        time.sleep(1)
"""


def test_a_program_that_hangs_gives_the_terminal_back(terminal: Callable[..., Any]) -> None:
    seen = terminal(80, 24, [sys.executable, "-c", _HANGS])
    seen.wait_for(lambda: seen.screens.is_other and b"ready" in seen.received)

    seen.process.send_signal(signal.SIGTERM)
    seen.wait_for(lambda: seen.process.poll() is not None)
    seen.read()

    assert seen.process.returncode == 143
    assert not seen.screens.is_other
    assert "something hangs" in " ".join(seen.screens.normal.display)
