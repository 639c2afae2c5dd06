"""Radiogenomics: genes expressed differently between two groups, what they stand for, and the hubs among their proteins.

Counts -> DESeq2 (pydeseq2) -> differentially expressed genes (DEGs) -> over-representation in gene sets, hubs of the interaction network.
Everything from the given files; nothing is looked up.
"""

from __future__ import annotations

import itertools
import math
import os
import platform
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from pydeseq2.dds import DeseqDataSet
from pydeseq2.ds import DeseqStats
from scipy.stats import false_discovery_control, hypergeom

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, json_bytes, write_results
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError

from .files import Counts, GeneSets, Groups, Interactions, read_counts, read_gene_sets, read_groups, read_interactions

RESULT_FILES = ("genes.json", "deseq2.csv", "ora.csv", "hubs.csv", "volcano.png", "heatmap.png", "dotplot.png", "network.png")
DESEQ2_COLUMNS = ("gene", "baseMean", "log2FoldChange", "lfcSE", "stat", "pvalue", "padj")
ORA_COLUMNS = ("source", "term", "overlap", "set_size", "p", "padj", "genes")
HUB_COLUMNS = ("gene", "mcc", "degree", "rank")
SET_SIZES = (10, 500)
"""Genes of the universe that a set must hold to be tested: clusterProfiler's defaults."""

TOP_HUBS = 10
MOST_CLIQUES = 1_000_000
"""Maximal cliques that are counted: their number can grow exponentially with the network (3^(n/3), Moon & Moser 1965)."""

MOST_PROCESSES = 4
POOL_PAYS_FROM_GENES = 3000


# Differential expression


@dataclass(frozen=True)
class Thresholds:
    """A gene is differentially expressed when adjusted p < alpha and |log2 fold change| > lfc."""

    alpha: float = 0.05
    lfc: float = 1.0


@dataclass(frozen=True)
class Expression:
    """What DESeq2 found. `table` has a row per gene of the counts, by gene, with the columns of deseq2.csv; `log2_counts` (genes, cases) are
    log2(normalised count + 1) of the genes with reads, the reference group's cases first.

    `outliers` is the number of genes whose p value Cook's distance took away, `replaced` of those refitted with outlying counts replaced.
    """

    table: pd.DataFrame
    log2_counts: pd.DataFrame
    size_factors: Mapping[str, float]
    trend: str
    replaced: int
    outliers: int
    notes: tuple[str, ...]


def differential_expression(counts: Counts, groups: Groups, alpha: float = 0.05) -> Expression:
    """DESeq2 (Love, Huber & Anders, Genome Biology 2014;15:550) of the other group against the reference; positive = up in the other.

    Genes without a read in these cases are dropped first. Then R's defaults: median-of-ratios size factors, parametric dispersion trend,
    Cook's outliers replaced where a group has 7 cases or more, Wald test; independent filtering is tuned for `alpha`. In the table a dropped
    gene has mean 0 and nothing else; one with an outlier that cannot be replaced has no p; one that independent filtering takes away has a p,
    but no adjusted p. Raises `InputError` when every gene has a 0 in some case, so that there are no size factors, as in R.

    Where a parametric trend does not fit, pydeseq2 takes the mean dispersion (R: a local regression); that is noted. On real tumours the
    number of genes differed from R's by less than a percent, which is within one step of independent filtering: where it cuts hangs on a
    lowess smoother whose implementations differ, and one step is worth up to ten genes.
    """
    of_case = groups.of_case
    cases = [case for group in (groups.reference, groups.other) for case in counts.cases if of_case.get(case) == group]
    position = {case: n for n, case in enumerate(counts.cases)}
    frame = pd.DataFrame(counts.values[:, [position[case] for case in cases]].T, index=cases, columns=counts.genes)
    frame = frame.loc[:, (frame > 0).any()]
    if not (frame > 0).all().any():
        raise InputError(f"{counts.path}: every gene has a count of 0 in some case: no size factors; leave out the cases with the fewest reads")
    is_other = np.array([of_case[case] == groups.other for case in cases], float)
    design = pd.DataFrame({"intercept": 1.0, "other": is_other}, index=cases)
    processes = min(MOST_PROCESSES, os.cpu_count() or 1) if frame.shape[1] >= POOL_PAYS_FROM_GENES else 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = DeseqDataSet(counts=frame, metadata=design, design=design, n_cpus=processes, quiet=True)
        data.deseq2()
        test = DeseqStats(data, contrast=np.array([0.0, 1.0]), alpha=alpha, n_cpus=processes, quiet=True)
        test.summary()
    table = test.results_df[list(DESEQ2_COLUMNS[1:])]
    return Expression(
        table=table.reindex(pd.Index(counts.genes, name="gene")).fillna({"baseMean": 0.0}),
        log2_counts=pd.DataFrame(np.log2(data.layers["normed_counts"] + 1).T, index=frame.columns, columns=cases),
        size_factors=dict(zip(cases, data.obs["size_factors"].astype(float))),
        trend=data.uns["disp_function_type"],
        replaced=int(data.var["refitted"].sum()) if "refitted" in data.var else 0,
        outliers=int(table["pvalue"].isna().sum()),
        notes=tuple(dict.fromkeys(str(warning.message) for warning in caught if issubclass(warning.category, UserWarning))),
    )


