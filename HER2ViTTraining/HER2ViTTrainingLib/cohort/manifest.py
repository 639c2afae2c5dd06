"""A cohort: the manifest checked as a whole, who is in and who is out and why, and the splits that keep every patient on one side.

Standard library only; nothing here opens an image.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from HER2ViTLib.dicom.selection import Selection
from HER2ViTLib.files.inputs import parse_json, read_file
from HER2ViTLib.files.output import csv_text, json_bytes
from HER2ViTLib.her2 import TASKS, HER2Status, Task, discordance, her2_status, ihc_score, ish_result
from HER2ViTLib.messages import InputError, ReadingWarning

REQUIRED_COLUMNS = ("case_id", "image", "roi")
CLINICAL_COLUMNS = (
    *("age", "menopause", "histology", "pT", "pN", "grade", "er", "pr", "lvi", "tumor_size_cm", "positive_ln"),
    *("rfs_months", "rfs_event", "os_months", "os_event"),
)
RESULT_COLUMNS = ("her2_status", "included", "reason")
KNOWN_COLUMNS = (
    *REQUIRED_COLUMNS,
    *("ihc", "ish", *RESULT_COLUMNS, "cohort", "role", "patient_id", "laterality", "exclude"),
    *("segment", "early_phase", "series", "image_type", "roi_a2", "roi_b"),
    *CLINICAL_COLUMNS,
)
STATUSES = (HER2Status.ZERO, HER2Status.LOW, HER2Status.POSITIVE)
"""The classes, and the order that settles ties between them."""

DEVELOPMENT, EXTERNAL = "development", "external"
SHARED, PER_TASK = "shared", "per-task"
SPLIT_KINDS = (SHARED, PER_TASK)
VALIDATION_SHARE = 0.2
MOST_PHASES = 1000
SET_NAMES = ("training", "validation")
PER_TASK_NOTE = (
    "Each task has a split of its own, as in the study: a patient can be in one task's training and the other's validation set, "
    "so no validation set is clean for the two-step call; use --split shared for that."
)
_SPLITS_FORMAT = "her2vit-splits"
_SPLITS_VERSION = 1


# A case and a cohort


@dataclass(frozen=True)
class Case:
    """One lesion of one study. Paths are resolved against the manifest; `values` holds the manifest's row as text, by column.

    `her2_status` is None where nothing is known of it. `reason` says why the case is excluded; empty for a case that is in.
    `row` is the row as a spreadsheet counts it: the header is row 1.
    """

    case_id: str
    patient_id: str
    cohort: str
    role: str
    images: tuple[Path, ...]
    roi: Path | None
    segment: str
    early_phase: int | None
    her2_status: HER2Status | None
    reason: str
    row: int
    values: Mapping[str, str]

    @property
    def selection(self) -> Selection:
        """Which images of a DICOM examination are meant: the columns `series` (several joined by `;`) and
        `image_type`.
        """
        series = (name.strip() for name in self.values.get("series", "").split(";"))
        return Selection(tuple(name for name in series if name), self.values.get("image_type", ""))

    @property
    def included(self) -> bool:
        return not self.reason

    def label(self, task: Task) -> int | None:
        """1 or 0 for the task's positive or negative class, None for an excluded case or a status the task does not ask about."""
        return task.label(self.her2_status) if self.included and self.her2_status else None


@dataclass(frozen=True)
class Cohort:
    """The cases of a manifest in its order, its columns, and what is doubtful about it."""

    path: Path
    columns: tuple[str, ...]
    cases: tuple[Case, ...]
    warnings: tuple[ReadingWarning, ...] = ()

    @property
    def development(self) -> tuple[Case, ...]:
        """Included cases to train and validate with."""
        return tuple(case for case in self.cases if case.included and case.role == DEVELOPMENT)

    @property
    def external(self) -> dict[str, tuple[Case, ...]]:
        """Included external cases by the name of their cohort; never trained on."""
        return grouped((case for case in self.cases if case.included and case.role == EXTERNAL), lambda case: case.cohort)


