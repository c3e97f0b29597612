"""Whether sealed files are still as they were written."""

import logging
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

__all__ = ["SEALED_COLUMNS", "SealedFile", "SoundFiles"]

SEALED_COLUMNS = "path, kind, venue, from_ms, until_ms, sha256"
"""Of `partitions`, in the order of a `SealedFile`."""

_MOST_KNOWN = 100_000

_Version = tuple[Path, str, int, int, int]
"""A file as it was compared: path, checksum of the list, and inode, size and time of change."""

_compared: dict[_Version, str] = {}
"""What is wrong with each, empty where nothing is. Of the process: the page opens the history at each question."""

_log = logging.getLogger(__name__)


class SealedFile(Struct, frozen=True):
    """A file as it is listed: `path` below the directory, first and last time of its rows, and its SHA-256."""

    path: str
    kind: str
    venue: str | None
    from_ms: int
    until_ms: int
    sha256: str


class SoundFiles:
    """Compares each file with its checksum when the process first asks for it; what does not agree is told once.

    A disk that flips a bit makes other numbers of a Parquet file, or a traceback. A file that is damaged is left out
    as a whole, and its time counts as not observed: whoever reads asks `damaged` for both.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._missing: set[str] = set()

    def sound(self, files: Iterable[SealedFile]) -> Iterator[SealedFile]:
        """Yield those that are as they were written. Raises FileNotFoundError for one that is not there."""
        return (file for file in files if not self.complaint(file))

    def damaged(self, files: Iterable[SealedFile]) -> list[SealedFile]:
        """Return those that are not; one that is not there is damaged, too."""
        found = []
        for file in files:
            try:
                is_damaged = bool(self.complaint(file))
            except FileNotFoundError:
                is_damaged = True
                if file.path not in self._missing:
                    self._missing.add(file.path)
                    _log.error("history: %s is listed and not there", self._directory / file.path)
            if is_damaged:
                found.append(file)
        return found

    def complaint(self, file: SealedFile) -> str:
        """Return what is wrong with a file; empty where nothing is. Raises FileNotFoundError."""
        path = self._directory / file.path
        now = path.stat()
        version = (path, file.sha256, now.st_ino, now.st_size, now.st_mtime_ns)
        known = _compared.get(version)
        if known is None:
            known = _compare(path, file.sha256)
            if len(_compared) >= _MOST_KNOWN:
                _compared.clear()
            _compared[version] = known
        return known


def _compare(path: Path, expected: str) -> str:
    try:
        found = sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise
    except OSError as error:
        found = error.strerror or str(error)
    if found == expected:
        return ""
    said = "its content is not what was written" if len(found) == len(expected) else found
    _log.error("history: %s is damaged (%s) and left out", path, said)
    return said
