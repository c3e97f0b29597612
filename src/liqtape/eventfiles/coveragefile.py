"""The file that says when the feeds of event files were up: a CSV with the columns start_ms and end_ms."""

import csv
from collections.abc import Sequence
from pathlib import Path

from liqtape.errors import ConfigurationError
from liqtape.venues.base import EARLIEST_MS, LATEST_MS

__all__ = ["load_coverage"]

_COLUMNS = "start_ms", "end_ms"
_MOST_DIGITS = 15


def load_coverage(path: Path) -> list[tuple[int, int]]:
    """Return the (start, end) in ms of when somebody watched; other columns are left alone.

    Raises ConfigurationError with the line for a row that is no interval of whole milliseconds, because a guess there
    would change every level behind it.
    """
    spans: list[tuple[int, int]] = []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        reader = csv.DictReader(text)
        try:
            names = {(name or "").strip(): name for name in reader.fieldnames or ()}
            if missing := [name for name in _COLUMNS if name not in names]:
                raise ConfigurationError(
                    f"--coverage {path}: no column {' and no '.join(missing)}; its first line has to name them"
                )
            for row in reader:
                cells = [row[names[name]] for name in _COLUMNS]
                spans.append(_span(f"--coverage {path}, line {reader.line_num}", cells))
        except csv.Error as error:
            raise ConfigurationError(f"--coverage {path}, line {reader.line_num + 1}: {error}") from error
    if not spans:
        raise ConfigurationError(f"--coverage {path}: no interval there; leave the option out if none is known")
    return spans


def _span(where: str, cells: Sequence[str | None]) -> tuple[int, int]:
    found = []
    for name, cell in zip(_COLUMNS, cells, strict=True):
        text = "" if cell is None else cell.strip()
        is_time = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
        if not (is_time and EARLIEST_MS <= int(text) < LATEST_MS):
            raise ConfigurationError(f"{where}: {name} is {text[:40]!r}; give ms since 1970 in UTC, as 1587019035000")
        found.append(int(text))
    start_ms, end_ms = found
    if end_ms <= start_ms:
        raise ConfigurationError(f"{where}: end_ms {end_ms} is not behind start_ms {start_ms}; mend or remove the row")
    return start_ms, end_ms
