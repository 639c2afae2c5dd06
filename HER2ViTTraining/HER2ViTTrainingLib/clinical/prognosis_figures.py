"""Pictures of a prognosis: survival curves with numbers at risk, and the forest plot of the hazard ratios."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

from HER2ViTLib.files.output import plain
from HER2ViTTrainingLib.pages.pictures import BLUE, GREY, ORANGE, OTHERS, RED, png
from HER2ViTTrainingLib.pages.texts import p_text

from .cox import HazardRatio
from .prognosis import Prognosis
from .prognosis_results import ratio_text
from .survival import Curve

COLOURS = (BLUE, ORANGE, *OTHERS)
_LINE = 0.24
"""Height of a line of text, inches."""
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_WIDEST = 100.0


def prognosis_pictures(found: Prognosis) -> dict[str, bytes]:
    """`km.png`, and `forest.png` where there are hazard ratios."""
    return {
        "km.png": km_picture(found),
        **({"forest.png": forest_picture(found)} if found.univariable else {}),
    }


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _warn(figure: Figure, warnings: Sequence[str], bottom: float) -> None:
    """The warnings below the picture, above the research notice; `bottom` is where they begin, as a share of
    the height.
    """
    lines = [line for text in warnings for line in textwrap.wrap(f"Warning: {text}", 95)]
    if lines:
        figure.text(
            0.5,
            bottom,
            plain("\n".join(lines)),
            ha="center",
            va="bottom",
            fontsize=8,
            color=RED,
            weight="bold",
        )


def km_picture(found: Prognosis) -> bytes:
    """Kaplan-Meier curves with their 95 % bands, censored cases as ticks, the log-rank test, and the numbers
    at risk below.
    """
    curves = found.curves
    warned = 0.6 if found.warnings else 0.0
    table = _LINE * (len(curves) + 1)
    above = 0.45
    below = 0.65
    height = above + 3.9 + below + table + warned
    figure = _figure(7.2, height)
    left = 0.24
    width = 0.72
    axis = figure.add_axes((left, (below + table + warned) / height, width, 3.9 / height))
    last = max(float(curve.times[-1]) for curve in curves)
    for colour, curve in zip(itertools.cycle(COLOURS), curves):
        _draw_curve(axis, curve, colour)
    axis.set(xlim=(0, last * 1.02), ylim=(0, 1.02))
    axis.set_xlabel(plain(found.question.time), fontsize=10)
    axis.set_ylabel(f"survival (event: {plain(found.question.event)})", fontsize=10)
    axis.xaxis.set_major_locator(MaxNLocator(8, integer=last > 8))
    axis.tick_params(labelsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(
        loc="best",
        fontsize=8.5,
        frameon=False,
        title=plain(found.group_name) or None,
        title_fontsize=8.5,
        alignment="left",
    )
    if len(curves) > 1:
        p = p_text(found.overall.p)
        title = f"log-rank p {p if p.startswith('<') else '= ' + p}" if p else "no log-rank test"
        axis.set_title(title, fontsize=10, loc="right")
    _numbers_at_risk(figure, axis, curves, (left, width, (below - 0.58 + table + warned) / height, height))
    _warn(figure, found.warnings, 0.05 / height)
    return png(figure)


def _draw_curve(axis: Any, curve: Curve, colour: str) -> None:
    times = np.concatenate([[0.0], curve.times])
    low = np.concatenate([[1.0], curve.low])
    high = np.concatenate([[1.0], curve.high])
    survival = np.concatenate([[1.0], curve.survival])
    axis.fill_between(times, low, high, step="post", color=colour, alpha=0.16, linewidth=0)
    label = f"{plain(curve.name)}: n {curve.n}, events {curve.events.sum()}"
    axis.step(times, survival, where="post", color=colour, linewidth=1.7, label=label)
    censored = curve.censored > 0
    axis.plot(
        curve.times[censored], curve.survival[censored], "|", color=colour, markersize=6, markeredgewidth=0.8
    )


def _numbers_at_risk(
    figure: Figure, axis: Any, curves: Sequence[Curve], place: tuple[float, float, float, float]
) -> None:
    left, width, top, height = place
    low, high = axis.get_xlim()
    ticks = [tick for tick in axis.get_xticks() if low <= tick <= high]
    edge = left - 0.05
    figure.text(edge, top, "at risk", fontsize=9, color=GREY, ha="right", va="center")
    for n, (colour, curve) in enumerate(zip(itertools.cycle(COLOURS), curves), start=1):
        y = top - n * _LINE / height
        figure.text(edge, y, plain(_short(curve.name, 20)), fontsize=9, color=colour, ha="right", va="center")
        for tick, at_risk in zip(ticks, curve.at_risk_at(ticks)):
            figure.text(
                left + width * (tick - low) / (high - low),
                y,
                str(at_risk),
                fontsize=9,
                ha="center",
                va="center",
            )


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def forest_picture(found: Prognosis) -> bytes:
    """Hazard ratios with 95 % intervals on a log axis: univariable hollow, multivariable filled; intervals
    that leave the axis end in arrows.
    """
    adjusted = {row.variable: row for row in found.multivariable.ratios} if found.multivariable else {}
    lines = [
        (row, variable.reference)
        for variable, model in zip(found.variables, found.univariable)
        for row in _both(model.ratios, adjusted)
    ]
    warned = 0.6 if found.warnings else 0.0
    body = 0.3 * len(lines)
    above = 0.6
    below = 0.6
    height = above + body + below + warned
    figure = _figure(9.6, height)
    axis = figure.add_axes((0.45, (below + warned) / height, 0.29, body / height))
    low, high = _span([row for row, _ in lines])
    axis.set_xscale("log")
    axis.set(xlim=(low, high), ylim=(len(lines) - 0.5, -0.5), yticks=[])
    axis.xaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if low <= tick <= high]))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(labelsize=9)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.axvline(1, color=GREY, linewidth=0.9, linestyle=":")
    axis.set_xlabel("hazard ratio (95 % interval)", fontsize=9.5)
    for n, (row, reference) in enumerate(lines):
        y = (below + warned + body * (1 - (n + 0.5) / len(lines))) / height
        _draw_ratio(axis, n, row, (low, high))
        if row.model == "univariable":
            label = row.variable + (f" vs {reference}" if reference else "")
            figure.text(0.015, y, plain(_short(label, 40)), fontsize=9.5, va="center")
        figure.text(
            0.325, y, row.model, fontsize=8.5, va="center", color=GREY if row.model == "univariable" else BLUE
        )
        figure.text(0.77, y, ratio_text(row.ratio), fontsize=9.5, va="center")
        figure.text(0.93, y, p_text(row.p), fontsize=9.5, va="center")
    for x, text in ((0.015, "variable"), (0.325, "model"), (0.77, "HR (95 % CI)"), (0.93, "p")):
        figure.text(x, 1 - 0.4 / height, text, fontsize=9.5, weight="bold", va="center")
    _warn(figure, found.warnings, 0.05 / height)
    return png(figure)


def _both(ratios: Sequence[HazardRatio], adjusted: dict[str, HazardRatio]) -> list[HazardRatio]:
    return [row for ratio in ratios for row in (ratio, adjusted.get(ratio.variable)) if row is not None]


def _span(rows: Sequence[HazardRatio]) -> tuple[float, float]:
    """Ends of the axis: all intervals and 1, but no further than a hundredfold either way."""
    low = min(1.0, *(row.ratio.low for row in rows)) if rows else 1.0
    high = max(1.0, *(row.ratio.high for row in rows)) if rows else 1.0
    margin = 1.15
    return max(1 / _WIDEST, min(low / margin, 0.8)), min(_WIDEST, max(high * margin, 1.25))


def _draw_ratio(axis: Any, y: int, row: HazardRatio, span: tuple[float, float]) -> None:
    low, high = span
    colour = BLUE if row.model == "multivariable" else GREY
    ends = max(row.ratio.low, low), min(row.ratio.high, high)
    axis.plot(ends, (y, y), color=colour, linewidth=1.5, solid_capstyle="butt")
    for end, beyond, marker in ((low, row.ratio.low < low, "<"), (high, row.ratio.high > high, ">")):
        if beyond:
            axis.plot(end, y, marker, color=colour, markersize=5, clip_on=False)
    if low <= row.ratio.value <= high and math.isfinite(row.ratio.value):
        face = colour if row.model == "multivariable" else "white"
        axis.plot(row.ratio.value, y, "s", markerfacecolor=face, markeredgecolor=colour, markersize=6)
