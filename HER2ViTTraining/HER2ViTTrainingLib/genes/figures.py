"""Pictures of a gene analysis: volcano, heat map, dot plot; the network is `network_figure`'s."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage

from HER2ViTLib.files.output import plain
from HER2ViTTrainingLib.pages.pictures import BLUE, GREY, ORANGE, blank, panels, png

from .analysis import Radiogenomics
from .enrichment import Enrichment
from .expression import Thresholds
from .files import Groups
from .network_figure import network_picture

LABELLED_GENES = 16
ALWAYS_LABELLED = ("ERBB2",)
HEATMAP_GENES = 50
DOTPLOT_TERMS = 12
MAX_TERM_LETTERS = 52


def radiogenomics_pictures(analysis: Radiogenomics) -> dict[str, bytes]:
    """Volcano and heat map, and with gene sets and interactions the dot plot and the network, as PNG by file
    name.
    """
    pictures = {"volcano.png": _volcano(analysis), "heatmap.png": _heatmap(analysis)}
    if analysis.enrichments:
        pictures["dotplot.png"] = _dotplot(analysis.enrichments, analysis.thresholds.alpha)
    if analysis.network:
        pictures["network.png"] = network_picture(analysis.network)
    return pictures


# Volcano


def _volcano(analysis: Radiogenomics) -> bytes:
    """Log2 fold change against adjusted p of every gene that has one; the genes of smallest p are named."""
    figure, (axis,) = panels(1, 7.2, 6.2)
    table = analysis.expression.table.dropna(subset=["padj"])
    change = table["log2FoldChange"]
    # A p of 0 is one below the smallest number there is.
    height = -np.log10(np.maximum(table["padj"], np.nextafter(0, 1)))
    degs = analysis.degs
    down = table.index.isin(degs.index[degs["log2FoldChange"] < 0])
    up = table.index.isin(degs.index[degs["log2FoldChange"] > 0])
    _scatter(axis, change[~down & ~up], height[~down & ~up], GREY, "not significant")
    _scatter(axis, change[down], height[down], BLUE, f"down: {len(degs) - analysis.up}")
    _scatter(axis, change[up], height[up], ORANGE, f"up: {analysis.up}")
    _draw_thresholds(axis, analysis.thresholds)
    widest = max(1.5, float(change.abs().max())) if len(change) else 1.5
    highest = max(2.0, float(height.max())) if len(height) else 2.0
    # Beside the points there is room for the names.
    reach = 1.3 * widest if len(change) else widest
    axis.set(xlim=(-reach, reach), ylim=(0, 1.08 * highest))
    axis.set_xlabel("log2 fold change", fontsize=9)
    axis.set_ylabel("-log10 adjusted p", fontsize=9)
    axis.set_title(plain(_contrast(analysis)), fontsize=10)
    axis.tick_params(labelsize=8)
    axis.legend(loc="upper left", fontsize=8, frameon=False)
    points = [_Point(gene, float(change[gene]), float(height[gene])) for gene in _named_genes(degs)]
    _label_points(axis, points)
    return png(figure)


def _scatter(axis: Any, x: Any, y: Any, colour: str, label: str) -> None:
    opacity = 0.35 if colour == GREY else 0.8
    axis.scatter(x, y, s=7, color=colour, alpha=opacity, linewidths=0, label=label)


def _draw_thresholds(axis: Any, thresholds: Thresholds) -> None:
    for at in (-thresholds.lfc, thresholds.lfc):
        axis.axvline(at, color=GREY, linewidth=0.8, linestyle=":")
    axis.axhline(-np.log10(thresholds.alpha), color=GREY, linewidth=0.8, linestyle=":")


def _contrast(analysis: Radiogenomics) -> str:
    reference = analysis.groups.reference
    other = analysis.groups.other
    cases = analysis.cases
    return f"{other} (n = {cases[other]}) against {reference} (n = {cases[reference]})"


def _named_genes(degs: pd.DataFrame) -> list[str]:
    """The genes of smallest adjusted p, and ERBB2 wherever it stands among the DEGs."""
    first = list(degs.index[:LABELLED_GENES])
    others = degs.index[LABELLED_GENES:]
    return first + [gene for gene in ALWAYS_LABELLED if gene in others]


@dataclass(frozen=True)
class _Point:
    """A gene of the volcano: its name and its place in the axis's units."""

    name: str
    x: float
    y: float


