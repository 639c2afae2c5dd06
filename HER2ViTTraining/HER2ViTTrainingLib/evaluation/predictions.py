"""The predictions of a model, or of the models of a cross-validation, read from a table: case, set, label,
score.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.stats.resampling import is_probability
from HER2ViTTrainingLib.tables.cells import Row, as_number
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.grouping import grouped
from HER2ViTTrainingLib.tables.table import Table, read_table

REQUIRED_COLUMNS = ("case_id", "set", "label", "score")
MAX_SETS = 100
MAX_SUBGROUPS = 20


@dataclass(frozen=True)
class PredictionSet:
    """The rows of one set, a case each: case ids (n,), labels (n,) bool, scores (n,), which of them are
    `calibrated` (n,) bool, patients (n,) where the file names them, further scores and subgroup labels by
    column.

    A set with a fold in every row is out-of-fold: `models` (n,) name the fold and seed that scored each row,
    a case may have a row a seed, and there are patients always. `thresholds` (n,) are then the models' own,
    where the file has them. Other sets have neither.
    """

    name: str
    case_ids: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    calibrated: np.ndarray
    patients: np.ndarray | None
    others: Mapping[str, np.ndarray]
    subgroups: Mapping[str, np.ndarray]
    models: np.ndarray | None = None
    thresholds: np.ndarray | None = None

    @property
    def are_probabilities(self) -> bool:
        """Whether every score can be read as a probability: within 0-1, and calibrated."""
        return bool(self.calibrated.all()) and is_probability(self.scores)

    def part(self, name: str, chosen: np.ndarray) -> PredictionSet:
        """The chosen cases (n,) bool, without further subgroups."""

        def of(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[chosen]

        return PredictionSet(
            name=name,
            case_ids=self.case_ids[chosen],
            labels=self.labels[chosen],
            scores=self.scores[chosen],
            calibrated=self.calibrated[chosen],
            patients=of(self.patients),
            others={column: scores[chosen] for column, scores in self.others.items()},
            subgroups={},
            models=of(self.models),
            thresholds=of(self.thresholds),
        )


@dataclass(frozen=True)
class Predictions:
    """The sets of a file, in its order, and the file's SHA-256."""

    sets: tuple[PredictionSet, ...]
    sha256: str


def read_predictions(
    path: str | os.PathLike, compare: Sequence[str] = (), by: Sequence[str] = ()
) -> Predictions:
    """The sets of a predictions file with the score columns `compare` and the subgroup columns `by`.

    Raises `InputError` as `predictions_of` and `require_few_groups`.
    """
    table = read_table(path)
    predictions = predictions_of(table, compare, by)
    require_few_groups(table.path, predictions.sets)
    return predictions


def predictions_of(table: Table, compare: Sequence[str] = (), by: Sequence[str] = ()) -> Predictions:
    """The sets of a table with the score columns `compare` and the subgroup columns `by`.

    Raises `InputError` with all faults: missing columns, labels other than 0 and 1, scores that are no finite
    number, a case twice in a set (out-of-fold: in a set and seed), a set in which some rows have a fold,
    their threshold or seed and others not.
    """
    table.require((*REQUIRED_COLUMNS, *compare, *by))
    if not table.rows:
        raise InputError(f"{table.path}: holds no case; give one row a case")
    _require_sound(table, ("score", *compare))
    by_set = grouped(table.rows, lambda row: row["set"])
    if len(by_set) > MAX_SETS:
        raise InputError(
            f"{table.path}: column set has {len(by_set)} different values; name at most {MAX_SETS} sets"
        )
    sets = tuple(
        _prediction_set(name, members, table.columns, compare, by) for name, members in by_set.items()
    )
    return Predictions(sets, table.sha256)


def _prediction_set(
    name: str, rows: Sequence[Row], columns: Sequence[str], compare: Sequence[str], by: Sequence[str]
) -> PredictionSet:
    def numbers(column: str) -> np.ndarray:
        return np.array([as_number(row[column]) for row in rows])

    def texts(column: str) -> np.ndarray:
        return np.array([row[column] for row in rows])

    out_of_fold = bool(rows[0]["fold"])
    patients = None
    if out_of_fold or "patient_id" in columns:
        patients = np.array([row["patient_id"] or row["case_id"] for row in rows])
    return PredictionSet(
        name=name,
        case_ids=texts("case_id"),
        labels=numbers("label") == 1,
        scores=numbers("score"),
        calibrated=numbers("calibrated") != 0,
        patients=patients,
        others={column: numbers(column) for column in compare},
        subgroups={column: texts(column) for column in by},
        models=np.array([f"{row['fold']}, seed {row['seed']}" for row in rows]) if out_of_fold else None,
        thresholds=numbers("threshold") if out_of_fold and rows[0]["threshold"] else None,
    )


def _require_sound(table: Table, score_columns: Sequence[str]) -> None:
    faults = Faults(table.path)
    times = Counter(_what_is_scored(row) for row in table.rows)
    for rows in grouped(table.rows, lambda row: row["set"]).values():
        _check_folds(rows, faults)
    for row in table.rows:
        for column in ("case_id", "set"):
            if not row[column]:
                faults.note(row, column, "is missing; fill it in")
        _check_label(row, faults)
        if row["calibrated"] and as_number(row["calibrated"]) not in (0, 1):
            faults.note(row, "calibrated", "must be 1 or 0; correct it or leave it empty")
        for column in score_columns:
            _check_score(row, column, faults)
        n = times[_what_is_scored(row)]
        if row["case_id"] and n > 1:
            seed = f" with seed {row['seed']}" if row["fold"] and row["seed"] else ""
            what = f"is there {n} times in set {row['set']!r}{seed}; keep one row"
            faults.note(row, "case_id", what)
    faults.raise_any()


def _what_is_scored(row: Row) -> tuple[str, ...]:
    """What a file has one row of: a case in a set, in a cross-validation for each seed."""
    return (row["set"], row["case_id"], row["seed"] if row["fold"] else "")


def _check_folds(rows: Sequence[Row], faults: Faults) -> None:
    """A set is out-of-fold as a whole, and so is what else its rows say of their models."""
    if not any(row["fold"] for row in rows):
        return
    for column in ("fold", "seed", "threshold"):
        if not any(row[column] for row in rows):
            continue
        for row in rows:
            if not row[column]:
                faults.note(row, column, "is missing, where other rows of the set have it; fill it in")
            elif column == "threshold" and math.isnan(as_number(row[column])):
                faults.note(row, column, "is not a finite number with a decimal point; correct it")


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


def require_few_groups(path: Path, sets: Sequence[PredictionSet]) -> None:
    """Raises `InputError` for a column with more than `MAX_SUBGROUPS` different values."""
    for column in sets[0].subgroups:
        levels = {level for cases in sets for level in cases.subgroups[column]}
        if len(levels) > MAX_SUBGROUPS:
            raise InputError(
                f"{path}: column {column} has {len(levels)} different values; --by takes a column with at"
                f" most {MAX_SUBGROUPS} groups"
            )
