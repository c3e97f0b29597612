"""Rows, venues and a terminal in memory for the tests of this room."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pyte
import pytest

from liqtape.events import VelocityMetrics, VenueHealth
from liqtape.tui.tablerow import TableRow

_HOSTILE = {
    "markup": "[red]X[/]",
    "closing markup alone": "[/]X",
    "link": "[link=http://evil]X[/link]",
    "escape": "\x1b[2J\x1b]0;owned\x07X",
    "8-bit escape": "\x9b2JX",
    "bidi": "\u202eTDSUCTB\u2066",
    "newline": "X\r\nbybit live",
}


@pytest.fixture(params=_HOSTILE.values(), ids=list(_HOSTILE))
def hostile(request: pytest.FixtureRequest) -> str:
    """Text of a stranger that must stay text."""
    return str(request.param)


class Rows:
    """Makes rows of metrics and states of venues."""

    def row(self, symbol: str, **known: Any) -> VelocityMetrics:
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(VelocityMetrics):
            values[field.name] = 3 if field.type is int else False if field.type is bool else 1.5
        return VelocityMetrics(**(values | {"symbol": symbol, "level": "NONE"} | known))

    def table_row(self, symbol: str, **known: Any) -> TableRow:
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(TableRow):
            values[field.name] = 3 if field.type is int else False if field.type is bool else 1.5
        return TableRow(**(values | {"symbol": symbol, "level": "NONE", "venues": (), "spark": ()} | known))

    def health(self, venue: str = "bybit", **known: Any) -> VenueHealth:
        values: dict[str, Any] = {"state": "live", "age": 0.25, "coverage": 1.0, "detail": ""} | known
        return VenueHealth(venue, values["state"], 0, values["age"], 2, values["coverage"], values["detail"])


@pytest.fixture
def make() -> Rows:
    return Rows()


class TwoScreens:
    """A terminal in memory that has, unlike pyte's own, an alternate screen beside the normal one."""

    def __init__(self, columns: int, lines: int) -> None:
        self.normal, self.other = pyte.Screen(columns, lines), pyte.Screen(columns, lines)
        self._streams = {False: pyte.ByteStream(self.normal), True: pyte.ByteStream(self.other)}
        self._rest = b""
        self.is_other = False
        self.was_other = False

    def feed(self, received: bytes) -> None:
        data = self._rest + received
        self._rest = b""
        while data:
            switch = b"\x1b[?1049l" if self.is_other else b"\x1b[?1049h"
            before, found, after = data.partition(switch)
            if not found and (cut := before.rfind(b"\x1b[?")) >= 0 and len(before) - cut < len(switch):
                before, self._rest = before[:cut], before[cut:]
            self._streams[self.is_other].feed(before)
            if not found:
                return
            self.is_other = not self.is_other
            self.was_other = True
            data = after

    def resize(self, columns: int, lines: int) -> None:
        self.normal.resize(lines, columns)
        self.other.resize(lines, columns)


class Terminal:
    """A pseudo-terminal with a program in it, or our own end of it alone; what is written there is drawn in memory."""

    def __init__(self, columns: int, lines: int, command: Sequence[str] = (), **known: str) -> None:
        self.screens = TwoScreens(columns, lines)
        self.received = b""
        self._ours, theirs = pty.openpty()
        self.process: subprocess.Popen[bytes] | None = None
        self.resize(columns, lines, theirs)
        self.out = os.fdopen(theirs, "w", encoding="utf-8")
        if command:
            usual = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
            self.process = subprocess.Popen(
                command,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env=usual | {"TERM": "xterm-256color"} | known,
                start_new_session=True,
            )

    def resize(self, columns: int, lines: int, fd: int | None = None) -> None:
        fcntl.ioctl(self._ours if fd is None else fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screens.resize(columns, lines)

    def read(self, seconds: float = 0.2) -> None:
        """Draw what comes within so long."""
        while select.select([self._ours], [], [], seconds)[0]:
            try:
                received = os.read(self._ours, 65_536)
            except OSError:  # nobody has the other end any more
                return
            self.received += received
            self.screens.feed(received)
            seconds = 0.0

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "\n".join(self.screens.other.display + self.screens.normal.display)
            self.read()

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.out.close()
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """`terminal(columns, lines, command)`; closed, and its program ended, after the test."""
    opened: list[Terminal] = []

    def open_terminal(columns: int, lines: int, command: Sequence[str] = (), **known: str) -> Terminal:
        opened.append(Terminal(columns, lines, command, **known))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.close()
