"""A table of cases for the statistics: read, joined with others by `case_id`, its columns as numbers or
levels with what is missing told apart.

What is missing is missing in every column (`cells.is_missing`). Cases that are excluded (`exclude` of a
manifest, `included` of `her2vit cohort`) are left out.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from HER2ViTLib.her2 import HER2Status
from HER2ViTLib.messages import InputError

from .cells import Row, as_number
from .faults import Faults
from .table import Table, read_table, require_columns

MAX_LEVELS = 20

_FEW_NUMBERS = 5
_NO_NUMBER = "is not a finite number with a decimal point; correct it, or write NA"
_STATUSES = (
    HER2Status.ZERO,
    HER2Status.LOW,
    HER2Status.NEGATIVE,
    HER2Status.POSITIVE,
    HER2Status.INDETERMINATE,
)
_STATUS_ORDER = {status.value: n for n, status in enumerate(_STATUSES)}


@dataclass(frozen=True)
class CaseTable:
    """Rows of one file, with the columns of joined ones. `inputs` are (role, SHA-256); `notes` say who was
    left out or not found.

    `sources` are the joined files by the columns they brought.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    inputs: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()
    sources: Mapping[str, Path] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def require(self, columns: Iterable[str]) -> None:
        """Raises `InputError`, a line for each column that is not there."""
        require_columns(self.path, self.columns, columns)

    def texts(self, column: str) -> list[str]:
        """The column's cells, empty where missing."""
        return [row[column] for row in self.rows]

    def numbers(
        self, column: str, check: Callable[[float], str] = lambda value: "", no_number: str = _NO_NUMBER
    ) -> np.ndarray:
        """The column (n,) float, NaN where missing. `check` says what is wrong with a number, empty when
        nothing is; `no_number` what is wrong with any other text.

        Raises `InputError`, a line for each kind of fault, naming its rows.
        """
        joined = f" (joined from {self.sources[column]})" if column in self.sources else ""
        faults = Faults(self.path)
        values = [as_number(row[column]) for row in self.rows]
        for row, value in zip(self.rows, values):
            if row[column]:
                wrong = no_number if math.isnan(value) else check(value)
                if wrong:
                    faults.note(row, column, f"{wrong}{joined}")
        faults.raise_any()
        return np.array(values, float)

    def is_continuous(self, column: str) -> bool:
        """Whether the column measures rather than sorts: numbers only, more than five different ones or some
        that are not whole.
        """
        values = {as_number(text) for text in self.texts(column) if text}
        return (
            bool(values)
            and not any(map(math.isnan, values))
            and (len(values) > _FEW_NUMBERS or any(value % 1 for value in values))
        )

    def chosen(self, wanted: Callable[[Row], bool], note: str) -> CaseTable:
        """The rows wanted; `note` says why the others go, after their number."""
        rows = tuple(row for row in self.rows if wanted(row))
        left_out = len(self.rows) - len(rows)
        if not left_out:
            return self
        return replace(self, rows=rows, notes=(*self.notes, f"{cases_text(left_out)} {note}"))


def cases_text(count: int) -> str:
    """`1 case`, `2 cases`."""
    return f"{count} case" if count == 1 else f"{count} cases"


def levels_in_order(texts: Iterable[str]) -> list[str]:
    """The different texts, sorted as people count (T2 before T10); HER2 status zero, low,
    negative, positive (a receptor's negative, positive). The first is Cox's reference level.
    """
    levels = {str(text) for text in texts}
    return sorted(levels, key=_STATUS_ORDER.__getitem__ if levels <= _STATUS_ORDER.keys() else _as_counted)


def _as_counted(text: str) -> tuple[Any, ...]:
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", text.lower())
    return [(0, float(part), "") if part[0].isdecimal() else (1, 0.0, part) for part in parts], text


def column_names(text: str) -> tuple[str, ...]:
    """Column names from `a,b,"c, d"`, each once."""
    names = (name.strip() for name in next(csv.reader([text], skipinitialspace=True), []))
    return tuple(dict.fromkeys(name for name in names if name))


