"""Whether the score tells more than the size of the lesion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from HER2ViTTrainingLib.stats.estimates import Estimate
from HER2ViTTrainingLib.stats.resampling import Resampling, auc_difference, bootstrap_metrics
from HER2ViTTrainingLib.stats.roc import AucComparison, delong_test

from .inputs import AuditedSet

LARGER = "larger means label 1"
SMALLER = "smaller means label 1"
DELONG = "paired DeLong test"
PAIRED_BOOTSTRAP = "paired bootstrap within models"


@dataclass(frozen=True)
class SizeResult:
    """A size alone against the score, both in the same `n` cases; `left_out` cases have no size.

    `auc` is that of the size as it is. `direction` is the one it has in these very cases, in which
    `comparison` takes it: the score's AUC, which is never flipped, minus the size's.
    """

    n: int
    left_out: int
    auc: Estimate
    direction: str
    comparison: AucComparison
    method: str


def size_alone(audited: AuditedSet, size: str, plan: Resampling) -> SizeResult | None:
    """The size in column `size` against the score; None where the cases with a size lack a class, or in
    out-of-fold sets no model has both.
    """
    known = ~np.isnan(audited.sizes[size])
    cases = audited.cases.part(audited.cases.name, known)
    sizes = audited.sizes[size][known]
    if not cases.labels.any() or cases.labels.all():
        return None
    auc = bootstrap_metrics(cases.labels, sizes, math.nan, plan, cases.patients, cases.models).estimates[
        "auc"
    ]
    if math.isnan(auc.value):
        return None
    directed = -sizes if auc.value < 0.5 else sizes
    if cases.models is None:
        comparison = delong_test(cases.labels, cases.scores, directed)
    else:
        comparison = auc_difference(cases.labels, cases.scores, directed, plan, cases.patients, cases.models)
    return SizeResult(
        n=len(np.unique(cases.case_ids)),
        left_out=len(audited.first) - len(np.unique(cases.case_ids)),
        auc=auc,
        direction=SMALLER if auc.value < 0.5 else LARGER,
        comparison=comparison,
        method=DELONG if cases.models is None else PAIRED_BOOTSTRAP,
    )
