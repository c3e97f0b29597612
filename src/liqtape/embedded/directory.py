"""The directory a server works in, locked so that never two servers share one."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from liqtape.errors import EmbeddedUnavailable

__all__ = ["TEMP_PREFIX", "WorkDirectory"]

TEMP_PREFIX = "liqtape-valkey-"
_PID_FILE = "liqtape.pid"
_UNLOCKED_GRACE_SECONDS = 60.0


class WorkDirectory:
    """A server's directory with a locked pid file.

    The lock, not the number in the file, says whether the owner lives: a stale file after a crash is simply taken over,
    and a recycled pid cannot mislead. `lock` is inherited by guard and server, so the directory counts as
    in use as long as any of the three is left.
    """

    __slots__ = ("lock", "path", "temporary")

    def __init__(self, path: Path, lock: int, *, temporary: bool) -> None:
        self.path = path
        self.lock = lock
        self.temporary = temporary

    @classmethod
    def take(cls, path: Path) -> "WorkDirectory":
        """The user's directory, made if absent; `EmbeddedUnavailable` when another server works in it."""
        path = path.expanduser().resolve()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _lock(path, create=True)
        except OSError as error:
            raise EmbeddedUnavailable(f"embedded Redis cannot use {path}: {error.strerror}") from error
        if lock is None:
            raise EmbeddedUnavailable(f"embedded Redis: {path} is in use by pid {_owner(path)}")
        return cls(path, lock, temporary=False)

    @classmethod
    def temp(cls) -> "WorkDirectory":
        """A new private directory; those that killed predecessors left behind are removed first."""
        _sweep()
        for _ in range(5):
            path = Path(tempfile.mkdtemp(prefix=TEMP_PREFIX))
            try:
                lock = _lock(path, create=True)
            except FileNotFoundError:
                lock = None
            if lock is not None:
                return cls(path, lock, temporary=True)
        raise EmbeddedUnavailable(f"embedded Redis cannot keep a directory in {tempfile.gettempdir()}")

    def release(self) -> None:
        """Give the directory up; a temporary one is removed."""
        if self.lock < 0:
            return
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)
        self.lock = -1


def _lock(path: Path, *, create: bool) -> int | None:
    """File descriptor of the locked pid file, None if somebody else holds it."""
    import fcntl

    flags = os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    lock = os.open(path / _PID_FILE, flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A sweeper may have removed the file between our open and our lock.
        if (path / _PID_FILE).stat().st_ino != os.fstat(lock).st_ino:
            raise FileNotFoundError(path)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError:
        os.close(lock)
        raise
    if create:
        os.ftruncate(lock, 0)
        os.write(lock, b"%d\n" % os.getpid())
    return lock


def _owner(path: Path) -> str:
    return (path / _PID_FILE).read_text().strip() or "unknown"


def _sweep() -> None:
    """Remove our own temporary directories that no living server holds."""
    for path in Path(tempfile.gettempdir()).glob(TEMP_PREFIX + "*"):
        try:
            if path.is_dir() and not path.is_symlink() and path.lstat().st_uid == os.getuid():
                _remove_if_dead(path)
        except OSError:
            continue  # removed by somebody else meanwhile, or not ours to open


def _remove_if_dead(path: Path) -> None:
    try:
        lock = _lock(path, create=False)
    except FileNotFoundError:
        # No pid file: a directory being made this moment, or one whose maker died right there.
        if time.time() - path.stat().st_mtime > _UNLOCKED_GRACE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
        return
    if lock is not None:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)