def differentially_expressed(table: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """The rows of the genes beyond both thresholds, the smallest adjusted p first."""
    found = table[(table["padj"] < thresholds.alpha) & (table["log2FoldChange"].abs() > thresholds.lfc)]
    return by_significance(found)


def by_significance(table: pd.DataFrame) -> pd.DataFrame:
    """The rows by adjusted p, then p, then gene; those without last."""
    return table.rename_axis("gene").reset_index().sort_values(["padj", "pvalue", "gene"]).set_index("gene")


# Over-representation


@dataclass(frozen=True)
class Enrichment:
    """Over-representation in the sets of one source: rows of ora.csv, smallest p first; `universe` and `drawn` are the numbers of tested genes
    and of DEGs that the source annotates."""

    sets: GeneSets
    universe: int
    drawn: int
    rows: tuple[Mapping[str, Any], ...]


def over_representation(degs: Collection[str], tested: Collection[str], sets: GeneSets) -> Enrichment:
    """One-sided hypergeometric test of every set, as clusterProfiler's `enricher` (Yu et al., OMICS 2012;16:284) with `universe` = tested genes.

    The universe are the tested genes that the source annotates; sets are cut down to it and kept with 10 to 500 genes; p is the chance to draw
    as many of a set's genes, or more, among the annotated DEGs; Benjamini-Hochberg over the source's sets that hold a DEG (the others are
    not tested there either, nor listed).
    """
    universe = sets.annotated & set(tested)
    drawn = universe & set(degs)
    held = {term: genes & universe for term, genes in sets.genes_of.items()}
    least, most = SET_SIZES
    chosen = {term: genes for term, genes in held.items() if least <= len(genes) <= most and genes & drawn}
    hits = {term: sorted(genes & drawn) for term, genes in chosen.items()}
    p = [float(hypergeom.sf(len(hits[term]) - 1, len(universe), len(genes), len(drawn))) for term, genes in chosen.items()]
    adjusted = false_discovery_control(p).tolist() if p else []
    rows = [
        dict(zip(ORA_COLUMNS, (sets.source, term, len(hits[term]), len(genes), p_term, p_adjusted, "/".join(hits[term]))))
        for (term, genes), p_term, p_adjusted in zip(chosen.items(), p, adjusted)
    ]
    return Enrichment(sets, len(universe), len(drawn), tuple(sorted(rows, key=lambda row: (row["p"], row["term"]))))


# Hubs


@dataclass(frozen=True)
class Network:
    """The interactions among the DEGs. `rows` of hubs.csv by rank; `cliques` maximal cliques were counted, all there are when `complete`."""

    graph: nx.Graph
    rows: tuple[Mapping[str, Any], ...]
    cliques: int
    complete: bool

    @property
    def hubs(self) -> tuple[str, ...]:
        """The ten genes (or fewer) with the highest MCC; genes without interaction are none."""
        return tuple(row["gene"] for row in self.rows[:TOP_HUBS] if row["degree"])


def network(degs: Collection[str], interactions: Interactions, most_cliques: int = MOST_CLIQUES) -> Network:
    """The network of the DEGs that the edge list names, ranked by Maximal Clique Centrality.

    Equal MCC is an equal rank (1, 2, 2, 4); within it genes are listed by degree, then by name, which also settles who is among the ten.
    """
    graph = nx.Graph()
    graph.add_nodes_from(sorted(set(degs) & set(interactions.graph)))
    graph.add_edges_from(sorted(tuple(sorted(edge)) for edge in interactions.graph.subgraph(graph.nodes).edges))
    centrality, cliques, complete = maximal_clique_centrality(graph, most_cliques)
    ordered = sorted(graph, key=lambda gene: (-centrality[gene], -graph.degree[gene], gene))
    above: dict[int, int] = {}
    for place, gene in enumerate(ordered, start=1):
        above.setdefault(centrality[gene], place)
    rows = [{"gene": gene, "mcc": centrality[gene], "degree": graph.degree[gene], "rank": above[centrality[gene]]} for gene in ordered]
    return Network(graph, tuple(rows), cliques, complete)


def maximal_clique_centrality(graph: nx.Graph, most_cliques: int = MOST_CLIQUES) -> tuple[dict[str, int], int, bool]:
    """MCC of every node (cytoHubba: Chin et al., BMC Systems Biology 2014;8(Suppl 4):S11), exact however large; the cliques counted; whether
    those are all.

    MCC(v) sums (|C| - 1)! over the maximal cliques C that hold v: the degree where no two neighbours touch. An isolated node has 0. After
    `most_cliques` the count ends and the values are lower bounds; always the same, for the same graph.
    """
    nodes = sorted(graph)
    # Numbers, not names: the order of a set of texts, and with it where the count ends, changes from process to process.
    numbered = nx.Graph()
    numbered.add_nodes_from(range(len(nodes)))
    number = {node: n for n, node in enumerate(nodes)}
    numbered.add_edges_from(sorted((number[first], number[second]) for first, second in graph.edges))
    found, sums = 0, [0] * len(nodes)
    cliques = nx.find_cliques(numbered)
    for clique in itertools.islice(cliques, most_cliques):
        found += 1
        if len(clique) > 1:
            weight = math.factorial(len(clique) - 1)
            for node in clique:
                sums[node] += weight
    complete = found < most_cliques or next(cliques, None) is None
    return dict(zip(nodes, sums)), found, complete


# The analysis


@dataclass(frozen=True)
class Radiogenomics:
    """The whole analysis with its inputs; `degs` are rows of the expression's table, the smallest adjusted p first."""

    counts: Counts
    groups: Groups
    thresholds: Thresholds
    expression: Expression
    degs: pd.DataFrame
    enrichments: tuple[Enrichment, ...]
    interactions: Interactions | None
    network: Network | None

    @property
    def cases(self) -> dict[str, int]:
        """Number of cases by group, the reference first."""
        members = list(self.groups.of_case.values())
        return {group: members.count(group) for group in (self.groups.reference, self.groups.other)}

    @property
    def up(self) -> int:
        return int((self.degs["log2FoldChange"] > 0).sum())


def analyse(
    counts: str | os.PathLike,
    groups: str | os.PathLike,
    reference: str = "low",
    gene_sets: Sequence[str | os.PathLike] = (),
    interactions: str | os.PathLike | None = None,
    thresholds: Thresholds = Thresholds(),
) -> Radiogenomics:
    """Reads and checks all files, then compares the groups. Raises `InputError` for thresholds out of range and as the readers of `gene_files` do."""
    if not 0 < thresholds.alpha < 1 or not 0 <= thresholds.lfc < math.inf:
        raise InputError(f"--alpha {thresholds.alpha} --lfc {thresholds.lfc}: alpha must lie between 0 and 1, lfc must not be negative")
    table = read_counts(counts)
    members = read_groups(groups, table, reference)
    sets = [read_gene_sets(path, table) for path in gene_sets]
    _require_distinct_sources(sets)
    edges = None if interactions is None else read_interactions(interactions, table)
    expression = differential_expression(table, members, thresholds.alpha)
    degs = differentially_expressed(expression.table, thresholds)
    tested = expression.table.index[expression.table["pvalue"].notna()]
    return Radiogenomics(
        counts=table,
        groups=members,
        thresholds=thresholds,
        expression=expression,
        degs=degs,
        enrichments=tuple(over_representation(degs.index, tested, one) for one in sets),
        interactions=edges,
        network=None if edges is None else network(degs.index, edges),
    )


def _require_distinct_sources(sets: Sequence[GeneSets]) -> None:
    names = [one.source for one in sets]
    for one in sets:
        if names.count(one.source) > 1:
            raise InputError(f"{one.path}: {names.count(one.source)} gene-set files are named {one.source}; rename one, or give it once")


def notes(analysis: Radiogenomics) -> list[str]:
    """What the reader of the results must know, a line each."""
    expression, found = analysis.expression, analysis.network
    lines = [f"DESeq2: {note}" for note in expression.notes]
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
        lines.append(f"hubs are bounded: the count ended after {found.cliques} maximal cliques; MCC values are lower bounds and ranks may change")
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
    """`genes.json`: versions and SHA-256 of all inputs, cases, thresholds, what was dropped where, and why."""
    expression, table, found = analysis.expression, analysis.expression.table, analysis.network
    inputs = [("counts", analysis.counts), ("groups", analysis.groups), *(("gene sets", one.sets) for one in analysis.enrichments)]
    inputs += [("interactions", analysis.interactions)] if analysis.interactions else []
    tested = table["pvalue"].notna()
    return {
        "notice": RESEARCH_NOTICE,
        "versions": {
            "her2vit": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("pydeseq2", "networkx", "scipy", "pandas", "numpy")},
        },
        "inputs": [{"role": role, "sha256": file.sha256} for role, file in inputs],
        "contrast": f"{analysis.groups.other} against {analysis.groups.reference}; positive log2 fold change = up in {analysis.groups.other}",
        "cases": analysis.cases,
        "cases_without_group": len(analysis.counts.cases) - len(analysis.groups.of_case),
        "thresholds": {"alpha": analysis.thresholds.alpha, "lfc": analysis.thresholds.lfc, "rule": "padj < alpha and |log2FoldChange| > lfc"},
        "genes": {
            "counted": len(table),
            "without_reads": int(table["log2FoldChange"].isna().sum()),
            "without_p_outlier": expression.outliers,
            "outliers_replaced": expression.replaced,
            "tested": int(tested.sum()),
            "independently_filtered": int((tested & table["padj"].isna()).sum()),
            "differentially_expressed": len(analysis.degs),
            "up": analysis.up,
            "down": len(analysis.degs) - analysis.up,
        },
        "deseq2": {
            "test": "Wald, two-sided",
            "dispersion_trend": expression.trend,
            "independent_filtering_alpha": analysis.thresholds.alpha,
            "size_factors": expression.size_factors,
        },
        "over_representation": [
            {
                "source": one.sets.source,
                "test": "hypergeometric, upper tail; Benjamini-Hochberg over the source's tested sets",
                "terms": len(one.sets.genes_of),
                "set_sizes": list(SET_SIZES),
                "universe": one.universe,
                "differentially_expressed": one.drawn,
                "tested": len(one.rows),
                "significant": sum(row["padj"] < analysis.thresholds.alpha for row in one.rows),
            }
            for one in analysis.enrichments
        ],
        "hubs": found
        and {
            "method": "Maximal Clique Centrality",
            "genes": len(found.graph),
            "interactions": found.graph.number_of_edges(),
            "without_interaction": nx.number_of_isolates(found.graph),
            "not_in_edge_list": len(analysis.degs) - len(found.graph),
            "cliques": found.cliques,
            "bounded": not found.complete,
            "top": list(found.hubs),
        },
        "notes": notes(analysis),
    }