def _label_points(axis: Any, points: Sequence[_Point]) -> None:
    """Names in a column on either side of all points, each with a line to its own, as near to its point's
    height as the others allow.
    """
    low, high = axis.get_ylim()
    reach = axis.get_xlim()[1]
    step = 0.026 * (high - low)
    for sign in (-1, 1):
        column = sign * 0.8 * reach
        side = [point for point in points if sign * point.x > 0]
        side.sort(key=lambda point: -point.y)
        heights = _apart([point.y for point in side], step, low)
        for point, at in zip(side, heights):
            axis.plot([point.x, column], [point.y, at], color=GREY, linewidth=0.4, zorder=1)
            axis.text(
                column + sign * 0.01 * reach,
                at,
                plain(point.name),
                fontsize=7,
                va="center",
                ha="left" if sign > 0 else "right",
            )


def _apart(heights: Sequence[float], step: float, low: float) -> list[float]:
    """Falling heights moved down until they are `step` apart, then up again where the lowest fell below
    `low`.
    """
    moved: list[float] = []
    for height in heights:
        moved.append(min(height, moved[-1] - step) if moved else height)
    free = low + step
    for n in reversed(range(len(moved))):
        moved[n] = max(moved[n], free)
        free = moved[n] + step
    return moved


# Heat map


