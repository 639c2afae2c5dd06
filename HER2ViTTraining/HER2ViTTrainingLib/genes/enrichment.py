"""Over-representation of gene sets among the changed genes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from scipy.stats import false_discovery_control, hypergeom

from .gene_sets import GeneSets

ORA_COLUMNS = ("source", "term", "overlap", "set_size", "p", "padj", "genes")
SET_SIZES = (10, 500)
"""Least and most genes of the universe that a set must hold to be tested: clusterProfiler's defaults."""


@dataclass(frozen=True)
class Enrichment:
    """Over-representation in the sets of one source: rows of ora.csv, smallest p first; `universe` and
    `drawn` are the numbers of tested genes and of DEGs that the source annotates.
    """

    sets: GeneSets
    universe: int
    drawn: int
    rows: tuple[Mapping[str, Any], ...]

    def significant(self, alpha: float) -> list[str]:
        """The terms whose adjusted p is below `alpha`, smallest p first."""
        return [row["term"] for row in self.rows if row["padj"] < alpha]


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
    least, most = SET_SIZES
    rows: list[dict[str, Any]] = []
    for term, genes in sets.genes_of.items():
        tested_genes = genes & universe
        hits = sorted(tested_genes & drawn)
        size = len(tested_genes)
        if hits and least <= size <= most:
            rows.append(
                {
                    "source": sets.source,
                    "term": term,
                    "overlap": len(hits),
                    "set_size": size,
                    "p": float(hypergeom.sf(len(hits) - 1, len(universe), size, len(drawn))),
                    "genes": "/".join(hits),
                }
            )
    adjusted = false_discovery_control([row["p"] for row in rows]).tolist() if rows else []
    for row, p in zip(rows, adjusted):
        row["padj"] = p
    rows.sort(key=lambda row: (row["p"], row["term"]))
    return Enrichment(sets, len(universe), len(drawn), tuple(rows))
