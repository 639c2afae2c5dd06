"""The panel's small plots as SVG: enhancement of the lesion, area on each slice, probabilities.

Plain numbers in, text out; the panel shows it as a picture, some 360 x 110 pixels large.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import svg

WIDTH = 360
HEIGHT = 110


@dataclass(frozen=True)
class Colours:
    """Colours of a drawing: `foreground` for text, `faint` for axes and what is not meant, `accent` for the
    values, `marked` for what the user looks for.
    """

    foreground: str
    faint: str
    accent: str
    marked: str


LIGHT = Colours(foreground="#1d2530", faint="#b4bcc8", accent="#3f6fb5", marked="#c2570c")
DARK = Colours(foreground="#e6e9ee", faint="#68717d", accent="#7fb0f0", marked="#ffb454")

_LEFT = 44
_RIGHT = 14
_TOP = 22
_BOTTOM = 20
"""Room around a plot for its title and the numbers on its axes."""
_UNIT_PX = 46
"""Room for the unit beside the numbers below an axis."""
_MAX_COLUMN_PX = 40
_MAX_ROW_PX = 24
_BASELINE = 4
"""How far the base line of a text lies below its middle."""


# Enhancement


def enhancement_svg(
    signals: Sequence[float],
    times_s: Sequence[float] | None,
    early: int | None,
    pre: int | None,
    colours: Colours,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """The lesion's mean signal in each phase, in % of the pre-contrast phase, over seconds after contrast.

    Without a pre-contrast phase (or with one of no signal) it is the signal as stored; without times it is
    drawn over the phases' numbers. `early` and `pre` are indices of `signals` (one at least) or None; the
    early phase is marked.
    """
    reference = 0.0 if pre is None else signals[pre]
    relative = reference > 0
    values = [100 * signal / reference for signal in signals] if relative else list(signals)
    places = list(range(len(signals))) if times_s is None else list(times_s)
    unit = f"% of phase {pre}" if relative else "as stored"
    across, x_labels = _places_axis(places, times_s is not None, colours, width, height)
    up, y_labels = _values_axis(values, colours, width, height)
    points = [(across(place), up(value)) for place, value in zip(places, values)]
    pieces = [*y_labels, *x_labels, svg.polyline(sorted(points), colours.accent)]
    pieces += [svg.circle(x, y, 2.5, colours.accent) for n, (x, y) in enumerate(points) if n != early]
    title = f"Mean signal of the outline, {unit}"
    pieces.append(svg.text(4, 12, title, colours.foreground))
    if early is not None:
        x, y = points[early]
        pieces.append(svg.circle(x, y, 5, colours.marked))
        pieces.append(svg.text(width - 4, 12, f"early phase {early}", colours.marked, "end"))
    return svg.drawing(width, height, pieces)


def _places_axis(
    places: Sequence[float], in_seconds: bool, colours: Colours, width: int, height: int
) -> tuple[svg.Scale, list[str]]:
    low, high = _range(places)
    across = svg.Scale(low, high, _LEFT + 6, width - _UNIT_PX)
    floor = height - _BOTTOM
    numbers = svg.ticks(low, high, 6) if in_seconds else _phase_numbers(len(places))
    unit = "s" if in_seconds else "phase"
    pieces = [svg.line(_LEFT, floor, width - _RIGHT, floor, colours.faint)]
    for number in numbers:
        pieces.append(svg.line(across(number), floor, across(number), floor + 3, colours.faint))
        pieces.append(svg.text(across(number), height - 5, f"{number:g}", colours.foreground, "middle"))
    pieces.append(svg.text(width - 2, height - 5, unit, colours.foreground, "end"))
    return across, pieces


def _phase_numbers(count: int) -> list[float]:
    """The numbers of phases that are written out: not all, where they are many."""
    return list(range(0, count, -(-count // 10)))


def _values_axis(
    values: Sequence[float], colours: Colours, width: int, height: int
) -> tuple[svg.Scale, list[str]]:
    low, high = _range(values)
    up = svg.Scale(low, high, height - _BOTTOM - 7, _TOP + 5)
    pieces = []
    for number in svg.ticks(low, high, 4):
        y = up(number)
        pieces.append(svg.line(_LEFT - 3, y, width - _RIGHT, y, colours.faint, 0.5))
        pieces.append(svg.text(_LEFT - 6, y + _BASELINE, f"{number:.5g}", colours.foreground, "end"))
    return up, pieces


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From the lowest to the highest value; around them where all are the same."""
    low = min(values)
    high = max(values)
    return (low, high) if high > low else (low - max(abs(low), 1) / 10, high + max(abs(high), 1) / 10)


# Areas


@dataclass(frozen=True)
class _Columns:
    """Where the slices of a plot of areas stand: `count` columns of `step` pixels, that of slice `first` at
    the left edge.
    """

    first: int
    count: int
    step: float

    def left(self, index: int) -> float:
        return _LEFT + (index - self.first) * self.step

    def middle(self, index: int) -> float:
        return self.left(index) + self.step / 2


def _columns(areas_mm2: Sequence[float], width: int) -> _Columns | None:
    """The columns of the outlined slices and one on either side; None without an outline."""
    outlined = [index for index, area in enumerate(areas_mm2) if area > 0]
    if not outlined:
        return None
    first = max(outlined[0] - 1, 0)
    last = min(outlined[-1] + 1, len(areas_mm2) - 1)
    count = last - first + 1
    return _Columns(first, count, min((width - _LEFT - _RIGHT) / count, _MAX_COLUMN_PX))