def grouped(items: Iterable[Any], key: Callable[[Any], Hashable]) -> dict[Any, tuple]:
    """The items by key, both in the order they come in."""
    groups: dict[Any, list] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return {name: tuple(group) for name, group in groups.items()}


# Reading a table


@dataclass(frozen=True)
class Row:
    """A row of a table: its number as a spreadsheet counts, and its values by column, stripped."""

    number: int
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")


@dataclass
class _Faults:
    """Collects what is wrong in a file, to say it all at once."""

    path: Path
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, row: int, column: str, value: str, what: str) -> None:
        self.found.append((row, f"{self.path}: row {row}, column {column}, value {value!r}: {what}"))

    def add_row(self, row: int, what: str) -> None:
        self.found.append((row, f"{self.path}: row {row}: {what}"))

    def checked(self, row: Row, column: str, check: Callable[[str], Any], default: Any = None) -> Any:
        """The parsed value; the default where the cell is empty, or faulty, which is noted."""
        if not row[column]:
            return default
        try:
            return check(row[column])
        except InputError as error:
            self.add(row.number, column, row[column], str(error).rpartition(": ")[2])
            return default

    def raise_any(self) -> None:
        if self.found:
            raise InputError([text for _, text in sorted(self.found, key=lambda fault: fault[0])])


def read_table(path: str | os.PathLike) -> tuple[tuple[str, ...], list[Row]]:
    """Header and rows of a comma-separated file in UTF-8, with or without byte order mark; blank rows are skipped.

    Raises `InputError` for a file that is not such a table: missing, another encoding, a workbook, other
    separators or a spreadsheet's line about them, open quotes; and, all in one list, for columns without a
    name or twice there and rows longer or shorter than the header.
    """
    faults = _Faults(Path(path))
    columns, rows = _read_table(faults)
    faults.raise_any()
    return columns, rows


def _read_table(faults: _Faults) -> tuple[tuple[str, ...], list[Row]]:
    """Header and whole rows; what is wrong with the others goes to `faults`, so that the rest can be checked in the same run."""
    path = faults.path
    text = _text(path)
    require_no_separator_line(text, path)
    records = _records(text, path)
    if not records:
        raise InputError(f"{path}: is empty; give a CSV file with a header and one row a case")
    (_, header), *rows = records
    columns = tuple(name.strip() for name in header)
    if len(columns) == 1 and re.search("[;\t|]", columns[0]):
        raise InputError(f"{path}: row 1, value {columns[0][:60]!r}: one column only; separate columns with commas")
    for n, name in enumerate(columns, start=1):
        if not name:
            faults.add_row(1, f"column {n} has no name; name it or remove it")
        elif name in columns[: n - 1]:
            faults.add(1, name, name, f"is column {columns.index(name) + 1} and column {n}; keep one")
    whole = []
    for number, values in rows:
        if len(values) == len(columns):
            whole.append(Row(number, dict(zip(columns, (csv_text(value.strip()) for value in values)))))
        else:
            faults.add_row(number, f"{len(values)} values where the header has {len(columns)} columns; check its commas and quotes")
    return columns, whole


def _text(path: Path) -> str:
    data = read_file(path, "a CSV file")
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(f"{path}: is a spreadsheet workbook; save it as CSV UTF-8 and give that")
    if b"\x00" in data:
        raise InputError(f"{path}: is not UTF-8 text (zero bytes: UTF-16, or no text at all); save it as CSV UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: line {line}, byte {data[error.start : error.start + 1]!r}: is not UTF-8; save it as CSV UTF-8") from error


def require_no_separator_line(text: str, path: Path) -> None:
    """Raises `InputError` for a first line `sep=;`, which spreadsheets write and hide."""
    line = re.match(r'"?sep=[^\w\r\n]*(?=[\r\n]|$)', text, re.IGNORECASE)
    if line:
        what = "is a spreadsheet's line about separators, no header"
        cure = "remove it, and separate columns with commas"
        raise InputError(f"{path}: row 1, value {line[0]!r}: {what}; {cure}")


