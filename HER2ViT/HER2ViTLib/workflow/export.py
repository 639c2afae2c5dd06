"""A reading out of the panel: a row of the user's CSV, a page to keep or print."""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from HER2ViTLib.files.inputs import read_file
from HER2ViTLib.files.output import UNWRITABLE, csv_cell, csv_text, write_atomically
from HER2ViTLib.messages import InputError
from HER2ViTLib.reading.readings_table import reading_row, readings_columns

if TYPE_CHECKING:
    import numpy as np

    from HER2ViTLib.reading.reading import Reading
    from HER2ViTLib.study.study import Study

ADDED = "added"
REPLACED = "replaced"
UNCHANGED = "unchanged"
CASE_ID = "case_id"
_BOM = "\ufeff"
_MAX_CASE_NAME = 200


class CaseThereError(InputError):
    """The table has a row of that case already, and it says something else."""


def missing_for_export(has_reading: bool) -> str:
    """Why a reading cannot be exported, in one line; empty where it can. `has_reading`: one was made since
    the scene was opened.
    """
    if not has_reading:
        return "Read the case first: a reading that came with the scene is shown, but not kept whole."
    return ""


def missing_for_archive(has_places: bool, has_database: bool, has_library: bool) -> str:
    """Why a reading cannot be saved as DICOM, in one line; empty where it can.

    `has_places`: it is known where its images are stored, which the objects refer to. `has_library`:
    highdicom is there, as in Slicer from 5.12 on.
    """
    if not has_database:
        return "Slicer's DICOM database is not open: open the module DICOM once."
    if not has_places:
        return (
            "The images did not come from Slicer's DICOM database, or have changed since, so no archive could"
            " tie the reading to them: load them there, as 'Breast DCE-MRI (HER2ViT)'."
        )
    if not has_library:
        return (
            "This Slicer lacks the Python package highdicom, which 5.12 has: save there, or by her2vit read"
            " --dicom-out."
        )
    return ""


def report_page(reading: Reading, study: Study, mask: np.ndarray) -> bytes:
    """The report as one HTML file, with its pictures; for browsers, and for a QTextDocument to print.

    `mask` is the outline, boolean (K, J, I) on the study's geometry.
    """
    # Here: these bring OpenCV and jinja2, which Slicer has only once a reading was made.
    from HER2ViTLib.reading.pictures import reading_pictures
    from HER2ViTLib.reading.report import report_html

    return report_html(reading, reading_pictures(reading, study, mask))


def append_row(
    path: str | os.PathLike, reading: Mapping[str, Any], case_name: str = "", *, replace: bool = False
) -> str:
    """Adds a reading to a CSV with the columns of a batch's `readings.csv`; makes the file where there is
    none.

    `reading` is what a `reading.json` holds (`reading_json`); `case_name` stands in the column `case_id`,
    where it is empty the reading's own. All other rows stay as they are, to the byte, and so do a byte order
    mark and the kind of line ends.

    Returns what has become of the file: "added"; "unchanged", where the very same row was there; "replaced".
    A row of the same case that says something else is replaced (all of them, where there are several) only
    with `replace`: it may be of another patient, or hold a result that somebody relies on.

    Raises `CaseThereError` without it, and `InputError` for a file with other columns, which are named, for
    one that is no CSV in UTF-8, and where it cannot be written; the file then is as it was.
    """
    row = _row(reading, case_name)
    path = Path(path).resolve()
    table = _read(path) if path.exists() else _Table("", "\n", ())
    columns = _columns(table, row, path)
    cells = [csv_cell(row.get(column)) for column in columns]
    existing = [n for n, record in enumerate(table.records) if n and _is_of(record, str(row[CASE_ID]))]
    same = [n for n in existing if table.records[n].cells == cells]
    if same and len(existing) == 1:
        return UNCHANGED
    if existing and not replace:
        raise CaseThereError(
            f"{path}: row {existing[0] + 1} is of the case {row[CASE_ID]!r} already, and says something else;"
            " replace it, or give this case another name"
        )
    texts = [record.text for n, record in enumerate(table.records) if n not in existing[1:]]
    if existing:
        texts[existing[0]] = table.written(cells)
    else:
        header = [] if table.records else [table.written([csv_cell(column) for column in columns])]
        texts += [*header, table.written(cells)]
    _write(path, table.start + _joined(texts, table.line_end))
    return REPLACED if existing else ADDED


