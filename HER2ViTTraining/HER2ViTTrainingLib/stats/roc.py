"""How well a score ranks: AUC, ROC curve, operating point, DeLong intervals and paired DeLong test.

Labels are 0 or 1 per case, a case is called positive when score >= threshold. What a set of cases does not
define is NaN, never 0. Intervals are 95 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .estimates import Z_95, Estimate

# Ranks


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 of values (n,), ties sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[inverse]


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve of `scores` (n,) for `labels` (n,) 0/1, ties counted half (Mann-Whitney).
    Never flipped.

    Raises `ValueError` when a class is missing.
    """
    labels = np.asarray(labels, bool)
    positive, negative = class_sizes(labels, "AUC")
    return float((midranks(scores)[labels].sum() - positive * (positive + 1) / 2) / (positive * negative))


def class_sizes(labels: np.ndarray, what: str) -> tuple[int, int]:
    """How many of the labels (n,) bool are positive, how many negative. Raises `ValueError`, which says what
    needs both classes, when one is missing.
    """
    positive = int(labels.sum())
    if positive in (0, len(labels)):
        raise ValueError(f"{what} needs both classes")
    return positive, len(labels) - positive


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds (t,), descending, from above all scores; false and true positive rate (t,) at each. Raises
    `ValueError` as `auc`.
    """
    labels = np.asarray(labels, bool)
    class_sizes(labels, "the ROC curve")
    thresholds = np.concatenate([[np.inf], np.unique(scores)[::-1]])

    def called(side: np.ndarray) -> np.ndarray:
        """The share of this class that is called positive, at each threshold."""
        return 1 - np.searchsorted(np.sort(scores[side]), thresholds, side="left") / side.sum()

    return thresholds, called(~labels), called(labels)


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold with the sensitivity and specificity it gives; `j` is Youden's index."""

    threshold: float
    sensitivity: float
    specificity: float

    @property
    def j(self) -> float:
        return self.sensitivity + self.specificity - 1


def youden(labels: np.ndarray, scores: np.ndarray) -> OperatingPoint:
    """The observed score that maximises sensitivity + specificity - 1 (Youden 1950), positive = score >=
    threshold.

    Tie: highest sensitivity, then lowest threshold. Raises `ValueError` when a class is missing.
    """
    thresholds, false, true = (values[1:] for values in roc_curve(labels, scores))
    # Sums of fractions differ in the last bit where they are equal: rounding makes such ties ties.
    best = np.lexsort((thresholds, -true, -np.round(true - false, 12)))[0]
    return OperatingPoint(float(thresholds[best]), float(true[best]), float(1 - false[best]))


def youden_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The threshold of `youden`."""
    return youden(labels, scores).threshold


# DeLong


@dataclass(frozen=True)
class AucComparison:
    """Two scores of the same cases: `difference` = AUC of the first minus AUC of the second; z and two-sided
    p of DeLong's test, NaN where it does not hold.
    """

    auc: float
    other_auc: float
    difference: Estimate
    z: float = math.nan
    p: float = math.nan


def delong_interval(labels: np.ndarray, scores: np.ndarray) -> Estimate:
    """AUC with the normal interval of DeLong, DeLong & Clarke-Pearson (Biometrics 1988), clipped to 0-1, as
    pROC's `ci.auc` by default.

    The variance comes from midranks in O(n log n) (Sun & Xu, IEEE Signal Process Lett 2014). Cases count as
    independent. With one case in a class the interval is NaN. Raises `ValueError` when a class is missing.
    """
    area = auc(labels, scores)
    reach = Z_95 * math.sqrt(_variance(*_placements(labels, scores)))
    return Estimate(area, float(np.clip(area - reach, 0, 1)), float(np.clip(area + reach, 0, 1)))


def delong_test(labels: np.ndarray, scores: np.ndarray, other_scores: np.ndarray) -> AucComparison:
    """Whether two scores (n,) of the same cases (n,) have the same AUC: the paired test of DeLong et al.
    (1988).

    z and p are 0 and 1 where the scores rank alike, NaN where they do not but no variance is left to judge
    by. Raises `ValueError` when a class is missing.
    """
    first = auc(labels, scores)
    second = auc(labels, other_scores)
    both = zip(_placements(labels, scores), _placements(labels, other_scores))
    error = math.sqrt(_variance(*(ours - theirs for ours, theirs in both)))
    difference = first - second
    z = difference / error if error else (math.nan if difference else 0.0)
    estimate = Estimate(difference, difference - Z_95 * error, difference + Z_95 * error)
    return AucComparison(first, second, estimate, z, math.erfc(abs(z) / math.sqrt(2)))


def _placements(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of negatives below each positive, and of positives above each negative, ties half.

    A case's place in the other class is its rank among all less its rank in its own class.
    """
    labels = np.asarray(labels, bool)
    positive, negative = class_sizes(labels, "DeLong's method")
    ranks = midranks(scores)
    of_positives = (ranks[labels] - midranks(scores[labels])) / negative
    of_negatives = 1 - (ranks[~labels] - midranks(scores[~labels])) / positive
    return of_positives, of_negatives


def _variance(of_positives: np.ndarray, of_negatives: np.ndarray) -> float:
    if min(len(of_positives), len(of_negatives)) < 2:
        return math.nan
    return float(of_positives.var(ddof=1) / len(of_positives) + of_negatives.var(ddof=1) / len(of_negatives))
