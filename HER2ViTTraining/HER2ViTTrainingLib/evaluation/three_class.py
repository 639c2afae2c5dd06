"""The two-step call judged as a whole: readings against the reference standard, zero, low, positive (`her2vit
evaluate3`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from HER2ViTLib import __version__
from HER2ViTLib.files.output import json_bytes, write_results
from HER2ViTLib.her2 import HER2Status
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError
from HER2ViTTrainingLib.cohort.reference_standard import (
    INDETERMINATE,
    STATUS_MISSING,
    reference_standard,
)
from HER2ViTTrainingLib.pages.texts import estimate_text
from HER2ViTTrainingLib.stats.resampling import Bootstrapped, Resampling, bootstrap, estimates
from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.table import Table, read_table

from .call_sets import CallSetResult, CallSets, judge_call_sets, read_call_sets
from .judging import OPTIMISM_NOTICE

RESULT_FILES = ("three_class.json",)
CLASSES = (HER2Status.ZERO.value, HER2Status.LOW.value, HER2Status.POSITIVE.value)
NAMES = (
    *(f"sensitivity_{name}" for name in CLASSES),
    *(f"ppv_{name}" for name in CLASSES),
    "accuracy",
    "balanced_accuracy",
    "weighted_kappa",
)
KAPPA_WEIGHTS = "linear"
_DISTANCE = np.abs(np.subtract.outer(range(3), range(3)))


@dataclass(frozen=True)
class ReadCases:
    """Cases with a call and a reference standard, both (n,) as index into CLASSES; patients and cohorts (n,)
    as the manifest names them.

    `excluded` counts the reasons why read cases are left out; `without_reading` the usable cases of the
    manifest that were not read. `inputs` are (role, SHA-256). `call_sets` are the statuses that the readings
    cannot exclude, None where they do not say.
    """

    truth: np.ndarray
    call: np.ndarray
    patients: np.ndarray
    cohorts: np.ndarray
    excluded: Mapping[str, int]
    without_reading: int
    inputs: tuple[tuple[str, str], ...]
    call_sets: CallSets | None = None


def match(readings: str | os.PathLike, manifest: str | os.PathLike) -> ReadCases:
    """The calls of a readings file beside the status of a manifest: `ihc` with `ish`, or `her2_status`.
    Images need not be there.

    Cases that the manifest excludes, or whose status is missing or indeterminate, are left out and counted.
    Raises `InputError` with all faults of a file: missing columns, a case twice, unknown statuses, a reading
    without a call or a case.
    """
    table = _read_readings(readings)
    truth = read_truth(manifest)
    calls = rows_by_case(table)
    cases = rows_by_case(truth)
    if not calls.keys() & cases.keys():
        raise InputError(
            f"{readings}: none of its {len(calls)} cases is in {manifest}; name the manifest that was read"
        )
    faults = Faults(table.path)
    for case_id, row in calls.items():
        if case_id not in cases:
            faults.note(row, "case_id", f"is not in {manifest}; add the case there or take the reading out")
    faults.raise_any()
    truths = _truths(truth.path, cases)
    usable = {case_id: truth for case_id, truth in truths.items() if truth in CLASSES}
    chosen = [case_id for case_id in calls if case_id in usable]
    if not chosen:
        raise InputError(
            f"{manifest}: no read case has a HER2 status to compare with; fill in ihc and ish, or her2_status"
        )

    faults = Faults(table.path)
    call_sets = read_call_sets([calls[case_id] for case_id in chosen], faults)
    faults.raise_any()

    def column(of: Callable[[Row], str]) -> np.ndarray:
        return np.array([of(cases[case_id]) for case_id in chosen])

    return ReadCases(
        truth=np.array([CLASSES.index(usable[case_id]) for case_id in chosen]),
        call=np.array([CLASSES.index(calls[case_id]["call"]) for case_id in chosen]),
        patients=column(lambda row: row["patient_id"] or row["case_id"]),
        cohorts=column(lambda row: row["cohort"] or row["role"] or "development"),
        excluded=Counter(truths[case_id] for case_id in calls if case_id not in usable),
        without_reading=len(usable.keys() - calls.keys()),
        inputs=(("readings", table.sha256), ("truth", truth.sha256)),
        call_sets=call_sets,
    )


def rows_by_case(table: Table) -> dict[str, Row]:
    """The rows by case. Raises `InputError` for a case without an id, or there twice."""
    faults = Faults(table.path)
    found: dict[str, Row] = {}
    for row in table.rows:
        if not row["case_id"]:
            faults.note(row, "case_id", "is missing; fill it in")
        elif row["case_id"] in found:
            faults.note(row, "case_id", "is there before; keep one row a case")
        found[row["case_id"]] = row
    faults.raise_any()
    return found


def _read_readings(path: str | os.PathLike) -> Table:
    table = read_table(path)
    table.require(("case_id", "call"))
    if not table.rows:
        raise InputError(f"{path}: holds no reading; read some cases first")
    faults = Faults(table.path)
    for row in table.rows:
        if not row["call"]:
            faults.note(row, "call", "is missing; read the case with the bundles of Task 1 and Task 2")
        elif row["call"] not in CLASSES:
            faults.note(row, "call", "is not zero, low or positive; give the readings of a batch as they are")
    faults.raise_any()
    return table


def read_truth(path: str | os.PathLike) -> Table:
    """A manifest of which only the HER2 status counts: `ihc` with `ish`, or `her2_status`."""
    table = read_table(path)
    by_status = "her2_status" in table.columns
    table.require(("case_id",) if by_status else ("case_id", "ihc", "ish"))
    return table


def _truths(path: Path, cases: Mapping[str, Row]) -> dict[str, str]:
    """A case's class, else the reason why it has none."""
    faults = Faults(path)
    truths = {case_id: _truth(row, faults) for case_id, row in cases.items()}
    faults.raise_any()
    return truths


