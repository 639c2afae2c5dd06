"""Differential expression with DESeq2's method."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydeseq2.dds import DeseqDataSet
from pydeseq2.ds import DeseqStats

from HER2ViTLib.messages import InputError

from .files import Counts, Groups

DESEQ2_COLUMNS = ("gene", "baseMean", "log2FoldChange", "lfcSE", "stat", "pvalue", "padj")

MAX_PROCESSES = 4
POOL_PAYS_FROM_GENES = 3000
"""Processes take seconds to start: fewer genes are fitted sooner without."""


@dataclass(frozen=True)
class Thresholds:
    """A gene is differentially expressed when adjusted p < alpha and |log2 fold change| > lfc."""

    alpha: float = 0.05
    lfc: float = 1.0


@dataclass(frozen=True)
class Expression:
    """What DESeq2 found. `table` has a row per gene of the counts, by gene, with the columns of deseq2.csv;
    `log2_counts` (genes, cases) are log2(normalised count + 1) of the genes with reads, the reference group's
    cases first.

    `outliers` is the number of genes whose p value Cook's distance took away, `replaced` of those refitted
    with outlying counts replaced.
    """

    table: pd.DataFrame
    log2_counts: pd.DataFrame
    size_factors: Mapping[str, float]
    trend: str
    replaced: int
    outliers: int
    notes: tuple[str, ...]


def differential_expression(counts: Counts, groups: Groups, alpha: float = 0.05) -> Expression:
    """DESeq2 (Love, Huber & Anders, Genome Biology 2014;15:550) of the other group against the reference;
    positive = up in the other.

    Genes without a read in these cases are dropped first. Then R's defaults: median-of-ratios size factors,
    parametric dispersion trend, Cook's outliers replaced where a group has 7 cases or more, Wald test;
    independent filtering is tuned for `alpha`. In the table a dropped gene has mean 0 and nothing else; one
    with an outlier that cannot be replaced has no p; one that independent filtering takes away has a p, but
    no adjusted p. Raises `InputError` when every gene has a 0 in some case, so that there are no size
    factors, as in R.

    Where a parametric trend does not fit, pydeseq2 takes the mean dispersion (R: a local regression); that is
    noted. On real tumours the number of genes differed from R's by less than a percent, which is within one
    step of independent filtering: where it cuts hangs on a lowess smoother whose implementations differ, and
    one step is worth up to ten genes.
    """
    frame = _counts_by_group(counts, groups)
    if not (frame > 0).all().any():
        raise InputError(
            f"{counts.path}: every gene has a count of 0 in some case: no size factors; leave out the cases"
            " with the fewest reads"
        )
    cases = frame.index
    is_other = np.array([groups.of_case[case] == groups.other for case in cases], float)
    design = pd.DataFrame({"intercept": 1.0, "other": is_other}, index=cases)
    processes = min(MAX_PROCESSES, os.cpu_count() or 1) if frame.shape[1] >= POOL_PAYS_FROM_GENES else 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = DeseqDataSet(counts=frame, metadata=design, design=design, n_cpus=processes, quiet=True)
        data.deseq2()
        test = DeseqStats(data, contrast=np.array([0.0, 1.0]), alpha=alpha, n_cpus=processes, quiet=True)
        test.summary()
    table = test.results_df[list(DESEQ2_COLUMNS[1:])]
    log2_counts = np.log2(data.layers["normed_counts"] + 1).T
    notes = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    return Expression(
        table=table.reindex(pd.Index(counts.genes, name="gene")).fillna({"baseMean": 0.0}),
        log2_counts=pd.DataFrame(log2_counts, index=frame.columns, columns=cases),
        size_factors=dict(zip(cases, data.obs["size_factors"].astype(float))),
        trend=data.uns["disp_function_type"],
        replaced=int(data.var["refitted"].sum()) if "refitted" in data.var else 0,
        outliers=int(table["pvalue"].isna().sum()),
        notes=tuple(dict.fromkeys(notes)),
    )


def _counts_by_group(counts: Counts, groups: Groups) -> pd.DataFrame:
    """The counts (cases, genes) of the cases in a group, the reference's first, and of the genes with a read
    in any of them.
    """
    positions = [
        n
        for group in (groups.reference, groups.other)
        for n, case in enumerate(counts.cases)
        if groups.of_case.get(case) == group
    ]
    cases = [counts.cases[n] for n in positions]
    frame = pd.DataFrame(counts.values[:, positions].T, index=cases, columns=counts.genes)
    return frame.loc[:, (frame > 0).any()]


def differentially_expressed(table: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """The rows of the genes beyond both thresholds, the smallest adjusted p first."""
    found = table[(table["padj"] < thresholds.alpha) & (table["log2FoldChange"].abs() > thresholds.lfc)]
    return by_significance(found)


def by_significance(table: pd.DataFrame) -> pd.DataFrame:
    """The rows by adjusted p, then p, then gene; those without last."""
    return table.rename_axis("gene").reset_index().sort_values(["padj", "pvalue", "gene"]).set_index("gene")
