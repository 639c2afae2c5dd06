"""Ratings of the same cases by several raters, read from tables: case, rater, features."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.cells import Row, as_number
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.table import Table, read_table

KEY_COLUMNS = ("case_id", "rater")


@dataclass(frozen=True)
class Ratings:
    """Values (cases, raters, features), NaN where one is missing, and which case a rater was to rate (cases,
    raters). `inputs` are the SHA-256 of the files they come from, by role.
    """

    cases: tuple[str, ...]
    raters: tuple[str, ...]
    features: tuple[str, ...]
    values: np.ndarray
    rated: np.ndarray
    inputs: Mapping[str, str] = field(default_factory=dict)

    def of(self, raters: Sequence[str]) -> np.ndarray:
        """The values of these raters (cases, raters, features), for the cases they have rated.

        Raises `InputError`, a line per rater, when one of them lacks cases that another has, and for fewer
        than two cases.
        """
        columns = [self.raters.index(rater) for rater in raters]
        rated = self.rated[:, columns]
        seen = rated.any(axis=1)
        faults = []
        for rater, own in zip(raters, rated.T):
            lacking = [case for case, lacks in zip(self.cases, seen & ~own) if lacks]
            if lacking:
                faults.append(
                    f"rater {rater!r}: has no row for {_listed(lacking)}, which {_others(rater, raters)}"
                    " rated; add rows (empty cells where not rated)"
                )
        if not faults and seen.sum() < 2:
            faults = [
                f"raters {', '.join(raters)}: {seen.sum()} case in common; agreement needs two cases or more"
            ]
        if faults:
            raise InputError(faults)
        return self.values[seen][:, columns]


def _others(rater: str, raters: Sequence[str]) -> str:
    return ", ".join(other for other in raters if other != rater)


def _listed(cases: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(cases) - shown} more" if len(cases) > shown else ""
    return f"{len(cases)} case{'s' if len(cases) > 1 else ''} ({', '.join(cases[:shown])}{more})"


def read_ratings(paths: Sequence[str | os.PathLike]) -> Ratings:
    """The ratings in one or several CSV files: `case_id, rater, FEATURE...`, a row a case and rater, the same
    features in each file.

    A cell may be missing (`cells.is_missing`). Raises `InputError` with all faults: missing or differing
    columns, no feature, cells that are no number, a case rated twice by a rater, a single rater.
    """
    tables = [read_table(path) for path in paths]
    inputs = {f"ratings {n}": table.sha256 for n, table in enumerate(tables, start=1)}
    features = _common_features(tables)
    faults: list[str] = []
    rows: list[Row] = []
    for table in tables:
        faults += _cell_faults(table, features)
        rows += table.rows
    keys = [(row["case_id"], row["rater"]) for row in rows]
    raters = list(dict.fromkeys(rater for _, rater in keys))
    files = ", ".join(str(table.path) for table in tables)
    faults += _twice(files, keys)
    if not faults and len(raters) < 2:
        what = f"rater {raters[0]!r} only" if raters else "no row"
        faults.append(f"{files}: {what}; agreement needs two raters or more, name them in column rater")
    if faults:
        raise InputError(faults)
    values = {}
    for key, row in zip(keys, rows):
        values[key] = [as_number(row[feature]) for feature in features]
    return replace(ratings_of(features, values), inputs=inputs)


def ratings_of(features: Sequence[str], values: Mapping[tuple[str, str], Sequence[float]]) -> Ratings:
    """Ratings from the values of the features by case and rater; cases and raters in the order they come."""
    cases = tuple(dict.fromkeys(case for case, _ in values))
    raters = tuple(dict.fromkeys(rater for _, rater in values))
    case_place = {name: n for n, name in enumerate(cases)}
    rater_place = {name: n for n, name in enumerate(raters)}
    table = np.full((len(cases), len(raters), len(features)), np.nan)
    rated = np.zeros(table.shape[:2], bool)
    for (case, rater), row in values.items():
        at = case_place[case], rater_place[rater]
        rated[at] = True
        table[at] = row
    return Ratings(cases, raters, tuple(features), table, rated)


def _common_features(tables: Sequence[Table]) -> tuple[str, ...]:
    for table in tables:
        table.require(KEY_COLUMNS)
    first, *others = tables
    features = _features_of(first)
    if not features:
        raise InputError(
            f"{first.path}: row 1: no feature column beside case_id and rater; add one column a feature"
        )
    faults = []
    for other in others:
        theirs = _features_of(other)
        differing = [name for name in (*features, *theirs) if (name in features) != (name in theirs)]
        if differing:
            faults.append(
                f"{other.path}: row 1, column {differing[0]}: is in one of this file and {first.path} only;"
                " rate the same features in both"
            )
    if faults:
        raise InputError(faults)
    return features


def _features_of(table: Table) -> tuple[str, ...]:
    return tuple(name for name in table.columns if name not in KEY_COLUMNS)


def _cell_faults(table: Table, features: Sequence[str]) -> list[str]:
    """The faults of a file's cells as lines."""
    faults = Faults(table.path)
    for row in table.rows:
        for column in KEY_COLUMNS:
            if not row[column]:
                faults.note(row, column, "is missing; fill it in")
        if "," in row["rater"]:
            faults.note(row, "rater", "holds a comma; use labels such as A1")
        for feature in features:
            if row[feature] and math.isnan(as_number(row[feature])):
                faults.note(
                    row,
                    feature,
                    "is not a finite number with a decimal point; correct it, leave it empty where not rated,"
                    " or remove the column",
                )
    return faults.lines()


def _twice(files: str, keys: Sequence[tuple[str, str]]) -> list[str]:
    seen: set[tuple[str, str]] = set()
    repeated: dict[str, list[str]] = {}
    for key in keys:
        if key in seen:
            repeated.setdefault(key[1], []).append(key[0])
        seen.add(key)
    return [
        f"{files}: rater {rater!r} rates {_listed(cases)} twice; keep one row a case and rater"
        for rater, cases in repeated.items()
    ]