def _truth(row: Row, faults: Faults) -> str:
    if row["exclude"]:
        return f"excluded: {row['exclude']}"
    status = reference_standard(row, faults).status
    if status is None:
        return STATUS_MISSING
    return _NO_CLASS.get(status, status.value)


_NO_CLASS = {
    HER2Status.NEGATIVE: "HER2 negative: zero and low are not told apart",
    HER2Status.INDETERMINATE: INDETERMINATE,
}
"""Why a case with that status is left out of three classes."""


@dataclass(frozen=True)
class ThreeClassResult:
    """`matrix` (3, 3): rows the reference standard, columns the call, in the order of CLASSES; NAMES with
    their intervals.
    """

    matrix: np.ndarray
    found: Bootstrapped
    notes: tuple[str, ...]


def judge(
    truth: np.ndarray, call: np.ndarray, plan: Resampling, patients: np.ndarray | None = None
) -> ThreeClassResult:
    """Confusion matrix, sensitivity and PPV per class, accuracy, balanced accuracy and weighted kappa of
    calls (n,) for truths (n,).

    Balanced accuracy is the mean sensitivity of the three classes, NaN when the truth lacks one. Kappa (Cohen
    1968) has linear weights: calling zero positive counts twice as wrong as calling it low. Percentile
    bootstrap intervals as in `resampling.bootstrap`.
    """
    cells = np.eye(9)[3 * truth + call]

    def statistic(weights: np.ndarray) -> np.ndarray:
        return _agreement((weights @ cells).reshape(-1, 3, 3))

    resampled, redrawn = bootstrap(statistic, truth, plan, patients)
    matrix = cells.sum(axis=0).reshape(3, 3)
    found = estimates(NAMES, _agreement(matrix[None])[0], resampled, redrawn)
    absent = [name for name, n in zip(CLASSES, matrix.sum(axis=1)) if not n]
    notes = [f"no case is {name}: its sensitivity and the balanced accuracy are empty" for name in absent]
    notes += [
        f"{name} is undefined in {times} of {plan.resamples} resamples, left out"
        for name, times in found.undefined.items()
        if times
    ]
    return ThreeClassResult(matrix.astype(int), found, tuple(notes))


