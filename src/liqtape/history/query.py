"""Questions to a history, answered as Arrow tables."""

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from liqtape.events import WINDOWS
from liqtape.history.base import Source
from liqtape.history.exposure import Exposure
from liqtape.history.files import WINDOW_COLUMNS
from liqtape.history.layout import arrow_schema
from liqtape.history.lessons import LEARN_HOURS
from liqtape.history.levels import levels_table
from liqtape.history.streams import Asked, By, Streams
from liqtape.history.times import check_span, grid
from liqtape.history.unusual import Unusual, unusual
from liqtape.history.velocity import summary_table, velocity_table
from liqtape.history.volatility import volatility_table

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["History"]

_BEGINNING_MS = -(1 << 62)


class History:
    """An open history. Intervals are (from, until] in ms of Unix time; close it, or use it in a `with`.

    Every answer is as of the moment of the question: what the service wrote until then is in it, late events included,
    so that a window may hold more than the live row of that moment did. `instrument` is ours (BTCUSDT).
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give files and connections back."""
        self._source.close()

    def events(
        self, from_ms: int, until_ms: int, instrument: str | None = None, venue: str | None = None
    ) -> "pa.Table":
        """The events by time, columns as everywhere (`docs/reference/events.md`)."""
        check_span(from_ms, until_ms)
        schema = arrow_schema("events")
        table = self._source.events(from_ms, until_ms, instrument, venue)
        return table.cast(schema.remove(schema.get_field_index("seq")))

    def instruments(self, from_ms: int, until_ms: int, venue: str | None = None) -> list[str]:
        """Those with an event in the interval, by name."""
        check_span(from_ms, until_ms)
        column = self._source.events(from_ms, until_ms, None, venue, ["instrument"])["instrument"]
        return sorted(column.unique().to_pylist())

    def gaps(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Where liquidations of a venue may be missing, as far as it reaches into the interval."""
        return self._source.gaps(from_ms, until_ms)

    def coverage(self, from_ms: int, until_ms: int) -> "pa.Table":
        """When each venue's feed was live."""
        return self._source.coverage(from_ms, until_ms)

    def prices(self, from_ms: int, until_ms: int) -> "pa.Table":
        """BTC price bars of a second."""
        return self._source.prices(from_ms, until_ms)

    def velocity(  # noqa: PLR0913 - a question has so many parts
        self,
        from_ms: int,
        until_ms: int,
        *,
        instrument: str | None = None,
        venue: str | None = None,
        by: By | None = None,
        every: int = 60,
        seconds: Sequence[int] = WINDOWS,
    ) -> "pa.Table":
        """Windows, acceleration, standard errors, imbalance and coverage, at each multiple of `every` seconds.

        All events asked for are one stream, unless apart `by` instrument or venue: then a stream has a row while an
        event is in its largest window. Raises ValueError for windows shorter than a second.
        """
        at_ms = grid(from_ms, until_ms, every)
        streams = self._streams(from_ms, until_ms, max(*seconds, _HORIZON_S), instrument, venue, by)
        return velocity_table(streams, at_ms, seconds, all_rows=by is None)

    def summary(
        self,
        from_ms: int,
        until_ms: int,
        *,
        instrument: str | None = None,
        venue: str | None = None,
        by: By | None = "instrument",
        seconds: int = 60,
    ) -> "pa.Table":
        """Totals of each stream, its largest event, and the highest velocity and acceleration after any event."""
        check_span(from_ms, until_ms)
        streams = self._streams(from_ms, until_ms, max(seconds, _HORIZON_S), instrument, venue, by)
        return summary_table(streams, from_ms, until_ms, seconds)

    def levels(
        self,
        from_ms: int,
        until_ms: int,
        *,
        instrument: str | None = None,
        venue: str | None = None,
        every: int = 60,
        learn_hours: float = LEARN_HOURS,
    ) -> "pa.Table":
        """Surprise of the last 60 s and level of one stream; the baseline learns from `learn_hours` before the span.

        Evaluated every second; a row has the state at its time and the highest level since the row before. EXTREME is
        a state of the whole market and not told here.
        """
        at_ms = grid(from_ms, until_ms, every)
        learn_from_ms = from_ms - round(learn_hours * 3_600_000)
        streams = self._streams(learn_from_ms, until_ms, WINDOWS[-1], instrument, venue, None)
        return levels_table(streams, learn_from_ms, from_ms, at_ms)

    def volatility(self, from_ms: int, until_ms: int, *, every: int = 60) -> "pa.Table":
        """Volatility of BTC at each multiple of `every` seconds, as the service had it."""
        return volatility_table(self._source, grid(from_ms, until_ms, every))

    def unusual(
        self, until_ms: int, *, days: int = 30, instrument: str | None = None, venue: str | None = None
    ) -> Unusual:
        """The minute that ended at `until_ms` against those of the `days` before it."""
        return unusual(self._source, self._exposure(), until_ms, days, Asked(instrument=instrument, venue=venue))

    def _streams(
        self, from_ms: int, until_ms: int, reach_s: int, instrument: str | None, venue: str | None, by: By | None
    ) -> Streams:
        """The events of the span, and as many before it as its first window reaches back."""
        begin_ms = from_ms - 1000 * reach_s
        table = self._source.events(begin_ms, until_ms, instrument, venue, WINDOW_COLUMNS)
        exposure = self._exposure()
        others = exposure.concerned(begin_ms, until_ms)
        return Streams(table, Asked(instrument=instrument, venue=venue), by, exposure, others)

    def _exposure(self) -> Exposure:
        live = self._source.coverage(_BEGINNING_MS, -_BEGINNING_MS).to_pylist()
        return Exposure((row["venue"], row["up_ms"], row["down_ms"] or -_BEGINNING_MS) for row in live)


_HORIZON_S = 20  # of the acceleration