def _heatmap(analysis: Radiogenomics) -> bytes:
    """Expression of the genes of smallest adjusted p, each by its own mean and standard deviation: a row a
    gene, a column a case, the reference group on the left.
    """
    genes = list(analysis.degs.index[:HEATMAP_GENES])
    figure, (axis,) = panels(1, 8.0, 2.0 + 0.145 * max(len(genes), 10))
    if not genes:
        blank(axis, "no gene is differentially expressed")
        return png(figure)
    expression = analysis.expression.log2_counts.loc[genes]
    z = _standardised(expression.to_numpy())
    members = _members(analysis.groups, expression.columns)
    columns: list[int] = []
    for group in members.values():
        columns += [group[n] for n in _clustered(z[:, group].T)]
    rows = _clustered(z)
    picture = axis.imshow(
        z[np.ix_(rows, columns)],
        aspect="auto",
        cmap="RdBu_r",
        vmin=-2.5,
        vmax=2.5,
        interpolation="nearest",
    )
    axis.set_yticks(range(len(genes)), [plain(genes[n]) for n in rows], fontsize=6.5)
    axis.set_xticks([])
    _draw_groups(axis, {group: len(cases) for group, cases in members.items()})
    axis.axvline(len(members[analysis.groups.reference]) - 0.5, color="white", linewidth=2)
    axis.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(genes) - 0.5, -0.5))
    axis.set_title(
        f"The {len(genes)} differentially expressed genes of smallest adjusted p", fontsize=10, pad=32
    )
    bar = figure.colorbar(picture, ax=axis, shrink=0.4, aspect=18, pad=0.02)
    bar.set_label("z of log2(normalised count + 1)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return png(figure)


def _standardised(values: np.ndarray) -> np.ndarray:
    """Each row (genes, cases) with mean 0 and standard deviation 1; a constant row is 0."""
    spread = values.std(axis=1, keepdims=True)
    return (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)


def _members(groups: Groups, cases: Sequence[str]) -> dict[str, list[int]]:
    """Which of the cases are in each group, the reference first."""
    members: dict[str, list[int]] = {groups.reference: [], groups.other: []}
    for n, case in enumerate(cases):
        members[groups.of_case[case]].append(n)
    return members


def _draw_groups(axis: Any, sizes: Mapping[str, int]) -> None:
    """A bar with the group's name above its columns."""
    start = 0
    for (group, size), colour in zip(sizes.items(), (BLUE, ORANGE)):
        axis.plot(
            [start - 0.4, start + size - 0.6],
            [-0.95, -0.95],
            color=colour,
            linewidth=5,
            solid_capstyle="butt",
            clip_on=False,
        )
        axis.text(
            start + size / 2 - 0.5,
            -1.45,
            plain(f"{group} (n = {size})"),
            ha="center",
            va="bottom",
            fontsize=8.5,
        )
        start += size


def _clustered(rows: np.ndarray) -> list[int]:
    """The order of the rows (n, m) that puts similar ones together: average linkage."""
    if len(rows) < 3:
        return list(range(len(rows)))
    return leaves_list(linkage(rows, "average", optimal_ordering=True)).tolist()


# Dot plot


def _dotplot(enrichments: Sequence[Enrichment], alpha: float) -> bytes:
    """A panel per source: the sets of smallest p by the share of the DEGs in them."""
    longest = max(min(len(one.rows), DOTPLOT_TERMS) for one in enrichments)
    figure, axes = panels(len(enrichments), 7.0, 1.6 + 0.27 * max(longest, 7))
    for axis, one in zip(axes, enrichments):
        significant = len(one.significant(alpha))
        axis.set_title(
            plain(f"{one.sets.source}\n{significant} of {len(one.rows)} sets with adjusted p < {alpha:g}"),
            fontsize=10,
        )
        axis.tick_params(labelsize=8)
        if one.rows:
            _draw_dots(axis, one)
        else:
            blank(axis, "no set holds a differentially expressed gene")
    return png(figure)


def _draw_dots(axis: Any, one: Enrichment) -> None:
    shown = one.rows[:DOTPLOT_TERMS][::-1]
    ratio = [row["overlap"] / one.drawn for row in shown]
    overlap = np.array([row["overlap"] for row in shown])
    height = -np.log10([max(row["padj"], np.nextafter(0, 1)) for row in shown])
    size = 220 / overlap.max()
    dots = axis.scatter(
        ratio,
        range(len(shown)),
        s=size * overlap,
        c=height,
        cmap="viridis_r",
        vmin=0,
        vmax=max(2.0, height.max()),
        zorder=2,
    )
    axis.set_yticks(range(len(shown)), [plain(_short(row["term"])) for row in shown], fontsize=7.5)
    axis.set(ylim=(-0.8, len(shown) - 0.2), xlim=(0, 1.15 * max(ratio)))
    axis.set_xlabel(f"share of the {one.drawn} annotated genes", fontsize=9)
    axis.grid(axis="x", color="#e3e7ec", linewidth=0.8)
    bar = axis.figure.colorbar(dots, ax=axis, shrink=0.5, aspect=14, pad=0.02, anchor=(0, 1))
    bar.set_label("-log10 adjusted p", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    least = int(overlap.min())
    most = int(overlap.max())
    for count in sorted({least, (least + most) // 2, most}):
        axis.scatter([], [], s=size * count, color=GREY, label=str(count))
    axis.legend(
        title="genes",
        title_fontsize=8,
        fontsize=8,
        loc="lower left",
        bbox_to_anchor=(1.0, 0.0),
        labelspacing=1.1,
        frameon=False,
    )


def _short(term: str) -> str:
    """A term for a tick label: KEGG_CELL_CYCLE as kegg cell cycle, without the (GO:0000000) behind it, at
    most MAX_TERM_LETTERS long.
    """
    words = term.replace("_", " ").lower() if term.isupper() else term
    text = re.sub(r" \(GO:\d+\)$", "", words)
    return text if len(text) <= MAX_TERM_LETTERS else text[: MAX_TERM_LETTERS - 1] + "…"
