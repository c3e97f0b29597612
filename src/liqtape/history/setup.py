"""From settings to an event log."""

from pathlib import Path

from liqtape.errors import ConfigurationError
from liqtape.history.eventlog import EventLog
from liqtape.history.seals import Seals
from liqtape.settings import HistorySettings

__all__ = ["event_log", "history_directory"]


def history_directory(settings: HistorySettings, data_dir: Path | None) -> Path | None:
    """Where the log is kept, None for nowhere; what goes to a server is kept in `data_dir` first."""
    if settings.url is None or settings.url == "off":
        return None
    if not settings.is_server:
        return Path(settings.url).expanduser()
    if data_dir is None:
        raise ConfigurationError("history.url: a server needs a data_dir for what it has not got yet")
    return data_dir / "history"


def event_log(settings: HistorySettings, data_dir: Path | None) -> EventLog | None:
    """The log of these settings, not started; None where there is to be none."""
    directory = history_directory(settings, data_dir)
    if directory is None:
        return None
    seals = Seals(
        directory, seal=settings.seal, retention_days=settings.retention_days, retention_gb=settings.retention_gb
    )
    return EventLog(directory, synchronous=settings.synchronous, seals=seals)
