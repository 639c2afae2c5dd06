"""Predictions judged: `predictions.csv` in; metrics, pictures and the study's Table 2 out (`her2vit evaluate`).

Each set of the file is judged by itself. Its threshold is its own Youden optimum (optimistic), that of a named set, or a number; it is held
fixed in every resample and for every subgroup.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, json_bytes, write_results
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError
from HER2ViTTrainingLib.cohort.manifest import Row, grouped, read_table
from HER2ViTTrainingLib.pages.html import html_page
from HER2ViTTrainingLib.stats.roc import (
    METRICS,
    Bootstrapped,
    CalibrationLine,
    DecisionCurve,
    DelongTest,
    Estimate,
    OperatingPoint,
    Resampling,
    bootstrap_metrics,
    calibration_line,
    decision_curve,
    delong_interval,
    delong_test,
    is_probability,
    youden,
)

PICTURES = ("roc.png", "confusion.png", "calibration.png", "decision_curve.png")
RESULT_FILES = ("metrics.csv", "metrics.json", "table2.csv", "table2.html", "subgroups.csv", "comparison.csv", *PICTURES)
REQUIRED_COLUMNS = ("case_id", "set", "label", "score")
OWN_THRESHOLD, GIVEN_THRESHOLD, NO_THRESHOLD = "self (optimistic)", "given", "none"
OPTIMISM_NOTICE = (
    "Figures of a set on which weights, threshold or calibration were fixed are optimistic: "
    "how well a model does on new patients is told only by sets that were used for nothing else."
)
TABLE2_COLUMNS = {"auc": "AUC", "accuracy": "accuracy", "sensitivity": "sensitivity", "specificity": "specificity", "f1": "F1"}
VERSIONS = {"her2vit": __version__, "numpy": np.__version__}
MOST_SETS, MOST_SUBGROUPS, MOST_ALIKE = 100, 20, 20


# Reading


@dataclass(frozen=True)
class PredictionSet:
    """The cases of one set: labels (n,) bool, scores (n,), patients (n,) where the file names them, further scores and subgroup labels by column."""

    name: str
    labels: np.ndarray
    scores: np.ndarray
    patients: np.ndarray | None
    others: Mapping[str, np.ndarray]
    subgroups: Mapping[str, np.ndarray]

    def part(self, name: str, chosen: np.ndarray) -> PredictionSet:
        """The chosen cases (n,) bool, without further subgroups."""
        patients = None if self.patients is None else self.patients[chosen]
        others = {column: scores[chosen] for column, scores in self.others.items()}
        return PredictionSet(name, self.labels[chosen], self.scores[chosen], patients, others, {})


def require_columns(path: Path, columns: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises `InputError` with a line per column that is missing."""
    missing = [name for name in dict.fromkeys(wanted) if name not in columns]
    if missing:
        raise InputError([f"{path}: row 1: column {name} is missing; add it, or name one of: {', '.join(columns)}" for name in missing])


def read_predictions(path: str | os.PathLike, compare: Sequence[str] = (), by: Sequence[str] = ()) -> list[PredictionSet]:
    """The sets of a predictions file, in its order, with the score columns `compare` and the subgroup columns `by`.

    Raises `InputError` with all faults: missing columns, labels other than 0 and 1, scores that are no finite number, a case twice in a set.
    """
    path = Path(path)
    columns, rows = read_table(path)
    require_columns(path, columns, (*REQUIRED_COLUMNS, *compare, *by))
    if not rows:
        raise InputError(f"{path}: holds no case; give one row a case")
    _require_sound(path, rows, (*("score",), *compare))
    by_set: dict[str, list[Row]] = {}
    for row in rows:
        by_set.setdefault(row["set"], []).append(row)
    if len(by_set) > MOST_SETS:
        raise InputError(f"{path}: column set has {len(by_set)} different values; name at most {MOST_SETS} sets")
    sets = [_prediction_set(name, members, "patient_id" in columns, compare, by) for name, members in by_set.items()]
    _require_few_groups(path, sets)
    return sets


