"""Events of a history, and logs that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liqtape.events import Liquidation
from liqtape.history.log.eventlog import EventLog

_BEGIN_MS = 1_790_000_000_000


Events = Callable[..., list[Liquidation]]


def _liquidation(
    serial: int, *, venue: str = "bybit", event_ms: int | None = None, identity: str | None = None
) -> Liquidation:
    """The event of that number, 10 ms after the one before; `identity` is its own unless named."""
    at_ms = _BEGIN_MS + 10 * serial if event_ms is None else event_ms
    return Liquidation(
        venue,
        f"C{serial % 7}USDT",
        f"C{serial % 7}-USDT",
        "long" if serial % 3 else "short",
        80_000.1 + serial,
        "bankruptcy",
        0.1 * serial,
        None if serial % 5 == 4 else 0.1 * serial * 80_000.0,
        at_ms,
        at_ms + 40,
        f"C:{serial}" if identity is None else identity,
    )


@pytest.fixture(name="liquidation", scope="session")
def _one() -> Callable[..., Liquidation]:
    """`liquidation(3, venue=, event_ms=, identity=)`: the event of that number."""
    return _liquidation


@pytest.fixture(name="liquidations", scope="session")
def _several() -> Events:
    """`liquidations(count, first=0)`: so many in order."""
    return lambda count, first=0: [_liquidation(serial) for serial in range(first, first + count)]


@pytest.fixture(name="event_log")
def _event_log(tmp_path: Path) -> Iterator[Callable[..., EventLog]]:
    """`event_log(limit=10)`: a started log in the test's directory."""
    logs: list[EventLog] = []

    def make(directory: Path | None = None, **options: int | str) -> EventLog:
        log = EventLog(tmp_path / "history" if directory is None else directory, **options)  # type: ignore[arg-type]
        logs.append(log)
        log.start()
        return log

    yield make
    for log in logs:
        log.stop()
