"""Ratings of the same cases by several raters, and the CSV files they are read from."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.faults import require_columns
from HER2ViTTrainingLib.tables.table import Row, read_table

KEY_COLUMNS = ("case_id", "rater")
_MISSING = ("", "na", "nan")


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
            lacking = [self.cases[n] for n in np.flatnonzero(seen & ~own)]
            if lacking:
                others = ", ".join(other for other in raters if other != rater)
                faults.append(
                    f"rater {rater!r}: has no row for {_listed(lacking)}, which {others} rated; add rows"
                    " (empty cells where not rated)"
                )
        if not faults and seen.sum() < 2:
            faults = [
                f"raters {', '.join(raters)}: {seen.sum()} case in common; agreement needs two cases or more"
            ]
        if faults:
            raise InputError(faults)
        return self.values[seen][:, columns]


def _listed(cases: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(cases) - shown} more" if len(cases) > shown else ""
    return f"{len(cases)} case{'s' if len(cases) > 1 else ''} ({', '.join(cases[:shown])}{more})"


def read_ratings(paths: Sequence[str | os.PathLike]) -> Ratings:
    """The ratings in one or several CSV files: `case_id, rater, FEATURE...`, a row a case and rater, the same
    features in each file.

    An empty cell, NA or NaN is a missing rating. Raises `InputError` with all faults: missing or differing
    columns, no feature, cells that are no number, a case rated twice by a rater, a single rater.
    """
    tables = [_Table(Path(path), *read_table(path)) for path in paths]
    inputs = {f"ratings {n}": file_sha256(table.path) for n, table in enumerate(tables, start=1)}
    features = _common_features(tables)
    faults = []
    rows: list[Row] = []
    for table in tables:
        faults += _cell_faults(table.path, table.rows, features)
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
        values[key] = [_number(row[feature]) for feature in features]
    return replace(ratings_of(features, values), inputs=inputs)


def ratings_of(features: Sequence[str], values: Mapping[tuple[str, str], Sequence[float]]) -> Ratings:
    """Ratings from the values of the features by case and rater; cases and raters in the order they come
    in.
    """
    cases = tuple(dict.fromkeys(case for case, _ in values))
    raters = tuple(dict.fromkeys(rater for _, rater in values))
    case_place = {name: n for n, name in enumerate(cases)}
    rater_place = {name: n for n, name in enumerate(raters)}
    table = np.full((len(cases), len(raters), len(features)), np.nan)
    rated = np.zeros(table.shape[:2], bool)
    for (case, rater), row in values.items():
        at = (case_place[case], rater_place[rater])
        rated[at] = True
        table[at] = row
    return Ratings(cases, raters, tuple(features), table, rated)


@dataclass(frozen=True)
class _Table:
    """A file of ratings as it was read."""

    path: Path
    columns: tuple[str, ...]
    rows: list[Row]

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(name for name in self.columns if name not in KEY_COLUMNS)


def _common_features(tables: Sequence[_Table]) -> tuple[str, ...]:
    """The features that every file has, in the order of the first one. Raises `InputError` for missing or
    differing columns, and for no feature.
    """
    for table in tables:
        require_columns(table.path, table.columns, KEY_COLUMNS)
    first, *others = tables
    features = first.features
    if not features:
        raise InputError(
            f"{first.path}: row 1: no feature column beside case_id and rater; add one column a feature"
        )
    faults = []
    for table in others:
        both = (*features, *table.features)
        differing = [name for name in both if name not in features or name not in table.features]
        if differing:
            faults.append(
                f"{table.path}: row 1, column {differing[0]}: is in one of this file and {first.path} only;"
                " rate the same features in both"
            )
    if faults:
        raise InputError(faults)
    return features


def _cell_faults(path: Path, rows: Sequence[Row], features: Sequence[str]) -> list[str]:
    """A line per column that is at fault."""
    faults = []
    for column in KEY_COLUMNS:
        empty = [row for row in rows if not row[column]]
        faults += _column_fault(path, column, empty, "is missing; fill it in")
    faults += _column_fault(
        path, "rater", [row for row in rows if "," in row["rater"]], "holds a comma; use labels such as A1"
    )
    for feature in features:
        wrong = [row for row in rows if math.isinf(_number(row[feature]))]
        faults += _column_fault(
            path,
            feature,
            wrong,
            "is not a finite number; correct it, leave it empty where not rated, or remove the column",
        )
    return faults


def _column_fault(path: Path, column: str, rows: Sequence[Row], cure: str) -> list[str]:
    more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
    return [
        f"{path}: row {row.number}{more}, column {column}, value {row[column]!r}: {cure}" for row in rows[:1]
    ]


def _number(text: str) -> float:
    """The number in a cell; NaN where it is empty, infinite where it is no number."""
    try:
        return math.nan if text.lower() in _MISSING else float(text)
    except ValueError:
        return math.inf


def _twice(files: str, keys: Sequence[tuple[str, str]]) -> list[str]:
    """A line per rater that rates cases twice."""
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
