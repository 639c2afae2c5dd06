"""How good a score is: area under the ROC curve, Youden index, Platt calibration."""

from __future__ import annotations

import numpy as np

from HER2ViTLib.bundle import Calibration


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve of `scores` (n,) for `labels` (n,) 0/1, ties counted half (Mann-Whitney). Never flipped.

    Raises `ValueError` when a class is missing.
    """
    labels = np.asarray(labels, bool)
    positive, negative = int(labels.sum()), int((~labels).sum())
    if not positive or not negative:
        raise ValueError("AUC needs both classes")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    midranks = counts.cumsum() - (counts - 1) / 2
    rank_sum = midranks[inverse][labels].sum()
    return float((rank_sum - positive * (positive + 1) / 2) / (positive * negative))


def youden_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The observed score that maximises sensitivity + specificity - 1 (Youden 1950), positive = score >= threshold.

    Tie: highest sensitivity, then lowest threshold. Raises `ValueError` when a class is missing.
    """
    labels = np.asarray(labels, bool)
    if labels.all() or not labels.any():
        raise ValueError("the Youden index needs both classes")
    thresholds = np.unique(scores)
    positives, negatives = np.sort(scores[labels]), np.sort(scores[~labels])
    sensitivity = 1 - np.searchsorted(positives, thresholds, side="left") / len(positives)
    specificity = np.searchsorted(negatives, thresholds, side="left") / len(negatives)
    # Sums of fractions differ in the last bit where they are equal: rounding makes such ties ties.
    order = np.lexsort((thresholds, -sensitivity, -np.round(sensitivity + specificity, 12)))
    return float(thresholds[order[0]])


def platt_calibration(labels: np.ndarray, logits: np.ndarray) -> Calibration:
    """Platt scaling by maximum likelihood with Platt's smoothed targets (Platt 1999), which keep it finite under perfect separation.

    Raises `ValueError` when a class is missing or the slope is not positive (the model ranks the wrong way round).
    """
    from sklearn.linear_model import LogisticRegression

    labels, logits = np.asarray(labels, bool), np.asarray(logits, float)
    positive, negative = labels.sum(), (~labels).sum()
    if not positive or not negative:
        raise ValueError("calibration needs both classes")
    target = np.where(labels, (positive + 1) / (positive + 2), 1 / (negative + 2))
    # A smoothed target t is one observation of each class with weights t and 1 - t.
    model = LogisticRegression(C=np.inf, max_iter=1000).fit(
        np.concatenate([logits, logits])[:, None], np.repeat([1, 0], len(logits)), sample_weight=np.concatenate([target, 1 - target])
    )
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        raise ValueError(f"calibration slope {slope:.3g}: the scores rank the classes the wrong way round")
    return Calibration(slope, intercept)
