"""Whether probabilities need to be recalibrated for new cases, and how far: the closed test of Vergouwe et
al. (Stat Med 2017), without model revision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .calibration import logistic_fit, wald
from .estimates import Estimate
from .roc import class_sizes

NOTHING = "nothing"
INTERCEPT = "intercept"
INTERCEPT_AND_SLOPE = "intercept and slope"
ALPHA = 0.05
"""Each test of the closed procedure is made at this level; the procedure as a whole then keeps it."""


@dataclass(frozen=True)
class LikelihoodRatio:
    """A likelihood ratio test of two nested models: `statistic` = twice the difference of their log
    likelihoods, degrees of freedom, p.
    """

    statistic: float
    df: int
    p: float


@dataclass(frozen=True)
class Recalibration:
    """What the closed test chose: `choice` is NOTHING, INTERCEPT or INTERCEPT_AND_SLOPE; the recalibrated
    logit is `slope` x logit + `intercept`. A coefficient that was left alone has no interval.

    `against_original` tests intercept and slope against the model as it is, `against_intercept` against the
    intercept only; the latter is made only where the former rejects, else None.
    """

    choice: str
    slope: Estimate
    intercept: Estimate
    against_original: LikelihoodRatio
    against_intercept: LikelihoodRatio | None


def closed_test(labels: np.ndarray, logits: np.ndarray, alpha: float = ALPHA) -> Recalibration:
    """The least change of a model's logits (n,) that labels (n,) of new cases ask for.

    Intercept and slope are tested against the model as it is (2 degrees of freedom). Not rejected: nothing is
    changed. Rejected: they are tested against the intercept alone (1 degree of freedom); both are changed
    where this rejects too, else the intercept. Intervals are Wald's, 95 %. Cases count as independent.

    Raises `ValueError` when a class is missing, when the logits are all the same or separate the classes (a
    slope has no finite estimate), and when a slope that is not positive is chosen (the model ranks the wrong
    way round).
    """
    labels = np.asarray(labels, bool)
    logits = np.asarray(logits, float)
    class_sizes(labels, "recalibration")
    _require_overlap(labels, logits)
    ones = np.ones((len(logits), 1))
    both, covariance = logistic_fit(np.column_stack([ones, logits]), labels)
    (shift,), variance = logistic_fit(ones, labels, logits)
    likelihood = _log_likelihood(labels, both[0] + both[1] * logits)
    original = _test(likelihood, _log_likelihood(labels, logits), 2)
    if original.p >= alpha:
        return Recalibration(NOTHING, Estimate(1.0), Estimate(0.0), original, None)
    only_intercept = _test(likelihood, _log_likelihood(labels, logits + shift), 1)
    if only_intercept.p >= alpha:
        moved = wald(shift, variance[0, 0])
        return Recalibration(INTERCEPT, Estimate(1.0), moved, original, only_intercept)
    if both[1] <= 0:
        raise ValueError(f"slope {both[1]:.3g}: the scores rank the classes the wrong way round")
    intercept, slope = (wald(value, covariance[n, n]) for n, value in enumerate(both))
    return Recalibration(INTERCEPT_AND_SLOPE, slope, intercept, original, only_intercept)


def _require_overlap(labels: np.ndarray, logits: np.ndarray) -> None:
    if np.ptp(logits) == 0:
        raise ValueError("the scores are all the same: no slope can be estimated")
    positives = logits[labels]
    negatives = logits[~labels]
    if negatives.max() <= positives.min() or positives.max() <= negatives.min():
        raise ValueError("the scores separate the classes: a slope has no finite estimate")


def _log_likelihood(labels: np.ndarray, logits: np.ndarray) -> float:
    return float((labels * logits - np.logaddexp(0, logits)).sum())


def _test(larger: float, smaller: float, df: int) -> LikelihoodRatio:
    """Of the log likelihoods of two nested models that differ in 1 or 2 coefficients."""
    statistic = max(0.0, 2 * (larger - smaller))
    p = math.exp(-statistic / 2) if df == 2 else math.erfc(math.sqrt(statistic / 2))
    return LikelihoodRatio(statistic, df, p)