def _prediction_set(name: str, rows: Sequence[Row], with_patients: bool, compare: Sequence[str], by: Sequence[str]) -> PredictionSet:
    def numbers(column: str) -> np.ndarray:
        return np.array([float(row[column]) for row in rows])

    def texts(column: str) -> np.ndarray:
        return np.array([row[column] for row in rows])

    patients = np.array([row["patient_id"] or row["case_id"] for row in rows]) if with_patients else None
    others, subgroups = {column: numbers(column) for column in compare}, {column: texts(column) for column in by}
    return PredictionSet(name, numbers("label") == 1, numbers("score"), patients, others, subgroups)


class RowFaults:
    """Collects what is wrong in the rows of a file; a line per kind of fault names its rows: a wrong column would fill the screen otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[tuple[str, str, str], list[int]] = {}

    def note(self, row: Row, column: str, cure: str) -> None:
        self.rows.setdefault((column, row[column], cure), []).append(row.number)

    def raise_any(self) -> None:
        alike = grouped(self.rows, lambda what: (what[0], what[2])).values()
        kinds = [part for whats in alike for part in ([whats] if len(whats) > MOST_ALIKE else [(what,) for what in whats])]
        if kinds:
            raise InputError([self._line(whats) for whats in kinds])

    def _line(self, whats: Sequence[tuple[str, str, str]]) -> str:
        column, value, cure = whats[0]
        rows = _rows_text(sorted(number for what in whats for number in self.rows[what]))
        return f"{self.path}: {rows}, column {column}, value {value!r}{' and others' if len(whats) > 1 else ''}: {cure}"


def _rows_text(numbers: Sequence[int], shown: int = 5) -> str:
    text = ", ".join(map(str, numbers[:shown]))
    return f"row {text}" if len(numbers) == 1 else f"rows {text}" + (f" and {len(numbers) - shown} more" if len(numbers) > shown else "")


def _require_sound(path: Path, rows: Sequence[Row], score_columns: Sequence[str]) -> None:
    faults = RowFaults(path)
    cases = Counter((row["set"], row["case_id"]) for row in rows)
    for row in rows:
        for column in ("case_id", "set"):
            if not row[column]:
                faults.note(row, column, "is missing; fill it in")
        if as_number(row["label"]) not in (0, 1):
            faults.note(row, "label", "must be 1 (low/positive; in the second task low) or 0; correct it or leave the case out")
        for column in score_columns:
            if not math.isfinite(as_number(row[column])):
                faults.note(row, column, "is not a finite number; score the case or leave it out")
        times = cases[row["set"], row["case_id"]]
        if row["case_id"] and times > 1:
            faults.note(row, "case_id", f"is there {times} times in set {row['set']!r}; keep one row a case and set")
    faults.raise_any()


def as_number(text: str) -> float:
    """The number a cell holds, NaN when it holds none."""
    try:
        return float(text) if "_" not in text else math.nan
    except ValueError:
        return math.nan


def _require_few_groups(path: Path, sets: Sequence[PredictionSet]) -> None:
    for column in sets[0].subgroups:
        levels = {level for cases in sets for level in cases.subgroups[column]}
        if len(levels) > MOST_SUBGROUPS:
            raise InputError(f"{path}: column {column} has {len(levels)} different values; --by takes a column with at most {MOST_SUBGROUPS} groups")


# Judging


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
        labels, called = self.cases.labels, self.cases.scores >= self.threshold
        cells = {"tp": labels & called, "fn": labels & ~called, "tn": ~labels & ~called, "fp": ~labels & called}
        known = not math.isnan(self.threshold)
        sizes = {"n": len(labels), "n_pos": int(labels.sum()), "n_neg": int((~labels).sum())}
        return {**sizes, **{name: int(cell.sum()) if known else None for name, cell in cells.items()}}


@dataclass(frozen=True)
class Evaluation:
    """All sets; the subgroups of each as (column, level, result); what concerns the file as a whole."""

    sets: tuple[SetResult, ...]
    subgroups: tuple[tuple[str, str, SetResult], ...]
    notes: tuple[str, ...]
    plan: Resampling
    by_patient: bool


def evaluate(
    sets: Sequence[PredictionSet], plan: Resampling, threshold: float | None = None, threshold_from: str | None = None
) -> Evaluation:
    """Judges every set at `threshold`, else at the Youden optimum of set `threshold_from`, else each at its own.

    Raises `InputError` for a threshold that is no number, an unknown set, and a set with one class to take the threshold from.
    """
    optima = {cases.name: _optimum(cases) for cases in sets}
    if threshold is not None and threshold_from is not None:
        raise InputError(f"--threshold {threshold:g} and --threshold-from {threshold_from!r}: give one of them")
    if threshold is not None and not math.isfinite(threshold):
        raise InputError(f"--threshold {threshold}: not a number to compare scores with; use a finite number or youden")
    if threshold_from is not None and threshold_from not in optima:
        raise InputError(f"--threshold-from {threshold_from!r}: no such set; the sets are {', '.join(map(repr, optima))}")
    if threshold_from is not None and optima[threshold_from] is None:
        raise InputError(f"--threshold-from {threshold_from!r}: has one class only, hence no Youden optimum; name another set")

    def operating_point(name: str) -> tuple[float, str]:
        if threshold is not None:
            return threshold, GIVEN_THRESHOLD
        optimum = optima[threshold_from or name]
        if optimum is None:
            return math.nan, NO_THRESHOLD
        return optimum.threshold, OWN_THRESHOLD if threshold_from in (None, name) else threshold_from

    results, subgroups = [], []
    for cases in sets:
        results.append(judge(cases, *operating_point(cases.name), plan))
        for column, levels in cases.subgroups.items():
            parts = [(level, cases.part(cases.name, levels == level)) for level in sorted(set(levels.tolist()))]
            subgroups += [(column, level, judge(part, *operating_point(cases.name), plan)) for level, part in parts]
    by_patient = any(cases.patients is not None for cases in sets)
    return Evaluation(tuple(results), tuple(subgroups), _leaks(sets), plan, by_patient)


def _optimum(cases: PredictionSet) -> OperatingPoint | None:
    return youden(cases.labels, cases.scores) if _has_both(cases) else None


def _has_both(cases: PredictionSet) -> bool:
    return bool(cases.labels.any() and not cases.labels.all())


def judge(cases: PredictionSet, threshold: float, threshold_source: str, plan: Resampling) -> SetResult:
    """Everything about one set at one threshold (NaN: none)."""
    both, probabilities = _has_both(cases), is_probability(cases.scores)
    result = SetResult(
        cases=cases,
        threshold=threshold,
        threshold_source=threshold_source,
        metrics=bootstrap_metrics(cases.labels, cases.scores, threshold, plan, cases.patients),
        delong=delong_interval(cases.labels, cases.scores) if both else Estimate(math.nan),
        optimum=_optimum(cases),
        calibration=calibration_line(cases.labels, cases.scores),
        decision=decision_curve(cases.labels, cases.scores) if probabilities else None,
        comparisons={column: delong_test(cases.labels, cases.scores, other) for column, other in cases.others.items()} if both else {},
        notes=(),
    )
    return replace(result, notes=tuple(_notes(result, plan)))


def _notes(result: SetResult, plan: Resampling) -> list[str]:
    cases, notes = result.cases, []
    both = _has_both(cases)
    if not both:
        notes.append("one class only: AUC, its intervals, comparisons and the Youden optimum are empty")
    if math.isnan(result.threshold):
        notes.append("no threshold: give a number or --threshold-from for accuracy, sensitivity and the like")
    if result.threshold_source == OWN_THRESHOLD:
        notes.append("the threshold was fixed on this very set: accuracy, sensitivity, specificity, F1, PPV and NPV are optimistic")
    if both and math.isnan(result.delong.low):
        notes.append("a single case in one class: no DeLong interval, no comparison")
    if result.metrics.estimates["auc"].value < 0.5:
        notes.append("AUC below 0.5: the score ranks the classes the wrong way round; it is not flipped")
    if not is_probability(cases.scores):
        notes.append("scores outside 0-1 are no probabilities: no Brier score, calibration or decision curve")
    elif both and result.calibration is None:
        notes.append("the scores separate the classes or are all the same: no calibration slope and intercept")
    patients = len(cases.labels) if cases.patients is None else len(set(cases.patients.tolist()))
    if patients < len(cases.labels):
        notes.append(f"{len(cases.labels)} cases of {patients} patients: resampled by patient; DeLong's method takes cases as independent")
    if result.metrics.redrawn:
        notes.append(f"{result.metrics.redrawn} resamples had one class only and were drawn again")
    for name, times in result.metrics.undefined.items():
        if times:
            notes.append(f"{name} is undefined in {times} of {plan.resamples} resamples, which its interval leaves out")
    return notes


def _leaks(sets: Sequence[PredictionSet]) -> tuple[str, ...]:
    patients = {cases.name: set(cases.patients.tolist()) for cases in sets if cases.patients is not None}
    names = list(patients)
    shared = [(a, b, len(patients[a] & patients[b])) for n, a in enumerate(names) for b in names[n + 1 :]]
    return tuple(f"{count} patients are in set {a!r} and in set {b!r}: neither tells anything new of them" for a, b, count in shared if count)


# Results as tables


def metrics_row(result: SetResult) -> dict[str, Any]:
    """A row of `metrics.csv`."""
    row = {"set": result.cases.name, **result.counts, "threshold": result.threshold, "threshold_source": result.threshold_source}
    for name in METRICS:
        row.update(_columns(name, result.metrics.estimates[name]))
    row.update(auc_delong_low=result.delong.low, auc_delong_high=result.delong.high)
    empty, line = Estimate(math.nan), result.calibration
    row.update(_columns("calibration_slope", line.slope if line else empty))
    row.update(_columns("calibration_intercept", line.intercept if line else empty))
    return {**row, "redrawn": result.metrics.redrawn, "notes": "; ".join(result.notes)}


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def comparison_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Rows of `comparison.csv`: `score` against each other column, per set."""
    return [
        {
            "set": result.cases.name,
            "score": "score",
            "other": column,
            "n": len(result.cases.labels),
            "auc": test.auc,
            "auc_other": test.other_auc,
            **_columns("difference", test.difference),
            "z": test.z,
            "p": test.p,
        }
        for result in evaluation.sets
        for column, test in result.comparisons.items()
    ]


