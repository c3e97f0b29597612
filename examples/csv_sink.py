"""A sink of your own: the newest row of every instrument that changed, appended to a CSV file.

python csv_sink.py rows.csv                          # the live venues, 60 seconds
python csv_sink.py rows.csv --simulate --seconds 10  # the built-in ones
"""

import argparse
import asyncio
import csv
from contextlib import AsyncExitStack
from io import TextIOWrapper
from pathlib import Path

from liqtape import Batch, Settings, Tracker
from liqtape.errors import SinkUnavailable
from liqtape.settings import VenueSettings
from liqtape.simulator import Simulator

FIELDS = ("timestamp", "symbol", "velocity_10s", "acceleration", "total_value_usd", "level")


class CsvSink:
    """It inherits nothing: a name and three methods make a sink. `publish` is never called again before it returned."""

    name = "csv"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIOWrapper | None = None

    async def open(self) -> None:
        """Called at the start, and again after each SinkUnavailable, with growing pauses."""
        try:
            self._file = self._path.open("a", newline="", encoding="utf-8")
        except OSError as error:
            raise SinkUnavailable(f"{self._path}: {error.strerror}") from error
        if not self._file.tell():
            csv.writer(self._file).writerow(FIELDS)

    async def publish(self, batch: Batch) -> None:
        """Write what changed. A slow sink gets fewer and larger batches, and always the newest rows."""
        if self._file is None:
            raise SinkUnavailable(f"{self._path} is not open")
        rows = csv.writer(self._file)
        for row in batch.metrics:
            rows.writerow([getattr(row, field) for field in FIELDS])
        self._file.flush()

    async def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--simulate", action="store_true", help="the built-in venues, no network")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    async with AsyncExitStack() as stack:
        settings = Settings()
        if options.simulate:
            simulator = await stack.enter_async_context(Simulator("cascade"))
            bybit = VenueSettings(ws_url=simulator.ws_url("bybit"), rest_url=simulator.rest_url("bybit"))
            settings = Settings(venues={"bybit": bybit})
        async with Tracker(settings, sinks=[CsvSink(options.file)]):
            await asyncio.sleep(options.seconds)
    print(f"rows are in {options.file}")


if __name__ == "__main__":
    asyncio.run(main())
