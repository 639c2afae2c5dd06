"""Radiogenomics: genes expressed differently between two groups, the gene sets they are over-represented in,
and the hubs among their proteins.

Counts -> DESeq2 (pydeseq2) -> differentially expressed genes (DEGs) -> over-representation in gene sets, hubs
of the interaction network. Everything from the given files; nothing is looked up.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from HER2ViTLib.messages import InputError

from .enrichment import Enrichment, over_representation
from .expression import Expression, Thresholds, differential_expression, differentially_expressed
from .files import Counts, Groups, read_counts, read_groups
from .gene_sets import GeneSets, Interactions, read_gene_sets, read_interactions
from .hubs import Network, network

DEFAULT_THRESHOLDS = Thresholds()


@dataclass(frozen=True)
class Radiogenomics:
    """The whole analysis with its inputs; `degs` are rows of the expression's table, the smallest adjusted p
    first.
    """

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
        """Number of DEGs with a higher expression in the other group than in the reference."""
        return int((self.degs["log2FoldChange"] > 0).sum())


def analyse(
    counts: str | os.PathLike,
    groups: str | os.PathLike,
    reference: str = "low",
    gene_sets: Sequence[str | os.PathLike] = (),
    interactions: str | os.PathLike | None = None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> Radiogenomics:
    """Reads and checks all files, then compares the groups. Raises `InputError` for thresholds out of range
    and as the readers of `files` and `gene_sets` do.
    """
    if not 0 < thresholds.alpha < 1 or not 0 <= thresholds.lfc < math.inf:
        raise InputError(
            f"--alpha {thresholds.alpha} --lfc {thresholds.lfc}: alpha must lie between 0 and 1, lfc must not"
            " be negative"
        )
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
            raise InputError(
                f"{one.path}: {names.count(one.source)} gene-set files are named {one.source}; rename one, or"
                " give it once"
            )
