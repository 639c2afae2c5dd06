"""The plan of a repeatability study: who outlines which case when; drawn from a manifest, written as folders,
read again by the coordinator.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from HER2ViTLib import __version__
from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.inputs import parse_json, read_file
from HER2ViTLib.files.output import TEMPORARY_PREFIX, csv_bytes, json_bytes, write_atomically
from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError, faults_of
from HER2ViTLib.session.files import IMAGES, MAX_WASHOUT_DAYS, SESSION_FILE, VERSION, Read, SessionCase
from HER2ViTLib.study.loading import load_study
from HER2ViTTrainingLib.cohort.manifest import Case, Cohort, read_manifest
from HER2ViTTrainingLib.parallel.processes import Progress, in_order
from HER2ViTTrainingLib.tables.grouping import grouped
from HER2ViTTrainingLib.tables.table import read_table

COORDINATOR, KEY_FILE, PLAN_FILE = "coordinator", "key.csv", "plan.json"
_FORMAT = "her2vit-session-plan"
_READER = r"[A-Za-z]([A-Za-z0-9_-]{0,18}[A-Za-z_-])?"
_EVERY_FILE_FROM = 946684800  # 2000-01-01 UTC, so that times of change tell no order


@dataclass(frozen=True)
class PlannedRead:
    """A read the plan asks for: its label (A1, A2, B1), the reader, the number of the reader's read."""

    label: str
    reader: str
    number: int

    @property
    def folder(self) -> str:
        """Its folder in the plan's."""
        return f"reader_{self.reader}/read_{self.number}"


@dataclass(frozen=True)
class Plan:
    """Who outlines how many cases: the first of `readers` twice, `washout_days` apart, the others once."""

    cases: int
    readers: tuple[str, ...]
    washout_days: float = 14.0
    seed: int = 1

    @property
    def reads(self) -> list[PlannedRead]:
        numbered = [
            (reader, number)
            for n, reader in enumerate(self.readers)
            for number in ((1, 2) if n == 0 else (1,))
        ]
        return [PlannedRead(f"{reader}{number}", reader, number) for reader, number in numbered]

    def faults(self) -> list[str]:
        """What is wrong with the plan by itself, a line each."""
        found = []
        if self.cases < 1:
            found.append(f"cases {self.cases}: at least 1 is needed")
        for reader in self.readers:
            if not re.fullmatch(_READER, reader):
                found.append(
                    f"reader {reader!r}: use up to 20 letters, digits, _ and -, begin with a letter and do"
                    " not end in a digit"
                )
        if len({reader.casefold() for reader in self.readers}) < len(self.readers):
            found.append(
                f"readers {', '.join(self.readers)}: two have the same name; give every reader one of"
                " their own"
            )
        elif len(self.readers) < 2:
            found.append(
                f"readers {', '.join(self.readers)!r}: two at least are needed, such as A,B: the first reads"
                " twice, the others once"
            )
        if not (math.isfinite(self.washout_days) and 0 <= self.washout_days <= MAX_WASHOUT_DAYS):
            found.append(f"wash-out of {self.washout_days:g} days: use 0 to {MAX_WASHOUT_DAYS}")
        return found


def write_plan(
    manifest: str | os.PathLike,
    plan: Plan,
    out: str | os.PathLike,
    progress: Progress | None = None,
    workers: int | None = None,
) -> list[str]:
    """Draws the cases, copies their images under codes and writes a session for every read; returns the files
    the coordinator starts from.

    One case is drawn of each of `plan.cases` patients, from those the manifest includes, development and
    external alike: the ICC takes subjects as independent. The same manifest's cases and seed give the same
    plan. `progress` is told (done, all) after each case. The folder is written whole or not at all. Raises
    `InputError` for a plan or a manifest with faults, too few patients, images that cannot be read, a folder
    that holds anything already.
    """
    out = Path(os.path.realpath(out))
    if plan.faults():
        raise InputError(plan.faults())
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(f"{out}: is there already; a plan is never written over, name a new folder")
    cohort = read_manifest(manifest)
    cases = draw_cases(cohort, plan)
    working = out.with_name(f"{TEMPORARY_PREFIX}{out.name}")
    shutil.rmtree(working, ignore_errors=True)
    try:
        working.mkdir(parents=True)
        _write_reads(cohort, plan, cases, working, progress, workers)
        _set_times(working)
        if out.exists():
            out.rmdir()
        working.rename(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); name another folder") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return [f"{COORDINATOR}/{KEY_FILE}", *(f"{read.folder}/{SESSION_FILE}" for read in plan.reads)]


