"""The manifest of a cohort, checked as a whole: its cases, who is in and who is out and why.

Standard library only; nothing here opens an image.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from HER2ViTLib.dicom.selection import Selection
from HER2ViTLib.her2 import HER2Status, Task
from HER2ViTLib.messages import ReadingWarning
from HER2ViTLib.study.given_times import GivenTimes
from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.grouping import grouped
from HER2ViTTrainingLib.tables.table import checked_table

from .columns import (
    CHECKS,
    COUNTED_STATUSES,
    DEVELOPMENT,
    EXTERNAL,
    KNOWN_COLUMNS,
    REQUIRED_COLUMNS,
    external_name,
)
from .named_files import check_files
from .phase_times import check_times, given_times
from .reference_standard import reference_standard

# A case and a cohort


@dataclass(frozen=True)
class Case:
    """One lesion of one study, from one row of the manifest. Paths are resolved against the manifest.

    `her2_status` is None where nothing is known of it. `reason` says why the case is excluded; empty for a
    case that is in.
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
    row: Row

    @property
    def selection(self) -> Selection:
        """Which images of a DICOM examination are meant: the columns `series` (several joined by `;`) and
        `image_type`.
        """
        series = (name.strip() for name in self.row["series"].split(";"))
        return Selection(tuple(name for name in series if name), self.row["image_type"])

    @property
    def times(self) -> GivenTimes | None:
        """When the phases were taken, where `phase_times_s` and `contrast_time_s` say so."""
        return given_times(self.row["phase_times_s"], self.row["contrast_time_s"])

    @property
    def included(self) -> bool:
        return not self.reason

    def label(self, task: Task) -> int | None:
        """1 or 0 for the task's positive or negative class, None for an excluded case or a status the task
        does not ask about.
        """
        return task.label(self.her2_status) if self.included and self.her2_status else None


@dataclass(frozen=True)
class Cohort:
    """The cases of a manifest in its order, its columns, its SHA-256, and what is doubtful about it."""

    path: Path
    columns: tuple[str, ...]
    cases: tuple[Case, ...]
    sha256: str
    warnings: tuple[ReadingWarning, ...] = ()

    @property
    def development(self) -> tuple[Case, ...]:
        """Included cases to train and validate with."""
        return tuple(case for case in self.cases if case.included and case.role == DEVELOPMENT)

    @property
    def external(self) -> dict[str, tuple[Case, ...]]:
        """Included external cases by the name of their cohort; never trained on."""
        return grouped(
            (case for case in self.cases if case.included and case.role == EXTERNAL), lambda case: case.cohort
        )


# The manifest


def read_manifest(path: str | os.PathLike) -> Cohort:
    """The cohort of a manifest: CSV in UTF-8, one row a case, paths relative to it, phases joined by `;` in
    time order.

    Raises `InputError` with **all** faults, a line each (file, row, column, value, cure). Rows are numbered
    as in a spreadsheet. A case with `exclude` set, or whose HER2 status is missing or indeterminate, is no
    fault: it is excluded with its reason, and its files need not be there. Images in two rows belong to one
    patient, a patient to one role: otherwise a split would leak.
    """
    path = Path(path)
    faults = Faults(path, row_by_row=True)
    warnings: list[ReadingWarning] = []
    table = checked_table(faults)
    _check_columns(table.columns, faults, warnings)
    if not table.rows and not faults:
        faults.note_row(2, "no case; give one row a case")
    cases = [_case(row, table.columns, path.parent, faults, warnings) for row in table.rows]
    _check_case_ids(cases, faults)
    _check_patients([case for case in cases if case.included and case.patient_id], faults, warnings)
    faults.raise_any()
    return Cohort(path, table.columns, tuple(cases), table.sha256, tuple(warnings))


def read_cases(path: str | os.PathLike) -> tuple[Case, ...]:
    """The cases of a manifest that are to be read by a model: those not excluded, in its order.

    Of its columns only `case_id`, `image`, `roi`, `segment`, `early_phase`, `series`, `image_type`,
    `phase_times_s`, `contrast_time_s` and `exclude` count; HER2 status and clinical columns need not be
    there. Whether the files are there is not looked at. Raises `InputError` with all faults, a line each.
    """
    path = Path(path)
    faults = Faults(path, row_by_row=True)
    table = checked_table(faults)
    _require_columns([name for name in REQUIRED_COLUMNS if name not in table.columns], faults)
    _check_names(table.columns, faults, [])
    cases = [_case_to_read(row, table.columns, path.parent, faults) for row in table.rows]
    _check_case_ids(cases, faults)
    if not any(case.included for case in cases) and not faults:
        faults.note_row(2, "no case to read; give one row a case, with exclude left empty")
    faults.raise_any()
    return tuple(case for case in cases if case.included)


def _case_to_read(row: Row, columns: Sequence[str], folder: Path, faults: Faults) -> Case:
    _require_case_id(row, columns, faults)
    parsed = {
        column: faults.checked(row, column, CHECKS[column])
        for column in ("case_id", "exclude", "early_phase", "phase_times_s", "contrast_time_s")
    }
    if not row["exclude"]:
        check_files(row, columns, None, parsed["early_phase"], faults)
        check_times(row, parsed["phase_times_s"], parsed["contrast_time_s"], faults)
    return _made_case(row, folder, DEVELOPMENT, parsed["early_phase"], None, row["exclude"])


