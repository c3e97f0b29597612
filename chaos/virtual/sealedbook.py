"""What anybody reads of a history whose hours are sealed, and of whose files some are rotten."""

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from chaos.virtual.book import Key

from liqtape.events import Liquidation
from liqtape.history.archive import soundfiles
from liqtape.history.archive.verify import verify
from liqtape.history.query.localsource import LocalSource

if TYPE_CHECKING:
    from chaos.virtual.execution import Execution
    from chaos.virtual.watcher import Watcher

__all__ = ["Spans", "damaged_spans", "read_history"]

Spans = dict[str, list[tuple[int, int]]]
_FROM_MS, _UNTIL_MS = 0, 1 << 50


def read_history(watcher: "Watcher", execution: "Execution") -> tuple["Counter[Key]", Spans]:
    """Return the liquidations and the covered time that the history tells; tell the watcher what is wrong with that."""
    soundfiles._compared.clear()  # whoever asks is another process
    source = LocalSource(execution.disk.directory / "history")
    try:
        rows = source.events(_FROM_MS, _UNTIL_MS).to_pylist()
        gaps = source.gaps(_FROM_MS, _UNTIL_MS).to_pylist()
        spells = source.coverage(_FROM_MS, _UNTIL_MS).to_pylist()
    except Exception as error:  # noqa: BLE001 - whatever it is, it should not be
        watcher.wrong("rotten", f"the history cannot be read: {error!r}")
        return Counter(), {}
    finally:
        source.close()
    _judge_damage(watcher, execution, [gap["reason"] for gap in gaps])
    covered: Spans = defaultdict(list)
    for spell in spells:
        covered[spell["venue"]].append((spell["up_ms"] + 1, spell["down_ms"] - 1))
    for gap in gaps:
        if gap["reason"].startswith("damaged file") and _overlaps(covered, gap):
            watcher.wrong("rotten", f"the time of a file that is left out is said to be covered: {gap}")
    for row in rows:
        _judge_row(watcher, row)
    return Counter((row["venue"], row["symbol"], row["side"], row["event_ms"]) for row in rows), covered


def damaged_spans(execution: "Execution") -> Spans:
    """Return from when until when the files that are rotten have rows."""
    found: Spans = defaultdict(list)
    for file in execution.disk.rotten():
        if file.venue is not None:
            found[file.venue].append((file.from_ms, file.until_ms))
    return found


def _judge_damage(watcher: "Watcher", execution: "Execution", reasons: list[str]) -> None:
    """Check that each rotten file is named, and no other."""
    named = sorted(verify(execution.disk.directory / "history").damaged)
    rotten = sorted(file.path for file in execution.disk.rotten())
    if named != rotten:
        watcher.wrong("rotten", f"damaged are {rotten}, named were {named}")
    for path in named:
        if path.startswith("events") and f"damaged file {path}" not in reasons:
            watcher.wrong("rotten", f"no gap says that {path} is damaged")


def _judge_row(watcher: "Watcher", row: dict[str, Any]) -> None:
    """Check that an event is told with the numbers that it came with."""
    came = watcher.came.get((row["venue"], row["id"]))
    told = Liquidation(**{name: row[name] for name in Liquidation.__struct_fields__})
    if came is not None and told not in came:
        watcher.wrong("other numbers", f"{told} was {came[0]}")


def _overlaps(spans: Spans, gap: dict[str, Any]) -> bool:
    return any(begin <= gap["until_ms"] and end > gap["from_ms"] for begin, end in spans.get(gap["venue"], ()))
