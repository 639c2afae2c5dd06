"""How well predictions hold (`her2vit evaluate`): metrics with their intervals, comparisons, calibration.

Each set of the file is judged by itself. Its threshold is its own Youden optimum (optimistic), that of a
named set, or a number; it is held fixed in every resample and for every subgroup.

The scores of a set that is out-of-fold come from several models and are on no common scale: they are ranked
within each model only, and compared with its own threshold.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.stats.calibration import (
    CalibrationLine,
    DecisionCurve,
    calibration_line,
    decision_curve,
)
from HER2ViTTrainingLib.stats.estimates import Estimate
from HER2ViTTrainingLib.stats.resampling import (
    Bootstrapped,
    Resampling,
    auc_difference,
    bootstrap_metrics,
    is_probability,
)
from HER2ViTTrainingLib.stats.roc import (
    AucComparison,
    OperatingPoint,
    delong_interval,
    delong_test,
    youden,
)

from .predictions import Predictions, PredictionSet

OWN_THRESHOLD = "self (optimistic)"
GIVEN_THRESHOLD = "given"
NO_THRESHOLD = "none"
PER_FOLD = "per fold"
THRESHOLD_COLUMN = "column threshold"
OPTIMISM_NOTICE = (
    "Figures of a set on which weights, threshold or calibration were fixed are optimistic: "
    "how well a model does on new patients is told only by sets that were used for nothing else."
)


@dataclass(frozen=True)
class SetResult:
    """What is found of a set or subgroup. NaN and None where undefined; `notes` say why. `threshold` is one
    for all cases, or each case's own (n,).
    """

    cases: PredictionSet
    threshold: float | np.ndarray
    threshold_source: str
    metrics: Bootstrapped
    delong: Estimate
    optimum: OperatingPoint | None
    calibration: CalibrationLine | None
    decision: DecisionCurve | None
    comparisons: Mapping[str, AucComparison]
    notes: tuple[str, ...]

    @property
    def has_threshold(self) -> bool:
        return not np.isnan(self.threshold).any()

    @property
    def shown_threshold(self) -> float | str:
        """The threshold as the tables have it: NaN without one, a word where each fold has its own."""
        return PER_FOLD if isinstance(self.threshold, np.ndarray) else self.threshold

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
        sizes = {"n": len(labels), "n_pos": int(labels.sum()), "n_neg": int((~labels).sum())}
        return {
            **sizes,
            **{name: int(cell.sum()) if self.has_threshold else None for name, cell in cells.items()},
        }


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
    own; a set that is out-of-fold, which has none, each row at the threshold in the file.

    Raises `InputError` for a threshold that is no number, an unknown set, and a set with one class or several
    models to take the threshold from.
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
        out_of_fold = any(cases.models is not None for cases in sets if cases.name == threshold_from)
        why = "is scored by a model a fold" if out_of_fold else "has one class only"
        raise InputError(
            f"--threshold-from {threshold_from!r}: {why}, hence no Youden optimum; name another set"
        )

    def operating_point(cases: PredictionSet) -> tuple[float | np.ndarray, str]:
        if threshold is not None:
            return threshold, GIVEN_THRESHOLD
        if threshold_from is None and cases.thresholds is not None:
            return cases.thresholds, THRESHOLD_COLUMN
        optimum = optima[threshold_from or cases.name]
        if optimum is None:
            return math.nan, NO_THRESHOLD
        return optimum.threshold, OWN_THRESHOLD if threshold_from in (None, cases.name) else threshold_from

    results = []
    subgroups = []
    for cases in sets:
        results.append(judge(cases, *operating_point(cases), plan))
        for column, levels in cases.subgroups.items():
            for level in sorted(set(levels.tolist())):
                part = cases.part(cases.name, levels == level)
                subgroups.append((column, level, judge(part, *operating_point(part), plan)))
    by_patient = any(cases.patients is not None for cases in sets)
    return Evaluation(tuple(results), tuple(subgroups), _leaks(sets), plan, by_patient, predictions.sha256)


def _optimum(cases: PredictionSet) -> OperatingPoint | None:
    """Youden's; None with one class, or several models, whose scores have no common threshold."""
    return youden(cases.labels, cases.scores) if _has_both(cases) and cases.models is None else None


def _has_both(cases: PredictionSet) -> bool:
    return bool(cases.labels.any() and not cases.labels.all())


