"""Past events as the rows a forecast learns from: the features of each moment of issue, and what came after it."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from liqtape.batch.ranks import Ints
from liqtape.forecast.features import FEATURES, ISSUE_MS, StreamFeatures, issue_time
from liqtape.forecast.forecaster import TARGETS
from liqtape.forecast.watchedspans import WatchedSpans

__all__ = ["DAY_MS", "PastStream", "TrainingRows", "rows_of"]

DAY_MS = 86_400_000
_MOST_ROWS = 2_000_000  # 230 days of every ten seconds; 400 MB
_CHUNK = 65_536
_LONGEST_MS = 1000 * max(target.seconds for target in TARGETS)

Matrix = NDArray[np.float64]


class PastStream(Struct, frozen=True):
    """The events of a stream in order of their time: ms, exact micro-USD, and 1 long, -1 short, 0 unknown.

    `spans` are (begin, end) in ms of when it was watched.
    """

    times_ms: Ints
    micro: Ints
    sides: NDArray[np.int8]
    spans: Sequence[tuple[int, int]]


class TrainingRows(Struct, frozen=True):
    """A row for each moment of issue whose past was watched enough and whose outcome is known.

    `features` has a column for each of `FEATURES`, `reached` one for each of `TARGETS`: whether the target was.
    """

    at_ms: Ints
    features: Matrix
    reached: NDArray[np.bool_]
    every_ms: int

    def __len__(self) -> int:
        return len(self.at_ms)

    @property
    def days(self) -> Ints:
        """The UTC day of each row, in days since 1970."""
        return self.at_ms // DAY_MS

    def only(self, chosen: NDArray[np.bool_]) -> "TrainingRows":
        """Return the rows chosen."""
        return TrainingRows(self.at_ms[chosen], self.features[chosen], self.reached[chosen], self.every_ms)


def rows_of(stream: PastStream, every_ms: int | None = None) -> TrainingRows:
    """Return the rows of a stream, one each `every_ms`: ten seconds, or more where these would be millions.

    Features are those of `StreamFeatures`, event by event: there is no second form of them that could differ.
    """
    times = stream.times_ms
    if not len(times):
        return TrainingRows(np.zeros(0, np.int64), np.zeros((0, len(FEATURES))), np.zeros((0, len(TARGETS)), bool), 0)
    first, last = int(times[0]), int(times[-1])
    if every_ms is None:
        every_ms = ISSUE_MS * max(1, -(-(last - first) // (ISSUE_MS * _MOST_ROWS)))
    grid = np.arange(issue_time(first), issue_time(last) + 1, every_ms, dtype=np.int64)
    watched = WatchedSpans.between(stream.spans)
    usable = np.fromiter((_is_usable(watched, int(at_ms)) for at_ms in grid), bool, len(grid))
    ends = np.searchsorted(times, grid, "right").tolist()
    events = _events(stream)
    kept = np.flatnonzero(usable)
    features, matrix = StreamFeatures(), np.empty((len(kept), len(FEATURES)))
    taken = 0
    for row, place in enumerate(kept.tolist()):
        while taken < ends[place]:
            features.add_at(*next(events))
            taken += 1
        matrix[row] = features.row(int(grid[place]))
    return TrainingRows(grid[kept], matrix, _reached(times, grid[kept]), every_ms)


def _events(stream: PastStream) -> Iterator[tuple[int, int, int]]:
    """Yield the events; not all are Python's numbers at once, which take ten times the memory."""
    for start in range(0, len(stream.times_ms), _CHUNK):
        part = slice(start, start + _CHUNK)
        columns = stream.times_ms[part].tolist(), stream.micro[part].tolist(), stream.sides[part].tolist()
        yield from zip(*columns, strict=True)


def _is_usable(watched: WatchedSpans, at_ms: int) -> bool:
    return not watched.why_not(at_ms) and not watched.missing_ms(at_ms, at_ms + _LONGEST_MS)


def _reached(times: Ints, at_ms: Ints) -> NDArray[np.bool_]:
    """Return for each moment and target whether enough events came in `(t, t + seconds]`."""
    before = np.searchsorted(times, at_ms, "right")
    columns: list[Any] = [
        np.searchsorted(times, at_ms + 1000 * target.seconds, "right") - before >= target.count for target in TARGETS
    ]
    return np.stack(columns, axis=1)
