import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from liqtape.embedded import EmbeddedServer, server_binary
from liqtape.errors import EmbeddedUnavailable


@pytest.fixture(autouse=True)
def temp_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory of this test's own, so that what is left behind can be seen."""
    root = tmp_path / "tmp"
    root.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    monkeypatch.setenv("TMPDIR", str(root))
    return root


@pytest.fixture
def binary() -> Path:
    try:
        return server_binary()
    except EmbeddedUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
async def server(binary: Path) -> AsyncIterator[EmbeddedServer]:  # noqa: ARG001 - asked for its skip
    made = EmbeddedServer()
    await made.start()
    yield made
    await made.stop()
