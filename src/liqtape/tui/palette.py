"""Colours on a light ground: those of the dark one would be too pale there."""

from rich.style import Style
from rich.text import Span, Text

__all__ = ["repainted"]

_LIGHT = {
    "yellow": "#7a5200",
    "bold yellow": "bold #7a5200",
    "bold dark_orange": "bold #b34700",
    "#ff8a4c": "#c2410c",
    "#4da3ff": "#0b62b8",
    "bold red": "bold #b3001b",
}


def repainted(text: Text, *, is_dark: bool) -> Text:
    """Return the text in the colours of the ground it stands on."""
    if is_dark:
        return text
    painted = text.copy()
    painted.spans = [Span(span.start, span.end, _light(span.style)) for span in text.spans]
    painted.style = _light(text.style)
    return painted


def _light(style: str | Style) -> str | Style:
    return _LIGHT.get(style, style) if isinstance(style, str) else style
