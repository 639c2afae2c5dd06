"""Metrics of a threshold and their bootstrap intervals, all resamples at once.

The percentile bootstrap over cases, or over patients where one has several, the threshold held fixed. What a
set of cases does not define (a rate without a denominator, a rank statistic of one class) is NaN, never 0.
Not stratified by class it gives the study's published intervals of accuracy, sensitivity and specificity; the
study's intervals of F1 are narrower than any bootstrap of its confusion matrices gives, and are not
reproduced.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .estimates import LEVEL, Estimate
from .roc import AucComparison, class_sizes

METRICS = ("auc", "accuracy", "sensitivity", "specificity", "f1", "ppv", "npv", "brier")
_CELLS_AT_ONCE = 2**19
"""Resamples x cases weighed at a time: bounds the memory, and fits a processor's cache."""


# Metrics of weighted cases: one function for the sample (weights 1) and for all its resamples


def metrics_of_weights(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float | np.ndarray = math.nan,
    models: np.ndarray | None = None,
    probabilities: bool = True,
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from weights (b, n) of the cases to their METRICS (b, 8).

    `threshold` is one for all or each case's own (n,). Without one (NaN) what needs one is NaN; Brier is NaN
    when a score lies outside 0-1, or with `probabilities` False. `models` (n,) name what scored each case:
    AUC as in `auc_of_weights`.
    """
    labels = np.asarray(labels, bool)
    called = scores >= threshold
    squares = (scores - labels) ** 2
    if not (probabilities and is_probability(scores)):
        squares = np.full(len(scores), math.nan)
    columns = np.column_stack(
        [labels & called, labels & ~called, ~labels & ~called, ~labels & called, squares]
    ).astype(float)
    area = auc_of_weights(labels, scores, models)

    def metrics(weights: np.ndarray) -> np.ndarray:
        tp, fn, tn, fp, squared = (weights @ columns).T
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = np.stack(
                [
                    (tp + tn) / (tp + fn + tn + fp),
                    tp / (tp + fn),
                    tn / (tn + fp),
                    2 * tp / (2 * tp + fp + fn),
                    tp / (tp + fp),
                    tn / (tn + fn),
                ]
            )
        if np.isnan(threshold).any():
            rates[:] = math.nan
        return np.column_stack([area(weights), *rates, squared / weights.sum(axis=1)])

    return metrics


def is_probability(scores: np.ndarray) -> bool:
    """Whether all scores lie in 0-1; only then can they be read as probabilities."""
    return bool(len(scores)) and bool((scores >= 0).all() and (scores <= 1).all())


def auc_of_weights(
    labels: np.ndarray, scores: np.ndarray, models: np.ndarray | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from weights (b, n) to AUC (b,): the share of pairs of a positive and a negative case in
    which the positive has the higher score, ties half.

    With `models` (n,), which name what scored each case, it is the mean of the models' AUCs: the scores of
    two models are on no common scale, so cases are ranked only against cases of the same model. A model
    without cases of both classes drops out, also within a resample. NaN without any AUC.
    """
    if models is None:
        return _area_of_weights(labels, scores)
    parts = [np.flatnonzero(models == model) for model in np.unique(models)]
    area_of_parts = [_area_of_weights(labels[part], scores[part]) for part in parts]

    def area(weights: np.ndarray) -> np.ndarray:
        areas = np.column_stack([of(weights[:, part]) for of, part in zip(area_of_parts, parts)])
        known = ~np.isnan(areas)
        with np.errstate(invalid="ignore"):
            return np.where(known, areas, 0).sum(axis=1) / known.sum(axis=1)

    return area


def _area_of_weights(labels: np.ndarray, scores: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function from weights (b, n) to the AUC (b,) of one model: of every positive, the weight of the
    negatives below it and half of those tied with it. NaN where a class has no weight.
    """
    order = np.argsort(scores, kind="stable")
    positives = order[labels[order]]
    negatives = order[~labels[order]]
    below = np.searchsorted(scores[negatives], scores[positives], side="left")
    up_to = np.searchsorted(scores[negatives], scores[positives], side="right")

    def area(weights: np.ndarray) -> np.ndarray:
        negative_up_to = np.zeros((len(weights), len(negatives) + 1))
        np.cumsum(weights[:, negatives], axis=1, out=negative_up_to[:, 1:])
        positive = weights[:, positives]
        twice_won = np.einsum("bp,bp->b", positive, negative_up_to[:, below] + negative_up_to[:, up_to])
        pairs = positive.sum(axis=1) * negative_up_to[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            return twice_won / (2 * pairs)

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
    """Estimates by name; in how many resamples each was undefined; how many resamples lacked a class and were
    drawn again.
    """

    estimates: dict[str, Estimate]
    undefined: dict[str, int]
    redrawn: int


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    classes: np.ndarray,
    plan: Resampling,
    patients: np.ndarray | None = None,
) -> tuple[np.ndarray, int]:
    """`statistic` of the resamples: values (resamples, m), and how many resamples were drawn again because a
    class was missing in them.

    `statistic` takes weights (b, n), how often each case is in each resample, to values (b, m). `classes`
    (n,) are the cases' classes; with `patients` (n,), whole patients are drawn. Stratified: as many of each
    class as there are; patients by the classes they have.
    """
    names, class_of = np.unique(classes, return_inverse=True)
    of_class = np.eye(len(names))[class_of]
    draw = _drawing(of_class, patients, plan)
    at_once = max(1, _CELLS_AT_ONCE // len(of_class))
    values = []
    redrawn = 0
    left = plan.resamples
    while left:
        weights = draw(min(at_once, left))
        complete = (weights @ of_class > 0).all(axis=1)
        values.append(statistic(weights if complete.all() else weights[complete]))
        redrawn += int((~complete).sum())
        left -= int(complete.sum())
    return np.concatenate(values), redrawn


def _drawing(
    of_class: np.ndarray, patients: np.ndarray | None, plan: Resampling
) -> Callable[[int], np.ndarray]:
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


def estimates(
    names: tuple[str, ...], sample: np.ndarray, resampled: np.ndarray, redrawn: int
) -> Bootstrapped:
    """Names, values of the sample (m,) and of its resamples (b, m) put together: percentile intervals over
    the resamples that define a value.
    """
    found = {}
    undefined = {}
    for name, value, column in zip(names, sample, resampled.T):
        defined = column[~np.isnan(column)]
        low, high = (
            np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            if len(defined) and not np.isnan(value)
            else (math.nan, math.nan)
        )
        found[name] = Estimate(float(value), float(low), float(high))
        undefined[name] = 0 if np.isnan(value) else len(column) - len(defined)
    return Bootstrapped(found, undefined, redrawn)


def bootstrap_metrics(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float | np.ndarray,
    plan: Resampling,
    patients: np.ndarray | None = None,
    models: np.ndarray | None = None,
    probabilities: bool = True,
) -> Bootstrapped:
    """All METRICS of scores (n,) for labels (n,) with their intervals; `threshold`, `models` and
    `probabilities` as in `metrics_of_weights`.
    """
    metrics = metrics_of_weights(labels, scores, threshold, models, probabilities)
    resampled, redrawn = bootstrap(metrics, labels, plan, patients)
    return estimates(METRICS, metrics(np.ones((1, len(labels))))[0], resampled, redrawn)


def auc_difference(
    labels: np.ndarray,
    scores: np.ndarray,
    other_scores: np.ndarray,
    plan: Resampling,
    patients: np.ndarray | None,
    models: np.ndarray,
) -> AucComparison:
    """Two scores of the same cases compared where DeLong's test does not hold, since several models scored
    them: the difference of their AUCs (`auc_of_weights`) with its paired percentile bootstrap interval.
    """
    areas = [auc_of_weights(labels, each, models) for each in (scores, other_scores)]

    def difference(weights: np.ndarray) -> np.ndarray:
        first, second = (area(weights) for area in areas)
        return np.column_stack([first, second, first - second])

    resampled, redrawn = bootstrap(difference, labels, plan, patients)
    sample = difference(np.ones((1, len(labels))))[0]
    found = estimates(("auc", "other", "difference"), sample, resampled, redrawn).estimates
    return AucComparison(found["auc"].value, found["other"].value, found["difference"])


def roc_band(
    labels: np.ndarray,
    scores: np.ndarray,
    false_positive_rates: np.ndarray,
    plan: Resampling,
    patients: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pointwise bootstrap interval (low, high), each (g,), of the true positive rate at the given false
    positive rates (g,).

    Raises `ValueError` when a class is missing.
    """
    labels = np.asarray(labels, bool)
    class_sizes(labels, "the ROC curve")
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)

    def curve(weights: np.ndarray) -> np.ndarray:
        sides = [(weights * side)[:, order].cumsum(axis=1)[:, last_of_tie] for side in (~labels, labels)]
        false, true = (np.pad(side, ((0, 0), (1, 0))) / side[:, -1:] for side in sides)
        return np.array([np.interp(false_positive_rates, x, y) for x, y in zip(false, true)])

    resampled, _ = bootstrap(curve, labels, plan, patients)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high
