"""What the pictures of an evaluation show beside its results: curves and groups of cases. They are computed
here, so that drawing only draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from HER2ViTTrainingLib.stats.calibration import CalibrationGroup, calibration_groups
from HER2ViTTrainingLib.stats.resampling import Resampling, roc_band
from HER2ViTTrainingLib.stats.roc import roc_curve

from .judging import SetResult

MAX_BAND_RESAMPLES = 1000


@dataclass(frozen=True)
class Roc:
    """False and true positive rate (t,) of the score, once for each model that scored both classes; those of
    the other scores by column; the 95 % band (low, high), each (g,), of the true positive rate at false
    positive rates `grid` (g,). Several models have neither others nor a band: the curve of all their scores
    together is none of any model.
    """

    curves: tuple[tuple[np.ndarray, np.ndarray], ...]
    others: Mapping[str, tuple[np.ndarray, np.ndarray]]
    grid: np.ndarray
    band: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True)
class Curves:
    """Of one set: its ROC curves, None where no model scored both classes; its calibration groups, empty
    where the scores are no probabilities.
    """

    roc: Roc | None
    calibration: tuple[CalibrationGroup, ...]


def curves_of(result: SetResult, plan: Resampling) -> Curves:
    """The curves of a set; the band comes from the plan's resamples, `MAX_BAND_RESAMPLES` of them at most."""
    cases = result.cases
    groups = calibration_groups(cases.labels, cases.scores) if result.decision else []
    has_curve = not math.isnan(result.metrics.estimates["auc"].value)
    return Curves(_roc(result, plan) if has_curve else None, tuple(groups))


def _roc(result: SetResult, plan: Resampling) -> Roc:
    cases = result.cases
    grid = np.linspace(0, 1, 101)
    if cases.models is not None:
        return Roc(_model_curves(cases.labels, cases.scores, cases.models), {}, grid, None)
    few = replace(plan, resamples=min(plan.resamples, MAX_BAND_RESAMPLES))
    others = {column: _rates(cases.labels, cases.others[column]) for column in result.comparisons}
    band = roc_band(cases.labels, cases.scores, grid, few, cases.patients)
    return Roc((_rates(cases.labels, cases.scores),), others, grid, band)


def _model_curves(
    labels: np.ndarray, scores: np.ndarray, models: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The curve of each model that scored both classes."""
    found = []
    for model in np.unique(models):
        its = models == model
        if 0 < labels[its].sum() < its.sum():
            found.append(_rates(labels[its], scores[its]))
    return tuple(found)


def _rates(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, false, true = roc_curve(labels, scores)
    return false, true