def _records(text: str, path: Path) -> list[tuple[int, list[str]]]:
    """The records that are not blank, with their number: a record of several lines is one row, as in a spreadsheet."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [(number, values) for number, values in enumerate(reader, start=1) if any(value.strip() for value in values)]
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: quotes do not match ({error}); write a quote inside quotes twice") from error


# Checks of one value: return it parsed, or raise what is wrong and the cure


_DEVICE_NAMES = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in "123456789\u00b9\u00b2\u00b3")}
"""Windows takes them for devices, also with superscript digits and with blanks or an ending behind."""


_LONGEST_NAME_BYTES = 240
"""File systems take 255, and a file that is being written has a longer name."""


def _name(text: str) -> str:
    """Case ids become folder names, cohorts the names of sets and pictures: they must work on every file system and in a spreadsheet."""
    usable = re.fullmatch(r"\w[\w.\- ]*", text) and not text.endswith(".") and len(text) <= 80 and len(text.encode()) <= _LONGEST_NAME_BYTES
    if not usable or text.partition(".")[0].rstrip().lower() in _DEVICE_NAMES:
        raise InputError("cannot be the name of a folder; use up to 80 letters, digits and . _ - and begin with a letter or digit")
    return text


def _one_of(*allowed: str, **also: str) -> Callable[[str], str]:
    """`also` maps further spellings to allowed values."""

    def check(text: str) -> str:
        value = also.get(text.lower(), text.lower())
        if value not in allowed:
            raise InputError(f"not allowed; use {', '.join(allowed)} or leave it empty")
        return value

    return check


def _number(low: float, high: float, whole: bool = False) -> Callable[[str], float | None]:
    kind = "a whole number" if whole else "a number with a decimal point"
    cure = "use 0 or 1" if whole and (low, high) == (0, 1) else f"use {kind} between {low:g} and {high:g}"

    def check(text: str) -> float | None:
        if text.upper() == "NA":
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        # NaN fails the comparison. Programs write 1 as 1.0 where others of the column are missing.
        if not low <= value <= high or (whole and not value.is_integer()):
            raise InputError(f"{cure}, or leave it empty")
        return int(value) if whole else value

    return check


def _reason(text: str) -> str:
    if text.lower() in ("0", "1", "no", "yes", "n", "y", "false", "true", "x", "na", "none"):
        raise InputError("is not a reason; write why the case is excluded, or leave it empty")
    return text


def _external_name(text: str) -> str:
    if text.lower() in SET_NAMES:
        raise InputError("is the name of a set of the development cases; call the external cohort otherwise")
    return text


_CHECKS: dict[str, Callable[[str], Any]] = {
    "case_id": _name,
    "cohort": _name,
    "role": _one_of(DEVELOPMENT, EXTERNAL),
    "laterality": _one_of("left", "right", l="left", r="right"),
    "exclude": _reason,
    "early_phase": _number(0, MOST_PHASES - 1, whole=True),
    "ihc": ihc_score,
    "ish": ish_result,
    "her2_status": _one_of(*(status.value for status in HER2Status)),
    "age": _number(1, 120),
    "tumor_size_cm": _number(0.01, 50),
    "positive_ln": _number(0, 100, whole=True),
    "rfs_months": _number(0, 1000),
    "os_months": _number(0, 1000),
    "rfs_event": _number(0, 1, whole=True),
    "os_event": _number(0, 1, whole=True),
}


# The manifest


def read_manifest(path: str | os.PathLike) -> Cohort:
    """The cohort of a manifest: CSV in UTF-8, one row a case, paths relative to it, phases joined by `;` in time order.

    Raises `InputError` with **all** faults, a line each (file, row, column, value, cure). Rows are numbered as in a spreadsheet.
    A case with `exclude` set, or whose HER2 status is missing or indeterminate, is no fault: it is excluded with its reason, and its
    files need not be there. Images in two rows belong to one patient, a patient to one role: otherwise a split would leak.
    """
    path = Path(path)
    faults, warnings = _Faults(path), []
    columns, rows = _read_table(faults)
    _check_columns(columns, faults, warnings)
    if not rows and not faults.found:
        faults.add_row(2, "no case; give one row a case")
    cases = [_case(row, columns, path.parent, faults, warnings) for row in rows]
    _check_case_ids(cases, faults)
    _check_patients([case for case in cases if case.included and case.patient_id], faults, warnings)
    faults.raise_any()
    return Cohort(path, columns, tuple(cases), tuple(warnings))


def read_cases(path: str | os.PathLike) -> tuple[Case, ...]:
    """The cases of a manifest that are to be read by a model: those not excluded, in its order.

    Of its columns only `case_id`, `image`, `roi`, `segment`, `early_phase`, `series`, `image_type` and
    `exclude` count; HER2 status and clinical columns need not be there. Whether the files are there is not
    looked at. Raises `InputError` with all faults, a line each.
    """
    path = Path(path)
    faults = _Faults(path)
    columns, rows = _read_table(faults)
    _require_columns([name for name in REQUIRED_COLUMNS if name not in columns], faults)
    _check_names(columns, faults, [])
    cases = [_case_to_read(row, columns, path.parent, faults) for row in rows]
    _check_case_ids(cases, faults)
    if not any(case.included for case in cases) and not faults.found:
        faults.add_row(2, "no case to read; give one row a case, with exclude left empty")
    faults.raise_any()
    return tuple(case for case in cases if case.included)


def _case_to_read(row: Row, columns: Sequence[str], folder: Path, faults: _Faults) -> Case:
    _require_case_id(row, columns, faults)
    parsed = {column: faults.checked(row, column, _CHECKS[column]) for column in ("case_id", "exclude", "early_phase")}
    if not row["exclude"]:
        _check_files(row, columns, None, parsed["early_phase"], faults)
    return _made_case(row, folder, DEVELOPMENT, parsed["early_phase"], None, row["exclude"])


def _check_columns(columns: Sequence[str], faults: _Faults, warnings: list[ReadingWarning]) -> None:
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    if "ihc" in columns and "ish" not in columns:
        missing.append("ish")
    if "ihc" not in columns and "her2_status" not in columns:
        missing.append("ihc and ish, or her2_status,")
    _require_columns(missing, faults)
    _check_names(columns, faults, warnings)


def _require_columns(missing: Sequence[str], faults: _Faults) -> None:
    for name in missing:
        faults.add_row(1, f"column {name} is missing; add it{' (empty where ISH was not done)' if name == 'ish' else ''}")


def _check_names(columns: Sequence[str], faults: _Faults, warnings: list[ReadingWarning]) -> None:
    """Unknown columns that look like a known one misspelt are faults; other columns of the user's own are kept."""
    plain = {re.sub("[^a-z0-9]", "", name.lower()): name for name in KNOWN_COLUMNS}
    own = []
    for name in columns:
        if name in KNOWN_COLUMNS or re.fullmatch(r"roi_\w+", name):
            continue
        meant = get_close_matches(re.sub("[^a-z0-9]", "", name.lower()), plain, n=1, cutoff=0.85)
        if meant:
            faults.add(1, name, name, f"unknown column; rename it {plain[meant[0]]} or remove it")
        else:
            own.append(name)
    if own:
        warnings.append(ReadingWarning("own_columns", f"columns not known here, kept in cases.csv and not used: {', '.join(own)}"))


