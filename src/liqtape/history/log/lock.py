"""One writer a directory: a lock that ends with the process that holds it, however that ends."""

import os
from pathlib import Path

__all__ = ["FileLock"]


class FileLock:
    """A locked file that names its holder. The lock, not the name, says whether the holder lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def take(self) -> bool:
        """Return whether it is ours now; raises OSError where the file cannot be made."""
        import fcntl

        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except OSError:
            os.close(file)
            raise
        self._file = file
        try:
            os.ftruncate(file, 0)
            os.write(file, b"%d\n" % os.getpid())
        except OSError:
            pass  # on a full disk the lock holds all the same
        return True

    def holder(self) -> str:
        """Return the process that took it last, as a number in text."""
        try:
            return self.path.read_text().strip() or "unknown"
        except OSError:
            return "unknown"

    def release(self) -> None:
        """Give it back; the file stays, or a third could lock another one of the same name."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
