"""Ridge-penalised logistic regression: the penalty by cross-validation, standardisation folded in.

What a linear classifier can tell from few cases with many features. It is the head of a `probe` model, and
what an audit asks whether a score or an embedding tells the site.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from .roc import class_sizes

PENALTIES = tuple(10.0**half for half in np.arange(2, -3.5, -0.5))
"""Tried from the strongest, which leaves hardly more than the classes' shares, to hardly any."""
FOLDS = 5
_MAX_STEPS = 1000
_TOLERANCE = 1e-7
"""Of the gradient: the coefficients under a strong penalty are small, and must still rank."""


@dataclass(frozen=True)
class RidgeLogit:
    """`intercept` + features (n, k) @ `coefficients` (k,) is the logit of class 1. `penalty` times half the
    sum of squared coefficients, of features with mean 0 and SD 1, was added to the mean loss. `losses` are
    the mean log loss in cross-validation with each of `PENALTIES`.
    """

    coefficients: np.ndarray
    intercept: float
    penalty: float
    losses: tuple[float, ...]

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Logits (n,) of features (n, k)."""
        return features @ self.coefficients + self.intercept


def fit_ridge_logit(
    features: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    weights: np.ndarray | None = None,
    seed: int = 1,
) -> RidgeLogit:
    """Logistic regression of labels (n,) 0/1 on features (n, k) with a ridge penalty (le Cessie & van
    Houwelingen, Appl Stat 1992).

    The penalty is the one of `PENALTIES` with the smallest log loss in a stratified cross-validation by
    `patients` (n,), drawn from `seed`; of equal ones the strongest. `weights` (n,) count rows (default: 1).
    A feature that does not vary gets no coefficient. Raises `ValueError` unless two patients of each class
    are there.
    """
    labels = np.asarray(labels, bool)
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, float)
    # The matrices are small: threads for them would wait for each other six times as long as they work.
    with threadpool_limits(1):
        losses = np.zeros(len(PENALTIES))
        for held_out in folds_of(labels, patients, seed):
            rest = ~held_out
            for n, penalty in enumerate(PENALTIES):
                coefficients, intercept = _fitted(features[rest], labels[rest], weights[rest], penalty)
                logits = features[held_out] @ coefficients + intercept
                losses[n] += _loss(logits, labels[held_out], weights[held_out])
        best = PENALTIES[int(np.argmin(losses))]
        coefficients, intercept = _fitted(features, labels, weights, best)
    return RidgeLogit(coefficients, intercept, best, tuple((losses / weights.sum()).tolist()))


def cross_validated_logits(
    features: np.ndarray, labels: np.ndarray, patients: np.ndarray, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n,) of every row by `fit_ridge_logit` on the other folds, and the number of its fold (n,):
    they may be ranked within a fold only, whose model they share. Raises `ValueError` as it does.
    """
    logits = np.zeros(len(labels))
    fold_of = np.zeros(len(labels), int)
    for number, held_out in enumerate(folds_of(labels, patients, seed)):
        rest = ~held_out
        fitted = fit_ridge_logit(features[rest], labels[rest], patients[rest], seed=seed)
        logits[held_out] = fitted.logits(features[held_out])
        fold_of[held_out] = number
    return logits, fold_of


def folds_of(labels: np.ndarray, patients: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Up to `FOLDS` folds by patient, stratified by class: of each, which rows (n,) bool are held out. Raises
    `ValueError` unless two patients of each class are there.
    """
    labels = np.asarray(labels, bool)
    class_sizes(labels, "a cross-validation")
    fewest = min(len(np.unique(patients[labels])), len(np.unique(patients[~labels])))
    if fewest < 2:
        raise ValueError("a cross-validation needs two patients of each class")
    splitter = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    for _, rows in splitter.split(labels, labels, patients):
        held_out = np.zeros(len(labels), bool)
        held_out[rows] = True
        yield held_out


def _fitted(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, penalty: float
) -> tuple[np.ndarray, float]:
    """Coefficients (k,) and intercept of the fit with one penalty."""
    share = weights / weights.sum()
    mean = share @ features
    sd = np.sqrt(share @ (features - mean) ** 2)
    # A sum of round-off is no variation.
    varies = sd > 1e-9 * (1 + np.abs(mean))
    scale = np.where(varies, sd, 1.0)
    standardised = np.where(varies, (features - mean) / scale, 0.0)
    # scikit-learn weighs the loss, not the penalty, and sums over cases.
    model = LogisticRegression(C=1 / penalty, tol=_TOLERANCE, max_iter=_MAX_STEPS)
    model.fit(standardised, labels, sample_weight=share)
    coefficients = model.coef_[0] / scale
    return coefficients, float(model.intercept_[0] - coefficients @ mean)


def _loss(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """The weighted sum of the log loss."""
    return float(weights @ np.logaddexp(0, np.where(labels, -logits, logits)))
