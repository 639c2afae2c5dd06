"""Pictures of a gene analysis: volcano, heat map, dot plot, network of the hubs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from scipy.cluster.hierarchy import leaves_list, linkage

from HER2ViTLib.files.output import plain
from HER2ViTTrainingLib.pages.pictures import BLUE, GREY, ORANGE, blank, panels, png

from .analysis import Radiogenomics
from .enrichment import Enrichment
from .hubs import TOP_HUBS, Network

LABELLED_GENES = 16
ALWAYS_LABELLED = ("ERBB2",)
HEATMAP_GENES = 50
DOTPLOT_TERMS = 12
TERM_LETTERS = 52
LABELLED_NEIGHBOURS = 90


def radiogenomics_pictures(analysis: Radiogenomics) -> dict[str, bytes]:
    """Volcano and heat map, and with gene sets and interactions the dot plot and the network, as PNG by file
    name.
    """
    pictures = {"volcano.png": _volcano(analysis), "heatmap.png": _heatmap(analysis)}
    if analysis.enrichments:
        pictures["dotplot.png"] = _dotplot(analysis.enrichments, analysis.thresholds.alpha)
    if analysis.network:
        pictures["network.png"] = _network(analysis.network)
    return pictures


# Volcano


def _volcano(analysis: Radiogenomics) -> bytes:
    figure, (axis,) = panels(1, 7.2, 6.2)
    table = analysis.expression.table.dropna(subset=["padj"])
    # A p of 0 is one below the smallest number there is.
    height = -np.log10(np.maximum(table["padj"], np.nextafter(0, 1)))
    change, degs = table["log2FoldChange"], analysis.degs
    kinds = (
        (~table.index.isin(degs.index), GREY, "not significant"),
        (table.index.isin(degs.index[degs["log2FoldChange"] < 0]), BLUE, f"down: {len(degs) - analysis.up}"),
        (table.index.isin(degs.index[degs["log2FoldChange"] > 0]), ORANGE, f"up: {analysis.up}"),
    )
    for chosen, colour, label in kinds:
        axis.scatter(
            change[chosen],
            height[chosen],
            s=7,
            color=colour,
            alpha=0.35 if colour == GREY else 0.8,
            linewidths=0,
            label=label,
        )
    for at in (-analysis.thresholds.lfc, analysis.thresholds.lfc):
        axis.axvline(at, color=GREY, linewidth=0.8, linestyle=":")
    axis.axhline(-np.log10(analysis.thresholds.alpha), color=GREY, linewidth=0.8, linestyle=":")
    reach = 1.3 * max(1.5, float(change.abs().max())) if len(change) else 1.5
    axis.set(xlim=(-reach, reach), ylim=(0, 1.08 * max(2.0, float(height.max()) if len(height) else 2.0)))
    axis.set_xlabel("log2 fold change", fontsize=9)
    axis.set_ylabel("-log10 adjusted p", fontsize=9)
    groups, cases = analysis.groups, analysis.cases
    title = (
        f"{groups.other} (n = {cases[groups.other]}) against {groups.reference} (n ="
        f" {cases[groups.reference]})"
    )
    axis.set_title(plain(title), fontsize=10)
    axis.tick_params(labelsize=8)
    axis.legend(loc="upper left", fontsize=8, frameon=False)
    named = [
        *degs.index[:LABELLED_GENES],
        *(gene for gene in ALWAYS_LABELLED if gene in degs.index[LABELLED_GENES:]),
    ]
    _label_points(axis, [(gene, float(change[gene]), float(height[gene])) for gene in named])
    return png(figure)


def _label_points(axis: Any, points: Sequence[tuple[str, float, float]]) -> None:
    """Names in a column on either side of all points, each with a line to its own, as near to its point's
    height as the others allow.
    """
    low, high = axis.get_ylim()
    step = 0.026 * (high - low)
    for sign in (-1, 1):
        column = sign * 0.8 * axis.get_xlim()[1]
        side = sorted((point for point in points if sign * point[1] > 0), key=lambda point: -point[2])
        for (name, x, y), at in zip(side, _apart([y for _, _, y in side], step, low)):
            axis.plot([x, column], [y, at], color=GREY, linewidth=0.4, zorder=1)
            axis.text(
                column + sign * 0.01 * axis.get_xlim()[1],
                at,
                plain(name),
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
    genes = list(analysis.degs.index[:HEATMAP_GENES])
    figure, (axis,) = panels(1, 8.0, 2.0 + 0.145 * max(len(genes), 10))
    if not genes:
        blank(axis, "no gene is differentially expressed")
        return png(figure)
    of_case = analysis.groups.of_case
    expression = analysis.expression.log2_counts.loc[genes]
    values = expression.to_numpy()
    spread = values.std(axis=1, keepdims=True)
    z = (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    group_of = [of_case[case] for case in expression.columns]
    members = {
        group: [n for n, name in enumerate(group_of) if name == group]
        for group in (analysis.groups.reference, analysis.groups.other)
    }
    columns = [members[group][n] for group in members for n in _clustered(z[:, members[group]].T)]
    shown = z[np.ix_(_clustered(z), columns)]
    picture = axis.imshow(shown, aspect="auto", cmap="RdBu_r", vmin=-2.5, vmax=2.5, interpolation="nearest")
    axis.set_yticks(range(len(genes)), [plain(genes[n]) for n in _clustered(z)], fontsize=6.5)
    axis.set_xticks([])
    start = 0
    for (group, cases), colour in zip(members.items(), (BLUE, ORANGE)):
        axis.plot(
            [start - 0.4, start + len(cases) - 0.6],
            [-0.95, -0.95],
            color=colour,
            linewidth=5,
            solid_capstyle="butt",
            clip_on=False,
        )
        axis.text(
            start + len(cases) / 2 - 0.5,
            -1.45,
            plain(f"{group} (n = {len(cases)})"),
            ha="center",
            va="bottom",
            fontsize=8.5,
        )
        start += len(cases)
    axis.axvline(len(members[analysis.groups.reference]) - 0.5, color="white", linewidth=2)
    axis.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(genes) - 0.5, -0.5))
    axis.set_title(
        f"The {len(genes)} differentially expressed genes of smallest adjusted p", fontsize=10, pad=32
    )
    bar = figure.colorbar(picture, ax=axis, shrink=0.4, aspect=18, pad=0.02)
    bar.set_label("z of log2(normalised count + 1)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return png(figure)


def _clustered(rows: np.ndarray) -> list[int]:
    """The order of the rows (n, m) that puts similar ones together: average linkage."""
    return (
        leaves_list(linkage(rows, "average", optimal_ordering=True)).tolist()
        if len(rows) > 2
        else list(range(len(rows)))
    )


# Dot plot


def _dotplot(enrichments: Sequence[Enrichment], alpha: float) -> bytes:
    most = max(min(len(one.rows), DOTPLOT_TERMS) for one in enrichments)
    figure, axes = panels(len(enrichments), 7.0, 1.6 + 0.27 * max(most, 7))
    for axis, one in zip(axes, enrichments):
        significant = sum(row["padj"] < alpha for row in one.rows)
        axis.set_title(
            plain(f"{one.sets.source}\n{significant} of {len(one.rows)} sets with adjusted p < {alpha:g}"),
            fontsize=10,
        )
        axis.tick_params(labelsize=8)
        if not one.rows:
            blank(axis, "no set holds a differentially expressed gene")
            continue
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
        for count in sorted(
            {int(overlap.min()), int(overlap.min() + overlap.max()) // 2, int(overlap.max())}
        ):
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
    return png(figure)


def _short(term: str) -> str:
    """A term for a tick label: KEGG_CELL_CYCLE as kegg cell cycle, without the (GO:0000000) behind it, at
    most TERM_LETTERS long.
    """
    text = re.sub(r" \(GO:\d+\)$", "", term.replace("_", " ").lower() if term.isupper() else term)
    return text if len(text) <= TERM_LETTERS else text[: TERM_LETTERS - 1] + "…"


# Network


def _network(found: Network) -> bytes:
    figure, (axis,) = panels(1, 8.0, 8.0)
    axis.set_axis_off()
    hubs = list(found.hubs)
    if not hubs:
        blank(axis, "no two differentially expressed genes interact")
        return png(figure)
    axis.set_aspect("equal")
    near = {
        gene: [hub for hub in hubs if found.graph.has_edge(gene, hub)]
        for gene in sorted(set(found.graph) - set(hubs))
    }
    near = {gene: known for gene, known in near.items() if known}
    # Hubs on a circle, the highest on top and on clockwise; their neighbours around it, each near its hubs.
    angle = {hub: np.pi / 2 - 2 * np.pi * n / len(hubs) for n, hub in enumerate(hubs)}
    towards = {
        gene: float(np.angle(sum(np.exp(1j * angle[hub]) for hub in known))) for gene, known in near.items()
    }
    angle.update(
        zip(sorted(towards, key=lambda gene: (towards[gene], gene)), _evenly(np.sort(list(towards.values()))))
    )
    place = {
        gene: (1.0 if gene in hubs else 1.75) * np.array([np.cos(turn), np.sin(turn)])
        for gene, turn in angle.items()
    }
    for first, second in sorted(tuple(sorted(edge)) for edge in found.graph.edges(hubs)):
        among = first in hubs and second in hubs
        colour, width, order = ("#5b6673", 1.3, 2) if among else ("#ced5dd", 0.7, 1)
        axis.plot(*zip(place[first], place[second]), color=colour, linewidth=width, zorder=order)
    for gene in near:
        axis.plot(*place[gene], "o", color=GREY, markersize=4, zorder=3)
        if len(near) <= LABELLED_NEIGHBOURS:
            _radial_label(axis, gene, place[gene] * 1.035, angle[gene])
    ranks = {row["gene"]: row["rank"] for row in found.rows}
    for hub in hubs:
        axis.scatter(
            *place[hub],
            s=1500,
            color=colormaps["autumn"]((min(ranks[hub], TOP_HUBS) - 1) / (TOP_HUBS - 1)),
            edgecolors="#5a4a20",
            zorder=4,
        )
        axis.text(
            *place[hub],
            f"{plain(hub)}\n{ranks[hub]}",
            ha="center",
            va="center",
            fontsize=7.5,
            fontweight="bold",
            zorder=5,
        )
    axis.set(xlim=(-2.25, 2.25), ylim=(-2.25, 2.25))
    bounded = "" if found.complete else " (count of cliques bounded)"
    axis.set_title(
        f"Hubs with their rank by Maximal Clique Centrality{bounded}, and the genes they interact with",
        fontsize=10,
    )
    return png(figure)


def _evenly(angles: np.ndarray) -> np.ndarray:
    """Equal steps around the circle that lie closest to the sorted angles (n,)."""
    steps = 2 * np.pi * np.arange(len(angles)) / max(1, len(angles))
    return steps + np.angle(np.exp(1j * (angles - steps)).sum())


def _radial_label(axis: Any, text: str, at: np.ndarray, turn: float) -> None:
    degrees = np.degrees(turn) % 360
    left = 90 < degrees < 270
    side, rotation = ("right", degrees - 180) if left else ("left", degrees)
    axis.text(*at, plain(text), rotation=rotation, rotation_mode="anchor", ha=side, va="center", fontsize=6.5)
