"""What came of a plan's reads, for its coordinator: every case's status and outline, under its true id."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.output import csv_bytes
from HER2ViTLib.messages import InputError, each
from HER2ViTLib.session.files import SESSION_FILE, SessionCase, load_read
from HER2ViTLib.session.log import OUTLINED, Entry, finished_cases, read_log, stamp

from .outlines import Outline
from .plan import PlannedRead, case_of_code, planned_reads

OPEN = "open"
_CSV_COLUMNS = ("case_id", "rater", "code", "status", "reason", "reading_s", "at")


@dataclass(frozen=True)
class CaseRead:
    """What became of one case in one read: `status` outlined, skipped or open; the reading time in seconds;
    when it was done (UTC).
    """

    case_id: str
    rater: str
    code: str
    status: str
    reason: str
    reading_s: float | None
    at: str
    outline: Outline | None


def case_reads(folder: str | os.PathLike) -> list[CaseRead]:
    """All cases of all reads of a plan, by case and read, true case ids put back by the coordinator's key.

    Raises `InputError` with a line for each fault: no plan in the folder, a damaged key, session file or log,
    an outline that is missing or not the one that was saved.
    """
    folder = Path(folder)
    reads = planned_reads(folder)
    reads_of = functools.partial(_reads_of, folder=folder, key=case_of_code(folder))
    found = each(reads_of, reads)
    order = [read.label for read in reads]
    return sorted(itertools.chain.from_iterable(found), key=lambda one: (one.case_id, order.index(one.rater)))


def outlines(folder: str | os.PathLike) -> list[Outline]:
    """The outlines that the reads of a plan have left so far, by case and read. Raises `InputError` as
    `case_reads`, and when there is none.
    """
    return outlines_of(case_reads(folder), folder)


def outlines_of(reads: Sequence[CaseRead], folder: str | os.PathLike) -> list[Outline]:
    """The outlines of these reads of the plan in `folder`. Raises `InputError` when there is none."""
    found = [one.outline for one in reads if one.outline is not None]
    if not found:
        raise InputError(
            f"{folder}: no case is outlined yet; the readers open their {SESSION_FILE} in 3D Slicer"
        )
    return found


def reads_csv(reads: Sequence[CaseRead]) -> bytes:
    """The reads as a table: case_id, rater, code, status, reason, reading_s, at."""
    return csv_bytes(_CSV_COLUMNS, [_csv_row(one) for one in reads])


def _csv_row(one: CaseRead) -> dict[str, Any]:
    return {name: getattr(one, name) for name in _CSV_COLUMNS}


@dataclass(frozen=True)
class _LoggedCase:
    """A case of a read with what the log says last of it: None = nothing yet. `folder` is the read's."""

    case_id: str
    rater: str
    case: SessionCase
    folder: Path
    entry: Entry | None

    def fault(self) -> str:
        """What is wrong with its outline, empty when nothing is."""
        if self.entry is None or self.entry.event != OUTLINED:
            return ""
        path = self.case.outline(self.folder)
        if not path.is_file():
            return f"{path}: the outline is not there; put it back"
        if file_sha256(path) != self.entry.values["sha256"]:
            return f"{path}: is not the outline that was saved (SHA-256 differs); put that one back"
        return ""

    def read(self) -> CaseRead:
        """What became of the case."""
        code = self.case.code
        if self.entry is None:
            return CaseRead(self.case_id, self.rater, code, OPEN, "", None, "", None)
        return CaseRead(
            self.case_id,
            self.rater,
            code,
            self.entry.event,
            self.entry.values.get("reason", ""),
            self.entry.values.get("reading_s"),
            stamp(self.entry.at),
            self._outline() if self.entry.event == OUTLINED else None,
        )

    def _outline(self) -> Outline:
        return Outline(
            self.case_id,
            self.rater,
            self.case.images(self.folder),
            self.case.outline(self.folder),
            early_phase=self.case.early_phase,
            session_case=self.case,
        )


def _reads_of(planned: PlannedRead, folder: Path, key: Mapping[str, str]) -> list[CaseRead]:
    """All cases of one read of the plan in `folder`; `key` holds each code's case id."""
    read_folder = folder / planned.folder
    read = load_read(read_folder)
    if read.label != planned.label:
        raise InputError(
            f"{read_folder / SESSION_FILE}: is read {read.label}, the plan has {planned.label} here; put"
            " every read back into its folder"
        )
    codes = [case.code for case in read.cases]
    unknown = [code for code in codes if code not in key]
    if unknown:
        raise InputError(
            f"{read_folder / SESSION_FILE}: code {unknown[0]!r} is not in the key; give the key of this plan"
        )
    done = finished_cases(read_log(read_folder, codes))
    cases = [
        _LoggedCase(key[case.code], read.label, case, read_folder, done.get(case.code)) for case in read.cases
    ]
    faults = list(filter(None, map(_LoggedCase.fault, cases)))
    if faults:
        raise InputError(faults)
    return [case.read() for case in cases]
