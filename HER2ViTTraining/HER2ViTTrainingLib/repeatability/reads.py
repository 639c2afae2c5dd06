"""What the reads of a repeatability plan left behind, for its coordinator: every case's fate and outline,
under its true id.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.output import csv_bytes
from HER2ViTLib.messages import InputError, each
from HER2ViTLib.session.files import SESSION_FILE, SessionCase, load_read
from HER2ViTLib.session.log import OUTLINED, Entry, finished_cases, read_log, stamp

from .outlines import Outline
from .plan import case_of_code, planned_reads

OPEN = "open"


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
    keys = case_of_code(folder)
    found = each(lambda read: _reads_of(read.label, folder / read.folder, keys), reads)
    order = [read.label for read in reads]
    return sorted(itertools.chain.from_iterable(found), key=lambda one: (one.case_id, order.index(one.rater)))


def outlines(folder: str | os.PathLike) -> list[Outline]:
    """The outlines that the reads of a plan have left so far, by case and read. Raises `InputError` as
    `case_reads`, and when there is none.
    """
    found = [one.outline for one in case_reads(folder) if one.outline is not None]
    if not found:
        raise InputError(
            f"{folder}: no case is outlined yet; the readers open their {SESSION_FILE} in 3D Slicer"
        )
    return found


def reads_csv(reads: Sequence[CaseRead]) -> bytes:
    """The reads as a table: case_id, rater, code, status, reason, reading_s, at."""
    columns = ("case_id", "rater", "code", "status", "reason", "reading_s", "at")
    return csv_bytes(columns, [{name: getattr(one, name) for name in columns} for one in reads])


def _reads_of(label: str, folder: Path, keys: Mapping[str, str]) -> list[CaseRead]:
    read = load_read(folder)
    if read.label != label:
        raise InputError(
            f"{folder / SESSION_FILE}: is read {read.label}, the plan has {label} here; put every read back"
            " into its folder"
        )
    unknown = [case.code for case in read.cases if case.code not in keys]
    if unknown:
        raise InputError(
            f"{folder / SESSION_FILE}: code {unknown[0]!r} is not in the key; give the key of this plan"
        )
    done = finished_cases(read_log(folder, [case.code for case in read.cases]))
    faults = [
        fault for case in read.cases for fault in _outline_faults(case.outline(folder), done.get(case.code))
    ]
    if faults:
        raise InputError(faults)
    return [_case_read(keys[case.code], label, case, folder, done.get(case.code)) for case in read.cases]


def _outline_faults(path: Path, entry: Entry | None) -> list[str]:
    if entry is None or entry.event != OUTLINED:
        return []
    if not path.is_file():
        return [f"{path}: the outline is not there; put it back"]
    if file_sha256(path) != entry.values["sha256"]:
        return [f"{path}: is not the outline that was saved (SHA-256 differs); put that one back"]
    return []


def _case_read(case_id: str, rater: str, case: SessionCase, folder: Path, entry: Entry | None) -> CaseRead:
    if entry is None:
        return CaseRead(case_id, rater, case.code, OPEN, "", None, "", None)
    outline = (
        Outline(case_id, rater, case.images(folder), case.outline(folder), "", case.early_phase, case)
        if entry.event == OUTLINED
        else None
    )
    return CaseRead(
        case_id,
        rater,
        case.code,
        entry.event,
        entry.values.get("reason", ""),
        entry.values.get("reading_s"),
        stamp(entry.at),
        outline,
    )
