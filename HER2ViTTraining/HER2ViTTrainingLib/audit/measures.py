"""What was measured of the cases beside the score: sizes and embeddings, from `features.csv` or a model."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.case_table import cases_text
from HER2ViTTrainingLib.tables.cells import Row, as_number
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.table import Table, read_table

SIZES = {"shape2d_area": "area", "shape3d_volume": "volume"}
"""The features that say how large a lesion is, and what the page calls them."""
_LIMIT = 1e30
"""No size or embedding is as large, and squares of larger numbers overflow."""
_EMBEDDING = re.compile(r"vit(\d)_embedding_\d+")


@dataclass(frozen=True)
class Measures:
    """Numbers (k,) of each case by its id, in the order of `columns`, NaN where missing. `inputs` are (role,
    SHA-256).
    """

    columns: tuple[str, ...]
    by_case: Mapping[str, np.ndarray]
    inputs: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[str, ...]:
        """Which columns are sizes."""
        return tuple(name for name in SIZES if name in self.columns)

    @property
    def embeddings(self) -> dict[str, tuple[str, ...]]:
        """The columns of each embedding by its name, such as `embedding of Task 1`."""
        found: dict[str, tuple[str, ...]] = {}
        for column in self.columns:
            match = _EMBEDDING.fullmatch(column)
            if match:
                name = f"embedding of Task {match[1]}"
                found[name] = (*found.get(name, ()), column)
        return found

    def of(self, case_ids: Sequence[str], columns: Sequence[str]) -> np.ndarray:
        """The columns' values (n, k) of these cases, NaN for a case that was not measured."""
        at = [self.columns.index(column) for column in columns]
        unmeasured = np.full(len(self.columns), math.nan)
        return np.array([self.by_case.get(case_id, unmeasured)[at] for case_id in case_ids])


def read_measures(path: str | os.PathLike) -> Measures:
    """The sizes and embeddings in a features file: `case_id`, optional `rater`, `shape2d_area` or
    `shape3d_volume`, `vitN_embedding_NNN`; other columns are ignored. Of several raters the first in the file
    counts.

    Raises `InputError` with all faults: no size, no row, a case twice, cells that are no number.
    """
    table = read_table(path)
    table.require(("case_id",))
    if not any(name in table.columns for name in SIZES):
        raise InputError(
            f"{path}: row 1: neither column {' nor '.join(SIZES)} is there; give the features.csv of her2vit"
            " features"
        )
    if not table.rows:
        raise InputError(f"{path}: holds no case; give one row a case")
    columns = tuple(name for name in table.columns if name in SIZES or _EMBEDDING.fullmatch(name))
    first = table.rows[0]["rater"]
    rows = [row for row in table.rows if row["rater"] == first]
    notes = []
    if len(rows) < len(table.rows):
        others = sorted({row["rater"] for row in table.rows} - {first})
        notes.append(
            f"size and embedding are those of rater {first!r}, not of {', '.join(map(repr, others))}"
        )
    _require_sound(table, rows, columns)
    by_case = {}
    for row in rows:
        by_case[row["case_id"]] = np.array([as_number(row[column]) for column in columns])
    return Measures(columns, by_case, (("features", table.sha256),), tuple(notes))


def _require_sound(table: Table, rows: Sequence[Row], columns: Sequence[str]) -> None:
    faults = Faults(table.path)
    seen: set[str] = set()
    for row in rows:
        if not row["case_id"]:
            faults.note(row, "case_id", "is missing; fill it in")
        elif row["case_id"] in seen:
            faults.note(row, "case_id", "is there before; keep one row a case and rater")
        seen.add(row["case_id"])
        for column in columns:
            value = as_number(row[column])
            if row[column] and not abs(value) < _LIMIT:
                what = f"is not a number with a decimal point below {_LIMIT:g}; correct it, or leave it empty"
                faults.note(row, column, what)
    faults.raise_any()


def measures_of(rows: Iterable[Mapping[str, float | str]], bundles: Mapping[str, str]) -> Measures:
    """The sizes and embeddings that models in `bundles` (SHA-256 by role) gave for cases: rows with `case_id`
    and the features by name.
    """
    rows = list(rows)
    columns = tuple(name for name in rows[0] if name in SIZES or _EMBEDDING.fullmatch(name))
    by_case = {}
    for row in rows:
        by_case[str(row["case_id"])] = np.array([float(row[column]) for column in columns])
    note = (
        f"the embeddings of {cases_text(len(rows))} (without --features their sizes too) were measured with"
        " the outlines of the manifest; a bundle that was trained on these cases may know them"
    )
    return Measures(columns, by_case, tuple(bundles.items()), (note,))