def _case(row: Row, columns: Sequence[str], folder: Path, faults: _Faults, warnings: list[ReadingWarning]) -> Case:
    """The case of a row; what is wrong with the row by itself goes to `faults`."""
    _require_case_id(row, columns, faults)
    parsed = {column: faults.checked(row, column, check) for column, check in _CHECKS.items()}
    role = parsed["role"] or DEVELOPMENT
    if role == EXTERNAL:
        faults.checked(row, "cohort", _external_name)
    status, doubt = _status(row, parsed, faults, warnings)
    reason = row["exclude"] or doubt
    if not reason:
        _check_files(row, columns, folder, parsed["early_phase"], faults)
    return _made_case(row, folder, role, parsed["early_phase"], status, reason)


def _require_case_id(row: Row, columns: Sequence[str], faults: _Faults) -> None:
    if not row["case_id"] and "case_id" in columns:
        faults.add(row.number, "case_id", "", "is missing; give every case an id of its own")


def _made_case(row: Row, folder: Path, role: str, early_phase: int | None, status: HER2Status | None, reason: str) -> Case:
    return Case(
        case_id=row["case_id"],
        patient_id=row["patient_id"] or row["case_id"],
        cohort=row["cohort"] or role,
        role=role,
        images=tuple(folder / name.strip() for name in row["image"].split(";") if name.strip()),
        roi=folder / row["roi"] if row["roi"] else None,
        segment=row["segment"],
        early_phase=early_phase,
        her2_status=status,
        reason=reason,
        row=row.number,
        values=row.values,
    )


