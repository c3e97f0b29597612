"""When the history is sealed and trimmed: once an hour, by a child."""

import logging
import subprocess
import sys
from pathlib import Path

import msgspec

from liqtape.history.archive.archiver import CLOSED_AFTER_MS
from liqtape.history.archive.maintenance import DAMAGED, MaintenanceResult, can_seal

__all__ = ["ArchiverProcess"]

_HOUR_MS = 3_600_000
_FIRST_MS = 30_000
_LEAST_STOP_SECONDS = 0.1
_SLACK_MS = 5_000

_log = logging.getLogger(__name__)


class ArchiverProcess:
    """Starts the rounds and says how they went in `state`; `turn` is called about once a second."""

    def __init__(self, directory: Path, *, seal: bool, retention_days: float, retention_gb: float) -> None:
        self.state = "waiting" if seal else "off"
        self.rounds = 0
        if seal and not can_seal():
            seal = False
            self.state = "hours stay in SQLite: Parquet files need the extra 'analysis'"
            _log.info("history: %s", self.state)
        self._command = [
            *(sys.executable, "-m", "liqtape.history.archive.maintenance", str(directory.expanduser())),
            *("--days", str(retention_days), "--bytes", str(round(retention_gb * 1e9)), *(["--seal"] if seal else [])),
        ]
        self._can_seal = seal
        self._child: subprocess.Popen[bytes] | None = None
        self._due_ms = 0
        self._found_damage = False

    def take_damage(self) -> bool:
        """Return whether a round found that the database is damaged; once."""
        found, self._found_damage = self._found_damage, False
        return found

    def turn(self, now_ms: int) -> None:
        """Start a round when it is due, note its end."""
        try:
            self._turn(now_ms)
        except (OSError, msgspec.DecodeError) as error:
            self._failed(str(error))

    def _turn(self, now_ms: int) -> None:
        if self._child is not None:
            if self._child.poll() is not None:
                child, self._child = self._child, None
                self._end(child)
        elif not self._due_ms:
            self._due_ms = now_ms + _FIRST_MS
        elif now_ms >= self._due_ms:
            self._due_ms = now_ms - now_ms % _HOUR_MS + CLOSED_AFTER_MS + _SLACK_MS
            if self._due_ms <= now_ms:
                self._due_ms += _HOUR_MS
            self._child = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def stop(self, seconds: float = 2.0) -> None:
        """End a round that runs, at once after `seconds`; what it had not done is done by the next."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.communicate(timeout=max(_LEAST_STOP_SECONDS, seconds))
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
        self._child = None

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        out, complaint = child.communicate()
        self.rounds += 1
        if child.returncode:
            said = complaint.decode(errors="replace").strip().rpartition("\n")[2] or f"exit code {child.returncode}"
            self._found_damage = child.returncode == DAMAGED
            self._failed(said)
            return
        kept = msgspec.json.decode(out, type=MaintenanceResult)
        _log.info("history: %s events sealed, %s files and rows removed", kept.sealed, kept.removed)
        if self._can_seal:
            self.state = "sealed"

    def _failed(self, said: str) -> None:
        state = f"failing: {said}"
        if self.state != state:
            _log.error("history: sealing failed: %s; hours stay in SQLite meanwhile", said)
        self.state = state
