"""Recalibration from labelled local cases: the closed test, the threshold that goes with it, and how both do
on cases they were not made from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from HER2ViTLib.messages import InputError
from HER2ViTLib.model.calibration import Calibration, sigmoid
from HER2ViTTrainingLib.stats.calibration import logit
from HER2ViTTrainingLib.stats.estimates import Estimate
from HER2ViTTrainingLib.stats.order_statistics import (
    cutoff,
    needed_values,
    rank_of_cutoff,
    reached_share,
)
from HER2ViTTrainingLib.stats.recalibration import NOTHING, Recalibration, closed_test
from HER2ViTTrainingLib.stats.roc import youden_threshold

from .local_cases import LocalCases

MIN_CLASS_CASES = 10
MIN_YOUDEN_CASES = 50
FOLDS = 10
SENSITIVITY = 0.9


@dataclass(frozen=True)
class Threshold:
    """A threshold on the scale of the recalibrated score, with its interval where it was chosen for a
    sensitivity; `sensitivity` is then that of new cases: its mean over samples of this size, and the limits
    that hold 95 % of them. Both lack an interval for a threshold that was kept, or is Youden's.
    """

    rule: str
    value: Estimate
    sensitivity: Estimate


@dataclass(frozen=True)
class Adapted:
    """What labelled cases ask for: the recalibration of the calibrated logit, and the threshold."""

    recalibration: Recalibration
    threshold: Threshold

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """The recalibrated scores (n,) of calibrated logits (n,)."""
        line = self.recalibration
        return 1 / (1 + np.exp(-(line.slope.value * logits + line.intercept.value)))

    def calibration(self, old: Calibration) -> Calibration:
        """The old Platt scaling and the recalibration after it, as one."""
        slope = self.recalibration.slope.value
        return Calibration(slope * old.slope, slope * old.intercept + self.recalibration.intercept.value)


def require_enough(
    cases: LocalCases, path: object, names: tuple[str, str], sensitivity: float | None
) -> None:
    """Raises `InputError`, with the number that would do, for fewer than `MIN_CLASS_CASES` of a class (label
    0 and 1 have the `names`), for a `sensitivity` that so few cases of label 1 give no threshold for, and for
    fewer than `MIN_YOUDEN_CASES` where it is None (Youden's threshold).
    """
    faults = []
    for label, name in enumerate(names):
        n = int((cases.labels == label).sum())
        if n < MIN_CLASS_CASES:
            faults.append(
                f"{path}: {n} cases of label {label} ({name}), where {MIN_CLASS_CASES} of each are needed:"
                f" {MIN_CLASS_CASES - n} more would do"
            )
    n = len(cases.labels)
    if sensitivity is None and n < MIN_YOUDEN_CASES:
        faults.append(
            f"{path}: --youden from {n} cases, where {MIN_YOUDEN_CASES} are needed:"
            f" {MIN_YOUDEN_CASES - n} more would do; or choose a --sensitivity"
        )
    positives = int(cases.labels.sum())
    needed = sensitivity and _needed_positives(sensitivity)
    if not faults and needed and positives < needed:
        left = positives - math.ceil(positives / FOLDS)
        highest = math.floor(1000 * left / (left + 1)) / 1000
        faults.append(
            f"{path}: --sensitivity {sensitivity:g} from {positives} cases of label 1 ({names[1]}), where"
            f" {needed} are needed: {needed - positives} more would do; or ask for {highest:g} at most"
        )
    if faults:
        raise InputError(faults)


def _needed_positives(sensitivity: float) -> int:
    """So many that a threshold can be chosen without a tenth of them too, as the cross-validation does."""
    n = needed_values(sensitivity)
    while rank_of_cutoff(n - math.ceil(n / FOLDS), sensitivity) == 0:
        n += 1
    return n


def adapt(labels: np.ndarray, logits: np.ndarray, threshold: float, sensitivity: float | None) -> Adapted:
    """What labels (n,) and calibrated logits (n,) of local cases ask for. Where the closed test changes
    nothing the `threshold` stays too; else it is the one for a `sensitivity`, or Youden's where that is None.

    Raises `ValueError` as `closed_test`.
    """
    found = closed_test(labels, logits)
    if found.choice == NOTHING:
        return Adapted(found, Threshold("kept", Estimate(threshold), Estimate(math.nan)))
    adapted = Adapted(found, Threshold("", Estimate(math.nan), Estimate(math.nan)))
    scores = adapted.scores(logits)
    if sensitivity is None:
        chosen = Threshold("Youden", Estimate(youden_threshold(labels, scores)), Estimate(math.nan))
    else:
        positives = scores[labels]
        at = cutoff(positives, sensitivity)
        reached = reached_share(len(positives), rank_of_cutoff(len(positives), sensitivity))
        within = Estimate(at.value, max(at.low, 0.0), min(at.high, 1.0))
        chosen = Threshold(f"sensitivity {sensitivity:g}", within, reached)
    return Adapted(found, chosen)


@dataclass(frozen=True)
class HeldOut:
    """Every local case as a bundle adapted without it scores it: scores (n,) and thresholds (n,). In `kept`
    of the `folds` nothing was changed, in `refused` of them nothing could be estimated, and the bundle counts
    as it was.
    """

    scores: np.ndarray
    thresholds: np.ndarray
    folds: int
    kept: int
    refused: int


def cross_validate(cases: LocalCases, threshold: float, sensitivity: float | None, seed: int) -> HeldOut:
    """The whole of `adapt` repeated without a tenth of the patients at a time."""
    scores = np.empty(len(cases.labels))
    thresholds = np.empty(len(cases.labels))
    kept = 0
    refused = 0
    folds = list(_folds(cases.labels, cases.patients, seed))
    for held_out in folds:
        rest = ~held_out
        logits = cases.logits[held_out]
        try:
            made = adapt(cases.labels[rest], cases.logits[rest], threshold, sensitivity)
        except ValueError:
            refused += 1
            scores[held_out] = cases.scores[held_out]
            thresholds[held_out] = threshold
            continue
        kept += made.recalibration.choice == NOTHING
        scores[held_out] = made.scores(logits)
        thresholds[held_out] = made.threshold.value.value
    return HeldOut(scores, thresholds, len(folds), kept, refused)


def _folds(labels: np.ndarray, patients: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Which cases (n,) bool are held out, fold by fold: patients dealt out class by class, at random."""
    rng = np.random.default_rng(seed)
    names, patient_of = np.unique(patients, return_inverse=True)
    positive = np.zeros(len(names), bool)
    np.logical_or.at(positive, patient_of, labels)
    shuffled = rng.permutation(len(names))
    dealt = shuffled[np.argsort(positive[shuffled], kind="stable")]
    fold_of = np.empty(len(names), int)
    fold_of[dealt] = np.arange(len(names)) % FOLDS
    for fold in range(min(FOLDS, len(names))):
        yield fold_of[patient_of] == fold


def carried_threshold(threshold: float, shift: float) -> float:
    """The threshold on a score whose logit moves by `shift`: the same cases reach it as before."""
    return sigmoid(float(logit(np.array([threshold]))[0]) + shift)
