"""The log of a command on standard error: one line each, with its time in UTC."""

import logging
from datetime import UTC, datetime
from typing import Any

from liqtape.sanitize import sanitize

__all__ = ["log_at", "log_to_stderr"]

_LONGEST = 4_000


def log_to_stderr() -> None:
    """Begin to write warnings, and what is worse, to standard error."""
    told = logging.StreamHandler()
    told.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[told], level=logging.WARNING)


def log_at(level: int) -> None:
    """Write all from this level on."""
    logging.getLogger().setLevel(level)


class _Lines(logging.Formatter):
    """Whatever a library or a traceback quotes, a line of the log stays one, and moves no cursor."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - the library's name
        moment = datetime.fromtimestamp(record.created, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        return sanitize(super().formatMessage(record), _LONGEST)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the library's name
        lines = super().formatException(ei).split("\n")
        return "\n".join(line[: len(line) - len(line.lstrip(" "))] + sanitize(line, _LONGEST) for line in lines)
