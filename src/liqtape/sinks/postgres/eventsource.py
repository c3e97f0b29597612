"""What the PostgreSQL sink follows, and what it tells of itself."""

from typing import Protocol

from msgspec import Struct

from liqtape.sinks.postgres.schema import Capability
from liqtape.sinks.postgres.writer import Numbered, Row

__all__ = ["EventSource", "PostgresHealth"]


class EventSource(Protocol):
    """The log that is followed; its calls read files and are made in a thread, one at a time.

    Events by number, in the order they were logged; rows as in the log's tables. Raises sqlite3.Error, OSError or
    LiqtapeError while it cannot be read.
    """

    def log_id(self) -> str: ...

    def last_seq(self) -> int: ...

    def after(self, seq: int, limit: int) -> list[Numbered]: ...

    def gaps(self, since_ms: int) -> list[Row]: ...

    def coverage(self, since_ms: int) -> list[Row]: ...

    def alive_ms(self) -> int: ...

    def prices(self, since_ms: int, limit: int) -> list[Row]: ...

    def close(self) -> None: ...


class PostgresHealth(Struct, frozen=True):
    """The sink as an operator sees it: `state` is connecting, writing, failing or closed; `detail` the last error.

    `events_behind` are in the log and not there yet; `events_missed` were removed from the log by its retention before
    they could be written; `events_refused` no row can hold.
    """

    state: str
    since_ms: int
    detail: str
    outages: int
    events_written: int
    events_repeated: int
    events_refused: int
    events_missed: int
    events_behind: int
    capabilities: tuple[Capability, ...] = ()
