"""The sources' tables: finding them, sheets of workbooks as rows of text, one row a patient.

A sheet's nominal size is not believed: that of Duke's table is 1,048,576 x 1024, nearly all of it blank.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from HER2ViTLib.files.inputs import read_file
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.table import Table

from .codes import code

MAX_BLANK_ROWS = 100
"""So many blank rows in a row are the end of a sheet."""
MAX_COLUMNS = 512
MAX_HEADER_ROW = 10
"""The header, with the names of the columns, is one of the first rows."""
MAX_WORKBOOK_BYTES = 100 << 20


def require_published(table: Table, *names: str) -> None:
    """Raises `InputError` with a line for each column of the source that is missing."""
    missing = [name for name in names if name not in table.columns]
    if missing:
        cure = "give the table as it is published"
        raise InputError([f"{table.path}: column {name!r} is missing; {cure}" for name in missing])


def workbook_table(path: Path, sheet: str, id_column: str) -> Table:
    """A sheet of a workbook (.xlsx): its header is the first row with a cell `id_column`. Where other rows
    stand above the header, one right below it whose id is blank explains the codes, and is left out. A column
    that is there twice counts where it comes first.

    Raises `InputError` for what is no workbook or damaged, without the sheet or such a header.
    """
    data = read_file(path, "the workbook (.xlsx)", MAX_WORKBOOK_BYTES)
    found = _sheet_rows(path, data, sheet)
    first = list(islice(found, MAX_HEADER_ROW))
    headers = [n for n, (_, cells) in enumerate(first) if id_column in cells]
    if not headers:
        raise InputError(
            f"{path}: sheet {sheet}: no row with {id_column!r} among the first {MAX_HEADER_ROW};"
            " give the table as it is published"
        )
    header = headers[0]
    _, names = first[header]
    rows = [Row(number, _by_column(names, cells)) for number, cells in (*first[header + 1 :], *found)]
    if header and rows and not rows[0][id_column]:
        del rows[0]
    columns = tuple(dict.fromkeys(name for name in names if name))
    return Table(path, columns, tuple(rows), hashlib.sha256(data).hexdigest())


def _by_column(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, cell in zip(names, cells):
        if name:
            values.setdefault(name, cell)
    return values


def _sheet_rows(path: Path, data: bytes, sheet: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with their numbers; each as long as its last cell."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        if sheet not in book.sheetnames:
            listed = ", ".join(book.sheetnames)
            raise InputError(
                f"{path}: has no sheet {sheet}, only {listed}; give the workbook as it is published"
            )
        blank = 0
        book[sheet].reset_dimensions()
        for number, cells in enumerate(book[sheet].iter_rows(values_only=True), start=1):
            texts = [_text(cell) for cell in cells[:MAX_COLUMNS]]
            if any(texts):
                blank = 0
                yield number, texts
                continue
            blank += 1
            if blank > MAX_BLANK_ROWS:
                return
    except InputError:
        raise
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, EOFError, OSError) as error:
        raise _damaged(path, error) from error
    except SyntaxError as error:  # ParseError of the XML parsers
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    why = " ".join(str(error).split())[:100]
    return InputError(f"{path}: is no workbook (.xlsx), or a damaged one ({why}); download it again")


def _text(cell: Any) -> str:
    """A cell as text, blanks and line breaks made one space."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return " ".join(str(cell).split())


def find_table(folder: Path, fits: Callable[[str], bool], what: str) -> Path:
    """The one file in the folder, or in a folder of it, whose name in lower case fits. Raises `InputError`
    for no such folder or file, and for several.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the folder that the data set was downloaded to")
    places = [folder, *sorted(entry for entry in folder.iterdir() if entry.is_dir())]
    for place in (places[:1], places[1:]):
        files = [entry for one in place for entry in sorted(one.iterdir())]
        found = [entry for entry in files if fits(entry.name.lower()) and entry.is_file()]
        if len(found) > 1:
            listed = ", ".join(entry.name for entry in found[:3])
            raise InputError(f"{folder}: holds several tables ({listed}); leave one, of the images' release")
        if found:
            return found[0]
    raise InputError(f"{folder}: {what} is not there; put it beside the images, as downloaded")


def one_row_a_patient(table: Table, column: str, faults: Faults) -> list[Row]:
    """The rows with a patient of their own; a row without one, and a patient's second row, are faults."""
    first: dict[str, int] = {}
    rows = []
    for row in table.rows:
        patient = row[column]
        key = patient.lower()
        if code(patient) == "":
            faults.note(row, column, "is missing; give every row its patient")
        elif key in first:
            what = f"is the patient of row {first[key]} already; keep one row a patient"
            faults.note(row, column, what)
        else:
            first[key] = row.number
            rows.append(row)
    return rows


def given(details: Mapping[str, str | None]) -> dict[str, str]:
    """Columns of a manifest, those that are missing left empty."""
    return {name: value or "" for name, value in details.items()}
