"""Picture of the hub genes with the genes they interact with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps

from HER2ViTLib.files.output import plain
from HER2ViTTrainingLib.pages.pictures import GREY, blank, panels, png

from .hubs import TOP_HUBS, Network

LABELLED_NEIGHBOURS = 90
"""With more neighbours than this their names would lie on one another: none is written."""


def network_picture(found: Network) -> bytes:
    """PNG: the hubs on a circle, the highest on top and on clockwise; the genes they interact with around it,
    each near its hubs.
    """
    figure, (axis,) = panels(1, 8.0, 8.0)
    axis.set_axis_off()
    if not found.hubs:
        blank(axis, "no two differentially expressed genes interact")
        return png(figure)
    axis.set_aspect("equal")
    hub_angles = {hub: np.pi / 2 - 2 * np.pi * n / len(found.hubs) for n, hub in enumerate(found.hubs)}
    neighbour_angles = _neighbour_angles(found, hub_angles)
    places = {hub: _on_circle(1.0, angle) for hub, angle in hub_angles.items()}
    places |= {gene: _on_circle(1.75, angle) for gene, angle in neighbour_angles.items()}
    _draw_edges(axis, found, places)
    for gene, angle in neighbour_angles.items():
        axis.plot(*places[gene], "o", color=GREY, markersize=4, zorder=3)
        if len(neighbour_angles) <= LABELLED_NEIGHBOURS:
            _radial_label(axis, gene, places[gene] * 1.035, angle)
    _draw_hubs(axis, found, places)
    axis.set(xlim=(-2.25, 2.25), ylim=(-2.25, 2.25))
    bounded = "" if found.complete else " (count of cliques bounded)"
    axis.set_title(
        f"Hubs with their rank by Maximal Clique Centrality{bounded}, and the genes they interact with",
        fontsize=10,
    )
    return png(figure)


def _neighbour_angles(found: Network, hub_angles: Mapping[str, float]) -> dict[str, float]:
    """Where the genes that interact with a hub stand: in the order of their hubs' mean directions, at equal
    steps.
    """
    towards = {}
    for gene in sorted(set(found.graph) - set(hub_angles)):
        turns = [angle for hub, angle in hub_angles.items() if found.graph.has_edge(gene, hub)]
        if turns:
            towards[gene] = float(np.angle(sum(np.exp(1j * turn) for turn in turns)))
    in_order = sorted(towards, key=lambda gene: (towards[gene], gene))
    angles = _evenly(np.array([towards[gene] for gene in in_order]))
    return dict(zip(in_order, angles))


def _on_circle(radius: float, angle: float) -> np.ndarray:
    return radius * np.array([np.cos(angle), np.sin(angle)])


def _draw_edges(axis: Any, found: Network, places: Mapping[str, np.ndarray]) -> None:
    """The interactions of the hubs, those between two of them darker and above the others."""
    for first, second in sorted(tuple(sorted(edge)) for edge in found.graph.edges(found.hubs)):
        both_hubs = first in found.hubs and second in found.hubs
        axis.plot(
            *zip(places[first], places[second]),
            color="#5b6673" if both_hubs else "#ced5dd",
            linewidth=1.3 if both_hubs else 0.7,
            zorder=2 if both_hubs else 1,
        )


def _draw_hubs(axis: Any, found: Network, places: Mapping[str, np.ndarray]) -> None:
    ranks = {row["gene"]: row["rank"] for row in found.rows}
    for hub in found.hubs:
        rank = ranks[hub]
        axis.scatter(
            *places[hub],
            s=1500,
            color=colormaps["autumn"]((min(rank, TOP_HUBS) - 1) / (TOP_HUBS - 1)),
            edgecolors="#5a4a20",
            zorder=4,
        )
        axis.text(
            *places[hub],
            f"{plain(hub)}\n{rank}",
            ha="center",
            va="center",
            fontsize=7.5,
            fontweight="bold",
            zorder=5,
        )


def _evenly(angles: np.ndarray) -> np.ndarray:
    """Equal steps around the circle that lie closest to the sorted angles (n,)."""
    steps = 2 * np.pi * np.arange(len(angles)) / max(1, len(angles))
    return steps + np.angle(np.exp(1j * (angles - steps)).sum())


def _radial_label(axis: Any, text: str, at: np.ndarray, angle: float) -> None:
    """A name that points away from the middle, never upside down."""
    degrees = np.degrees(angle) % 360
    on_the_left = 90 < degrees < 270
    axis.text(
        *at,
        plain(text),
        rotation=degrees - 180 if on_the_left else degrees,
        rotation_mode="anchor",
        ha="right" if on_the_left else "left",
        va="center",
        fontsize=6.5,
    )
