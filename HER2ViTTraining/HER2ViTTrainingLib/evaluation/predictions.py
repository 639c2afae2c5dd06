"""Reads predictions: case, set, label, score."""

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
from HER2ViTTrainingLib.tables.faults import Faults, require_columns
from HER2ViTTrainingLib.tables.table import read_table

REQUIRED_COLUMNS = ("case_id", "set", "label", "score")
MAX_SETS = 100
MAX_SUBGROUPS = 20


# Reading


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


def read_predictions(
    path: str | os.PathLike, compare: Sequence[str] = (), by: Sequence[str] = ()
) -> list[PredictionSet]:
    """The sets of a predictions file, in its order, with the score columns `compare` and the subgroup columns
    `by`.

    Raises `InputError` with all faults: missing columns, labels other than 0 and 1, scores that are no finite
    number, a case twice in a set.
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
    if len(by_set) > MAX_SETS:
        raise InputError(
            f"{path}: column set has {len(by_set)} different values; name at most {MAX_SETS} sets"
        )
    sets = [
        _prediction_set(name, members, "patient_id" in columns, compare, by)
        for name, members in by_set.items()
    ]
    _require_few_groups(path, sets)
    return sets


def _prediction_set(
    name: str, rows: Sequence[Row], with_patients: bool, compare: Sequence[str], by: Sequence[str]
) -> PredictionSet:
    def numbers(column: str) -> np.ndarray:
        return np.array([as_number(row[column]) for row in rows])

    def texts(column: str) -> np.ndarray:
        return np.array([row[column] for row in rows])

    patients = np.array([row["patient_id"] or row["case_id"] for row in rows]) if with_patients else None
    others, subgroups = (
        {column: numbers(column) for column in compare},
        {column: texts(column) for column in by},
    )
    return PredictionSet(name, numbers("label") == 1, numbers("score"), patients, others, subgroups)


def _require_sound(path: Path, rows: Sequence[Row], score_columns: Sequence[str]) -> None:
    faults = Faults(path)
    cases = Counter((row["set"], row["case_id"]) for row in rows)
    for row in rows:
        for column in ("case_id", "set"):
            if not row[column]:
                faults.note(row, column, "is missing; fill it in")
        if not row["label"]:
            faults.note(row, "label", "is missing; fill it in or leave the case out")
        elif as_number(row["label"]) not in (0, 1):
            faults.note(
                row,
                "label",
                "must be 1 (low/positive; in the second task low) or 0; correct it or leave the case out",
            )
        for column in score_columns:
            if not row[column]:
                faults.note(row, column, "is missing; score the case or leave it out")
            elif math.isnan(as_number(row[column])):
                faults.note(
                    row,
                    column,
                    "is not a finite number with a decimal point; correct it or leave the case out",
                )
        times = cases[row["set"], row["case_id"]]
        if row["case_id"] and times > 1:
            faults.note(
                row, "case_id", f"is there {times} times in set {row['set']!r}; keep one row a case and set"
            )
    faults.raise_any()


def _require_few_groups(path: Path, sets: Sequence[PredictionSet]) -> None:
    for column in sets[0].subgroups:
        levels = {level for cases in sets for level in cases.subgroups[column]}
        if len(levels) > MAX_SUBGROUPS:
            raise InputError(
                f"{path}: column {column} has {len(levels)} different values; --by takes a column with at"
                f" most {MAX_SUBGROUPS} groups"
            )
