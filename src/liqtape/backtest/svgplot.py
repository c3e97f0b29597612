"""Plots as SVG text: two axes, lines, dots with intervals, bars. No script, no font but the page's."""

from collections.abc import Sequence
from html import escape
from math import log10

from msgspec import Struct

__all__ = ["Axis", "Plot"]

_WIDTH, _HEIGHT = 620, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 190, 14, 44
_COLOURS = (
    "#0b6e99",
    "#c2410c",
    "#15803d",
    "#7c3aed",
    "#be123c",
    "#a16207",
    "#0f766e",
    "#4b5563",
    "#db2777",
    "#1d4ed8",
    "#84cc16",
    "#06b6d4",
    "#f59e0b",
    "#6b21a8",
    "#78350f",
)


class Axis(Struct, frozen=True):
    """What an axis shows: its words, its ends, and where it has a mark, which may have a name."""

    words: str
    low: float
    high: float
    marks: Sequence[float]
    is_log: bool = False
    names: Sequence[str] = ()

    def named_marks(self) -> list[tuple[float, str]]:
        """Return the marks and what stands at them."""
        return list(zip(self.marks, self.names or [f"{value:g}" for value in self.marks], strict=True))

    def place(self, value: float) -> float:
        """Return where a value lies, 0 to 1; what is beyond the ends lies at them."""
        value = min(self.high, max(self.low, value))
        if self.is_log:
            return (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return (value - self.low) / (self.high - self.low)


class Plot:
    """A plot under way; `svg` ends it. Each thing drawn has a name in the legend, and the next colour.

    >>> Plot(Axis("x", 0, 1, (0, 1)), Axis("y", 0, 1, (0, 1))).svg("nothing").startswith("<svg")
    True
    """

    def __init__(self, x: Axis, y: Axis) -> None:
        self._x, self._y = x, y
        self._parts: list[str] = []
        self._legend: list[tuple[str, str]] = []

    def line(self, name: str, points: Sequence[tuple[float, float]], *, is_plain: bool = False) -> None:
        """Draw a line; a plain one is grey and dashed."""
        colour = "#9ca3af" if is_plain else self._colour(name)
        if is_plain:
            self._legend.append((name, colour))
        dash = ' stroke-dasharray="5 4"' if is_plain else ""
        path = " ".join(f"{self._at_x(x)},{self._at_y(y)}" for x, y in points)
        self._parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.6"{dash} points="{path}"/>')

    def dots(self, name: str, points: Sequence[tuple[float, float, float, float]]) -> None:
        """Draw dots (x, y, low, high), each with its interval in y."""
        colour = self._colour(name)
        for x, y, low, high in points:
            at = self._at_x(x)
            self._parts.append(
                f'<line x1="{at}" x2="{at}" y1="{self._at_y(low)}" y2="{self._at_y(high)}" stroke="{colour}"/>'
                f'<circle cx="{at}" cy="{self._at_y(y)}" r="3.5" fill="{colour}"/>'
            )

    def bars(self, name: str, bars: Sequence[tuple[float, float, float]]) -> None:
        """Draw bars (from, until, height)."""
        colour = self._colour(name)
        for begin, end, height in bars:
            left, top = self._at_x(begin), self._at_y(height)
            width, tall = float(self._at_x(end)) - float(left), float(self._at_y(self._y.low)) - float(top)
            self._parts.append(
                f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{tall:.1f}" fill="{colour}" '
                'fill-opacity="0.55"/>'
            )

    def svg(self, title: str) -> str:
        """Return the picture; the title is for those who cannot see it."""
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
            f"{self._frame()}{''.join(self._parts)}{self._named()}</svg>"
        )

    def _colour(self, name: str) -> str:
        colour = _COLOURS[len(self._legend) % len(_COLOURS)]
        self._legend.append((name, colour))
        return colour

    def _at_x(self, value: float) -> str:
        return f"{_LEFT + self._x.place(value) * (_WIDTH - _LEFT - _RIGHT):.1f}"

    def _at_y(self, value: float) -> str:
        return f"{_HEIGHT - _BOTTOM - self._y.place(value) * (_HEIGHT - _TOP - _BOTTOM):.1f}"

    def _frame(self) -> str:
        left, right = self._at_x(self._x.low), self._at_x(self._x.high)
        bottom, top = self._at_y(self._y.low), self._at_y(self._y.high)
        parts = [f'<path d="M{left},{top} V{bottom} H{right}" fill="none" stroke="#374151"/>']
        for value, name in self._x.named_marks():
            at = self._at_x(value)
            parts.append(f'<line x1="{at}" x2="{at}" y1="{top}" y2="{bottom}" stroke="#e5e7eb"/>')
            parts.append(f'<text x="{at}" y="{float(bottom) + 16:.1f}" text-anchor="middle">{escape(name)}</text>')
        for value, name in self._y.named_marks():
            at = self._at_y(value)
            parts.append(f'<line x1="{left}" x2="{right}" y1="{at}" y2="{at}" stroke="#e5e7eb"/>')
            parts.append(
                f'<text x="{float(left) - 6:.1f}" y="{float(at) + 4:.1f}" text-anchor="end">{escape(name)}</text>'
            )
        middle = 0.5 * (float(left) + float(right))
        parts.append(f'<text x="{middle:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(self._x.words)}</text>')
        height = 0.5 * (float(top) + float(bottom))
        parts.append(
            f'<text x="14" y="{height:.1f}" text-anchor="middle" transform="rotate(-90 14 {height:.1f})">'
            f"{escape(self._y.words)}</text>"
        )
        return "".join(parts)

    def _named(self) -> str:
        x = _WIDTH - _RIGHT + 14
        return "".join(
            f'<rect x="{x}" y="{_TOP + 17 * place}" width="12" height="4" fill="{colour}"/>'
            f'<text x="{x + 18}" y="{_TOP + 17 * place + 7}">{escape(name)}</text>'
            for place, (name, colour) in enumerate(self._legend)
        )
