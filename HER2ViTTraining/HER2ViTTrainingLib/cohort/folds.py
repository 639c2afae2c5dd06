"""Folds that the manifest names: one for each value of a column, such as the site (leave-one-site-out)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from HER2ViTLib.her2 import Task
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.case_table import levels_in_order
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.grouping import grouped
from HER2ViTTrainingLib.tables.table import require_columns

from .manifest import Case, Cohort
from .splits import Splits, TaskSplit, given_splits

MIN_FOLD_CASES = 10
"""Values with fewer cases share one fold: of a handful of cases no AUC is worth its name."""
POOLED = "pooled"


def splits_by(cohort: Cohort, column: str, task: Task) -> Splits:
    """The task's development cases in one fold for each value of the manifest's `column`, named by it, in the
    order people count; values with fewer than `MIN_FOLD_CASES` cases share the fold `POOLED`, the last.

    Raises `InputError` for a column that is not there, cases without a value, patients with several (they
    would be on both sides), and fewer than two folds.
    """
    require_columns(cohort.path, cohort.columns, [column])
    cases = [case for case in cohort.development if case.label(task) is not None]
    _require_values(cases, column, cohort)
    by_value = grouped(cases, lambda case: case.row[column])
    folds = {}
    pooled: list[Case] = []
    for value in levels_in_order(by_value):
        if len(by_value[value]) < MIN_FOLD_CASES:
            pooled += by_value[value]
        else:
            folds[value] = by_value[value]
    if pooled:
        _require_free_name(folds, column, cohort)
        folds[POOLED] = tuple(pooled)
    if len(folds) < 2:
        raise InputError(
            f"{cohort.path}: column {column}: {len(folds)} fold of {task.name} cases (values with fewer than"
            f" {MIN_FOLD_CASES} share one), where a cross-validation needs two; use --folds K"
        )
    split = TaskSplit(_ids(cases), (), tuple(map(_ids, folds.values())), tuple(folds))
    return replace(given_splits(cohort, ()), kind=f"by {column}", tasks={task.name: split})


def _ids(cases: Sequence[Case]) -> tuple[str, ...]:
    return tuple(sorted(case.case_id for case in cases))


def _require_values(cases: Sequence[Case], column: str, cohort: Cohort) -> None:
    """Every case has a value, every patient one only."""
    faults = Faults(cohort.path)
    for patient, theirs in grouped(cases, lambda case: case.patient_id).items():
        values = {case.row[column] for case in theirs} - {""}
        if len(values) > 1:
            named = " and ".join(map(repr, levels_in_order(values)))
            what = f"patient {patient!r} has {named}, and would be on both sides; give all cases one value"
            faults.note(theirs[0].row, column, what)
        for case in theirs:
            if not case.row[column]:
                faults.note(case.row, column, "is missing; fill it in, or exclude the case")
    faults.raise_any()


def _require_free_name(folds: dict[str, tuple[Case, ...]], column: str, cohort: Cohort) -> None:
    if POOLED in folds:
        raise InputError(
            f"{cohort.path}: column {column}, value {POOLED!r}: is the name of the fold of small groups; call"
            " this one otherwise"
        )
