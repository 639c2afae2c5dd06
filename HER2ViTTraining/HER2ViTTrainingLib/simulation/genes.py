"""RNA counts of simulated patients."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from .case_key import CaseKey
from .hidden import draw_hidden

_HUBS = "CTLA4 CD4 CD8A CCR7 CD27 GZMB PRF1 IL7R FCGR3A CD69"
_T_CELLS = "CD3D CD3E CD3G CD2 CD5 CD28 CD40LG ICOS LCK ZAP70 PDCD1 SELL CD8B"
_CYTOKINES = "CCL5 CCL19 CXCL9 CXCL10 CXCR3 CXCR6 CCR2 CCR5 IFNG IL2RA IL2RB IL2RG"
_ANTIGENS = "HLA-DRA HLA-DPA1 HLA-DPB1 HLA-DQA1 CD74 CIITA KLRD1 ITGAL IL12RB1 IL18RAP"
GENE_LOG2_FOLD_CHANGES = {
    "ERBB2": 3.2,
    "GRB7": 2.8,
    "S100A9": 1.6,
    "SCUBE2": -2.0,
    **dict.fromkeys(_HUBS.split(), 1.4),
    **dict.fromkeys(_T_CELLS.split(), 1.2),
    **dict.fromkeys(_CYTOKINES.split(), 1.2),
    **dict.fromkeys(_ANTIGENS.split(), 1.1),
}
"""True log2 fold changes of expression in HER2-positive tumours against the others; every other gene's is 0.
"""

GENE_COUNT = 2000
_GENE_SEED = 20250
_UNCHANGED_FAMILIES = {
    "PSMA": 7,
    "PSMB": 7,
    "PSMC": 6,
    "PSMD": 14,
    "NDUFA": 13,
    "NDUFB": 11,
    "NDUFS": 8,
    "EXOSC": 10,
    "SRSF": 11,
    "MRPL": 24,
    "MAPK": 14,
    "TAF": 13,
    "FZD": 10,
    "CLDN": 12,
    "DUSP": 10,
    "ADCY": 9,
    "ITGA": 11,
    "ORC": 6,
    "RFC": 5,
    "PEX": 7,
    "ABCC": 6,
    "FGF": 14,
    "COPS": 8,
    "LSM": 8,
    "VAMP": 5,
    "BMP": 8,
    "CDK": 10,
    "DVL": 3,
    "NOTCH": 4,
    "JAK": 3,
    "SMAD": 7,
}
"""Families of real gene symbols, numbered from 1, that fill the universe of annotated genes; the rest are
GENE0001 and so on.
"""


@lru_cache(maxsize=1)
def genes() -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Names, mean counts, dispersions and log2 fold changes (positive against the rest) of all genes; the
    same in every cohort.
    """
    changed = list(GENE_LOG2_FOLD_CHANGES)
    families = [
        f"{family}{number}" for family, count in _UNCHANGED_FAMILIES.items() for number in range(1, count + 1)
    ]
    named = changed + families
    names = named + [f"GENE{number:04d}" for number in range(1, GENE_COUNT - len(named) + 1)]
    rng = np.random.default_rng(_GENE_SEED)
    means = np.exp(rng.normal(5.0, 1.4, GENE_COUNT))
    means[: len(changed)] = np.exp(rng.normal(5.5, 0.5, len(changed)))
    # The usual trend: dispersion falls with expression towards a floor, with scatter about it.
    dispersions = (0.15 + 2.0 / means) * np.exp(rng.normal(0, 0.3, GENE_COUNT))
    changes = np.array([GENE_LOG2_FOLD_CHANGES.get(name, 0.0) for name in names])
    return tuple(names), means, dispersions, changes


def draw_counts(key: CaseKey) -> np.ndarray:
    """RNA counts (genes,) int64 of a case: negative binomial, with the case's own sequencing depth."""
    status, _ = draw_hidden(key)
    _, means, dispersions, changes = genes()
    rng = key.stream("counts")
    depth = math.exp(0.25 * rng.standard_normal())
    expected = means * depth * 2.0 ** (changes * (status == "positive"))
    return rng.poisson(rng.gamma(1 / dispersions, expected * dispersions))
