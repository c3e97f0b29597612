"""From settings to an event log."""

from pathlib import Path

from liqtape.history.archive.archiverprocess import ArchiverProcess
from liqtape.history.log.directories import history_directory
from liqtape.history.log.eventlog import EventLog
from liqtape.settings import HistorySettings

__all__ = ["event_log"]


def event_log(settings: HistorySettings, data_dir: Path | None) -> EventLog | None:
    """Return the log of these settings, not started; None where there is to be none."""
    directory = history_directory(settings, data_dir)
    if directory is None:
        return None
    archiver_process = ArchiverProcess(
        directory, seal=settings.seal, retention_days=settings.retention_days, retention_gb=settings.retention_gb
    )
    return EventLog(directory, synchronous=settings.synchronous, archiver_process=archiver_process)