def _status(row: Row, parsed: Mapping[str, Any], faults: _Faults, warnings: list[ReadingWarning]) -> tuple[HER2Status | None, str]:
    """The HER2 status by IHC and ISH, else as given; and why it does not do, if so."""
    if any(row[column] and parsed[column] is None for column in ("ihc", "ish", "her2_status")):
        return None, ""  # a fault by itself; what follows from it would only be noise
    ihc, ish = parsed["ihc"], parsed["ish"]
    given = HER2Status(parsed["her2_status"]) if parsed["her2_status"] else None
    derived = her2_status(ihc, ish) if ihc else None
    if given and derived and given != derived:
        what = f"contradicts ihc {row['ihc']!r} with ish {row['ish']!r} ({derived.value}); correct one of them, or leave her2_status empty"
        faults.add(row.number, "her2_status", row["her2_status"], what)
    doubt = discordance(ihc, ish) if ihc else None
    if doubt:
        warnings.append(ReadingWarning("discordant_her2", f"row {row.number}, case {row['case_id']}: {doubt}"))
    status = derived or given
    if status is None:
        return None, "HER2 status missing"
    if status is HER2Status.INDETERMINATE:
        return status, "HER2 indeterminate: IHC 2+ without a clear ISH result" if derived else "HER2 indeterminate"
    return status, ""


def _check_files(row: Row, columns: Sequence[str], folder: Path | None, early_phase: int | None, faults: _Faults) -> None:
    """Whether a case's files are named, and with a `folder` also whether they are there.

    A case that is out needs none: missing images are a reason to exclude.
    """
    names = [name.strip() for name in row["image"].split(";")]
    if "image" in columns and not row["image"]:
        faults.add(row.number, "image", "", "is missing; give the image, or set exclude to the reason")
    elif "image" in columns and len(names) > MOST_PHASES:
        faults.add(row.number, "image", names[0], f"is the first of {len(names)} files; give at most {MOST_PHASES} phases, one ; between two")
    elif "image" in columns:
        for n, name in enumerate(names):
            if not name:
                faults.add(row.number, "image", row["image"], f"phase {n} is empty; write one ; between two phases")
            elif name in names[:n]:
                faults.add(row.number, "image", row["image"], f"names {name!r} twice; give each phase once")
            elif folder and not _is(Path.is_file, folder / name) and not _is(Path.is_dir, folder / name):
                faults.add(row.number, "image", name, "no such file or folder; paths are relative to the manifest")
    if early_phase is not None and len(names) > 1 and early_phase >= len(names):
        faults.add(row.number, "early_phase", row["early_phase"], f"image has {len(names)} phases; give 0-{len(names) - 1}")
    if "roi" in columns and not row["roi"]:
        faults.add(row.number, "roi", "", "is missing; give the outline, or set exclude to the reason")
    for column in (column for column in columns if column == "roi" or column.startswith("roi_")):
        name = row[column]
        if name and name in names:
            faults.add(row.number, column, name, "is the image; give the outline")
        elif name and folder and not _is(Path.is_file, folder / name):
            faults.add(row.number, column, name, "no such file; paths are relative to the manifest")


