import contextlib
import os
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from liqtape.tui.fullscreen import FullScreen, can_draw, write_soon


@pytest.fixture(autouse=True)
def _usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_frame_is_drawn_and_the_normal_screen_comes_back(terminal: Callable[..., Any]) -> None:
    seen = terminal(20, 3)
    write_soon("before\n", seen.out)
    with FullScreen(seen.out) as screen:
        assert screen.size() == (20, 3)
        screen.draw([Text("one", style="red"), Text("牛来" * 5), Text("[red]x[/]")])
        seen.wait_for(lambda: seen.screens.other.display[2].startswith("[red]x[/]"))
        assert seen.screens.other.display[0].rstrip() == "one"
        assert seen.screens.other.buffer[0][0].fg == "red"
        assert seen.screens.other.cursor.hidden
        assert seen.screens.other.display[1] == "牛来" * 5
    seen.wait_for(lambda: not seen.screens.is_other)
    write_soon("after\n", seen.out)
    seen.wait_for(lambda: "after" in seen.screens.normal.display[1])

    assert seen.screens.normal.display[0].rstrip() == "before"
    assert b"\x1b[?25h\x1b[?1049l" in seen.received


def test_a_shorter_frame_leaves_nothing_of_the_one_before(terminal: Callable[..., Any]) -> None:
    seen = terminal(20, 3)
    with FullScreen(seen.out) as screen:
        screen.draw([Text("a" * 20), Text("b" * 20), Text("c" * 20)])
        seen.wait_for(lambda: seen.screens.other.display[2] == "c" * 20)
        screen.draw([Text("d")])
        seen.wait_for(lambda: [line.rstrip() for line in seen.screens.other.display] == ["d", "", ""])


def test_without_colours_there_are_none(terminal: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    seen = terminal(20, 3)
    with FullScreen(seen.out) as screen:
        screen.draw([Text("one", style="#ff8a4c on red")])
        seen.wait_for(lambda: seen.screens.other.display[0].startswith("one"))

    assert seen.screens.other.buffer[0][0].fg == seen.screens.other.buffer[0][0].bg == "default"


def test_sixteen_colours_are_enough(terminal: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-16color")
    monkeypatch.delenv("COLORTERM", raising=False)
    seen = terminal(20, 3)
    with FullScreen(seen.out) as screen:
        screen.draw([Text("one", style="#ff8a4c")])
        seen.wait_for(lambda: seen.screens.other.display[0].startswith("one"))

    assert b"38;" not in seen.received
    assert seen.screens.other.buffer[0][0].fg != "default"


def test_a_terminal_that_takes_nothing_delays_nobody(terminal: Callable[..., Any]) -> None:
    seen = terminal(200, 60)
    with FullScreen(seen.out) as screen:
        for number in range(500):
            screen.draw([Text(f"{number} " * 2_000)] * 60)  # much more than it holds
    drawing = [thread for thread in threading.enumerate() if thread.name == "screen"]
    assert len(drawing) == 1
    while drawing[0].is_alive():
        seen.read()
    seen.read()

    assert not seen.screens.is_other  # as soon as it takes something again, it is given back
    assert seen.received.count(b"\x1b[1;1H") < 50


def test_keys_are_not_echoed_meanwhile(terminal: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = terminal(20, 3)
    monkeypatch.setattr(sys, "stdin", seen.out)

    def is_echoing() -> bool:
        return bool(termios.tcgetattr(seen.out.fileno())[3] & termios.ECHO)

    assert is_echoing()
    with contextlib.suppress(RuntimeError), FullScreen(seen.out):
        assert not is_echoing()
        raise RuntimeError
    assert is_echoing()


@pytest.mark.parametrize("kind", ["dumb", "unknown", None])
def test_no_screen_is_taken_where_none_can_be_drawn(
    terminal: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    assert can_draw(terminal(20, 3).out)
    with Path(os.devnull).open("w", encoding="utf-8") as nothing:
        assert not can_draw(nothing)
    if kind is None:
        monkeypatch.delenv("TERM")
    else:
        monkeypatch.setenv("TERM", kind)
    assert not can_draw(terminal(20, 3).out)
