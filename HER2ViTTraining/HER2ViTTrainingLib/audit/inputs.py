"""The predictions to audit, with what is known of their cases from other files: subgroups, HER2 status,
sizes, embeddings.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from HER2ViTLib.her2 import HER2Status
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.cohort.columns import SUBGROUP_COLUMNS
from HER2ViTTrainingLib.cohort.folds import MIN_FOLD_CASES, POOLED
from HER2ViTTrainingLib.cohort.reference_standard import reference_standard
from HER2ViTTrainingLib.evaluation.predictions import (
    Predictions,
    PredictionSet,
    predictions_of,
    require_few_groups,
)
from HER2ViTTrainingLib.stats.roc import midranks
from HER2ViTTrainingLib.tables.case_table import CaseTable, levels_in_order, read_cases
from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.table import Table, read_table

from .measures import Measures


@dataclass(frozen=True)
class AuditedSet:
    """A set of the predictions, its rows as they are in the file: `cases`, whose subgroups are the levels of
    the audited columns, empty where missing, small ones pooled.

    `values` (n,) by column are the levels before pooling. `statuses` (n,) are the HER2 statuses, None unless
    each case has one. `sizes` (n,) and `embeddings` (n, k) by name are NaN for a case without.
    """

    cases: PredictionSet
    values: Mapping[str, np.ndarray]
    statuses: np.ndarray | None
    sizes: Mapping[str, np.ndarray] = field(default_factory=dict)
    embeddings: Mapping[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def first(self) -> np.ndarray:
        """The first row of each case (m,): of several seeds a case has a row each."""
        return np.unique(self.cases.case_ids, return_index=True)[1]

    def mean_by_case(self, values: np.ndarray) -> np.ndarray:
        """The mean (m,) of the rows' values (n,) by case, in the order of `first`."""
        place = np.unique(self.cases.case_ids, return_inverse=True)[1]
        return np.bincount(place, values) / np.bincount(place)

    @property
    def patients(self) -> np.ndarray:
        """The patient (n,) of each row; where the file does not say, each case is one."""
        return self.cases.case_ids if self.cases.patients is None else self.cases.patients

    @property
    def comparable_scores(self) -> np.ndarray:
        """A score (m,) of each case on a common scale: its rank (0-1) among those of its model, which are on
        a scale of their own; of several seeds the mean.
        """
        scores = self.cases.scores
        models = np.zeros(len(scores)) if self.cases.models is None else self.cases.models
        ranks = np.empty(len(scores))
        for model in np.unique(models):
            its = models == model
            ranks[its] = (midranks(scores[its]) - 0.5) / its.sum()
        return self.mean_by_case(ranks)

    def pooled(self, column: str) -> list[str]:
        """The values that were pooled, in order."""
        is_pooled = self.cases.subgroups[column] == POOLED
        return levels_in_order(self.values[column][is_pooled])

    def levels(self, column: str) -> list[str]:
        """The column's levels, pooled last, as `train --folds-by` has its folds."""
        names = levels_in_order(set(self.cases.subgroups[column].tolist()) - {"", POOLED})
        return names + [POOLED] * bool((self.cases.subgroups[column] == POOLED).any())

    def missing(self, column: str) -> int:
        """How many cases have no level."""
        return int((self.cases.subgroups[column][self.first] == "").sum())


@dataclass(frozen=True)
class AuditInput:
    """The sets with both classes, and the others' names; the audited columns and in which file each was; the
    files as (role, SHA-256), `path` the first of them.
    """

    path: Path
    sets: tuple[AuditedSet, ...]
    one_class: tuple[str, ...]
    columns: Mapping[str, str]
    inputs: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()

    @property
    def predictions(self) -> Predictions:
        """The sets as `evaluate` takes them."""
        return Predictions(tuple(one.cases for one in self.sets), dict(self.inputs)["predictions"])

    @property
    def case_ids(self) -> set[str]:
        """The cases of all sets."""
        return set(np.concatenate([one.cases.case_ids for one in self.sets]).tolist())

    def with_measures(self, measures: Sequence[Measures]) -> AuditInput:
        """The same with what was measured of the cases: a size from the first of `measures` that has it.

        Raises `InputError` for measures of other cases only, and for an embedding that is given twice.
        """
        faults = [
            f"{self.path}: none of its cases is in the {one.inputs[0][0]}; give features of these cases"
            for one in measures
            if not self.case_ids & one.by_case.keys()
        ]
        times = Counter(name for one in measures for name in one.embeddings)
        faults += [
            f"--features and --bundle: both give the {name}; give one of them"
            for name, count in times.items()
            if count > 1
        ]
        if faults:
            raise InputError(faults)
        return replace(
            self,
            sets=tuple(_measured(one, measures) for one in self.sets),
            inputs=(*self.inputs, *(entry for one in measures for entry in one.inputs)),
            notes=tuple(note for one in measures for note in one.notes),
        )