def _is(what: Callable[[Path], bool], path: Path) -> bool:
    try:
        return what(path)
    except OSError:  # a name too long, a folder that may not be looked into
        return False


def _check_case_ids(cases: Sequence[Case], faults: _Faults) -> None:
    """No id twice; not in other letters either, since some file systems do not tell A from a."""
    for same in grouped((case for case in cases if case.case_id), lambda case: unicodedata.normalize("NFC", case.case_id).casefold()).values():
        for case in same[1:]:
            faults.add(case.row, "case_id", case.case_id, f"is the case of row {same[0].row} already; give every case an id of its own")


def _check_patients(cases: Sequence[Case], faults: _Faults, warnings: list[ReadingWarning]) -> None:
    """What would put one patient on two sides of a split, unseen."""
    by_file: dict[Path, Case] = {}
    by_lesion: dict[tuple, Case] = {}
    for case in cases:
        files = [Path(os.path.realpath(path)) for path in (*case.images, *([case.roi] if case.roi else []))]
        first = next((by_file[path] for path in files if path in by_file and by_file[path].patient_id != case.patient_id), None)
        same = by_lesion.setdefault((*files, case.segment), case) if case.images and case.roi else case
        if first:
            what = f"has an image or outline of row {first.row}, patient {first.patient_id!r}; give both rows one patient_id, or correct the path"
            faults.add(case.row, "patient_id", case.values.get("patient_id", ""), what)
        elif same is not case:
            faults.add(case.row, "roi", case.values["roi"], f"same image, outline and segment as row {same.row}; give each lesion once")
        for path in files:
            by_file.setdefault(path, case)
    for patient, theirs in grouped(cases, lambda case: case.patient_id).items():
        for case in theirs[1:]:
            if case.role != theirs[0].role:
                what = f"is {theirs[0].role} in row {theirs[0].row} and {case.role} here; a patient has one role"
                faults.add(case.row, "patient_id", patient, what)
        statuses = [status.value for status in STATUSES if any(case.her2_status is status for case in theirs)]
        if len(statuses) > 1:
            rows = ", ".join(str(case.row) for case in theirs)
            text = f"rows {rows}: one patient, different HER2 status ({', '.join(statuses)}); the study excluded such patients (column exclude)"
            warnings.append(ReadingWarning("several_statuses", text))


# Splits