def genes_text(analysis: Radiogenomics, shown: int = 8) -> str:
    """The result in plain lines, for the screen."""
    reference, other = analysis.groups.reference, analysis.groups.other
    cases, degs, found, limits = analysis.cases, analysis.degs, analysis.network, analysis.thresholds
    lines = [
        f"{other} ({cases[other]}) against {reference} ({cases[reference]}): {len(degs)} genes at adjusted p < {limits.alpha:g} and "
        f"|log2 fold change| > {limits.lfc:g}; {analysis.up} up, {len(degs) - analysis.up} down in {other}"
    ]
    top = [f"{gene} {row['log2FoldChange']:+.1f}" for gene, row in degs.head(shown).iterrows()]
    lines += [f"smallest p: {', '.join(top)}"] if top else []
    for one in analysis.enrichments:
        significant = [row["term"] for row in one.rows if row["padj"] < limits.alpha]
        lines.append("; ".join([f"{one.sets.source}: {len(significant)} of {len(one.rows)} sets over-represented", *significant[:3]]))
    if found:
        lines.append(f"network: {len(found.graph)} genes, {found.graph.number_of_edges()} interactions; hubs: {', '.join(found.hubs) or 'none'}")
    return "\n".join([*lines, *notes(analysis), RESEARCH_NOTICE])


def write_analysis(analysis: Radiogenomics, folder: str | os.PathLike, pictures: Mapping[str, bytes]) -> list[str]:
    """Writes the results, with their pictures (name to PNG), into a folder of their own; those of a former run go. Returns the files' names.

    Raises `InputError` when the folder holds anything else.
    """
    rows = by_significance(analysis.expression.table).reset_index().to_dict("records")
    enriched = [row for one in analysis.enrichments for row in one.rows]
    contents = {
        "genes.json": json_bytes(genes_json(analysis)),
        "deseq2.csv": csv_bytes(DESEQ2_COLUMNS, rows),
        **({"ora.csv": csv_bytes(ORA_COLUMNS, enriched)} if analysis.enrichments else {}),
        **({"hubs.csv": csv_bytes(HUB_COLUMNS, analysis.network.rows)} if analysis.network else {}),
        **pictures,
    }
    return write_results(folder, RESULT_FILES, contents)