def draw_cases(cohort: Cohort, plan: Plan) -> list[Case]:
    """The drawn cases: one of each drawn patient. Raises `InputError` when there are fewer patients than
    cases asked for.
    """
    included = [case for case in cohort.cases if case.included]
    by_patient = grouped(included, lambda case: case.patient_id)
    if plan.cases > len(by_patient):
        raise InputError(
            f"{cohort.path}: {plan.cases} cases asked for, {len(by_patient)} patients with an included case"
            " there (one case of a patient is drawn); ask for fewer"
        )
    shuffled = _shuffler(included, plan.seed)
    return [
        shuffled(by_patient[patient], "case", _case_id)[0]
        for patient in shuffled(list(by_patient), "draw", str)[: plan.cases]
    ]


def _case_id(case: Case) -> str:
    return case.case_id


def _shuffler(
    included: Sequence[Case], seed: int
) -> Callable[[Sequence[Any], str, Callable[[Any], str]], list[Any]]:
    """A function that orders items at random, the same on every machine and with any order of rows.

    Seeded by all case ids as well: whoever guesses the seed and knows a patient's id cannot tell the
    patient's place from that.
    """
    secret = hashlib.sha256(
        "\0".join([str(seed), *sorted(case.case_id for case in included)]).encode()
    ).hexdigest()

    def shuffled(items: Sequence[Any], purpose: str, name: Callable[[Any], str]) -> list[Any]:
        return sorted(
            items, key=lambda item: hashlib.sha256(f"{secret}\0{purpose}\0{name(item)}".encode()).digest()
        )

    return shuffled


def _write_reads(
    cohort: Cohort,
    plan: Plan,
    cases: Sequence[Case],
    folder: Path,
    progress: Progress | None,
    workers: int | None,
) -> None:
    coded = _coded(cohort, plan, cases)
    first = plan.reads[0]
    copied = _copy_cases(coded[first], folder / first.folder, progress, workers)
    for read in plan.reads:
        target = folder / read.folder
        sessions = tuple(replace(copied[case.case_id], code=code) for code, case in coded[read])
        (target / IMAGES).mkdir(parents=True, exist_ok=True)
        # In the order of the codes: what a file system remembers of the order then tells no more than they
        # do.
        for (_, case), session in zip(coded[read], sessions):
            for source, copy in zip(
                copied[case.case_id].images(folder / first.folder), session.images(target)
            ):
                if source != copy:
                    shutil.copyfile(source, copy)
        write_atomically(
            target / SESSION_FILE,
            json_bytes(Read(read.label, read.reader, read.number, plan.washout_days, sessions).to_json()),
        )
    _write_coordinator(cohort, plan, coded, folder / COORDINATOR)


def _coded(cohort: Cohort, plan: Plan, cases: Sequence[Case]) -> dict[PlannedRead, list[tuple[str, Case]]]:
    """Each read's cases in the order of reading, under codes numbered in that order."""
    shuffled = _shuffler([case for case in cohort.cases if case.included], plan.seed)
    digits = max(3, len(str(len(cases))))
    return {
        read: [
            (f"{read.label}-{n:0{digits}d}", case)
            for n, case in enumerate(shuffled(cases, f"order {read.label}", _case_id), start=1)
        ]
        for read in plan.reads
    }