@dataclass(frozen=True)
class TaskSplit:
    """Case ids, sorted, of one task: training and validation set, and the parts of a cross-validation (empty when not asked for)."""

    training: tuple[str, ...]
    validation: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Splits:
    """Who trains and who validates. `tasks` by the task's name; `external` case ids by cohort, in no split.

    `cases` describes each case the splits were made for (patient, status, role, cohort): they fit no other.
    """

    kind: str
    seed: int
    tasks: Mapping[str, TaskSplit]
    external: Mapping[str, tuple[str, ...]]
    cases: Mapping[str, Mapping[str, str]]

    @property
    def sha256(self) -> str:
        """SHA-256 of the content as JSON with sorted keys, no spaces, in UTF-8: the same whatever the order of the manifest."""
        canonical = json.dumps(self._content(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _content(self) -> dict[str, Any]:
        """All that `splits.json` holds but its hash."""
        content = {
            "format": _SPLITS_FORMAT,
            "version": _SPLITS_VERSION,
            "split": self.kind,
            "seed": self.seed,
            "validation_share": VALIDATION_SHARE,
            "tasks": {name: {"training": task.training, "validation": task.validation, "folds": task.folds} for name, task in self.tasks.items()},
            "external": self.external,
            "cases": self.cases,
        }
        return {**content, "note": PER_TASK_NOTE} if self.kind == PER_TASK else content

    def to_json(self) -> bytes:
        """`splits.json`."""
        return json_bytes({"sha256": self.sha256, **self._content()})


def make_splits(cohort: Cohort, kind: str = SHARED, folds: int | None = None, seed: int = 1) -> Splits:
    """The 8:2 split of the development cases by patient, stratified, and k folds; the same for the same patients, seed and kind.

    `shared`: one split for both tasks, stratified by the three-class status, so that the validation set is clean for the two-step call.
    `per-task` repeats the study's: each task on its own, stratified by its label. A patient with cases of several classes counts for the
    rarest of them (the one with the fewest patients; a tie goes to the first of zero, low, positive).
    Raises `InputError` for a class with a single patient or with fewer patients than folds; a class without any is left to training.
    """
    if kind not in SPLIT_KINDS:
        raise InputError(f"split {kind!r}: not known; use {' or '.join(SPLIT_KINDS)}")
    if folds is not None and folds < 2:
        raise InputError(f"folds {folds}: too few; use 2 or more")
    questions: dict[str, Callable[[Case], str | None]] = {"all": lambda case: case.her2_status.value if case.her2_status else None}
    if kind == PER_TASK:
        questions = {name: _task_class(task) for name, task in TASKS.items()}
    strata = {name: _strata(cohort.development, question) for name, question in questions.items()}
    _require_enough(strata, folds, cohort.path)
    divided = {name: _divide(classes, folds, seed, name) for name, classes in strata.items()}
    return Splits(
        kind,
        seed,
        {name: _task_split(cohort, task, *divided[name if kind == PER_TASK else "all"]) for name, task in TASKS.items()},
        {name: tuple(sorted(case.case_id for case in cases)) for name, cases in sorted(cohort.external.items())},
        _described(cohort),
    )


def _task_class(task: Task) -> Callable[[Case], str | None]:
    names = {0: task.negative_label, 1: task.positive_label, None: None}
    return lambda case: names[case.label(task)]


def _strata(cases: Iterable[Case], question: Callable[[Case], str | None]) -> dict[str, list[str]]:
    """Patients by class; each in one class only, the rarest of theirs."""
    by_patient = grouped(cases, lambda case: case.patient_id)
    classes = {patient: {answer for answer in map(question, theirs) if answer is not None} for patient, theirs in by_patient.items()}
    counts = Counter(answer for theirs in classes.values() for answer in theirs)
    order = [status.value for status in STATUSES]
    strata: dict[str, list[str]] = {}
    for patient in sorted(classes):
        if classes[patient]:
            rarest = min(classes[patient], key=lambda answer: (counts[answer], order.index(answer) if answer in order else 0, answer))
            strata.setdefault(rarest, []).append(patient)
    return dict(sorted(strata.items()))


def _require_enough(strata: Mapping[str, Mapping[str, Sequence[str]]], folds: int | None, path: Path) -> None:
    faults = []
    for answer, patients in ((answer, patients) for classes in strata.values() for answer, patients in classes.items()):
        if len(patients) < max(2, folds or 2):
            why = f"cannot be in each of {folds} folds; use fewer folds," if len(patients) > 1 else "cannot both train and validate;"
            patient = "1 development patient" if len(patients) == 1 else f"{len(patients)} development patients"
            faults.append(f"{path}: class {answer!r}: {patient} {why} add cases, or exclude these")
    if faults:
        raise InputError(faults)


def _divide(strata: Mapping[str, Sequence[str]], folds: int | None, seed: int, purpose: str) -> tuple[set[str], list[set[str]]]:
    """Validation patients, and the patients of each fold; each stratum is divided on its own."""
    validation: set[str] = set()
    dealt: list[str] = []
    for patients in strata.values():
        validation.update(_shuffled(patients, seed, purpose)[: max(1, round(VALIDATION_SHARE * len(patients)))])
        dealt += _shuffled(patients, seed, f"{purpose}/folds")
    # Dealt out like cards, one stratum after the other: folds differ by one patient at most, in each stratum and in all.
    return validation, [set(dealt[n::folds]) for n in range(folds)] if folds else []


def _shuffled(patients: Iterable[str], seed: int, purpose: str) -> list[str]:
    """Ordered by a hash of seed, purpose and patient: random, but the same on every machine, with any Python, in any order of rows."""
    return sorted(patients, key=lambda patient: hashlib.sha256(f"{seed}\0{purpose}\0{patient}".encode()).digest())


def _task_split(cohort: Cohort, task: Task, validation: set[str], folds: Sequence[set[str]]) -> TaskSplit:
    asked = [case for case in cohort.development if case.label(task) is not None]

    def of(chosen: Callable[[str], bool]) -> tuple[str, ...]:
        return tuple(sorted(case.case_id for case in asked if chosen(case.patient_id)))

    return TaskSplit(of(lambda p: p not in validation), of(validation.__contains__), tuple(of(fold.__contains__) for fold in folds))


def _described(cohort: Cohort) -> dict[str, dict[str, str]]:
    """What of each included case the splits rest on, by case id."""
    return {
        case.case_id: {"patient_id": case.patient_id, "her2_status": case.her2_status.value, "role": case.role, "cohort": case.cohort}
        for case in sorted(cohort.cases, key=lambda case: case.case_id)
        if case.included and case.her2_status
    }


def load_splits(path: str | os.PathLike, cohort: Cohort) -> Splits:
    """The splits in a `splits.json`, checked against their SHA-256 and against the cohort.

    Raises `InputError` (one line) for a file that is no such file, was changed, was made for other cases, or has a patient on two sides.
    """
    try:
        content = parse_json(read_file(path, "a splits.json"))
        if (content["format"], content["version"]) != (_SPLITS_FORMAT, _SPLITS_VERSION):
            raise ValueError(content["version"])
        stored = content["sha256"]
        splits = Splits(
            content["split"],
            content["seed"],
            {name: TaskSplit(_ids(t["training"]), _ids(t["validation"]), tuple(map(_ids, t["folds"]))) for name, t in content["tasks"].items()},
            {name: _ids(ids) for name, ids in content["external"].items()},
            {**content["cases"]},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is not a splits.json of this version; write one with: her2vit cohort") from error
    if splits.sha256 != stored:
        raise InputError(f"{path}: sha256 {str(stored)[:12]!r} is not that of its content: it was changed; write it again with: her2vit cohort")
    _require_fit(splits, cohort, Path(path))
    return splits


def _ids(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(names)
    return tuple(names)


def _require_fit(splits: Splits, cohort: Cohort, path: Path) -> None:
    ours = _described(cohort)
    differing = sorted(name for name in ours.keys() | splits.cases.keys() if ours.get(name) != splits.cases.get(name))
    if differing:
        shown = ", ".join(map(repr, differing[:3])) + (", ..." if len(differing) > 3 else "")
        raise InputError(
            f"{path}: made for other cases than {cohort.path}: {len(differing)} differ, there or not, or in patient_id, her2_status, role or cohort"
            f" ({shown}); write it again with: her2vit cohort"
        )
    for name, task in TASKS.items():
        asked = sorted(case.case_id for case in cohort.development if case.label(task) is not None)
        split = splits.tasks.get(name, TaskSplit((), ()))
        for sides in (split.training, split.validation), split.folds:
            patients = [{splits.cases[case]["patient_id"] for case in side if case in splits.cases} for side in sides]
            whole = sorted(case for side in sides for case in side) == asked or not sides
            if not whole or sum(map(len, patients)) != len(set().union(*patients)):
                raise InputError(f"{path}: {name}: a patient is on two sides or missing; write it again with: her2vit cohort")
