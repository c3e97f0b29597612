"""The files of a forecast log: one line an issue, numbered, the oldest removed beyond a bound."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from liqtape.errors import ConfigurationError
from liqtape.forecast.issued import ISSUED_SCHEMA, IssuedForecast, issued_line

__all__ = ["IssueFiles", "LoggedIssues", "issue_files", "read_issues"]

_PATTERN = "forecasts-*.ndjson"
_FILE_BYTES = 4_000_000

_decode = msgspec.json.Decoder(IssuedForecast).decode


class LoggedIssues(Struct):
    """What a log holds, read as it is asked for. `torn` lines were cut by a kill, `broken` say where others are."""

    paths: list[Path]
    torn: int = 0
    broken: list[str] = msgspec.field(default_factory=list)

    def __iter__(self) -> Iterator[IssuedForecast]:
        for path in self.paths:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if not line.endswith(b"\n"):
                        self.torn += 1
                        continue
                    try:
                        issued = _decode(line)
                    except msgspec.DecodeError as error:
                        self.broken.append(f"{path}, line {number}: {error}")
                        continue
                    if issued.schema == ISSUED_SCHEMA:
                        yield issued
                    else:
                        self.broken.append(f"{path}, line {number}: schema {issued.schema}, known is {ISSUED_SCHEMA}")


def issue_files(path: Path) -> list[Path]:
    """Return the file itself, or the files of a log's directory in their order."""
    return sorted(path.glob(_PATTERN)) if path.is_dir() else [path]


def read_issues(path: Path) -> LoggedIssues:
    """Return the log of a directory or of one file. Raises ConfigurationError where there is none."""
    found = issue_files(path)
    if not found or not found[0].exists():
        raise ConfigurationError(f"{path}: no log of forecasts; name a directory with {_PATTERN}, or one such file")
    return LoggedIssues(found)


class IssueFiles:
    """Appends issues. A run begins a file of its own, and another after 4 MB; beyond `most_bytes` the oldest go.

    What `append` returned from is with the operating system, and survives a kill of the process; `sync` puts it on the
    disk, which survives a power cut.
    """

    def __init__(self, directory: Path, most_bytes: int) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._file: BinaryIO | None = None
        self._written = 0

    def append(self, issues: Iterable[IssuedForecast]) -> None:
        """Write issues and hand them to the operating system; raises OSError where that fails."""
        if self._file is None:
            self._begin()
        if self._file is not None:
            lines = b"".join(map(issued_line, issues))
            self._file.write(lines)
            self._file.flush()
            self._written += len(lines)
            if self._written >= _FILE_BYTES:
                self.close()

    def sync(self) -> None:
        """Put what was written on the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            self.sync()
            file, self._file = self._file, None
            file.close()

    def _begin(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        there = issue_files(self._directory)
        sizes = {path: path.stat().st_size for path in there}
        while there and sum(sizes.values()) + _FILE_BYTES > self._most_bytes:
            oldest = there.pop(0)
            oldest.unlink()
            del sizes[oldest]
        number = int(there[-1].stem.rpartition("-")[2]) + 1 if there else 1
        self._file = (self._directory / f"forecasts-{number:08}.ndjson").open("xb")
        self._written = 0