def areas_svg(
    areas_mm2: Sequence[float],
    largest: int,
    chosen: int | None,
    colours: Colours,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """The outline's area (mm2) on each slice as bars, from the first to the last outlined slice.

    `largest` is marked; `chosen`, where it is another slice, is marked instead and named. Without an outline
    the picture says so.
    """
    columns = _columns(areas_mm2, width)
    if columns is None:
        return svg.drawing(width, height, [svg.text(4, 12, "The outline is empty.", colours.foreground)])
    read = largest if chosen is None else chosen
    floor = height - _BOTTOM
    up = svg.Scale(0, max(areas_mm2), floor, _TOP + 4)
    pieces = [svg.line(_LEFT, floor, width - _RIGHT, floor, colours.faint)]
    for number in svg.ticks(0, max(areas_mm2), 4):
        y = up(number)
        pieces.append(svg.line(_LEFT - 3, y, width - _RIGHT, y, colours.faint, 0.5))
        pieces.append(svg.text(_LEFT - 6, y + _BASELINE, f"{number:.5g}", colours.foreground, "end"))
    gap = min(0.15 * columns.step, 2)
    for index in range(columns.first, columns.first + columns.count):
        area = areas_mm2[index]
        if area > 0:
            colour = colours.marked if index == read else colours.accent
            bar = svg.rect(
                columns.left(index) + gap, up(area), columns.step - 2 * gap, floor - up(area), colour
            )
            pieces.append(bar)
    pieces += _slice_labels(columns, read, largest, colours, height)
    pieces.append(svg.text(4, 12, "Area, mm²", colours.foreground))
    title = f"largest slice {largest}: {areas_mm2[largest]:.0f}"
    if read != largest:
        title = f"slice {read}: {areas_mm2[read]:.0f}; {title}"
    pieces.append(svg.text(width - 4, 12, title, colours.marked, "end"))
    return svg.drawing(width, height, pieces)


def _slice_labels(columns: _Columns, read: int, largest: int, colours: Colours, height: int) -> list[str]:
    """Numbers of the slices that matter, as many as have room: that which is read, the largest, both ends."""
    room = svg.CHARACTER_PX * (len(str(columns.first + columns.count)) + 1)
    ends = (columns.first, columns.first + columns.count - 1)
    shown: list[int] = []
    for index in dict.fromkeys((read, largest, *ends)):
        if all(abs(columns.middle(index) - columns.middle(other)) >= room for other in shown):
            shown.append(index)
    pieces = []
    for index in shown:
        colour = colours.marked if index == read else colours.foreground
        pieces.append(svg.text(columns.middle(index), height - 5, str(index), colour, "middle"))
    return pieces


def slice_at(x: float, areas_mm2: Sequence[float], width: int = WIDTH) -> int | None:
    """The slice whose column in `areas_svg` holds pixel `x` (from the left edge, of a picture `width` wide).

    None beside the columns, and on a slice without an outline: there is nothing to read on it.
    """
    columns = _columns(areas_mm2, width)
    if columns is None or not _LEFT <= x < _LEFT + columns.count * columns.step:
        return None
    index = columns.first + int((x - _LEFT) / columns.step)
    return index if areas_mm2[index] > 0 else None


# Probabilities


@dataclass(frozen=True)
class Score:
    """One task's answer: what it is the probability of (`name`), the calibrated `value` and its threshold."""

    name: str
    value: float
    threshold: float


def probabilities_svg(
    probabilities: Mapping[str, float] | None,
    scores: Sequence[Score],
    call: str | None,
    colours: Colours,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """A reading as bars from 0 to 1: the probability of each status in percent, that of the call marked;
    below them each task's score, with its threshold as a mark across.

    `probabilities` is None without a two-step call. A score below its threshold is drawn faint.
    """
    statuses = list((probabilities or {}).items())
    names = [name for name, _ in statuses] + [score.name for score in scores]
    left = 10 + svg.CHARACTER_PX * max(map(len, names), default=0)
    along = svg.Scale(0, 1, left, width - 92)
    row = min(height / max(len(names), 1), _MAX_ROW_PX)
    middles = (row * (number + 0.5) for number in itertools.count())
    pieces: list[str] = []
    for (status, value), middle in zip(statuses, middles):
        colour = colours.marked if status == call else colours.accent
        pieces += _bar(status, value, f"{value:.0%}", middle, row, along, colour, colours)
    for score, middle in zip(scores, middles):
        reached = score.value >= score.threshold
        sign = "≥" if reached else "<"
        told = f"{score.value:.3f} {sign} {score.threshold:.3f}"
        colour = colours.accent if reached else colours.faint
        pieces += _bar(score.name, score.value, told, middle, row, along, colour, colours)
        at = along(score.threshold)
        pieces.append(svg.line(at, middle - 0.45 * row, at, middle + 0.45 * row, colours.foreground, 2))
    return svg.drawing(width, height, pieces)


def _bar(
    name: str,
    value: float,
    told: str,
    middle: float,
    row: float,
    along: svg.Scale,
    colour: str,
    colours: Colours,
) -> list[str]:
    top = middle - 0.3 * row
    return [
        svg.text(along.start - 6, middle + _BASELINE, name, colours.foreground, "end"),
        svg.rect(along.start, top, along(value) - along.start, 0.6 * row, colour),
        svg.line(along.start, middle + 0.3 * row, along.end, middle + 0.3 * row, colours.faint, 0.5),
        svg.text(along.end + 6, middle + _BASELINE, told, colours.foreground),
    ]
