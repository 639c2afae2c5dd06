"""Pictures of agreement: forest of intraclass correlations, Bland-Altman plots, distribution of the outlines'
overlap.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from HER2ViTLib.files.output import plain
from HER2ViTTrainingLib.pages.pictures import BLUE, GREY, ORANGE, OTHERS, panels, png
from HER2ViTTrainingLib.stats.agreement import GRADES, HEADLINE

from .agreement import Agreement, Comparison
from .results import feature_groups

COLOURS = (BLUE, ORANGE, *OTHERS)
BANDS = {"poor": "#f3d9d6", "moderate": "#faeed3", "good": "#e3f0da", "excellent": "#cfe6d5"}
NAMED_FEATURES = 60
"""With more features than this the forest shows the groups' names only."""
MAX_ROWS = 8
"""Of the Bland-Altman plots."""


def agreement_pictures(agreement: Agreement) -> dict[str, bytes]:
    """Forest, Bland-Altman plots and, where there are outlines, their overlap, by file name."""
    pictures = {"icc_forest.png": _forest(agreement), "bland_altman.png": _bland_altman(agreement)}
    if agreement.overlaps:
        pictures["overlap.png"] = _overlap(agreement)
    return pictures


def _grid(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure of `width` x `height` inches and its axes (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


# Forest


def _forest(agreement: Agreement) -> bytes:
    """A column per comparison, a row per feature: groups one below the other, in each the features by the
    first comparison's ICC.
    """
    features = agreement.ratings.features
    comparisons = agreement.comparisons
    groups = {
        name: _sorted(members, comparisons[0].headline.icc)
        for name, members in feature_groups(features).items()
    }
    named = len(features) <= NAMED_FEATURES
    height = 1.4 + (0.2 * len(features) if named else 9)
    figure, (axes,) = _grid(1, len(comparisons), 2.6 + 3.4 * len(comparisons), height, sharey=True)
    for axis, comparison in zip(axes, comparisons):
        _draw_comparison(axis, comparison, list(groups.values()), named)
    axes[0].set_ylim(len(features) - 0.3, -0.7)
    starts = np.cumsum([0, *map(len, groups.values())])
    for axis in axes:
        for start in starts[1:-1]:
            axis.axhline(start - 0.5, color=GREY, linewidth=0.6)
    if named:
        order = list(itertools.chain.from_iterable(groups.values()))
        axes[0].set_yticks(range(len(order)), [plain(features[n]) for n in order], fontsize=7)
    else:
        middles = (starts[:-1] + starts[1:] - 1) / 2
        names = [f"{plain(name)} ({len(members)})" for name, members in groups.items()]
        axes[0].set_yticks(middles, names, fontsize=8)
        for axis in axes:
            axis.tick_params(axis="y", length=0)
    return png(figure)


def _draw_comparison(axis: Any, comparison: Comparison, groups: Sequence[Sequence[int]], named: bool) -> None:
    """A comparison's ICC with intervals, the features of the groups one below the other; finer lines where
    there is no room for the features' names.
    """
    found = comparison.headline
    _draw_bands(axis, float(np.nanmin(np.concatenate([found.low, [0.0]]))))
    start = 0
    for colour, members in zip(_cycled(len(groups)), groups):
        rows = list(range(start, start + len(members)))
        axis.hlines(
            rows,
            found.low[members],
            found.high[members],
            color=colour,
            linewidth=1.1 if named else 0.5,
            alpha=1 if named else 0.45,
        )
        axis.plot(found.icc[members], rows, "o", color=colour, markersize=3.6 if named else 1.8)
        start += len(members)
    axis.set_title(plain(", ".join(comparison.raters)), fontsize=10)
    axis.set_xlabel(f"{HEADLINE} with 95 % interval", fontsize=9)
    axis.tick_params(labelsize=8)


def _sorted(members: Sequence[int], values: np.ndarray) -> list[int]:
    """Best first, those without a value last."""
    return sorted(members, key=lambda n: -values[n] if np.isfinite(values[n]) else np.inf)


def _cycled(count: int) -> list[str]:
    return [COLOURS[n % len(COLOURS)] for n in range(count)]


def _draw_bands(axis: Any, lowest: float) -> None:
    """The grades as bands of colour, down to the lowest limit but not below -1."""
    left = max(-1.0, lowest) - 0.02
    right = 1.02
    for name, bound in GRADES.items():
        axis.axvspan(max(bound, left), right, color=BANDS[name], linewidth=0)
        right = max(bound, left)
    axis.set_xlim(left, 1.02)
    axis.set_xticks([x for x in (-1, -0.5, 0, 0.5, 0.75, 0.9, 1) if x >= left])
    axis.set_xticklabels([f"{x:g}" for x in axis.get_xticks()])


# Bland-Altman


def _bland_altman(agreement: Agreement) -> bytes:
    """A column per pair of raters, a row per feature: all up to `MAX_ROWS`, of more the one with the median
    ICC of each group.
    """
    features = _shown_features(agreement)
    columns = len(agreement.pairs)
    figure, axes = _grid(len(features), columns, 3.8 * columns, 2.6 * len(features) + 0.3)
    for row, n in zip(axes, features):
        for axis, pair in zip(row, agreement.pairs):
            _draw_bland_altman(axis, agreement, pair, n)
    return png(figure)


def _shown_features(agreement: Agreement) -> list[int]:
    features = agreement.ratings.features
    if len(features) <= MAX_ROWS:
        return list(range(len(features)))
    values = agreement.comparisons[0].headline.icc
    shown = []
    for members in list(feature_groups(features).values())[:MAX_ROWS]:
        middle = (np.isfinite(values[members]).sum() - 1) // 2
        shown.append(_sorted(members, values)[middle])
    return shown


def _draw_bland_altman(axis: Any, agreement: Agreement, pair: tuple[str, str], n: int) -> None:
    first, second = agreement.ratings.of(pair)[:, :, n].T
    found = agreement.pairs[pair]
    axis.plot((first + second) / 2, first - second, "o", color=BLUE, markersize=3, alpha=0.7)
    for low, value, high, colour in (
        (found.bias_low, found.bias, found.bias_high, ORANGE),
        (found.loa_lower_low, found.loa_lower, found.loa_lower_high, GREY),
        (found.loa_upper_low, found.loa_upper, found.loa_upper_high, GREY),
    ):
        axis.axhspan(low[n], high[n], color=colour, alpha=0.18, linewidth=0)
        axis.axhline(value[n], color=colour, linewidth=1.2)
    axis.axhline(0, color="#1d2530", linewidth=0.6, linestyle=":")
    axis.set_title(plain(agreement.ratings.features[n]), fontsize=9)
    axis.set_xlabel(f"mean of {plain(pair[0])} and {plain(pair[1])}", fontsize=8)
    axis.set_ylabel(f"{plain(pair[0])} - {plain(pair[1])}", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.ticklabel_format(axis="both", scilimits=(-3, 4), useMathText=True)


# Overlap


def _overlap(agreement: Agreement) -> bytes:
    """Dice coefficient and 95 % Hausdorff distance of every case, a box a pair of raters."""
    overlaps_of = {pair: agreement.overlaps_of(pair) for pair in agreement.pairs}
    overlaps_of = {pair: overlaps for pair, overlaps in overlaps_of.items() if overlaps}
    dice = []
    distances = []
    for overlaps in overlaps_of.values():
        dice.append(np.array([one.dice for one in overlaps]))
        distances.append(np.array([one.hausdorff95 for one in overlaps]))
    names = [plain(", ".join(pair)) for pair in overlaps_of]
    figure, axes = panels(2, width=1.6 + 1.1 * len(names), height=3.6)
    _draw_boxes(axes[0], dice, names, "Dice coefficient")
    _draw_boxes(axes[1], distances, names, "95 % Hausdorff distance (mm)")
    axes[0].set_ylim(top=1.0)
    axes[1].set_ylim(bottom=0.0)
    return png(figure)


def _draw_boxes(axis: Any, values: Sequence[np.ndarray], names: Sequence[str], title: str) -> None:
    """A box and its points for each name."""
    for place, (colour, each) in enumerate(zip(_cycled(len(names)), values)):
        # Spread by rank, not at random: the same numbers give the same picture.
        spread = 0.28 * (np.arange(len(each)) * 0.618 % 1 - 0.5)
        axis.plot(place + spread, each, "o", color=colour, markersize=3, alpha=0.6)
    axis.boxplot(
        values,
        positions=range(len(names)),
        widths=0.5,
        showfliers=False,
        medianprops={"color": "#1d2530"},
    )
    axis.set_xticks(range(len(names)), names, fontsize=9)
    axis.set_ylabel(title, fontsize=9)
    axis.tick_params(axis="y", labelsize=8)