def _row(reading: Mapping[str, Any], case_name: str) -> dict[str, Any]:
    try:
        row = reading_row(reading)
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError("the reading is damaged or of an earlier version; read the case again") from error
    name = case_name.strip() or str(row[CASE_ID])
    if not name.isprintable() or len(name) > _MAX_CASE_NAME:
        raise InputError(
            f"case name {name[:60]!r}: give one of at most {_MAX_CASE_NAME} characters, on one line"
        )
    return {**row, CASE_ID: name}


# The file as it is


@dataclass(frozen=True)
class _Record:
    """A row of a CSV file: its text as it stands there, with its line end, and its cells."""

    text: str
    cells: list[str]


@dataclass(frozen=True)
class _Table:
    """A CSV file: what it starts with (a byte order mark, or nothing), how its lines end, its rows."""

    start: str
    line_end: str
    records: tuple[_Record, ...]

    def written(self, cells: Sequence[str]) -> str:
        """A row as it is written into this file."""
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator=self.line_end).writerow(cells)
        return text.getvalue()


def _read(path: Path) -> _Table:
    try:
        text = read_file(path, "a CSV file").decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8; save it as 'CSV UTF-8', or name a new file") from error
    start = _BOM if text.startswith(_BOM) else ""
    records = [_Record(one, _cells(one, path)) for one in _split(text.removeprefix(_BOM), path)]
    line_end = "\r\n" if records and records[0].text.endswith("\r\n") else "\n"
    is_empty = all(not record.text.strip() for record in records)
    return _Table(start, line_end, () if is_empty else tuple(records))


def _split(text: str, path: Path) -> list[str]:
    """The rows of a CSV text, each with its line end; a line break between quotes ends none."""
    records: list[str] = []
    quoted = ""
    for line in io.StringIO(text, newline="\n"):
        quoted += line
        if quoted.count('"') % 2 == 0:
            records.append(quoted)
            quoted = ""
    if quoted:
        raise InputError(f"{path}: row {len(records) + 1} has a quote that does not end; mend it")
    return records


def _cells(record: str, path: Path) -> list[str]:
    try:
        rows = list(csv.reader(io.StringIO(record, newline="")))
    except csv.Error as error:
        raise InputError(f"{path}: is no CSV file ({error}); name another one") from error
    if len(rows) > 1:
        raise InputError(f"{path}: its lines end as on old Macs; save it as 'CSV UTF-8', or name a new file")
    return rows[0] if rows else []


def _is_of(record: _Record, case_id: str) -> bool:
    return bool(record.cells) and csv_text(record.cells[0]) == case_id


def _columns(table: _Table, row: Mapping[str, Any], path: Path) -> list[str]:
    """The file's columns. Raises `InputError` unless they are those of a table that can hold this row."""
    if not table.records:
        return readings_columns([row])
    found = [csv_text(cell) for cell in table.records[0].cells]
    wanted = readings_columns([row, dict.fromkeys(found)])
    if found == wanted:
        return found
    if len(found) == 1 and ";" in found[0]:
        raise InputError(f"{path}: its columns are separated by semicolons; save it with commas")
    pairs = itertools.zip_longest(found, wanted)
    number, (there, due) = next((n, pair) for n, pair in enumerate(pairs, start=1) if pair[0] != pair[1])
    raise InputError(
        f"{path}: has other columns than this reading: column {number} is {_named(there)}, it must be"
        f" {_named(due)}; name a new file"
    )


def _named(column: str | None) -> str:
    return "none" if column is None else repr(column[:60])


def _joined(texts: Sequence[str], line_end: str) -> str:
    """The rows one after the other; one that lacked its line end, the last of the file, gets it."""
    ended = [text if text.endswith("\n") else f"{text}{line_end}" for text in texts[:-1]]
    return "".join([*ended, *texts[-1:]])


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text.encode(errors=UNWRITABLE))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); close it in other programs, or name another file"
        ) from error
