"""The log of a command on standard error: one line each, with its time in UTC."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from liqtape.sanitize import sanitize
from liqtape.venues import VENUES

__all__ = ["LogLines", "log_at", "log_to_stderr", "quiet_until"]

_LONGEST = 4_000


def log_to_stderr() -> None:
    """Begin to write warnings, and what is worse, to standard error."""
    told = logging.StreamHandler()
    told.setFormatter(LogLines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[told], level=logging.WARNING)


@contextmanager
def quiet_until(has_data: Callable[[str], bool]) -> Iterator[None]:
    """Keep back warnings about venues that sent nothing yet, unless more log was asked for: their state says it."""
    if logging.getLogger().isEnabledFor(logging.INFO):
        yield
        return

    def passes(record: logging.LogRecord) -> bool:
        if record.levelno > logging.WARNING or not record.name.startswith("liqtape.feeds"):
            return True
        venue = record.getMessage().replace(":", " ").partition(" ")[0]
        return venue not in VENUES or has_data(venue)

    handlers = list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(passes)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(passes)


def log_at(level: int) -> None:
    """Write all from this level on."""
    logging.getLogger().setLevel(level)


class LogLines(logging.Formatter):
    """Whatever a library or a traceback quotes, a line of the log stays one, and moves no cursor."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - the library's name
        moment = datetime.fromtimestamp(record.created, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        return sanitize(super().formatMessage(record), _LONGEST)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the library's name
        lines = super().formatException(ei).split("\n")
        return "\n".join(line[: len(line) - len(line.lstrip(" "))] + sanitize(line, _LONGEST) for line in lines)
