"""Where a history is kept."""

import os
import sys
from pathlib import Path

from liqtape.errors import ConfigurationError
from liqtape.settings import HistorySettings

__all__ = ["data_directory", "history_directory"]


def data_directory() -> Path:
    """Return where this user's data is kept."""
    if base := os.environ.get("XDG_DATA_HOME"):
        return Path(base) / "liqtape"
    home = Path.home()
    return home / "Library/Application Support/liqtape" if sys.platform == "darwin" else home / ".local/share/liqtape"


def history_directory(settings: HistorySettings, data_dir: Path | None) -> Path | None:
    """Return where the log is kept, None for nowhere; what goes to a server is kept in `data_dir` first."""
    if settings.url is None or settings.url == "off":
        return None
    if not settings.is_server:
        return Path(settings.url).expanduser()
    if data_dir is None:
        raise ConfigurationError("history.url: a server needs a data_dir for what it has not got yet")
    return data_dir / "history"