def read_cases(path: str | os.PathLike, join: Sequence[str | os.PathLike] = ()) -> CaseTable:
    """A CSV with one row a case, with the columns of the files to join by `case_id`.

    A case that a joined file lacks has its columns empty; a case that only a joined file has is left out;
    both are noted. Raises `InputError`: unreadable files, no row, a `case_id` twice, and, for a join, a
    missing `case_id`, no case in common, or a column in both files whose values differ.
    """
    first = read_table(path)
    if not first.rows:
        raise InputError(f"{path}: holds no case; give one row a case")
    _require_single_cases(first)
    table = CaseTable(first.path, first.columns, first.rows, (("cases", first.sha256),))
    for other in join:
        table = _joined(table, read_table(other))
    table = table.chosen(
        lambda row: row["included"].lower() != "no" and not row["exclude"],
        "excluded (column included or exclude), left out",
    )
    if not table.rows:
        raise InputError(f"{path}: every case is excluded by column included or exclude; none is left")
    return replace(table, notes=(*table.notes, *_several_of_a_patient(table)))


def _require_single_cases(table: Table) -> None:
    if "case_id" not in table.columns:
        return
    _require_one_seed(table)
    faults = Faults(table.path)
    times = Counter(row["case_id"] for row in table.rows)
    for row in table.rows:
        if not row["case_id"]:
            faults.note(row, "case_id", "is missing; fill it in")
        elif times[row["case_id"]] > 1:
            faults.note(row, "case_id", f"is there {times[row['case_id']]} times; keep one row a case")
    faults.raise_any()


def _require_one_seed(table: Table) -> None:
    """Raises `InputError`, one line, for a cross-validation with several seeds: each has a row for every
    case.
    """
    seeds = levels_in_order({row["seed"] for row in table.rows} - {""})
    case_ids = {row["case_id"] for row in table.rows}
    scored = {(row["case_id"], row["seed"]) for row in table.rows}
    if len(seeds) > 1 and len(case_ids) < len(scored) == len(table.rows):
        raise InputError(
            f"{table.path}: column seed: a case has a row for each seed ({', '.join(seeds)}); keep the rows"
            " of one seed"
        )


def _joined(table: CaseTable, other: Table) -> CaseTable:
    """The table with the columns of another, by `case_id`."""
    other.require(["case_id"])
    table.require(["case_id"])
    _require_single_cases(other)
    rows = {row["case_id"]: row for row in other.rows}
    common = [row for row in table.rows if row["case_id"] in rows]
    if not common:
        raise InputError(f"{other.path}: no case_id of {table.path} is in it; give files of the same cases")
    shared = [name for name in other.columns if name in table.columns]
    brought = [name for name in other.columns if name not in table.columns]
    _require_same(other.path, shared, common, rows)
    notes = []
    lacking = len(table.rows) - len(common)
    if lacking:
        notes.append(f"{cases_text(lacking)} not in the joined file: its columns are missing there")
    unknown = len(other.rows) - len(common)
    if unknown:
        notes.append(f"{cases_text(unknown)} only in the joined file, left out")
    return CaseTable(
        table.path,
        (*table.columns, *brought),
        tuple(_merged(row, rows.get(row["case_id"])) for row in table.rows),
        (*table.inputs, ("joined", other.sha256)),
        (*table.notes, *notes),
        {**dict.fromkeys(brought, other.path), **table.sources},
    )


def _merged(row: Row, other: Row | None) -> Row:
    """The row with the cells of the other one where its own are missing."""
    if other is None:
        return row
    said = {name: text for name, text in row.values.items() if row[name] or name not in other.values}
    return Row(row.number, {**other.values, **said})


def _require_same(path: Path, columns: Sequence[str], rows: Sequence[Row], others: Mapping[str, Row]) -> None:
    faults = Faults(path)
    for row in rows:
        other = others[row["case_id"]]
        for name in columns:
            if row[name] and other[name] and row[name] != other[name]:
                faults.note(
                    other,
                    name,
                    f"is {row[name]!r} in row {row.number} of the first file; correct one, or rename the"
                    " column",
                )
    faults.raise_any()


def _several_of_a_patient(table: CaseTable) -> list[str]:
    if "patient_id" not in table.columns:
        return []
    patients = len({row["patient_id"] or row["case_id"] for row in table.rows})
    if patients == len(table):
        return []
    return [f"{cases_text(len(table))} of {patients} patients: taken as independent"]