def _agreement(matrices: np.ndarray) -> np.ndarray:
    """NAMES (b, 9) of confusion matrices (b, 3, 3)."""
    rows = matrices.sum(axis=2)
    columns = matrices.sum(axis=1)
    n = matrices.sum(axis=(1, 2))
    right = np.diagonal(matrices, axis1=1, axis2=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity = right / rows
        ppv = right / columns
        observed = (matrices * _DISTANCE).sum(axis=(1, 2))
        expected = np.einsum("bi,ij,bj->b", rows, _DISTANCE, columns) / n
        kappa = 1 - observed / expected
    return np.column_stack([sensitivity, ppv, right.sum(axis=1) / n, sensitivity.mean(axis=1), kappa])


@dataclass(frozen=True)
class ThreeClassEvaluation:
    """All cases together, and each cohort by itself where there are several. Where the readings say what they
    cannot exclude: that judged, and the call of those that leave one status (None where none does).
    """

    cases: ReadCases
    together: ThreeClassResult
    cohorts: Mapping[str, ThreeClassResult]
    plan: Resampling
    call_sets: CallSetResult | None = None
    told: ThreeClassResult | None = None
    cohort_call_sets: Mapping[str, CallSetResult] = field(default_factory=dict)


def evaluate_three_class(cases: ReadCases, plan: Resampling) -> ThreeClassEvaluation:
    """Judges all cases together and every cohort by itself."""
    names = list(dict.fromkeys(cases.cohorts.tolist()))
    parts = {name: cases.cohorts == name for name in names} if len(names) > 1 else {}
    cohorts = {
        name: judge(cases.truth[part], cases.call[part], plan, cases.patients[part])
        for name, part in parts.items()
    }
    together = judge(cases.truth, cases.call, plan, cases.patients)
    sets = cases.call_sets
    if sets is None:
        return ThreeClassEvaluation(cases, together, cohorts, plan)
    one_left = sets.told
    told = None
    if one_left.any():
        told = judge(cases.truth[one_left], cases.call[one_left], plan, cases.patients[one_left])
    of_cohorts = {
        name: judge_call_sets(cases.truth[part], sets.part(part), plan, cases.patients[part])
        for name, part in parts.items()
    }
    of_all = judge_call_sets(cases.truth, sets, plan, cases.patients)
    return ThreeClassEvaluation(cases, together, cohorts, plan, of_all, told, of_cohorts)


def three_class_json(evaluation: ThreeClassEvaluation) -> dict[str, Any]:
    """`three_class.json`."""
    cases = evaluation.cases
    return {
        "notice": RESEARCH_NOTICE,
        "optimism": OPTIMISM_NOTICE,
        "versions": {"her2vit": __version__, "numpy": np.__version__},
        "inputs": [{"role": role, "sha256": sha256} for role, sha256 in cases.inputs],
        "labels": list(CLASSES),
        "matrix_rows": "reference standard",
        "matrix_columns": "call",
        "kappa_weights": KAPPA_WEIGHTS,
        "bootstrap": {**asdict(evaluation.plan), "unit": "patient", "interval": "percentile, 95 %"},
        "excluded": [{"reason": reason, "n": n} for reason, n in sorted(cases.excluded.items())],
        "without_reading": cases.without_reading,
        **_result_json(evaluation.together),
        "cohorts": {name: _result_json(result) for name, result in evaluation.cohorts.items()},
        **_call_sets_json(evaluation),
    }


def _call_sets_json(evaluation: ThreeClassEvaluation) -> dict[str, Any]:
    if evaluation.call_sets is None:
        return {}
    cohorts = {name: found.to_json() for name, found in evaluation.cohort_call_sets.items()}
    told = evaluation.told and _result_json(evaluation.told)
    return {"call_set": {**evaluation.call_sets.to_json(), "cohorts": cohorts, "call_among_told": told}}


def _result_json(result: ThreeClassResult) -> dict[str, Any]:
    found = {name: asdict(estimate) for name, estimate in result.found.estimates.items()}
    classes = {
        name: {"n": int(n), "sensitivity": found[f"sensitivity_{name}"], "ppv": found[f"ppv_{name}"]}
        for name, n in zip(CLASSES, result.matrix.sum(axis=1))
    }
    overall = {name: found[name] for name in ("accuracy", "balanced_accuracy", "weighted_kappa")}
    return {
        "n": int(result.matrix.sum()),
        "matrix": result.matrix.tolist(),
        "classes": classes,
        **overall,
        "redrawn": result.found.redrawn,
        "notes": list(result.notes),
    }


def three_class_text(evaluation: ThreeClassEvaluation) -> str:
    """The result in plain lines, for the screen."""
    result = evaluation.together
    found = result.found.estimates
    lines = [
        f"{result.matrix.sum()} cases; reference standard (rows) against call (columns)",
        " " * 10 + "".join(f"{name:>10}" for name in CLASSES),
    ]
    for name, counts in zip(CLASSES, result.matrix):
        rates = (
            f"   sensitivity {estimate_text(found[f'sensitivity_{name}'])}   PPV"
            f" {estimate_text(found[f'ppv_{name}'])}"
        )
        lines.append(f"{name:<10}" + "".join(f"{count:>10}" for count in counts) + rates)
    lines.append(f"balanced accuracy {estimate_text(found['balanced_accuracy'])}")
    lines.append(f"{KAPPA_WEIGHTS}ly weighted kappa {estimate_text(found['weighted_kappa'])}")
    if evaluation.call_sets is not None:
        lines += evaluation.call_sets.lines()
    if evaluation.told is not None:
        accuracy = estimate_text(evaluation.told.found.estimates["accuracy"])
        lines.append(f"accuracy of the call where one status is left {accuracy}")
    lines += [f"left out {n}: {reason}" for reason, n in sorted(evaluation.cases.excluded.items())]
    return "\n".join([*lines, *result.notes, OPTIMISM_NOTICE, RESEARCH_NOTICE])


def write_three_class(evaluation: ThreeClassEvaluation, folder: str | os.PathLike) -> list[str]:
    """Writes `three_class.json` into a folder of its own and returns its name. Raises `InputError` when the
    folder holds anything else.
    """
    content = json_bytes(three_class_json(evaluation))
    return write_results(folder, RESULT_FILES, {"three_class.json": content})
