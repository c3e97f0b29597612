"""The alternate screen of a terminal, drawn in whole frames by a thread, so that a slow terminal delays nobody."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.text import Text

__all__ = ["FullScreen", "can_draw", "write_soon"]

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"  # the other screen, no cursor, empty
_LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"
_ERASE = "\x1b[0m\x1b[K"  # the rest of the line
_PATIENCE_SECONDS = 1.0  # for a terminal that takes nothing
_USUAL_SIZE = (80, 24)


def can_draw(out: TextIO) -> bool:
    """Return whether `out` is a terminal that can move its cursor, and ours: no job in the background takes it."""
    if not out.isatty() or os.environ.get("TERM", "dumb") in {"dumb", "unknown"}:
        return False
    try:
        return os.tcgetpgrp(out.fileno()) == os.getpgrp()
    except OSError:  # a terminal that controls no job
        return True


def write_soon(text: str, out: TextIO) -> None:
    """Write a text to a terminal; one that takes nothing is waited for a second, and what was to be saved is saved."""

    def write() -> None:
        out.write(text)
        out.flush()

    writer = threading.Thread(target=write, name="last words", daemon=True)
    writer.start()
    writer.join(_PATIENCE_SECONDS)


class FullScreen:
    """Draws frames on the alternate screen inside a `with` block; what stood on the normal one is there again after it.

    Of frames that come faster than the terminal takes them only the newest is drawn. Keys are not echoed meanwhile.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._console = Console(file=out, highlight=False)
        self._frame: Sequence[Text] | None = None
        self._changed = threading.Condition()
        self._is_ending = False
        self._writer = threading.Thread(target=self._draw_all, name="screen", daemon=True)
        self._quiet = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._out.flush()
        self._quiet.enter_context(_no_echo())
        self._writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        self._writer.join(_PATIENCE_SECONDS)
        self._quiet.close()

    def leave(self) -> None:
        """Give the terminal back at once; for a process that is about to end."""
        self._write(_LEAVE)
        self._quiet.close()

    def size(self) -> tuple[int, int]:
        """Return the columns and lines of the terminal now."""
        try:
            columns, lines = os.get_terminal_size(self._out.fileno())
        except OSError:
            return _USUAL_SIZE
        return (columns, lines) if columns and lines else _USUAL_SIZE

    def draw(self, lines: Sequence[Text]) -> None:
        """Show these lines, from the top left corner on; they must fit. Returns before it is done."""
        with self._changed:
            self._frame = lines
            self._changed.notify()

    def _draw_all(self) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone; the signal that says so ends us
            self._write(_ENTER)
            while (frame := self._next_frame()) is not None:
                self._write(self._rendered(frame))
            self._write(_LEAVE)

    def _next_frame(self) -> Sequence[Text] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._is_ending)
            frame, self._frame = self._frame, None
        return frame

    def _rendered(self, lines: Sequence[Text]) -> str:
        """Return a frame that places each line: one that the terminal draws wider than we do moves no other."""
        columns, height = self.size()
        with self._console.capture() as captured:
            for line in lines:
                self._console.print(line, width=10_000, no_wrap=True, overflow="ignore", crop=False)
        drawn = captured.get().split("\n")[: len(lines)]
        parts = []
        for number in range(1, height + 1):
            text = drawn[number - 1] if number <= len(drawn) else ""
            # After the last column there is nothing to erase: it would take the character that stands there.
            is_full = number <= len(lines) and lines[number - 1].cell_len >= columns
            parts.append(f"\x1b[{number};1H{text}{'' if is_full else _ERASE}")
        return "".join(parts)

    def _write(self, text: str) -> None:
        left = text.encode(self._out.encoding or "utf-8", "replace")
        while left:
            left = left[os.write(self._out.fileno(), left) :]


@contextlib.contextmanager
def _no_echo() -> Iterator[None]:
    """Let keys neither show nor stop the output, and drop them at the end; Ctrl-C and Ctrl-Z work as ever."""
    if not sys.stdin.isatty():
        yield
        return
    import termios  # not everywhere

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    quiet = [*before]
    quiet[0] &= ~termios.IXON
    quiet[3] &= ~termios.ECHO
    # Put into the background meanwhile, we would be stopped for setting this.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    termios.tcsetattr(fd, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        # Not after the output: a terminal that takes nothing would keep us.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        termios.tcflush(fd, termios.TCIFLUSH)
        termios.tcsetattr(fd, termios.TCSANOW, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTTOU})
