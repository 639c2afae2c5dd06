"""The results of a gene analysis: its files, and what is said on the screen."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Any

import networkx as nx

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, json_bytes, write_results
from HER2ViTLib.messages import RESEARCH_NOTICE

from .analysis import Radiogenomics
from .enrichment import ORA_COLUMNS, SET_SIZES, Enrichment
from .expression import DESEQ2_COLUMNS, Expression, by_significance
from .files import Counts
from .hubs import HUB_COLUMNS, Network

RESULT_FILES = (
    "genes.json",
    "deseq2.csv",
    "ora.csv",
    "hubs.csv",
    "volcano.png",
    "heatmap.png",
    "dotplot.png",
    "network.png",
)


def notes(analysis: Radiogenomics) -> list[str]:
    """What the reader of the results must know, a line each."""
    found = analysis.network
    lines = [f"DESeq2: {note}" for note in analysis.expression.notes]
    smallest = min(analysis.cases.values())
    if smallest < 3:
        lines.append(f"the smaller group has {smallest} cases: outliers cannot be told from signal")
    for one in analysis.enrichments:
        lines += _known_notes(one.sets.source, one.sets.annotated, analysis.counts)
        lines += _enrichment_notes(one)
    if analysis.interactions:
        lines += _known_notes("interactions", analysis.interactions.graph, analysis.counts)
    if found and not found.hubs:
        lines.append(f"no hubs: {_why_no_hubs(analysis, found)}")
    if found and not found.complete:
        lines.append(
            f"hubs are bounded: the count ended after {found.cliques} maximal cliques; MCC values are lower"
            " bounds and ranks may change"
        )
    return lines


def _known_notes(name: str, genes: Collection[str], counts: Counts) -> list[str]:
    known = len(set(counts.genes).intersection(genes))
    few = f"{name}: only {known} of its {len(genes)} genes are in the counts"
    return [few] if known < len(genes) / 2 else []


def _enrichment_notes(one: Enrichment) -> list[str]:
    least, most = SET_SIZES
    if not one.universe:
        return [f"{one.sets.source}: no set can be tested, none of its genes is tested for expression"]
    if not one.drawn:
        return [f"{one.sets.source}: no set can be tested, it annotates no differentially expressed gene"]
    if not one.rows:
        held = f"has {least} to {most} tested genes"
        return [f"{one.sets.source}: no set can be tested, none with a differentially expressed gene {held}"]
    return []


def _why_no_hubs(analysis: Radiogenomics, found: Network) -> str:
    if not len(analysis.degs):
        return "no gene is differentially expressed"
    if not len(found.graph):
        return "no differentially expressed gene is in the interactions"
    genes = f"{len(found.graph)} differentially expressed genes in the interactions"
    return f"none of the {genes} interacts with another (every MCC is 0)"


def genes_json(analysis: Radiogenomics) -> dict[str, Any]:
    """`genes.json`: versions, SHA-256 of all inputs, cases, thresholds, what was dropped at each step, and
    why.
    """
    groups = analysis.groups
    thresholds = analysis.thresholds
    packages = ("pydeseq2", "networkx", "scipy", "pandas", "numpy")
    return {
        "notice": RESEARCH_NOTICE,
        "versions": {
            "her2vit": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "inputs": _inputs(analysis),
        "contrast": (
            f"{groups.other} against {groups.reference}; positive log2 fold change = up in {groups.other}"
        ),
        "cases": analysis.cases,
        "cases_without_group": len(analysis.counts.cases) - len(groups.of_case),
        "thresholds": {
            "alpha": thresholds.alpha,
            "lfc": thresholds.lfc,
            "rule": "padj < alpha and |log2FoldChange| > lfc",
        },
        "genes": _numbers_of_genes(analysis),
        "deseq2": _deseq2(analysis.expression, thresholds.alpha),
        "over_representation": [_tested(one, thresholds.alpha) for one in analysis.enrichments],
        "hubs": _hubs(analysis.network, len(analysis.degs)) if analysis.network else None,
        "notes": notes(analysis),
    }


def _inputs(analysis: Radiogenomics) -> list[dict[str, str]]:
    """Role and SHA-256 of every file the analysis has read."""
    inputs = [
        {"role": "counts", "sha256": analysis.counts.sha256},
        {"role": "groups", "sha256": analysis.groups.sha256},
    ]
    inputs += [{"role": "gene sets", "sha256": one.sets.sha256} for one in analysis.enrichments]
    if analysis.interactions:
        inputs.append({"role": "interactions", "sha256": analysis.interactions.sha256})
    return inputs


def _numbers_of_genes(analysis: Radiogenomics) -> dict[str, int]:
    """How many genes are left after each step."""
    table = analysis.expression.table
    tested = table["pvalue"].notna()
    return {
        "counted": len(table),
        "without_reads": int(table["log2FoldChange"].isna().sum()),
        "without_p_outlier": analysis.expression.outliers,
        "outliers_replaced": analysis.expression.replaced,
        "tested": int(tested.sum()),
        "independently_filtered": int((tested & table["padj"].isna()).sum()),
        "differentially_expressed": len(analysis.degs),
        "up": analysis.up,
        "down": len(analysis.degs) - analysis.up,
    }


def _deseq2(expression: Expression, alpha: float) -> dict[str, Any]:
    return {
        "test": "Wald, two-sided",
        "dispersion_trend": expression.trend,
        "independent_filtering_alpha": alpha,
        "size_factors": expression.size_factors,
    }


def _tested(one: Enrichment, alpha: float) -> dict[str, Any]:
    return {
        "source": one.sets.source,
        "test": "hypergeometric, upper tail; Benjamini-Hochberg over the source's tested sets",
        "terms": len(one.sets.genes_of),
        "set_sizes": list(SET_SIZES),
        "universe": one.universe,
        "differentially_expressed": one.drawn,
        "tested": len(one.rows),
        "significant": len(one.significant(alpha)),
    }


def _hubs(found: Network, degs: int) -> dict[str, Any]:
    return {
        "method": "Maximal Clique Centrality",
        "genes": len(found.graph),
        "interactions": found.graph.number_of_edges(),
        "without_interaction": nx.number_of_isolates(found.graph),
        "not_in_edge_list": degs - len(found.graph),
        "cliques": found.cliques,
        "bounded": not found.complete,
        "top": list(found.hubs),
    }


def genes_text(analysis: Radiogenomics, shown: int = 8) -> str:
    """The result in plain lines, for the screen."""
    reference = analysis.groups.reference
    other = analysis.groups.other
    cases = analysis.cases
    degs = analysis.degs
    limits = analysis.thresholds
    lines = [
        f"{other} ({cases[other]}) against {reference} ({cases[reference]}): {len(degs)} genes at adjusted p"
        f" < {limits.alpha:g} and |log2 fold change| > {limits.lfc:g}; {analysis.up} up,"
        f" {len(degs) - analysis.up} down in {other}"
    ]
    top = [f"{gene} {row['log2FoldChange']:+.1f}" for gene, row in degs.head(shown).iterrows()]
    if top:
        lines.append(f"smallest p: {', '.join(top)}")
    for one in analysis.enrichments:
        terms = one.significant(limits.alpha)
        found = f"{one.sets.source}: {len(terms)} of {len(one.rows)} sets over-represented"
        lines.append("; ".join([found, *terms[:3]]))
    if analysis.network:
        graph = analysis.network.graph
        hubs = ", ".join(analysis.network.hubs) or "none"
        lines.append(f"network: {len(graph)} genes, {graph.number_of_edges()} interactions; hubs: {hubs}")
    return "\n".join([*lines, *notes(analysis), RESEARCH_NOTICE])


def write_analysis(
    analysis: Radiogenomics, folder: str | os.PathLike, pictures: Mapping[str, bytes]
) -> list[str]:
    """Writes the results, with their pictures (name to PNG), into a folder of their own; those of a former
    run go. Returns the files' names.

    Raises `InputError` when the folder holds anything else.
    """
    rows = by_significance(analysis.expression.table).reset_index().to_dict("records")
    contents = {
        "genes.json": json_bytes(genes_json(analysis)),
        "deseq2.csv": csv_bytes(DESEQ2_COLUMNS, rows),
    }
    if analysis.enrichments:
        enriched = [row for one in analysis.enrichments for row in one.rows]
        contents["ora.csv"] = csv_bytes(ORA_COLUMNS, enriched)
    if analysis.network:
        contents["hubs.csv"] = csv_bytes(HUB_COLUMNS, analysis.network.rows)
    return write_results(folder, RESULT_FILES, {**contents, **pictures})
