"""A CSV table from a user, row by row, with its line numbers."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from HER2ViTLib.files.inputs import read_file
from HER2ViTLib.files.output import csv_text
from HER2ViTLib.messages import InputError

from .cells import Row
from .faults import Faults


@dataclass(frozen=True)
class Table:
    """A table as it was read: its columns and rows, and the SHA-256 of the very bytes they come from."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    sha256: str

    def require(self, columns: Iterable[str]) -> None:
        """Raises `InputError`, a line for each column that is not there."""
        require_columns(self.path, self.columns, columns)


def require_columns(path: Path, columns: Sequence[str], wanted: Iterable[str]) -> None:
    """Raises `InputError`, a line for each column wanted that is not there."""
    missing = [name for name in dict.fromkeys(wanted) if name not in columns]
    if missing:
        there = ", ".join(columns)
        raise InputError(
            [f"{path}: row 1: column {name} is missing; add it, or name one of: {there}" for name in missing]
        )


def read_table(path: str | os.PathLike) -> Table:
    """A comma-separated file in UTF-8, with or without byte order mark; blank rows are skipped.

    Raises `InputError` for a file that is not such a table: missing, another encoding, a workbook, other
    separators or a spreadsheet's line about them, open quotes; and, all in one list, for columns without a
    name or twice there and rows longer or shorter than the header.
    """
    faults = Faults(Path(path))
    table = checked_table(faults)
    faults.raise_any()
    return table


def checked_table(faults: Faults) -> Table:
    """The table at the path of `faults`, its whole rows only: what is wrong with the others goes to `faults`,
    so that the rest can be checked in the same run. Raises `InputError` as `read_table` for what is no table.
    """
    path = faults.path
    data = read_file(path, "a CSV file")
    text = _text(data, path)
    require_no_separator_line(text, path)
    records = _records(text, path)
    if not records:
        raise InputError(f"{path}: is empty; give a CSV file with a header and one row a case")
    (_, header), *others = records
    columns = tuple(name.strip() for name in header)
    if len(columns) == 1 and re.search("[;\t|]", columns[0]):
        raise InputError(
            f"{path}: row 1, value {columns[0][:60]!r}: one column only; separate columns with commas"
        )
    _check_header(columns, faults)
    rows = []
    for number, values in others:
        if len(values) == len(columns):
            cells = (csv_text(value.strip()) for value in values)
            rows.append(Row(number, dict(zip(columns, cells))))
        else:
            sizes = f"{len(values)} values where the header has {len(columns)} columns"
            faults.note_row(number, f"{sizes}; check its commas and quotes")
    return Table(path, columns, tuple(rows), hashlib.sha256(data).hexdigest())


def _check_header(columns: Sequence[str], faults: Faults) -> None:
    for n, name in enumerate(columns, start=1):
        first = columns.index(name) + 1
        if not name:
            faults.note_row(1, f"column {n} has no name; name it or remove it")
        elif first < n:
            faults.note(Row(1, {name: name}), name, f"is column {first} and column {n}; keep one")


def _text(data: bytes, path: Path) -> str:
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(f"{path}: is a spreadsheet workbook; save it as CSV UTF-8 and give that")
    if b"\x00" in data:
        raise InputError(
            f"{path}: is not UTF-8 text (zero bytes: UTF-16, or no text at all); save it as CSV UTF-8"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start : error.start + 1]
        raise InputError(f"{path}: line {line}, byte {byte!r}: is not UTF-8; save it as CSV UTF-8") from error


def require_no_separator_line(text: str, path: Path) -> None:
    """Raises `InputError` for a first line `sep=;`, which spreadsheets write and hide."""
    line = re.match(r'"?sep=[^\w\r\n]*(?=[\r\n]|$)', text, re.IGNORECASE)
    if line:
        what = "is a spreadsheet's line about separators, no header"
        cure = "remove it, and separate columns with commas"
        raise InputError(f"{path}: row 1, value {line[0]!r}: {what}; {cure}")


def _records(text: str, path: Path) -> list[tuple[int, list[str]]]:
    """The records that are not blank, with their number: a record of several lines is one row, as in a
    spreadsheet.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records = []
    try:
        for number, values in enumerate(reader, start=1):
            if any(value.strip() for value in values):
                records.append((number, values))
    except csv.Error as error:
        raise InputError(
            f"{path}: line {reader.line_num}: quotes do not match ({error}); write a quote inside quotes"
            " twice"
        ) from error
    return records
