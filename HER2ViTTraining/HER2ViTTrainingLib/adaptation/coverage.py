"""What two bundles can tell together: the conformal part, from calibration cases used for nothing else."""

from __future__ import annotations

import numpy as np

from HER2ViTLib.her2 import TWO_STEP, class_probabilities
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import Bundle
from HER2ViTLib.model.conformal import STATUSES, Conformal, StatusCutoff
from HER2ViTTrainingLib.stats.order_statistics import needed_values, rank_of_cutoff, reached_share

from .adapted import adaptations_of
from .local_cases import StatusCases, cases_sha256

COVERAGE_LEVEL = 0.9
"""Of the percentiles: 5th to 95th."""
ROUNDING = 1e-6
"""The readings' scores are rounded to six decimals: a case must not fall below its own cut-off by that."""
TINY = 1e-12
"""A cut-off of 0 stands for too few cases."""


def conformal_cutoffs(
    probabilities: np.ndarray, statuses: np.ndarray, level: float
) -> dict[str, StatusCutoff]:
    """A cut-off for each status from calibration cases: their probabilities (n, 3) of zero, low and positive,
    and their true statuses (n,).

    A status with fewer cases than its rank needs (nine at 0.9) has cut-off 0: it is never excluded.
    """
    found = {}
    for column, status in enumerate(STATUSES):
        own = np.sort(probabilities[statuses == status, column])
        rank = rank_of_cutoff(len(own), level)
        reached = reached_share(len(own), rank, COVERAGE_LEVEL)
        cutoff = max(float(own[rank - 1]) - ROUNDING, TINY) if rank else 0.0
        found[status] = StatusCutoff(cutoff, len(own), reached.low, reached.high)
    return found


def conformal_parts(
    bundles: dict[str, Bundle], cases: StatusCases, level: float, path: object
) -> dict[str, Conformal]:
    """The conformal part of each bundle of the two-step call, by task key (as `bundles`), from the cases.

    Raises `InputError` for cases that a bundle was recalibrated on before, and where no status has enough of
    them.
    """
    known = np.isin(cases.statuses, STATUSES)
    scores = [cases.scores(task.key)[known] for task in TWO_STEP]
    statuses = cases.statuses[known]
    probabilities = np.array(
        [list(class_probabilities(*of_case).values()) for of_case in zip(*scores)]
    ).reshape(-1, len(STATUSES))
    for bundle in bundles.values():
        _require_unused(bundle, cases.of_task(bundle).sha256, path)
    cutoffs = conformal_cutoffs(probabilities, statuses, level)
    needed = needed_values(level)
    if all(of.n < needed for of in cutoffs.values()):
        there = ", ".join(f"{of.n} {status}" for status, of in cutoffs.items())
        raise InputError(
            f"{path}: {there} cases, where a status needs {needed} to be excluded at --coverage {level:g}:"
            f" {needed} of one status would do for that status"
        )
    named = cases_sha256(cases.case_ids[known], statuses)
    first, second = (bundles[task.key] for task in TWO_STEP)
    return {
        first.task.key: Conformal(level, cutoffs, second.scores_sha256, named),
        second.task.key: Conformal(level, cutoffs, first.scores_sha256, named),
    }


def _require_unused(bundle: Bundle, sha256: str, path: object) -> None:
    if sha256 in [one.get("cases_sha256") for one in adaptations_of(bundle.settings)]:
        raise InputError(
            f"{path}: bundle {bundle.name} was recalibrated on these very cases: its coverage would be too"
            " good; give others"
        )


def never_excluded(conformal: Conformal) -> dict[str, int]:
    """The statuses that are never excluded, with their number of calibration cases."""
    return {status: of.n for status, of in conformal.statuses.items() if of.cutoff == 0}
