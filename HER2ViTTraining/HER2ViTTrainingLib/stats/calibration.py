"""Whether probabilities are right: Platt scaling, calibration line and groups; and what they are worth: the
decision curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from HER2ViTLib.model.operating_point import wilson_interval

from .estimates import Z_95, Estimate
from .resampling import is_probability
from .roc import class_sizes

if TYPE_CHECKING:  # the bundle brings torch, which evaluating does not need
    from HER2ViTLib.model.calibration import Calibration


EXTREME_PROBABILITY = 1e-6
"""Probabilities of 0 and 1 count as this and 1 less this: their logits are infinite."""

# Calibration


@dataclass(frozen=True)
class CalibrationLine:
    """Cox's recalibration of probabilities: `slope` of the outcome's logit on the probability's, and
    `intercept` with the slope held at 1.

    Slope 1 and intercept 0 are perfect; slope < 1 means too extreme probabilities, intercept < 0 too high
    ones (calibration-in-the-large). `offset` is the intercept that belongs to `slope`, for drawing the curve.
    """

    slope: Estimate
    intercept: Estimate
    offset: float


def calibration_line(labels: np.ndarray, scores: np.ndarray) -> CalibrationLine | None:
    """Calibration slope and intercept (Cox 1958; Van Calster et al., BMC Med 2019) with Wald intervals; None
    where they do not exist.

    They do not for scores that are no probabilities, are all the same, or separate the classes. Probabilities
    of 0 and 1, whose logit is infinite, count as 1e-6 and 1 - 1e-6.
    """
    labels = np.asarray(labels, bool)
    if not is_probability(scores) or labels.all() or not labels.any():
        return None
    x = logit(scores)
    # Of the logits, not the scores: below 1e-6 scores that differ have the same.
    positives = x[labels]
    negatives = x[~labels]
    if negatives.max() <= positives.min() or positives.max() <= negatives.min():
        return None
    offset, slope, variance_of_slope = _logistic_line(x, labels)
    (intercept,), variance = logistic_fit(np.ones((len(x), 1)), labels, x)
    return CalibrationLine(wald(slope, variance_of_slope), wald(intercept, variance[0, 0]), offset)


def logit(probabilities: np.ndarray) -> np.ndarray:
    """Log odds of probabilities, kept finite."""
    inside = np.clip(probabilities, EXTREME_PROBABILITY, 1 - EXTREME_PROBABILITY)
    return np.log(inside / (1 - inside))


def wald(value: float, variance: float) -> Estimate:
    """A coefficient with Wald's interval, from its variance."""
    reach = Z_95 * math.sqrt(variance)
    return Estimate(float(value), float(value - reach), float(value + reach))


def logistic_fit(
    design: np.ndarray, targets: np.ndarray, offset: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Maximum-likelihood coefficients (k,) and their covariance (k, k) of a logistic regression, by Newton's
    method with halved steps.

    `design` (n, k), `targets` (n,) in 0-1. Raises `ValueError` when there is no finite optimum.
    """

    def likelihood(coefficients: np.ndarray) -> float:
        line = offset + design @ coefficients
        return float((targets * line - np.logaddexp(0, line)).sum())

    coefficients = np.zeros(design.shape[1])
    for _ in range(100):
        fitted = 1 / (1 + np.exp(-np.clip(offset + design @ coefficients, -500, 500)))
        information = (design * (fitted * (1 - fitted))[:, None]).T @ design
        step = np.linalg.solve(information, design.T @ (targets - fitted))
        while likelihood(coefficients + step) < likelihood(coefficients) and np.abs(step).max() > 1e-9:
            step = step / 2
        coefficients = coefficients + step
        if np.abs(step).max() <= 1e-9 * (1 + np.abs(coefficients).max()):
            return coefficients, np.linalg.inv(information)
    raise ValueError("the logistic regression has no finite optimum")


def _logistic_line(x: np.ndarray, targets: np.ndarray) -> tuple[float, float, float]:
    """Intercept and slope of the targets' logit on `x` (n,), which must vary, and the slope's variance.

    Fitted on `x` centred and scaled: values close together, or far from 0, would make Newton's equations
    singular.
    """
    mean = x.mean()
    scale = np.ptp(x)
    (intercept, slope), covariance = logistic_fit(
        np.column_stack([np.ones_like(x), (x - mean) / scale]), targets
    )
    return float(intercept - slope * mean / scale), float(slope / scale), float(covariance[1, 1] / scale**2)


def platt_calibration(labels: np.ndarray, logits: np.ndarray) -> Calibration:
    """Platt scaling by maximum likelihood with Platt's smoothed targets (Platt 1999), which keep it finite
    under perfect separation.

    Raises `ValueError` when a class is missing or the slope is not positive (the model ranks the wrong way
    round).
    """
    from HER2ViTLib.model.calibration import Calibration

    labels = np.asarray(labels, bool)
    logits = np.asarray(logits, float)
    positive, negative = class_sizes(labels, "calibration")
    targets = np.where(labels, (positive + 1) / (positive + 2), 1 / (negative + 2))
    slope = 0.0
    intercept = 0.0
    if np.ptp(logits) > 0:
        intercept, slope, _ = _logistic_line(logits, targets)
    if slope <= 0:
        raise ValueError(f"calibration slope {slope:.3g}: the scores rank the classes the wrong way round")
    return Calibration(slope, intercept)


@dataclass(frozen=True)
class CalibrationGroup:
    """Cases of similar probability: how many, their mean probability, the share of positives with its Wilson
    interval.
    """

    n: int
    predicted: float
    observed: Estimate


def calibration_groups(labels: np.ndarray, scores: np.ndarray) -> list[CalibrationGroup]:
    """Up to ten groups between the quantiles of the probabilities, about ten cases or more in each; equal
    probabilities stay together.
    """
    labels = np.asarray(labels, bool)
    count = max(1, min(10, len(scores) // 10))
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, count + 1)))[1:-1]
    group_of = np.searchsorted(edges, scores, side="right")
    groups = [np.flatnonzero(group_of == n) for n in range(len(edges) + 1)]
    return [
        CalibrationGroup(
            len(group), float(scores[group].mean()), wilson(int(labels[group].sum()), len(group))
        )
        for group in groups
        if len(group)
    ]


def wilson(successes: int, n: int) -> Estimate:
    """A share with its score interval (Wilson 1927)."""
    return Estimate(successes / n, *wilson_interval(successes, n))


# Decision curve


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit at each threshold probability (t,): of the model, and of calling every case positive;
    calling none has 0.
    """

    thresholds: np.ndarray
    model: np.ndarray
    everyone: np.ndarray


def decision_curve(labels: np.ndarray, scores: np.ndarray) -> DecisionCurve:
    """Net benefit = TP/n - FP/n * t/(1 - t) at t = 0.01 ... 0.99 (Vickers & Elkin, Med Decis Making 2006).
    `scores` are probabilities.
    """
    labels = np.asarray(labels, bool)
    thresholds = np.arange(1, 100) / 100
    odds = thresholds / (1 - thresholds)

    def called(side: np.ndarray) -> np.ndarray:
        """The share of all cases that are of this class and called positive, at each threshold."""
        below = np.searchsorted(np.sort(scores[side]), thresholds, side="left")
        return (side.sum() - below) / len(labels)

    true = called(labels)
    false = called(~labels)
    return DecisionCurve(thresholds, true - false * odds, labels.mean() - (~labels).mean() * odds)
