import subprocess
import sys

import pytest

from liqtape.cli.app import main


def test_a_pipe_is_told_what_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "http://127.0.0.1:8787"]) == 2

    said = capsys.readouterr().err
    assert said == "liqtape: watch: draws on a terminal; in a pipe: curl -sN http://127.0.0.1:8787/api/v1/stream\n"


def test_what_is_no_address_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "http://me:secret@host:x"]) == 2

    said = capsys.readouterr().err
    assert said.startswith("liqtape: watch: 'http://***@host:x' is no address of liqtape; write it as http://127.")
    assert said.count("\n") == 1


def test_without_the_extra_it_is_named() -> None:
    program = "import sys; sys.modules['textual'] = None; from liqtape.cli.app import main; sys.exit(main(['watch']))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert done.stderr == "liqtape: watch needs the extra 'tui': pip install 'liqtape[tui]'\n"
    assert done.stdout == ""
