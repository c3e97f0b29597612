"""Questions to a history, answered as Arrow tables."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from liqtape.engine import VelocityEngine
from liqtape.engine.levels.episodes import DAY_MS
from liqtape.events import WINDOWS
from liqtape.history.archive.archivereader import WINDOW_COLUMNS
from liqtape.history.log.baselineseed import LEARN_HOURS
from liqtape.history.log.layout import arrow_schema
from liqtape.history.log.levelseed import TAUGHT_DAYS
from liqtape.history.query.observedtime import ObservedTime
from liqtape.history.query.pastlevels import PastLevels, PastRow, with_highest
from liqtape.history.query.pastsurprise import levels_table
from liqtape.history.query.pastvelocity import summary_table, velocity_table
from liqtape.history.query.pastvolatility import volatility_table
from liqtape.history.query.source import Source
from liqtape.history.query.streams import By, Selection, Streams
from liqtape.history.query.times import check_span, grid
from liqtape.history.query.unusual import Unusual, unusual

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["History"]

_BEGINNING_MS = -(1 << 62)
_BACK_MS = 302_000  # all that a window can hold
_MOST_LEARNED = 100_000  # events before the span: 10 s on a slow core


class History:
    """An open history. Intervals are (from, until] in ms of Unix time; close it, or use it in a `with`.

    Every answer is as of the moment of the question: what the service wrote until then is in it, late events included,
    so that a window may hold more than the live row of that moment did. `instrument` is ours (BTCUSDT). The rule of
    the engines that `new_engine` makes decides levels.
    """

    def __init__(self, source: Source, new_engine: Callable[[], VelocityEngine] = VelocityEngine) -> None:
        self._source = source
        self._new_engine = new_engine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give files and connections back."""
        self._source.close()

    @property
    def source(self) -> Source:
        """What it reads."""
        return self._source

    def events(
        self, from_ms: int, until_ms: int, instrument: str | None = None, venue: str | None = None
    ) -> "pa.Table":
        """Return the events by time, columns as everywhere (`docs/reference/events.md`)."""
        check_span(from_ms, until_ms)
        schema = arrow_schema("events")
        table = self._source.events(from_ms, until_ms, instrument, venue)
        return table.cast(schema.remove(schema.get_field_index("seq")))

    def instruments(self, from_ms: int, until_ms: int, venue: str | None = None) -> list[str]:
        """Return the instruments with an event in the interval, by name."""
        check_span(from_ms, until_ms)
        column = self._source.events(from_ms, until_ms, None, venue, ["instrument"])["instrument"]
        return sorted(column.unique().to_pylist())

    def gaps(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return where liquidations of a venue may be missing, as far as it reaches into the interval."""
        return self._source.gaps(from_ms, until_ms)

    def coverage(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return when each venue's feed was live."""
        return self._source.coverage(from_ms, until_ms)

    def prices(self, from_ms: int, until_ms: int) -> "pa.Table":
        """Return BTC price bars of a second."""
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
        """Return windows, acceleration, standard errors, imbalance and coverage at each multiple of `every` seconds.

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
        """Return the totals, largest event, highest velocity and highest acceleration of each stream."""
        check_span(from_ms, until_ms)
        streams = self._streams(from_ms, until_ms, max(seconds, _HORIZON_S), instrument, venue, by)
        return summary_table(streams, from_ms, until_ms, seconds)

    def levels(  # noqa: PLR0913 - as above
        self,
        from_ms: int,
        until_ms: int,
        *,
        instrument: str | None = None,
        venue: str | None = None,
        every: int = 60,
        learn_hours: float = LEARN_HOURS,
        learn_days: float = TAUGHT_DAYS,
    ) -> "pa.Table":
        """Return the level of one stream, what it is by return period, and the surprise of 60 s; nothing later is used.

        A row has the state at its time and the highest level since the row before, looked at after each event and each
        second. Levels by return period learn from `learn_days` before the span (at most 100,000 events), the baseline
        of the surprise from `learn_hours`.
        """
        at_ms = grid(from_ms, until_ms, every)
        learn_from_ms = from_ms - round(learn_hours * 3_600_000)
        streams = self._streams(learn_from_ms, until_ms, WINDOWS[-1], instrument, venue, None)
        engine = self._new_engine()
        by_surprise = engine.levels is None and engine.threshold is None
        rows = None
        if not by_surprise:
            learned_ms = round(learn_days * DAY_MS) if engine.threshold is None else _BACK_MS
            rows = self._levels(engine, (from_ms - learned_ms, from_ms, at_ms.tolist()), instrument, venue)
        return levels_table(streams, learn_from_ms, from_ms, at_ms, engine.evaluator.rule, rows)

    def _levels(
        self, engine: VelocityEngine, span: tuple[int, int, list[int]], instrument: str | None, venue: str | None
    ) -> list[PastRow]:
        """Return the rows of another rule than that of surprise; only a CRITICAL instrument asks for the market."""
        _, from_ms, at_ms = span
        selection = Selection(instrument=instrument, venue=venue)
        rows, raised = self._past(engine, selection, span).levels(from_ms, at_ms)
        critical = [at for at, level in raised if level == "CRITICAL"]
        extreme: frozenset[int] = frozenset()
        if critical and venue is None and instrument is not None and engine.levels is not None:
            whole = self._past(self._new_engine(), Selection(instrument=None, venue=None), span)
            extreme = frozenset(whole.extreme_ms(critical))
        return with_highest(rows, at_ms, raised, extreme)

    def _past(self, engine: VelocityEngine, selection: Selection, span: tuple[int, int, list[int]]) -> PastLevels:
        begin_ms, from_ms, at_ms = span
        until_ms = at_ms[-1] if at_ms else from_ms
        table = self._source.events(begin_ms, until_ms, selection["instrument"], selection["venue"], WINDOW_COLUMNS)
        import pyarrow.compute as pc

        times = np.sort(table["event_ms"].to_numpy())
        spare = int(np.searchsorted(times, from_ms, "right")) - _MOST_LEARNED
        if spare > 0:
            begin_ms = int(times[spare - 1])
            table = table.filter(pc.greater(table["event_ms"], begin_ms))
        spells = [
            (row["venue"], max(row["up_ms"], begin_ms), row["down_ms"] or -_BEGINNING_MS)
            for row in self._source.coverage(begin_ms, until_ms).to_pylist()
            if selection["venue"] in {None, row["venue"]}
        ]
        return PastLevels(engine, selection, table, spells)

    def volatility(self, from_ms: int, until_ms: int, *, every: int = 60) -> "pa.Table":
        """Return the volatility of BTC at each multiple of `every` seconds, as the service had it."""
        return volatility_table(self._source, grid(from_ms, until_ms, every))

    def unusual(
        self, until_ms: int, *, days: int = 30, instrument: str | None = None, venue: str | None = None
    ) -> Unusual:
        """Compare the minute that ended at `until_ms` with those of the `days` before it."""
        return unusual(
            self._source, self._observed_time(), until_ms, days, Selection(instrument=instrument, venue=venue)
        )

    def _streams(
        self, from_ms: int, until_ms: int, reach_s: int, instrument: str | None, venue: str | None, by: By | None
    ) -> Streams:
        """Return the events of the span, and as many before it as its first window reaches back."""
        begin_ms = from_ms - 1000 * reach_s
        table = self._source.events(begin_ms, until_ms, instrument, venue, WINDOW_COLUMNS)
        observed = self._observed_time()
        others = observed.concerned(begin_ms, until_ms)
        return Streams(table, Selection(instrument=instrument, venue=venue), by, observed, others)

    def _observed_time(self) -> ObservedTime:
        live = self._source.coverage(_BEGINNING_MS, -_BEGINNING_MS).to_pylist()
        return ObservedTime((row["venue"], row["up_ms"], row["down_ms"] or -_BEGINNING_MS) for row in live)


_HORIZON_S = 20  # of the acceleration
