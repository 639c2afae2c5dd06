"""Over-representation of gene sets among the changed genes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from scipy.stats import false_discovery_control, hypergeom

from .gene_sets import GeneSets

ORA_COLUMNS = ("source", "term", "overlap", "set_size", "p", "padj", "genes")
SET_SIZES = (10, 500)
"""Genes of the universe that a set must hold to be tested: clusterProfiler's defaults."""


# Over-representation


@dataclass(frozen=True)
class Enrichment:
    """Over-representation in the sets of one source: rows of ora.csv, smallest p first; `universe` and
    `drawn` are the numbers of tested genes and of DEGs that the source annotates.
    """

    sets: GeneSets
    universe: int
    drawn: int
    rows: tuple[Mapping[str, Any], ...]


def over_representation(degs: Collection[str], tested: Collection[str], sets: GeneSets) -> Enrichment:
    """One-sided hypergeometric test of every set, as clusterProfiler's `enricher` (Yu et al., OMICS
    2012;16:284) with `universe` = tested genes.

    The universe are the tested genes that the source annotates; sets are cut down to it and kept with 10 to
    500 genes; p is the chance to draw as many of a set's genes, or more, among the annotated DEGs;
    Benjamini-Hochberg over the source's sets that hold a DEG (the others are not tested there either, nor
    listed).
    """
    universe = sets.annotated & set(tested)
    drawn = universe & set(degs)
    held = {term: genes & universe for term, genes in sets.genes_of.items()}
    least, most = SET_SIZES
    chosen = {term: genes for term, genes in held.items() if least <= len(genes) <= most and genes & drawn}
    hits = {term: sorted(genes & drawn) for term, genes in chosen.items()}
    p = [
        float(hypergeom.sf(len(hits[term]) - 1, len(universe), len(genes), len(drawn)))
        for term, genes in chosen.items()
    ]
    adjusted = false_discovery_control(p).tolist() if p else []
    rows = [
        dict(
            zip(
                ORA_COLUMNS,
                (sets.source, term, len(hits[term]), len(genes), p_term, p_adjusted, "/".join(hits[term])),
            )
        )
        for (term, genes), p_term, p_adjusted in zip(chosen.items(), p, adjusted)
    ]
    return Enrichment(
        sets, len(universe), len(drawn), tuple(sorted(rows, key=lambda row: (row["p"], row["term"])))
    )
