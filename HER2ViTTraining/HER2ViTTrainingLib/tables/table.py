"""A CSV table from a user, row by row, with its line numbers."""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path

from HER2ViTLib.files.inputs import read_file
from HER2ViTLib.files.output import csv_text
from HER2ViTLib.messages import InputError

from .cells import Row
from .faults import Faults


def read_table(path: str | os.PathLike) -> tuple[tuple[str, ...], list[Row]]:
    """Header and rows of a comma-separated file in UTF-8, with or without byte order mark; blank rows are
    skipped.

    Raises `InputError` for a file that is not such a table: missing, another encoding, a workbook, other
    separators or a spreadsheet's line about them, open quotes; and, all in one list, for columns without a
    name or twice there and rows longer or shorter than the header.
    """
    faults = Faults(Path(path))
    columns, rows = checked_table(faults)
    faults.raise_any()
    return columns, rows


def checked_table(faults: Faults) -> tuple[tuple[str, ...], list[Row]]:
    """Header and whole rows; what is wrong with the others goes to `faults`, so that the rest can be checked
    in the same run.
    """
    path = faults.path
    text = _text(path)
    require_no_separator_line(text, path)
    records = _records(text, path)
    if not records:
        raise InputError(f"{path}: is empty; give a CSV file with a header and one row a case")
    (_, header), *rows = records
    columns = tuple(name.strip() for name in header)
    if len(columns) == 1 and re.search("[;\t|]", columns[0]):
        raise InputError(
            f"{path}: row 1, value {columns[0][:60]!r}: one column only; separate columns with commas"
        )
    for n, name in enumerate(columns, start=1):
        if not name:
            faults.note_row(1, f"column {n} has no name; name it or remove it")
        elif name in columns[: n - 1]:
            first = columns.index(name) + 1
            faults.note(Row(1, {name: name}), name, f"is column {first} and column {n}; keep one")
    whole = []
    for number, values in rows:
        if len(values) == len(columns):
            whole.append(Row(number, dict(zip(columns, (csv_text(value.strip()) for value in values)))))
        else:
            faults.note_row(
                number,
                f"{len(values)} values where the header has {len(columns)} columns; check its commas and"
                " quotes",
            )
    return columns, whole


def _text(path: Path) -> str:
    data = read_file(path, "a CSV file")
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
        raise InputError(
            f"{path}: line {line}, byte {data[error.start : error.start + 1]!r}: is not UTF-8; save it as CSV"
            " UTF-8"
        ) from error


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
    try:
        return [
            (number, values)
            for number, values in enumerate(reader, start=1)
            if any(value.strip() for value in values)
        ]
    except csv.Error as error:
        raise InputError(
            f"{path}: line {reader.line_num}: quotes do not match ({error}); write a quote inside quotes"
            " twice"
        ) from error