def table2_rows(evaluation: Evaluation) -> list[dict[str, str]]:
    """The study's Table 2: a row per set, point estimates with 95 % intervals to two decimals."""
    return [
        {
            "set": result.cases.name,
            "n (positive)": f"{len(result.cases.labels)} ({result.cases.labels.sum()})",
            **{title: estimate_text(result.metrics.estimates[name]) for name, title in TABLE2_COLUMNS.items()},
            "threshold": _decimals(result.threshold),
            "threshold from": result.threshold_source,
        }
        for result in evaluation.sets
    ]


def estimate_text(estimate: Estimate) -> str:
    """`0.85 (0.82, 0.89)`; empty where undefined."""
    if math.isnan(estimate.value):
        return ""
    interval = "" if math.isnan(estimate.low) else f" ({estimate.low:.2f}, {estimate.high:.2f})"
    return f"{estimate.value:.2f}{interval}"


def p_text(p: float) -> str:
    """A p value to three decimals; empty where undefined."""
    return "" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def _decimals(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def table2_text(evaluation: Evaluation) -> str:
    """Table 2 as aligned plain text, with the notices."""
    rows = table2_rows(evaluation)
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    table = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths)).rstrip() for line in lines]
    return "\n".join([*table, OPTIMISM_NOTICE, RESEARCH_NOTICE])


