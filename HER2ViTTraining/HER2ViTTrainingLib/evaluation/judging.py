"""How well predictions hold (`her2vit evaluate`): metrics with their intervals, comparisons, calibration.

Each set of the file is judged by itself. Its threshold is its own Youden optimum (optimistic), that of a
named set, or a number; it is held fixed in every resample and for every subgroup.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.stats.calibration import (
    CalibrationLine,
    DecisionCurve,
    calibration_line,
    decision_curve,
)
from HER2ViTTrainingLib.stats.estimates import Estimate
from HER2ViTTrainingLib.stats.resampling import Bootstrapped, Resampling, bootstrap_metrics, is_probability
from HER2ViTTrainingLib.stats.roc import DelongTest, OperatingPoint, delong_interval, delong_test, youden

from .predictions import Predictions, PredictionSet

OWN_THRESHOLD = "self (optimistic)"
GIVEN_THRESHOLD = "given"
NO_THRESHOLD = "none"
OPTIMISM_NOTICE = (
    "Figures of a set on which weights, threshold or calibration were fixed are optimistic: "
    "how well a model does on new patients is told only by sets that were used for nothing else."
)


@dataclass(frozen=True)
class SetResult:
    """What is found of a set or subgroup. NaN and None where undefined; `notes` say why."""

    cases: PredictionSet
    threshold: float
    threshold_source: str
    metrics: Bootstrapped
    delong: Estimate
    optimum: OperatingPoint | None
    calibration: CalibrationLine | None
    decision: DecisionCurve | None
    comparisons: Mapping[str, DelongTest]
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int | None]:
        """n, n_pos, n_neg and the confusion matrix tp, fn, tn, fp (None without a threshold)."""
        labels = self.cases.labels
        called = self.cases.scores >= self.threshold
        cells = {
            "tp": labels & called,
            "fn": labels & ~called,
            "tn": ~labels & ~called,
            "fp": ~labels & called,
        }
        known = not math.isnan(self.threshold)
        sizes = {"n": len(labels), "n_pos": int(labels.sum()), "n_neg": int((~labels).sum())}
        return {**sizes, **{name: int(cell.sum()) if known else None for name, cell in cells.items()}}


@dataclass(frozen=True)
class Evaluation:
    """All sets; the subgroups of each as (column, level, result); what concerns the file as a whole, and its
    SHA-256.
    """

    sets: tuple[SetResult, ...]
    subgroups: tuple[tuple[str, str, SetResult], ...]
    notes: tuple[str, ...]
    plan: Resampling
    by_patient: bool
    sha256: str


def evaluate(
    predictions: Predictions,
    plan: Resampling,
    threshold: float | None = None,
    threshold_from: str | None = None,
) -> Evaluation:
    """Judges every set at `threshold`, else at the Youden optimum of set `threshold_from`, else each at its
    own.

    Raises `InputError` for a threshold that is no number, an unknown set, and a set with one class to take
    the threshold from.
    """
    sets = predictions.sets
    optima = {cases.name: _optimum(cases) for cases in sets}
    if threshold is not None and threshold_from is not None:
        raise InputError(
            f"--threshold {threshold:g} and --threshold-from {threshold_from!r}: give one of them"
        )
    if threshold is not None and not math.isfinite(threshold):
        raise InputError(
            f"--threshold {threshold}: not a number to compare scores with; use a finite number or youden"
        )
    if threshold_from is not None and threshold_from not in optima:
        raise InputError(
            f"--threshold-from {threshold_from!r}: no such set; the sets are {', '.join(map(repr, optima))}"
        )
    if threshold_from is not None and optima[threshold_from] is None:
        raise InputError(
            f"--threshold-from {threshold_from!r}: has one class only, hence no Youden optimum; name"
            " another set"
        )

    def operating_point(name: str) -> tuple[float, str]:
        if threshold is not None:
            return threshold, GIVEN_THRESHOLD
        optimum = optima[threshold_from or name]
        if optimum is None:
            return math.nan, NO_THRESHOLD
        return optimum.threshold, OWN_THRESHOLD if threshold_from in (None, name) else threshold_from

    results = []
    subgroups = []
    for cases in sets:
        point = operating_point(cases.name)
        results.append(judge(cases, *point, plan))
        for column, levels in cases.subgroups.items():
            for level in sorted(set(levels.tolist())):
                part = cases.part(cases.name, levels == level)
                subgroups.append((column, level, judge(part, *point, plan)))
    by_patient = any(cases.patients is not None for cases in sets)
    return Evaluation(tuple(results), tuple(subgroups), _leaks(sets), plan, by_patient, predictions.sha256)


def _optimum(cases: PredictionSet) -> OperatingPoint | None:
    return youden(cases.labels, cases.scores) if _has_both(cases) else None


def _has_both(cases: PredictionSet) -> bool:
    return bool(cases.labels.any() and not cases.labels.all())


def judge(cases: PredictionSet, threshold: float, threshold_source: str, plan: Resampling) -> SetResult:
    """Everything about one set at one threshold (NaN: none)."""
    both = _has_both(cases)
    comparisons: dict[str, DelongTest] = {}
    if both:
        for column, other in cases.others.items():
            comparisons[column] = delong_test(cases.labels, cases.scores, other)
    result = SetResult(
        cases=cases,
        threshold=threshold,
        threshold_source=threshold_source,
        metrics=bootstrap_metrics(cases.labels, cases.scores, threshold, plan, cases.patients),
        delong=delong_interval(cases.labels, cases.scores) if both else Estimate(math.nan),
        optimum=_optimum(cases),
        calibration=calibration_line(cases.labels, cases.scores),
        decision=decision_curve(cases.labels, cases.scores) if is_probability(cases.scores) else None,
        comparisons=comparisons,
        notes=(),
    )
    return replace(result, notes=tuple(_notes(result, plan)))


def _notes(result: SetResult, plan: Resampling) -> list[str]:
    cases = result.cases
    notes = []
    both = _has_both(cases)
    if not both:
        notes.append("one class only: AUC, its intervals, comparisons and the Youden optimum are empty")
    if math.isnan(result.threshold):
        notes.append("no threshold: give a number or --threshold-from for accuracy, sensitivity and the like")
    if result.threshold_source == OWN_THRESHOLD:
        notes.append(
            "the threshold was fixed on this very set: accuracy, sensitivity, specificity, F1, PPV and NPV"
            " are optimistic"
        )
    if both and math.isnan(result.delong.low):
        notes.append("a single case in one class: no DeLong interval, no comparison")
    if result.metrics.estimates["auc"].value < 0.5:
        notes.append("AUC below 0.5: the score ranks the classes the wrong way round; it is not flipped")
    if not is_probability(cases.scores):
        notes.append("scores outside 0-1 are no probabilities: no Brier score, calibration or decision curve")
    elif both and result.calibration is None:
        notes.append(
            "the scores separate the classes or are all the same: no calibration slope and intercept"
        )
    patients = len(cases.labels) if cases.patients is None else len(set(cases.patients.tolist()))
    if patients < len(cases.labels):
        notes.append(
            f"{len(cases.labels)} cases of {patients} patients: resampled by patient; DeLong's method takes"
            " cases as independent"
        )
    if result.metrics.redrawn:
        notes.append(f"{result.metrics.redrawn} resamples had one class only and were drawn again")
    for name, times in result.metrics.undefined.items():
        if times:
            notes.append(
                f"{name} is undefined in {times} of {plan.resamples} resamples, which its interval leaves out"
            )
    return notes


def _leaks(sets: Sequence[PredictionSet]) -> tuple[str, ...]:
    """Which sets have patients in common."""
    patients = {cases.name: set(cases.patients.tolist()) for cases in sets if cases.patients is not None}
    notes = []
    for a, b in itertools.combinations(patients, 2):
        count = len(patients[a] & patients[b])
        if count:
            notes.append(
                f"{count} patients are in set {a!r} and in set {b!r}: neither tells anything new of them"
            )
    return tuple(notes)
