"""Parts of a sentence on as many lines as there are."""

from collections.abc import Sequence

from rich.text import Text

__all__ = ["flowed"]

_BETWEEN = 3


def flowed(parts: Sequence[Text], width: int, lines: int = 1) -> list[Text]:
    """Return the parts in their order, on so many lines; what does not fit whole is left out, the first part is cut.

    >>> [line.plain for line in flowed([Text("market ALERT"), Text("1.2M USD"), Text("BTC 81,000")], 24)]
    ['market ALERT   1.2M USD']
    """
    found = [Text()]
    for part in parts:
        if found[-1] and found[-1].cell_len + _BETWEEN + part.cell_len > width and len(found) < lines:
            found.append(Text())
        line = found[-1]
        if not line:
            line.append_text(part)
        elif line.cell_len + _BETWEEN + part.cell_len <= width:
            line.append(" " * _BETWEEN).append_text(part)
    for line in found:
        line.truncate(width, overflow="ellipsis")
    return found + [Text()] * (lines - len(found))