def _copy_cases(
    coded: Sequence[tuple[str, Case]], folder: Path, progress: Progress | None, workers: int | None
) -> dict[str, SessionCase]:
    """Writes the cases' images under their codes; the session's cases by case id. Raises `InputError` with
    the faults of all, by case id.
    """
    (folder / IMAGES).mkdir(parents=True)
    try:
        copied = in_order(_copy_case, [(code, case, folder) for code, case in coded], workers, progress)
    except InputError as error:
        raise InputError(sorted(error.faults)) from error
    return {case.case_id: one for (_, case), one in zip(coded, copied)}


def _copy_case(job: tuple[str, Case, Path]) -> SessionCase:
    code, case, folder = job
    with faults_of(f"case {case.case_id}"):
        study = load_study(case.images, case.selection)
        if case.early_phase is not None and case.early_phase >= len(study.phases):
            raise InputError(
                f"early phase {case.early_phase}: the study has phases 0 to {len(study.phases) - 1}; correct"
                " the manifest"
            )
    starts, durations = (
        tuple(getattr(phase, name) for phase in study.phases) for name in ("start_s", "duration_s")
    )
    session_case = SessionCase(code, case.early_phase, starts, durations, study.contrast_start_s)
    for phase, path in zip(study.phases, session_case.images(folder)):
        write_volume(phase.volume, path)
    return session_case


def _set_times(folder: Path) -> None:
    """One time of change for all that a reader gets."""
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, (_EVERY_FILE_FROM, _EVERY_FILE_FROM))


# The coordinator's folder


def _write_coordinator(
    cohort: Cohort, plan: Plan, coded: Mapping[PlannedRead, Sequence[tuple[str, Case]]], folder: Path
) -> None:
    rows = [
        {"code": code, "case_id": case.case_id, "rater": read.label}
        for read in plan.reads
        for code, case in coded[read]
    ]
    about = {
        "format": _FORMAT,
        "version": VERSION,
        "reads": [{"read": read.label, "reader": read.reader, "number": read.number} for read in plan.reads],
        "cases": plan.cases,
        "washout_days": plan.washout_days,
        "seed": plan.seed,
        "inputs": [{"role": "manifest", "sha256": file_sha256(cohort.path)}],
        "versions": {"her2vit": __version__},
        "notice": RESEARCH_NOTICE,
    }
    folder.mkdir()
    write_atomically(folder / KEY_FILE, csv_bytes(("code", "case_id", "rater"), rows))
    write_atomically(folder / PLAN_FILE, json_bytes(about))


def planned_reads(folder: Path) -> list[PlannedRead]:
    """The reads of a plan that was written, in its order. Raises `InputError` when there is none in the
    folder, or it is damaged.
    """
    path = folder / COORDINATOR / PLAN_FILE
    if not path.exists():
        raise InputError(
            f"{folder}: is no session plan ({COORDINATOR}/{PLAN_FILE} is missing); give the folder that"
            " her2vit session wrote"
        )
    data = read_file(path, "the folder that her2vit session wrote")
    try:
        content = parse_json(data)
        if (content["format"], content["version"]) != (_FORMAT, VERSION):
            raise ValueError(content["version"])
        reads = [PlannedRead(one["read"], one["reader"], one["number"]) for one in content["reads"]]
        if not all(re.fullmatch(_READER, read.reader) and read.number in (1, 2) for read in reads):
            raise ValueError(content["reads"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: is not a plan of this version, or is damaged; put back a copy of it"
        ) from error
    return reads


def case_of_code(folder: Path) -> dict[str, str]:
    """The key of a plan that was written: each code's case id. Raises `InputError` when it is not there or is
    none.
    """
    path = folder / COORDINATOR / KEY_FILE
    table = read_table(path)
    if not {"code", "case_id"} <= set(table.columns):
        raise InputError(f"{path}: row 1: columns code and case_id are needed; put back a copy of it")
    return {row["code"]: row["case_id"] for row in table.rows}
