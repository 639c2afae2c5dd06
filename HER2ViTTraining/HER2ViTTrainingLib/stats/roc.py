"""How good a score is: ROC, operating point, bootstrap and DeLong intervals, paired DeLong test, calibration, decision curve.

Labels are 0 or 1 per case, a case is called positive when score >= threshold. What a set of cases does not define (a rate without a
denominator, a rank statistic of one class) is NaN, never 0. Intervals are 95 %.

The bootstrap is the percentile bootstrap over cases, or over patients where one has several, the threshold held fixed. Not stratified by
class it gives the study's published intervals of accuracy, sensitivity and specificity; the study's intervals of F1 are narrower than any
bootstrap of its confusion matrices gives, and are not reproduced.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # the bundle brings torch, which evaluating does not need
    from HER2ViTLib.model.bundle import Calibration

METRICS = ("auc", "accuracy", "sensitivity", "specificity", "f1", "ppv", "npv", "brier")
LEVEL = 0.95
_Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
_CELLS_AT_ONCE = 2**19
"""Resamples x cases weighed at a time: bounds the memory, and fits a processor's cache."""


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; NaN where undefined."""

    value: float
    low: float = math.nan
    high: float = math.nan


# Ranks


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 of values (n,), ties sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[inverse]


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve of `scores` (n,) for `labels` (n,) 0/1, ties counted half (Mann-Whitney). Never flipped.

    Raises `ValueError` when a class is missing.
    """
    labels = np.asarray(labels, bool)
    positive, negative = _class_sizes(labels, "AUC")
    return float((midranks(scores)[labels].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _class_sizes(labels: np.ndarray, what: str) -> tuple[int, int]:
    positive = int(labels.sum())
    if positive in (0, len(labels)):
        raise ValueError(f"{what} needs both classes")
    return positive, len(labels) - positive


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds (t,), descending, from above all scores; false and true positive rate (t,) at each. Raises `ValueError` as `auc`."""
    labels = np.asarray(labels, bool)
    _class_sizes(labels, "the ROC curve")
    thresholds = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    false, true = (1 - np.searchsorted(np.sort(scores[side]), thresholds, side="left") / side.sum() for side in (~labels, labels))
    return thresholds, false, true


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
    """The observed score that maximises sensitivity + specificity - 1 (Youden 1950), positive = score >= threshold.

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
class DelongTest:
    """Two scores of the same cases: `difference` = AUC of the first minus AUC of the second, two-sided p."""

    auc: float
    other_auc: float
    difference: Estimate
    z: float
    p: float


def delong_interval(labels: np.ndarray, scores: np.ndarray) -> Estimate:
    """AUC with the normal interval of DeLong, DeLong & Clarke-Pearson (Biometrics 1988), clipped to 0-1, as pROC's `ci.auc` by default.

    The variance comes from midranks in O(n log n) (Sun & Xu, IEEE Signal Process Lett 2014). Cases count as independent.
    With one case in a class the interval is NaN. Raises `ValueError` when a class is missing.
    """
    area, reach = auc(labels, scores), _Z * math.sqrt(_variance(*_placements(labels, scores)))
    return Estimate(area, float(np.clip(area - reach, 0, 1)), float(np.clip(area + reach, 0, 1)))


def delong_test(labels: np.ndarray, scores: np.ndarray, other_scores: np.ndarray) -> DelongTest:
    """Whether two scores (n,) of the same cases (n,) have the same AUC: the paired test of DeLong et al. (1988).

    z and p are 0 and 1 where the scores rank alike, NaN where they do not but no variance is left to judge by.
    Raises `ValueError` when a class is missing.
    """
    first, second = auc(labels, scores), auc(labels, other_scores)
    both = zip(_placements(labels, scores), _placements(labels, other_scores))
    error = math.sqrt(_variance(*(ours - theirs for ours, theirs in both)))
    difference = first - second
    z = difference / error if error else (math.nan if difference else 0.0)
    estimate = Estimate(difference, difference - _Z * error, difference + _Z * error)
    return DelongTest(first, second, estimate, z, math.erfc(abs(z) / math.sqrt(2)))


def _placements(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of negatives below each positive, and of positives above each negative, ties half.

    A case's place in the other class is its rank among all less its rank in its own class.
    """
    labels = np.asarray(labels, bool)
    positive, negative = _class_sizes(labels, "DeLong's method")
    ranks = midranks(scores)
    return (ranks[labels] - midranks(scores[labels])) / negative, 1 - (ranks[~labels] - midranks(scores[~labels])) / positive


def _variance(of_positives: np.ndarray, of_negatives: np.ndarray) -> float:
    if min(len(of_positives), len(of_negatives)) < 2:
        return math.nan
    return float(of_positives.var(ddof=1) / len(of_positives) + of_negatives.var(ddof=1) / len(of_negatives))


# Metrics of weighted cases: one function for the sample (weights 1) and for all its resamples


def metrics_of_weights(labels: np.ndarray, scores: np.ndarray, threshold: float = math.nan) -> Callable[[np.ndarray], np.ndarray]:
    """A function from weights (b, n) of the cases to their METRICS (b, 8).

    Without a threshold (NaN) what needs one is NaN; Brier is NaN when a score lies outside 0-1.
    """
    labels = np.asarray(labels, bool)
    called = scores >= threshold
    squares = (scores - labels) ** 2 if is_probability(scores) else np.full(len(scores), math.nan)
    columns = np.column_stack([labels & called, labels & ~called, ~labels & ~called, ~labels & called, squares]).astype(float)
    area = _auc_of_weights(labels, scores)

    def metrics(weights: np.ndarray) -> np.ndarray:
        tp, fn, tn, fp, squared = (weights @ columns).T
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = np.stack([
                (tp + tn) / (tp + fn + tn + fp),
                tp / (tp + fn),
                tn / (tn + fp),
                2 * tp / (2 * tp + fp + fn),
                tp / (tp + fp),
                tn / (tn + fn),
            ])
        if math.isnan(threshold):
            rates[:] = math.nan
        return np.column_stack([area(weights), *rates, squared / weights.sum(axis=1)])

    return metrics


def is_probability(scores: np.ndarray) -> bool:
    """Whether all scores lie in 0-1; only then can they be read as probabilities."""
    return bool(len(scores)) and bool((scores >= 0).all() and (scores <= 1).all())


def _auc_of_weights(labels: np.ndarray, scores: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function from weights (b, n) to AUC (b,): of every positive, the weight of the negatives below it and half of those tied with it."""
    order = np.argsort(scores, kind="stable")
    positives, negatives = order[labels[order]], order[~labels[order]]
    below, up_to = (np.searchsorted(scores[negatives], scores[positives], side=side) for side in ("left", "right"))

    def area(weights: np.ndarray) -> np.ndarray:
        negative_up_to = np.zeros((len(weights), len(negatives) + 1))
        np.cumsum(weights[:, negatives], axis=1, out=negative_up_to[:, 1:])
        positive = weights[:, positives]
        twice_won = np.einsum("bp,bp->b", positive, negative_up_to[:, below] + negative_up_to[:, up_to])
        with np.errstate(divide="ignore", invalid="ignore"):
            return twice_won / (2 * positive.sum(axis=1) * negative_up_to[:, -1])

    return area


# Bootstrap


@dataclass(frozen=True)
class Resampling:
    """How to resample: how often, from which seed, each class (or kind of patient) by itself or not."""

    resamples: int = 1000
    seed: int = 1
    stratified: bool = False


@dataclass(frozen=True)
class Bootstrapped:
    """Estimates by name; in how many resamples each was undefined; how many resamples lacked a class and were drawn again."""

    estimates: dict[str, Estimate]
    undefined: dict[str, int]
    redrawn: int


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], classes: np.ndarray, plan: Resampling, patients: np.ndarray | None = None
) -> tuple[np.ndarray, int]:
    """`statistic` of the resamples: values (resamples, m), and how many resamples were drawn again because a class was missing in them.

    `statistic` takes weights (b, n), how often each case is in each resample, to values (b, m). `classes` (n,) are the cases' classes;
    with `patients` (n,), whole patients are drawn. Stratified: as many of each class as there are; patients by the classes they have.
    """
    names, class_of = np.unique(classes, return_inverse=True)
    of_class = np.eye(len(names))[class_of]
    draw = _drawing(of_class, patients, plan)
    at_once = max(1, _CELLS_AT_ONCE // len(of_class))
    values, redrawn, left = [], 0, plan.resamples
    while left:
        weights = draw(min(at_once, left))
        complete = (weights @ of_class > 0).all(axis=1)
        values.append(statistic(weights if complete.all() else weights[complete]))
        redrawn += int((~complete).sum())
        left -= int(complete.sum())
    return np.concatenate(values), redrawn


def _drawing(of_class: np.ndarray, patients: np.ndarray | None, plan: Resampling) -> Callable[[int], np.ndarray]:
    """A function that draws weights (count, n)."""
    rng = np.random.default_rng(plan.seed)
    unit_of = np.arange(len(of_class)) if patients is None else np.unique(patients, return_inverse=True)[1]
    units = int(unit_of.max()) + 1
    strata = [np.arange(units)]
    if plan.stratified:
        has = np.zeros((units, of_class.shape[1]), bool)
        np.logical_or.at(has, unit_of, of_class > 0)
        stratum_of = np.unique(has, axis=0, return_inverse=True)[1].ravel()
        strata = [np.flatnonzero(stratum_of == n) for n in range(stratum_of.max() + 1)]

    def draw(count: int) -> np.ndarray:
        weights = np.empty((count, units))
        for stratum in strata:
            size = len(stratum)
            picks = rng.integers(size, size=(count, size)) + size * np.arange(count)[:, None]
            weights[:, stratum] = np.bincount(picks.ravel(), minlength=count * size).reshape(count, size)
        return weights if patients is None else weights[:, unit_of]

    return draw


def estimates(names: tuple[str, ...], sample: np.ndarray, resampled: np.ndarray, redrawn: int) -> Bootstrapped:
    """Names, values of the sample (m,) and of its resamples (b, m) put together: percentile intervals over the resamples that define a value."""
    found, undefined = {}, {}
    for name, value, column in zip(names, sample, resampled.T):
        defined = column[~np.isnan(column)]
        low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(defined) and not np.isnan(value) else (math.nan, math.nan)
        found[name] = Estimate(float(value), float(low), float(high))
        undefined[name] = 0 if np.isnan(value) else len(column) - len(defined)
    return Bootstrapped(found, undefined, redrawn)


def bootstrap_metrics(
    labels: np.ndarray, scores: np.ndarray, threshold: float, plan: Resampling, patients: np.ndarray | None = None
) -> Bootstrapped:
    """All METRICS with their intervals."""
    metrics = metrics_of_weights(labels, scores, threshold)
    resampled, redrawn = bootstrap(metrics, labels, plan, patients)
    return estimates(METRICS, metrics(np.ones((1, len(labels))))[0], resampled, redrawn)


def roc_band(
    labels: np.ndarray, scores: np.ndarray, false_positive_rates: np.ndarray, plan: Resampling, patients: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Pointwise bootstrap interval (low, high), each (g,), of the true positive rate at the given false positive rates (g,).

    Raises `ValueError` when a class is missing.
    """
    labels = np.asarray(labels, bool)
    _class_sizes(labels, "the ROC curve")
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)

    def curve(weights: np.ndarray) -> np.ndarray:
        sides = [(weights * side)[:, order].cumsum(axis=1)[:, last_of_tie] for side in (~labels, labels)]
        false, true = (np.pad(side, ((0, 0), (1, 0))) / side[:, -1:] for side in sides)
        return np.array([np.interp(false_positive_rates, x, y) for x, y in zip(false, true)])

    resampled, _ = bootstrap(curve, labels, plan, patients)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


# Calibration


@dataclass(frozen=True)
class CalibrationLine:
    """Cox's recalibration of probabilities: `slope` of the outcome's logit on the probability's, and `intercept` with the slope held at 1.

    Slope 1 and intercept 0 are perfect; slope < 1 means too extreme probabilities, intercept < 0 too high ones (calibration-in-the-large).
    `offset` is the intercept that belongs to `slope`, for drawing the curve.
    """

    slope: Estimate
    intercept: Estimate
    offset: float


EXTREME_PROBABILITY = 1e-6


def calibration_line(labels: np.ndarray, scores: np.ndarray) -> CalibrationLine | None:
    """Calibration slope and intercept (Cox 1958; Van Calster et al., BMC Med 2019) with Wald intervals; None where they do not exist.

    They do not for scores that are no probabilities, are all the same, or separate the classes. Probabilities of 0 and 1, whose logit is
    infinite, count as 1e-6 and 1 - 1e-6.
    """
    labels = np.asarray(labels, bool)
    if not is_probability(scores) or labels.all() or not labels.any():
        return None
    x = logit(scores)
    # Of the logits, not the scores: below 1e-6 scores that differ have the same.
    positives, negatives = x[labels], x[~labels]
    if negatives.max() <= positives.min() or positives.max() <= negatives.min():
        return None
    offset, slope, variance_of_slope = _logistic_line(x, labels)
    (intercept,), variance = _logistic_fit(np.ones((len(x), 1)), labels, x)
    return CalibrationLine(_wald(slope, variance_of_slope), _wald(intercept, variance[0, 0]), offset)


def logit(probabilities: np.ndarray) -> np.ndarray:
    """Log odds of probabilities, kept finite."""
    inside = np.clip(probabilities, EXTREME_PROBABILITY, 1 - EXTREME_PROBABILITY)
    return np.log(inside / (1 - inside))


def _wald(value: float, variance: float) -> Estimate:
    reach = _Z * math.sqrt(variance)
    return Estimate(float(value), float(value - reach), float(value + reach))


def _logistic_fit(design: np.ndarray, targets: np.ndarray, offset: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Maximum-likelihood coefficients (k,) and their covariance (k, k) of a logistic regression, by Newton's method with halved steps.

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

    Fitted on `x` centred and scaled: values close together, or far from 0, would make Newton's equations singular.
    """
    mean, scale = x.mean(), np.ptp(x)
    (intercept, slope), covariance = _logistic_fit(np.column_stack([np.ones_like(x), (x - mean) / scale]), targets)
    return float(intercept - slope * mean / scale), float(slope / scale), float(covariance[1, 1] / scale**2)


def platt_calibration(labels: np.ndarray, logits: np.ndarray) -> Calibration:
    """Platt scaling by maximum likelihood with Platt's smoothed targets (Platt 1999), which keep it finite under perfect separation.

    Raises `ValueError` when a class is missing or the slope is not positive (the model ranks the wrong way round).
    """
    from HER2ViTLib.model.bundle import Calibration

    labels, logits = np.asarray(labels, bool), np.asarray(logits, float)
    positive, negative = _class_sizes(labels, "calibration")
    targets = np.where(labels, (positive + 1) / (positive + 2), 1 / (negative + 2))
    slope, intercept = 0.0, 0.0
    if np.ptp(logits) > 0:
        intercept, slope, _ = _logistic_line(logits, targets)
    if slope <= 0:
        raise ValueError(f"calibration slope {slope:.3g}: the scores rank the classes the wrong way round")
    return Calibration(slope, intercept)


@dataclass(frozen=True)
class CalibrationGroup:
    """Cases of similar probability: how many, their mean probability, the share of positives with its Wilson interval."""

    n: int
    predicted: float
    observed: Estimate


def calibration_groups(labels: np.ndarray, scores: np.ndarray) -> list[CalibrationGroup]:
    """Up to ten groups between the quantiles of the probabilities, about ten cases or more in each; equal probabilities stay together."""
    labels = np.asarray(labels, bool)
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, max(1, min(10, len(scores) // 10)) + 1)))[1:-1]
    group_of = np.searchsorted(edges, scores, side="right")
    groups = [np.flatnonzero(group_of == n) for n in range(len(edges) + 1)]
    return [CalibrationGroup(len(group), float(scores[group].mean()), wilson(int(labels[group].sum()), len(group))) for group in groups if len(group)]


def wilson(successes: int, n: int) -> Estimate:
    """A share with its score interval (Wilson 1927)."""
    share, scale = successes / n, 1 + _Z**2 / n
    centre = (share + _Z**2 / (2 * n)) / scale
    reach = _Z / scale * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return Estimate(share, max(0.0, centre - reach), min(1.0, centre + reach))


# Decision curve


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit at each threshold probability (t,): of the model, and of calling every case positive; calling none has 0."""

    thresholds: np.ndarray
    model: np.ndarray
    everyone: np.ndarray


def decision_curve(labels: np.ndarray, scores: np.ndarray) -> DecisionCurve:
    """Net benefit = TP/n - FP/n * t/(1 - t) at t = 0.01 ... 0.99 (Vickers & Elkin, Med Decis Making 2006). `scores` are probabilities."""
    labels, thresholds = np.asarray(labels, bool), np.arange(1, 100) / 100
    odds = thresholds / (1 - thresholds)
    true, false = (
        (side.sum() - np.searchsorted(np.sort(scores[side]), thresholds, side="left")) / len(labels) for side in (labels, ~labels)
    )
    return DecisionCurve(thresholds, true - false * odds, labels.mean() - (~labels).mean() * odds)
