"""The predictions of a model, read from a table: case, set, label, score."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.cells import Row, as_number
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.grouping import grouped
from HER2ViTTrainingLib.tables.table import Table, read_table

REQUIRED_COLUMNS = ("case_id", "set", "label", "score")
MAX_SETS = 100
MAX_SUBGROUPS = 20


@dataclass(frozen=True)
class PredictionSet:
    """The cases of one set: labels (n,) bool, scores (n,), patients (n,) where the file names them, further
    scores and subgroup labels by column.
    """

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


@dataclass(frozen=True)
class Predictions:
    """The sets of a file, in its order, and the file's SHA-256."""

    sets: tuple[PredictionSet, ...]
    sha256: str


def read_predictions(
    path: str | os.PathLike, compare: Sequence[str] = (), by: Sequence[str] = ()
) -> Predictions:
    """The sets of a predictions file with the score columns `compare` and the subgroup columns `by`.

    Raises `InputError` with all faults: missing columns, labels other than 0 and 1, scores that are no finite
    number, a case twice in a set.
    """
    table = read_table(path)
    table.require((*REQUIRED_COLUMNS, *compare, *by))
    if not table.rows:
        raise InputError(f"{path}: holds no case; give one row a case")
    _require_sound(table, ("score", *compare))
    by_set = grouped(table.rows, lambda row: row["set"])
    if len(by_set) > MAX_SETS:
        raise InputError(
            f"{path}: column set has {len(by_set)} different values; name at most {MAX_SETS} sets"
        )
    with_patients = "patient_id" in table.columns
    sets = tuple(
        _prediction_set(name, members, with_patients, compare, by) for name, members in by_set.items()
    )
    _require_few_groups(table.path, sets)
    return Predictions(sets, table.sha256)


def _prediction_set(
    name: str, rows: Sequence[Row], with_patients: bool, compare: Sequence[str], by: Sequence[str]
) -> PredictionSet:
    def numbers(column: str) -> np.ndarray:
        return np.array([as_number(row[column]) for row in rows])

    def texts(column: str) -> np.ndarray:
        return np.array([row[column] for row in rows])

    return PredictionSet(
        name=name,
        labels=numbers("label") == 1,
        scores=numbers("score"),
        patients=np.array([row["patient_id"] or row["case_id"] for row in rows]) if with_patients else None,
        others={column: numbers(column) for column in compare},
        subgroups={column: texts(column) for column in by},
    )


def _require_sound(table: Table, score_columns: Sequence[str]) -> None:
    faults = Faults(table.path)
    times = Counter((row["set"], row["case_id"]) for row in table.rows)
    for row in table.rows:
        for column in ("case_id", "set"):
            if not row[column]:
                faults.note(row, column, "is missing; fill it in")
        _check_label(row, faults)
        for column in score_columns:
            _check_score(row, column, faults)
        n = times[row["set"], row["case_id"]]
        if row["case_id"] and n > 1:
            faults.note(
                row, "case_id", f"is there {n} times in set {row['set']!r}; keep one row a case and set"
            )
    faults.raise_any()


def _check_label(row: Row, faults: Faults) -> None:
    if not row["label"]:
        faults.note(row, "label", "is missing; fill it in or leave the case out")
    elif as_number(row["label"]) not in (0, 1):
        what = (
            "must be 1 (low/positive; Task 2: low; Task 3: positive) or 0; correct it or leave the case out"
        )
        faults.note(row, "label", what)


def _check_score(row: Row, column: str, faults: Faults) -> None:
    if not row[column]:
        faults.note(row, column, "is missing; score the case or leave it out")
    elif math.isnan(as_number(row[column])):
        what = "is not a finite number with a decimal point; correct it or leave the case out"
        faults.note(row, column, what)


def _require_few_groups(path: Path, sets: Sequence[PredictionSet]) -> None:
    for column in sets[0].subgroups:
        levels = {level for cases in sets for level in cases.subgroups[column]}
        if len(levels) > MAX_SUBGROUPS:
            raise InputError(
                f"{path}: column {column} has {len(levels)} different values; --by takes a column with at"
                f" most {MAX_SUBGROUPS} groups"
            )
