"""How the score does in each level of a column: prevalence, performance, calibration; whether the levels
differ; whether the model had seen them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from HER2ViTTrainingLib.evaluation.judging import SetResult
from HER2ViTTrainingLib.stats.calibration import CalibrationLine, calibration_line, wilson
from HER2ViTTrainingLib.stats.estimates import Estimate
from HER2ViTTrainingLib.stats.heterogeneity import Heterogeneity, cochran_q
from HER2ViTTrainingLib.stats.resampling import Resampling, auc_of_weights, bootstrap

from .inputs import AuditedSet

MIN_CLASS_PATIENTS = 5
"""Of a class: the AUC of fewer is shown but does not enter the test of heterogeneity."""
FITTED_SETS = ("training", "validation")
"""Sets on which weights, or threshold and calibration, were fixed, as `train` calls them."""


@dataclass(frozen=True)
class LevelResult:
    """One level: `n` cases, `positive` of them, the share with Wilson's interval; `result` as `evaluate`
    judges it. `predicted` is the mean probability and `line` the calibration, NaN and None where scores are
    no calibrated probabilities. `seen`: whether cases of the level were in the model's training, None where
    the file does not say.
    """

    level: str
    n: int
    positive: int
    prevalence: Estimate
    result: SetResult
    predicted: float
    line: CalibrationLine | None
    seen: bool | None


@dataclass(frozen=True)
class SubgroupResult:
    """All levels of a column; the test whether their AUCs differ, None where fewer than two levels can be
    compared; `left_out` of it, with the reason, by level.
    """

    levels: tuple[LevelResult, ...]
    heterogeneity: Heterogeneity | None
    left_out: Mapping[str, str]


def subgroup_result(
    audited: AuditedSet,
    column: str,
    results: Mapping[str, SetResult],
    others: Sequence[AuditedSet],
    plan: Resampling,
) -> SubgroupResult:
    """The levels of a column, given their `results` of `evaluate`; `others` are all sets of the file, which
    tell what the model was trained on.
    """
    names = audited.levels(column)
    found = tuple(_level_result(audited, column, name, results[name], others) for name in names)
    values = []
    variances = []
    left_out = {}
    for name in names:
        why, variance = _auc_variance(results[name], plan)
        if why:
            left_out[name] = why
        else:
            values.append(results[name].metrics.estimates["auc"].value)
            variances.append(variance)
    test = cochran_q(np.array(values), np.array(variances)) if len(values) > 1 else None
    return SubgroupResult(found, test, left_out)


def _auc_variance(result: SetResult, plan: Resampling) -> tuple[str, float]:
    """Why the level cannot be compared, empty where it can; the bootstrap variance of its AUC."""
    cases = result.cases
    patients = cases.case_ids if cases.patients is None else cases.patients
    sides = (patients[cases.labels], patients[~cases.labels])
    if min(len(np.unique(side)) for side in sides) < MIN_CLASS_PATIENTS:
        return f"fewer than {MIN_CLASS_PATIENTS} patients of a class", math.nan
    if math.isnan(result.metrics.estimates["auc"].value):
        return "no model scored both classes", math.nan
    area = auc_of_weights(cases.labels, cases.scores, cases.models)
    resampled, _ = bootstrap(lambda weights: area(weights)[:, None], cases.labels, plan, patients)
    variance = float(np.nanvar(resampled, ddof=1)) if np.isfinite(resampled).sum() > 1 else math.nan
    # An AUC of 1 or 0 is the same in every resample: it would weigh infinitely.
    return ("" if variance > 0 else "its AUC does not vary in resamples"), variance


def _level_result(
    audited: AuditedSet, column: str, level: str, result: SetResult, others: Sequence[AuditedSet]
) -> LevelResult:
    cases = audited.cases
    chosen = (cases.subgroups[column] == level)[audited.first]
    labels = cases.labels[audited.first][chosen]
    n = len(labels)
    positive = int(labels.sum())
    predicted = math.nan
    line = None
    if cases.are_probabilities:
        scores = audited.mean_by_case(cases.scores)[chosen]
        predicted = float(scores.mean())
        line = calibration_line(labels, scores)
    seen = _seen(audited, column, level, others)
    return LevelResult(level, n, positive, wilson(positive, n), result, predicted, line, seen)


def _seen(audited: AuditedSet, column: str, level: str, others: Sequence[AuditedSet]) -> bool | None:
    """Whether the model that scored a level's cases was trained on others of that level.

    Out-of-fold: unless all of them were held out together, from one model for each seed. Else by the values
    that the training and validation sets of the same file hold.
    """
    cases = audited.cases
    chosen = cases.subgroups[column] == level
    if cases.models is not None:
        seeds = np.unique(cases.case_ids, return_counts=True)[1].max()
        return bool(len(np.unique(cases.models[chosen])) > seeds)
    fitted = [one.values[column] for one in others if one.cases.name in FITTED_SETS]
    if not fitted:
        return None
    return bool(np.isin(audited.values[column][chosen], np.concatenate(fitted)).any())
