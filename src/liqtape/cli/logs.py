"""The log of a command on standard error: one line each, with its time in UTC."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec

from liqtape.errors import ConfigurationError
from liqtape.sanitize import sanitize
from liqtape.venues import VENUES

__all__ = ["JsonLines", "LogForm", "LogLines", "OncePerCause", "log_as", "log_at", "log_to_stderr", "quiet_until"]

LogForm = Literal["text", "json"]

_LONGEST = 4_000
_AGAIN_SECONDS = 10.0
_MOST_CAUSES = 1_000


def log_to_stderr() -> None:
    """Begin to write warnings, and what is worse, to standard error."""
    told = logging.StreamHandler()
    told.setFormatter(_text())
    told.addFilter(OncePerCause())
    logging.basicConfig(handlers=[told], level=logging.WARNING)


def log_as(form: str) -> None:
    """Write lines for people (`text`) or objects for machines (`json`). Raises ConfigurationError for another form."""
    if form not in get_args(LogForm):
        raise ConfigurationError(f"--log-format {form}: one of {', '.join(get_args(LogForm))}")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines() if form == "json" else _text())


def _text() -> "LogLines":
    return LogLines("%(asctime)s %(levelname)s %(name)s: %(message)s")


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


class OncePerCause(logging.Filter):
    """Passes the same line at most once in 10 s; the next one says how many were left out. Errors always pass.

    The same is what one place says with the same words, whatever figures are in it: a cause that repeats.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._causes: dict[tuple[str, str, str], tuple[float, int]] = {}  # since when, how many left out

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written, and add to its text what was left out before it."""
        if record.levelno >= logging.ERROR:
            return True
        now = self._now()
        subject = str(record.args[0]) if isinstance(record.args, tuple) and record.args else ""
        cause = record.name, str(record.msg), subject
        since, left_out = self._causes.get(cause, (now - _AGAIN_SECONDS, 0))
        if now - since < _AGAIN_SECONDS:
            self._causes[cause] = since, left_out + 1
            return False
        if cause not in self._causes and len(self._causes) >= _MOST_CAUSES:
            del self._causes[next(iter(self._causes))]
        self._causes[cause] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more like this in {now - since:.0f} s)", ()
        return True


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


class JsonLines(logging.Formatter):
    """An object a line: `time` (UTC), `level`, `logger`, `message`, and `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": sanitize(record.getMessage(), _LONGEST),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()
