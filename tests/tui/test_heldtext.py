import io
import logging
import sys

import pytest

from liqtape.tui.heldtext import HeldText, held_stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_come_in_pieces() -> None:
    held = HeldText()
    for piece in ("one\ntw", "o\n", "thr"):
        held.write(piece)

    assert held.newest(9) == ["one", "two"]
    assert held.newest(1) == ["two"]
    assert held.newest(0) == []
    assert held.text() == "one\ntwo\nthr"


def test_what_does_not_fit_is_counted() -> None:
    held = HeldText(limit=3)
    held.write("".join(f"{number}\n" for number in range(5)))

    assert held.text() == "(2 earlier lines were dropped)\n2\n3\n4\n"


def test_a_terminal_gets_afterwards_what_was_logged_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        with held_stderr() as held:
            logging.getLogger("liqtape.test").warning("one")
            sys.stderr.write("two\n")
            assert terminal.getvalue() == ""
            assert held.newest(5) == ["WARNING one", "two"]
        logging.getLogger("liqtape.test").warning("three")
    finally:
        logging.getLogger().removeHandler(handler)

    assert terminal.getvalue() == "WARNING one\ntwo\nWARNING three\n"
    assert sys.stderr is terminal


def test_an_error_lets_out_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    def fail() -> None:
        with held_stderr():
            sys.stderr.write("said before\n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert terminal.getvalue() == "said before\n"


def test_a_file_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with held_stderr() as held:
        sys.stderr.write("said\n")
        assert file.getvalue() == "said\n"

    assert held.text() == ""
