"""The pieces of a small drawing as SVG text.

Only what Qt draws (SVG Tiny 1.2): basic shapes and text with their attributes written out, no style sheet.
The background stays transparent, so that a drawing lies on whatever the panel has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

FONT_PX = 11
CHARACTER_PX = 6.2
"""As wide as a character of that font is, on average, with some room."""


@dataclass(frozen=True)
class Scale:
    """From values to pixels: `low` lies at pixel `start`, `high` at pixel `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from `low` to `high`, evenly apart, at most `most` (>= 2) of them; `high` > `low`."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    for step in (power * factor for factor in (1, 2, 5, 10, 20)):
        first = math.ceil(low / step - 1e-9)
        last = math.floor(high / step + 1e-9)
        if last - first < most:
            return [number * step for number in range(first, last + 1)]
    raise AssertionError("twice the next power of ten is always enough")


def drawing(width: int, height: int, pieces: Iterable[str]) -> str:
    """The pieces as one picture of that many pixels."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    return "\n".join([f'{head} viewBox="0 0 {width} {height}">', *pieces, "</svg>\n"])


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    """A straight line, `width` pixels wide."""
    return _element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_width=width)


def polyline(points: Sequence[tuple[float, float]], colour: str) -> str:
    """A line from point (x, y) to point."""
    listed = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
    return _element("polyline", points=listed, fill="none", stroke=colour, stroke_width=1.5)


def rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A filled rectangle, `x` and `y` its upper left corner."""
    return _element("rect", x=x, y=y, width=width, height=height, fill=colour)


def circle(x: float, y: float, radius: float, colour: str) -> str:
    """A filled circle."""
    return _element("circle", cx=x, cy=y, r=radius, fill=colour)


def text(x: float, y: float, content: str, colour: str, anchor: str = "start") -> str:
    """A line of text on the base line `y`; `anchor` (start, middle, end) says what of it lies at `x`."""
    attributes = _attributes(
        x=x, y=y, fill=colour, font_family="sans-serif", font_size=FONT_PX, text_anchor=anchor
    )
    return f"<text{attributes}>{escape(content)}</text>"


def _element(name: str, **values: float | str) -> str:
    return f"<{name}{_attributes(**values)}/>"


def _attributes(**values: float | str) -> str:
    written = []
    for name, value in values.items():
        shown = value if isinstance(value, str) else f"{value:.2f}"
        written.append(f" {name.replace('_', '-')}={quoteattr(shown)}")
    return "".join(written)
