"""What a history is asked with, whoever keeps it: files of the local log, or a PostgreSQL server."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = ["Source"]


class Source(Protocol):
    """Where past liquidations are read. Plain calls, from one thread; a server's client keeps its own event loop.

    All intervals are (from, until], as windows are, in ms of Unix time. The columns are those of
    `layout.arrow_schema`, events without `seq`; a dictionary-encoded text column counts as a text column. What is
    written meanwhile is in the next answer. Raises ConfigurationError where the history cannot be read at all.
    """

    def events(
        self,
        from_ms: int,
        until_ms: int,
        instrument: str | None = None,
        venue: str | None = None,
        columns: "Sequence[str] | None" = None,
    ) -> "pa.Table":
        """Return the events by `event_ms`, of one millisecond as they were accepted; or only `columns`, in any order.

        `instrument` is ours (BTCUSDT), never a venue's spelling.
        """
        ...

    def gaps(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return where liquidations may be missing: the gaps that reach into the interval.

        An open one has `until_ms` null.
        """
        ...

    def coverage(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return when feeds were live: the spells that reach into the interval; `down_ms` null while one lasts.

        A spell ends when the log was last known to be alive, where its writer did not end it. Without rows where it
        is not known, as for events that were imported.
        """
        ...

    def prices(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return the BTC price bars that ended in it (a bar ends 1 s after `bar_ms`), by `bar_ms`, then `source`."""
        ...

    def close(self) -> None:
        """Give files and connections back; a second call changes nothing."""
        ...