def read_audit(
    predictions: str | os.PathLike, manifest: str | os.PathLike | None = None, by: Sequence[str] = ()
) -> AuditInput:
    """The predictions with the subgroup columns `by` (default: those of `SUBGROUP_COLUMNS` that are there)
    and, by `case_id`, the HER2 status of a manifest. Images are not looked at.

    Raises `InputError`: as `predictions_of`, for a column that is in neither file, files without a case in
    common, no set with both classes, more levels than `require_few_groups` allows.
    """
    table = read_table(predictions)
    joined = None if manifest is None else read_cases(manifest)
    columns = _sources(table, joined, by)
    own = [column for column, source in columns.items() if source == "predictions"]
    read = predictions_of(table, by=own)
    rows = {} if joined is None else _rows_by_case(joined, table)
    statuses = {} if joined is None else _statuses(joined)
    sets = tuple(_audited(cases, columns, rows, statuses) for cases in read.sets)
    both = tuple(one for one in sets if one.cases.labels.any() and not one.cases.labels.all())
    if not both:
        raise InputError(f"{table.path}: every set has one class only, column label; nothing can be audited")
    require_few_groups(table.path, [one.cases for one in both])
    inputs = [("predictions", read.sha256)]
    if joined is not None:
        inputs.append(("manifest", joined.inputs[0][1]))
    one_class = tuple(one.cases.name for one in sets if one not in both)
    return AuditInput(table.path, both, one_class, columns, tuple(inputs))


def _sources(table: Table, joined: CaseTable | None, by: Sequence[str]) -> dict[str, str]:
    """The columns to audit, and which file has each: the predictions, else the manifest."""
    own = table.columns
    theirs = () if joined is None else joined.columns
    wanted = by or [column for column in SUBGROUP_COLUMNS if column in own or column in theirs]
    sources = {}
    faults = []
    for column in wanted:
        if column in own or column in theirs:
            sources[column] = "predictions" if column in own else "manifest"
        elif joined is None:
            faults.append(
                f"--by {column}: is no column of {table.path}; add it, or name a file with --manifest"
            )
        else:
            faults.append(
                f"--by {column}: is a column neither of {table.path} nor of {joined.path}; add it to one"
            )
    if faults:
        raise InputError(faults)
    return sources


def _rows_by_case(joined: CaseTable, table: Table) -> dict[str, Row]:
    joined.require(("case_id",))
    rows = {row["case_id"]: row for row in joined.rows}
    if not any(row["case_id"] in rows for row in table.rows):
        raise InputError(
            f"{joined.path}: none of its cases is in {table.path}; name the manifest of the predicted cases"
        )
    return rows


def _statuses(joined: CaseTable) -> dict[str, str]:
    """The HER2 status of each case that has a clear one."""
    faults = Faults(joined.path)
    found = {row["case_id"]: reference_standard(row, faults).status for row in joined.rows}
    faults.raise_any()
    known = {case_id: status for case_id, status in found.items() if status is not None}
    return {
        case_id: status.value for case_id, status in known.items() if status is not HER2Status.INDETERMINATE
    }


def _audited(
    cases: PredictionSet,
    columns: Mapping[str, str],
    rows: Mapping[str, Row],
    statuses: Mapping[str, str],
) -> AuditedSet:
    ids = cases.case_ids.tolist()
    values = {}
    for column, source in columns.items():
        if source == "predictions":
            values[column] = cases.subgroups[column]
        else:
            values[column] = np.array([rows[one][column] if one in rows else "" for one in ids])
    patients = cases.patients
    if patients is None and rows:
        patients = np.array([(rows[one]["patient_id"] if one in rows else "") or one for one in ids])
    levels = {column: _with_small_pooled(cases.case_ids, texts) for column, texts in values.items()}
    known = bool(statuses) and all(one in statuses for one in ids)
    return AuditedSet(
        replace(cases, subgroups=levels, patients=patients),
        values,
        np.array([statuses[one] for one in ids]) if known else None,
    )


def _measured(audited: AuditedSet, measures: Sequence[Measures]) -> AuditedSet:
    ids = audited.cases.case_ids.tolist()
    sizes: dict[str, np.ndarray] = {}
    embeddings = {}
    for one in measures:
        for name in one.sizes:
            sizes.setdefault(name, one.of(ids, [name])[:, 0])
        for name, columns in one.embeddings.items():
            embeddings[name] = one.of(ids, columns)
    return replace(audited, sizes=sizes, embeddings=embeddings)


def _with_small_pooled(case_ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values (n,) as text, those with fewer than `MIN_FOLD_CASES` cases replaced by `POOLED`, as
    `train --folds-by` does.
    """
    each_once = dict(zip(case_ids.tolist(), values.tolist()))
    sizes = Counter(each_once.values())
    small = {value for value, size in sizes.items() if value and size < MIN_FOLD_CASES}
    return np.array([POOLED if value in small else value for value in values.tolist()])