def _check_columns(columns: Sequence[str], faults: Faults, warnings: list[ReadingWarning]) -> None:
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    if "ihc" in columns and "ish" not in columns:
        missing.append("ish")
    if "ihc" not in columns and "her2_status" not in columns:
        missing.append("ihc and ish, or her2_status,")
    _require_columns(missing, faults)
    _check_names(columns, faults, warnings)


def _require_columns(missing: Sequence[str], faults: Faults) -> None:
    for name in missing:
        faults.note_row(
            1, f"column {name} is missing; add it{' (empty where ISH was not done)' if name == 'ish' else ''}"
        )


def _check_names(columns: Sequence[str], faults: Faults, warnings: list[ReadingWarning]) -> None:
    """Unknown columns that look like a known one misspelt are faults; other columns of the user's own are
    kept.
    """
    plain = {re.sub("[^a-z0-9]", "", name.lower()): name for name in KNOWN_COLUMNS}
    own = []
    for name in columns:
        if name in KNOWN_COLUMNS or re.fullmatch(r"roi_\w+", name):
            continue
        meant = get_close_matches(re.sub("[^a-z0-9]", "", name.lower()), plain, n=1, cutoff=0.85)
        if meant:
            faults.note(
                Row(1, {name: name}), name, f"unknown column; rename it {plain[meant[0]]} or remove it"
            )
        else:
            own.append(name)
    if own:
        warnings.append(
            ReadingWarning(
                "own_columns", f"columns not known here, kept in cases.csv and not used: {', '.join(own)}"
            )
        )


def _case(
    row: Row, columns: Sequence[str], folder: Path, faults: Faults, warnings: list[ReadingWarning]
) -> Case:
    """The case of a row; what is wrong with the row by itself goes to `faults`."""
    _require_case_id(row, columns, faults)
    parsed = {column: faults.checked(row, column, check) for column, check in CHECKS.items()}
    role = parsed["role"] or DEVELOPMENT
    if role == EXTERNAL:
        faults.checked(row, "cohort", external_name)
    reference = reference_standard(row, faults)
    if reference.doubt:
        text = f"row {row.number}, case {row['case_id']}: {reference.doubt}"
        warnings.append(ReadingWarning("discordant_her2", text))
    reason = row["exclude"] or reference.reason
    if not reason:
        check_files(row, columns, folder, parsed["early_phase"], faults)
        check_times(row, parsed["phase_times_s"], parsed["contrast_time_s"], faults)
    return _made_case(row, folder, role, parsed["early_phase"], reference.status, reason)


def _require_case_id(row: Row, columns: Sequence[str], faults: Faults) -> None:
    if not row["case_id"] and "case_id" in columns:
        faults.note(row, "case_id", "is missing; give every case an id of its own")


def _made_case(
    row: Row, folder: Path, role: str, early_phase: int | None, status: HER2Status | None, reason: str
) -> Case:
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
        row=row,
    )


def _check_case_ids(cases: Sequence[Case], faults: Faults) -> None:
    """No id twice; not in other letters either, since some file systems do not tell A from a."""
    named = [case for case in cases if case.case_id]
    for same in grouped(named, _as_file_systems_see_it).values():
        first, *others = same
        for case in others:
            what = f"is the case of row {first.row.number} already; give every case an id of its own"
            faults.note(case.row, "case_id", what)


def _as_file_systems_see_it(case: Case) -> str:
    return unicodedata.normalize("NFC", case.case_id).casefold()


def _check_patients(cases: Sequence[Case], faults: Faults, warnings: list[ReadingWarning]) -> None:
    """What would put one patient on two sides of a split, unseen."""
    _check_shared_files(cases, faults)
    for theirs in grouped(cases, lambda case: case.patient_id).values():
        first, *others = theirs
        for case in others:
            if case.role != first.role:
                roles = f"is {first.role} in row {first.row.number} and {case.role} here"
                faults.note(case.row, "patient_id", f"{roles}; a patient has one role", case.patient_id)
        found = {case.her2_status for case in theirs}
        statuses = [status.value for status in COUNTED_STATUSES if status in found]
        if len(statuses) > 1:
            rows = ", ".join(str(case.row.number) for case in theirs)
            text = (
                f"rows {rows}: one patient, different HER2 status ({', '.join(statuses)}); the study excluded"
                " such patients (column exclude)"
            )
            warnings.append(ReadingWarning("several_statuses", text))


def _check_shared_files(cases: Sequence[Case], faults: Faults) -> None:
    """An image or outline belongs to one patient; an outline of an image is one case."""
    by_file: dict[Path, Case] = {}
    by_lesion: dict[tuple[Path | str, ...], Case] = {}
    for case in cases:
        outlines = [case.roi] if case.roi else []
        files = [Path(os.path.realpath(path)) for path in (*case.images, *outlines)]
        owners = [by_file[path] for path in files if path in by_file]
        of_others = [owner for owner in owners if owner.patient_id != case.patient_id]
        same = by_lesion.setdefault((*files, case.segment), case) if case.images and case.roi else case
        if of_others:
            other = of_others[0]
            what = (
                f"has an image or outline of row {other.row.number}, patient {other.patient_id!r}; give both"
                " rows one patient_id, or correct the path"
            )
            faults.note(case.row, "patient_id", what)
        elif same is not case:
            what = f"same image, outline and segment as row {same.row.number}; give each lesion once"
            faults.note(case.row, "roi", what)
        for path in files:
            by_file.setdefault(path, case)
