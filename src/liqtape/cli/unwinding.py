"""How a command that reads a file ends early."""

import signal

__all__ = ["SIGNALS"]


class _Signals:
    """SIGINT and SIGTERM unwind what runs, so that files are closed; one the parent ignores stays ignored.

    While `held`, the first waits for `release`, so that nothing is counted as written and is not.
    """

    def __init__(self) -> None:
        self.held = False
        self._received = 0

    def install(self) -> None:
        """Catch them from now on (again: an event loop that caught them gives them back to nobody)."""
        self.held, self._received = False, 0
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._arrived)

    def release(self) -> None:
        """Hold no longer; unwinds if one came meanwhile."""
        self.held = False
        if self._received:
            raise SystemExit(128 + self._received)

    def _arrived(self, number: int, _frame: object) -> None:
        waits = self.held and not self._received
        self._received = number
        if not waits:
            raise SystemExit(128 + number)


SIGNALS = _Signals()
"""Those of this process."""