def metrics_json(evaluation: Evaluation, sha256: str) -> dict[str, Any]:
    """`metrics.json`: per set everything there is, with how it was made."""
    plan = evaluation.plan
    return {
        "notice": RESEARCH_NOTICE,
        "optimism": OPTIMISM_NOTICE,
        "versions": VERSIONS,
        "inputs": [{"role": "predictions", "sha256": sha256}],
        "positive": "score >= threshold",
        "bootstrap": {**asdict(plan), "unit": "patient" if evaluation.by_patient else "case", "interval": "percentile, 95 %"},
        "notes": list(evaluation.notes),
        "sets": {result.cases.name: _set_json(result) for result in evaluation.sets},
        "subgroups": [
            {"column": column, "level": level, "set": result.cases.name, **_set_json(result)} for column, level, result in evaluation.subgroups
        ],
    }


def _set_json(result: SetResult) -> dict[str, Any]:
    curve = result.decision
    return {
        **result.counts,
        "threshold": result.threshold,
        "threshold_source": result.threshold_source,
        "metrics": {name: asdict(estimate) for name, estimate in result.metrics.estimates.items()},
        "delong": {"low": result.delong.low, "high": result.delong.high},
        "youden": {**asdict(result.optimum), "j": result.optimum.j} if result.optimum else None,
        "calibration": asdict(result.calibration) if result.calibration else None,
        "decision_curve": {name: values.tolist() for name, values in asdict(curve).items()} if curve else None,
        "comparisons": {column: asdict(test) for column, test in result.comparisons.items()},
        "redrawn": result.metrics.redrawn,
        "undefined": {name: times for name, times in result.metrics.undefined.items() if times},
        "notes": list(result.notes),
    }