def judge(
    cases: PredictionSet, threshold: float | np.ndarray, threshold_source: str, plan: Resampling
) -> SetResult:
    """Everything about one set at one threshold, or at each case's own (NaN: none)."""
    probabilities = cases.are_probabilities
    result = SetResult(
        cases=cases,
        threshold=threshold,
        threshold_source=threshold_source,
        metrics=bootstrap_metrics(
            cases.labels, cases.scores, threshold, plan, cases.patients, cases.models, probabilities
        ),
        delong=_delong(cases),
        optimum=_optimum(cases),
        calibration=calibration_line(cases.labels, cases.scores) if probabilities else None,
        decision=decision_curve(cases.labels, cases.scores) if probabilities else None,
        comparisons=_comparisons(cases, plan),
        notes=(),
    )
    return replace(result, notes=tuple(_notes(result, plan)))


def _delong(cases: PredictionSet) -> Estimate:
    """DeLong's interval, which holds for the scores of one model."""
    if not _has_both(cases) or cases.models is not None:
        return Estimate(math.nan)
    return delong_interval(cases.labels, cases.scores)


def _comparisons(cases: PredictionSet, plan: Resampling) -> dict[str, AucComparison]:
    """The score against the others, by their columns: DeLong's paired test, or within models a paired
    bootstrap.
    """
    found: dict[str, AucComparison] = {}
    if not _has_both(cases):
        return found
    for column, other in cases.others.items():
        if cases.models is None:
            found[column] = delong_test(cases.labels, cases.scores, other)
        else:
            found[column] = auc_difference(
                cases.labels, cases.scores, other, plan, cases.patients, cases.models
            )
    return found


def _notes(result: SetResult, plan: Resampling) -> list[str]:
    cases = result.cases
    notes = []
    both = _has_both(cases)
    if not both:
        notes.append("one class only: AUC, its intervals, comparisons and the Youden optimum are empty")
    if cases.models is not None:
        notes += _fold_notes(result, cases.models)
    if not result.has_threshold:
        notes.append("no threshold: give a number or --threshold-from for accuracy, sensitivity and the like")
    if result.threshold_source == OWN_THRESHOLD:
        notes.append(
            "the threshold was fixed on this very set: accuracy, sensitivity, specificity, F1, PPV and NPV"
            " are optimistic"
        )
    if both and cases.models is None and math.isnan(result.delong.low):
        notes.append("a single case in one class: no DeLong interval, no comparison")
    if result.metrics.estimates["auc"].value < 0.5:
        notes.append("AUC below 0.5: the score ranks the classes the wrong way round; it is not flipped")
    if not cases.calibrated.all():
        uncalibrated = int((~cases.calibrated).sum())
        notes.append(
            f"{uncalibrated} of {len(cases.labels)} scores are not calibrated, a model learnt nothing: no"
            " Brier score, calibration or decision curve"
        )
    elif not is_probability(cases.scores):
        notes.append("scores outside 0-1 are no probabilities: no Brier score, calibration or decision curve")
    elif both and result.calibration is None:
        notes.append(
            "the scores separate the classes or are all the same: no calibration slope and intercept"
        )
    patients = len(cases.labels) if cases.patients is None else len(set(cases.patients.tolist()))
    if patients < len(cases.labels):
        rows = "cases" if cases.models is None else "rows"
        notes.append(
            f"{len(cases.labels)} {rows} of {patients} patients: resampled by patient; DeLong's method and"
            f" the intervals of the calibration take {rows} as independent"
        )
    if result.metrics.redrawn:
        notes.append(f"{result.metrics.redrawn} resamples had one class only and were drawn again")
    for name, times in result.metrics.undefined.items():
        if times:
            notes.append(
                f"{name} is undefined in {times} of {plan.resamples} resamples, which its interval leaves out"
            )
    return notes


def _fold_notes(result: SetResult, models: np.ndarray) -> list[str]:
    """How a set is judged that several models scored."""
    labels = result.cases.labels
    sizes = Counter(models.tolist())
    positives = Counter(models[labels].tolist())
    one_class = [model for model, size in sizes.items() if positives[model] in (0, size)]
    left_out = f"; {len(one_class)} of them have one class only and are left out" if one_class else ""
    notes = [
        f"out-of-fold scores of {len(sizes)} models (fold and seed): AUC is the mean of theirs{left_out};"
        " no DeLong interval or test, comparisons have a paired bootstrap interval"
    ]
    cases = len(set(result.cases.case_ids.tolist()))
    if cases < len(labels):
        notes.append(f"{cases} cases with a row for each seed: n and the confusion matrix count rows")
    if result.threshold_source == THRESHOLD_COLUMN:
        notes.append("each row is called by the threshold of its own model")
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
