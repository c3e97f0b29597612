"""Cascades to be found: from a label file, or by the label rule."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from liqtape.backtest.examsettings import ExamSettings
from liqtape.backtest.judgedpast import JudgedPast
from liqtape.errors import ConfigurationError
from liqtape.exam.alarmscores import Onset
from liqtape.exam.cascadelabels import ALL, labels_of
from liqtape.venues.base import EARLIEST_MS, LATEST_MS

__all__ = ["computed_onsets", "labelled_onsets"]

_NEEDED = ("start_ms", "end_ms")
_RULE = "rate"


def computed_onsets(past: JudgedPast, settings: ExamSettings) -> list[Onset]:
    """Return the cascades that the label rule finds in a past."""
    return [
        Onset(one.start_ms, one.end_ms, one.severity)
        for one in labels_of(past.scope, past.marked())
        if one.rule == _RULE
        and one.severity >= settings.least_severity
        and (one.does_agree or not settings.needs_agreement)
    ]


def labelled_onsets(file: Path, past: JudgedPast, settings: ExamSettings) -> list[Onset]:
    """Return the cascades of a CSV file: columns start_ms and end_ms, and scope, rule, severity and agree if there.

    Of several scopes the one of the past counts, which is `ALL` where the past has all of the file's events.

    Raises ConfigurationError with the line for one that cannot be read, and where none is left.
    """
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        reader = csv.DictReader(text)
        names = {(name or "").strip() for name in reader.fieldnames or ()}
        if missing := [name for name in _NEEDED if name not in names]:
            raise ConfigurationError(
                f"--labels {file}: no column {' and no '.join(missing)}; its first line has to name them"
            )
        rows = [({(name or "").strip(): cell for name, cell in row.items()}, reader.line_num) for row in reader]
    chosen = [(row, line) for row, line in rows if _is_chosen(row, _scopes(past), settings)]
    onsets = [_onset(row, f"--labels {file}, line {line}") for row, line in chosen]
    found = _apart(
        sorted((one for one in onsets if one.severity >= settings.least_severity), key=lambda one: one.start_ms)
    )
    if not found:
        raise ConfigurationError(
            f"--labels {file}: no cascade of {past.scope} of severity {settings.least_severity} or more among "
            f"{len(rows)} rows; without --labels they are computed"
        )
    return found


def _scopes(past: JudgedPast) -> set[str]:
    """The names of the past's scope; where all events are of one instrument both mean the same."""
    return {past.scope, ALL} if past.is_whole else {past.scope}


def _is_chosen(row: dict[str, str | None], scopes: Iterable[str], settings: ExamSettings) -> bool:
    scope = row.get("scope")
    if scope is not None and scope not in scopes:
        return False
    if (row.get("rule") or _RULE) != _RULE:
        return False
    return not settings.needs_agreement or (row.get("agree") or "1") != "0"


def _onset(row: dict[str, str | None], where: str) -> Onset:
    numbers: dict[str, int] = {}
    for name in (*_NEEDED, "severity"):
        cell = (row.get(name) or "").strip()
        if not cell and name == "severity":
            continue
        if not (cell.isascii() and cell.isdecimal() and len(cell) <= 15):
            raise ConfigurationError(f"{where}: {name} is {cell[:40]!r}; give a whole number")
        numbers[name] = int(cell)
    start_ms, end_ms = numbers["start_ms"], numbers["end_ms"]
    if not EARLIEST_MS <= start_ms <= end_ms < LATEST_MS:
        raise ConfigurationError(f"{where}: {start_ms} to {end_ms} is no time; give ms since 1970 in UTC, in order")
    return Onset(start_ms, end_ms, numbers.get("severity", 2))


def _apart(onsets: Sequence[Onset]) -> list[Onset]:
    """The cascades, those that overlap as one."""
    found: list[Onset] = []
    for one in onsets:
        if found and one.start_ms <= found[-1].end_ms:
            last = found[-1]
            found[-1] = Onset(last.start_ms, max(last.end_ms, one.end_ms), max(last.severity, one.severity))
        else:
            found.append(one)
    return found