def table2_html(evaluation: Evaluation, sha256: str, pictures: Mapping[str, bytes]) -> bytes:
    """Table 2 as a self-contained page, with notices, comparisons, notes and pictures (name to PNG). All texts are escaped."""
    return html_page(
        "table2.html",
        pictures,
        {"estimate": estimate_text, "p": p_text},
        rows=table2_rows(evaluation),
        evaluation=evaluation,
        optimism=OPTIMISM_NOTICE,
        sha256=sha256,
        versions=VERSIONS,
    )


def write_evaluation(evaluation: Evaluation, predictions: str | os.PathLike, folder: str | os.PathLike, pictures: Mapping[str, bytes]) -> list[str]:
    """Writes the results, with their pictures (name to PNG), into a folder of their own; those of a former run go. Returns the files' names.

    Raises `InputError` when the folder holds anything else.
    """
    rows = [metrics_row(result) for result in evaluation.sets]
    table2 = [{**row, "notice": f"{OPTIMISM_NOTICE} {RESEARCH_NOTICE}"} for row in table2_rows(evaluation)]
    subgroups = [{"by": column, "level": level, **metrics_row(result)} for column, level, result in evaluation.subgroups]
    comparison = comparison_rows(evaluation)
    sha256 = hashlib.sha256(Path(predictions).read_bytes()).hexdigest()
    contents = {
        "metrics.csv": csv_bytes(list(rows[0]), rows),
        "metrics.json": json_bytes(metrics_json(evaluation, sha256)),
        "table2.csv": csv_bytes(list(table2[0]), table2),
        "table2.html": table2_html(evaluation, sha256, pictures),
        **({"subgroups.csv": csv_bytes(list(subgroups[0]), subgroups)} if subgroups else {}),
        **({"comparison.csv": csv_bytes(list(comparison[0]), comparison)} if comparison else {}),
        **pictures,
    }
    return write_results(folder, RESULT_FILES, contents)
