"""Past surprises and levels of one stream, by the code that sets them live, a second at a time."""

from collections.abc import Sequence
from functools import lru_cache
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from liqtape.batch import windows
from liqtape.engine.baseline.binstatistics import SLOT_MS, WIDTHS
from liqtape.engine.baseline.surprise import Score, Surprise
from liqtape.engine.levels.surpriselevels import LevelRule, Reading, SurpriseLevels
from liqtape.events import LEVELS, Level
from liqtape.history.query.pastlevels import PastRow
from liqtape.history.query.streams import Ints, Streams

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["levels_table"]

_WARM_MS = 600_000  # a level that was up before the span comes down within so long, if nothing keeps it
_NAME = "stream"


def levels_table(
    streams: Streams,
    learn_from_ms: int,
    from_ms: int,
    at_ms: Ints,
    rule: LevelRule,
    levels: Sequence[PastRow] | None,
) -> "pa.Table":
    """Return a row for each evaluation time, which is a whole second.

    `levels` are what another rule than that of surprise gives at these times, None where surprise decides by `rule`.
    """
    import pyarrow as pa

    first_ms = (from_ms - _WARM_MS) // 1000 * 1000
    last_ms = int(at_ms[-1]) if len(at_ms) else first_ms
    seconds_ms = np.arange(first_ms, last_ms + 1, 1000, dtype=np.int64)
    rows = _Track(streams, learn_from_ms, from_ms, seconds_ms, rule).rows(set(at_ms.tolist()))
    if levels is None:
        rows = [(*row, None, None, None, None) for row in rows]
    else:
        rows = [(*row[:-2], *own) for row, own in zip(rows, levels, strict=True)]
    schema = pa.schema(
        [
            ("at_ms", pa.int64()),
            ("event_count_60s", pa.int64()),
            ("total_usd_60s", pa.float64()),
            ("surprise", pa.float64()),
            ("expected_count_60s", pa.float64()),
            ("fano", pa.float64()),
            ("level", pa.string()),
            ("highest_level", pa.string()),
            ("return_days", pa.float64()),
            ("times_usual", pa.float64()),
            ("watched_days", pa.float64()),
            ("is_learning", pa.bool_()),
        ]
    )
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema)


class _Track:
    """The stream followed second by second."""

    def __init__(self, streams: Streams, learn_from_ms: int, from_ms: int, seconds_ms: Ints, rule: LevelRule) -> None:
        self._rule = rule
        self._from_ms = from_ms
        self._seconds_ms = seconds_ms
        columns = windows(streams.event_ms, streams.usd, streams.sides, at_ms=seconds_ms, seconds=WIDTHS)
        self._counts = np.column_stack([columns.count(width) for width in WIDTHS])
        self._usd = columns.usd(60)
        everywhere = np.zeros(len(seconds_ms), np.int64)
        self._shares = [streams.coverage(seconds_ms, everywhere, width) for width in WIDTHS]
        self._surprise = Surprise(learn_from_ms, WIDTHS)
        for dark in streams.unwatched(learn_from_ms, int(seconds_ms[-1])):
            self._surprise.unwatched(*dark)
        slots, counts = np.unique(streams.event_ms // SLOT_MS, return_counts=True)
        self._slots = list(zip((slots * SLOT_MS).tolist(), counts.tolist(), strict=True))
        self._slots.reverse()
        self._score = lru_cache(maxsize=4096)(self._scored)

    def rows(self, wanted: set[int]) -> list[tuple[Any, ...]]:
        levels = SurpriseLevels(self._rule)
        rows: list[tuple[Any, ...]] = []
        highest: Level = "NONE"
        is_calm: list[bool] = (self._counts.sum(axis=1) == 0).tolist()
        usds = self._usd.tolist()
        for place, (now_ms, counts) in enumerate(zip(self._seconds_ms.tolist(), self._counts.tolist(), strict=True)):
            is_wanted = now_ms in wanted
            if is_calm[place] and not is_wanted and not levels.raised():
                continue
            while self._slots and self._slots[-1][0] <= now_ms:
                self._surprise.add(*self._slots.pop())
            scores = [self._score_at(now_ms, k, counts[k], place) for k in range(len(WIDTHS))]
            of_10, of_60, of_300 = (None if score is None else score.surprise for score in scores)
            minute = scores[1]
            mean, fano = (None, None) if minute is None else (minute.mean, minute.fano)
            levels.check(_NAME, Reading(now_ms, counts[1], usds[place], of_60, mean, fano, of_10, of_300))
            level = levels.current(_NAME)
            highest = max(highest, level, key=LEVELS.index) if now_ms > self._from_ms else level
            if is_wanted:
                rows.append((now_ms, counts[1], usds[place], of_60, mean, fano, level, highest))
                highest = level
        return rows

    def _score_at(self, now_ms: int, k: int, count: int, place: int) -> Score | None:
        share = float(self._shares[k][place])
        # Expectations change at multiples of 10 s only.
        return self._score(count, now_ms // SLOT_MS * SLOT_MS, WIDTHS[k], share)

    def _scored(self, count: int, now_ms: int, width: int, share: float) -> Score | None:
        exposure_s = None if isnan(share) else share * width
        return self._surprise.score(count, now_ms, width, exposure_s)
