"""The plan of a repeatability study: who outlines which case when; drawn from a manifest, written as folders,
read back for the coordinator.
"""

from __future__ import annotations

import functools
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
from HER2ViTLib.files.inputs import parse_json, read_file
from HER2ViTLib.files.output import TEMPORARY_PREFIX, csv_bytes, json_bytes, write_atomically
from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError, faults_of
from HER2ViTLib.session.files import IMAGES, MAX_WASHOUT_DAYS, SESSION_FILE, VERSION, Read, SessionCase
from HER2ViTTrainingLib.cohort.case_study import load_case_study
from HER2ViTTrainingLib.cohort.manifest import Case, Cohort, read_manifest
from HER2ViTTrainingLib.parallel.processes import in_order
from HER2ViTTrainingLib.parallel.progress import Progress
from HER2ViTTrainingLib.tables.grouping import grouped
from HER2ViTTrainingLib.tables.table import read_table

COORDINATOR = "coordinator"
KEY_FILE = "key.csv"
PLAN_FILE = "plan.json"
_FORMAT = "her2vit-session-plan"
_READER = r"[A-Za-z]([A-Za-z0-9_-]{0,18}[A-Za-z_-])?"
_TIME_OF_CHANGE = 946684800
"""2000-01-01 UTC, of every file that a reader gets: the true times would tell the order of the cases."""


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
        """The first reader's two reads, then the other readers' one each."""
        first, *others = self.readers
        numbered = [(first, 1), (first, 2), *((reader, 1) for reader in others)]
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
    draw = _draw(manifest, plan)
    working = out.with_name(f"{TEMPORARY_PREFIX}{out.name}")
    shutil.rmtree(working, ignore_errors=True)
    try:
        working.mkdir(parents=True)
        _write_reads(draw, working, progress, workers)
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
    patients = shuffled(list(by_patient), "draw", str)[: plan.cases]
    return [shuffled(by_patient[patient], "case", _case_id)[0] for patient in patients]


def _case_id(case: Case) -> str:
    return case.case_id


def _shuffler(
    included: Sequence[Case], seed: int
) -> Callable[[Sequence[Any], str, Callable[[Any], str]], list[Any]]:
    """A function that orders items at random, the same on every machine and with any order of rows.

    Seeded by all case ids as well: whoever guesses the seed and knows a patient's id cannot tell the
    patient's place from that.
    """
    known = [str(seed), *sorted(case.case_id for case in included)]
    secret = hashlib.sha256("\0".join(known).encode()).hexdigest()

    def shuffled(items: Sequence[Any], purpose: str, name: Callable[[Any], str]) -> list[Any]:
        def place(item: Any) -> bytes:
            return hashlib.sha256(f"{secret}\0{purpose}\0{name(item)}".encode()).digest()

        return sorted(items, key=place)

    return shuffled


@dataclass(frozen=True)
class _CodedCase:
    """A drawn case, and the code that stands for it in one read."""

    code: str
    case: Case


@dataclass(frozen=True)
class _Draw:
    """What was drawn from a manifest: for each read of the plan its cases in the order of reading."""

    manifest_sha256: str
    plan: Plan
    cases: Mapping[PlannedRead, tuple[_CodedCase, ...]]


def _draw(manifest: str | os.PathLike, plan: Plan) -> _Draw:
    """Codes are numbered in the order of reading."""
    cohort = read_manifest(manifest)
    manifest_sha256 = cohort.sha256
    cases = draw_cases(cohort, plan)
    shuffled = _shuffler([case for case in cohort.cases if case.included], plan.seed)
    digits = max(3, len(str(len(cases))))
    coded = {}
    for read in plan.reads:
        in_order_of_reading = shuffled(cases, f"order {read.label}", _case_id)
        coded[read] = tuple(
            _CodedCase(f"{read.label}-{n:0{digits}d}", case)
            for n, case in enumerate(in_order_of_reading, start=1)
        )
    return _Draw(manifest_sha256, plan, coded)


# Writing


def _write_reads(draw: _Draw, folder: Path, progress: Progress | None, workers: int | None) -> None:
    """Writes all that the plan's folder holds. Images are read once, for the first read, and copied to the
    others.
    """
    first, *others = draw.plan.reads
    source = folder / first.folder
    copied = _copy_cases(draw.cases[first], source, progress, workers)
    for read in draw.plan.reads:
        target = folder / read.folder
        (target / IMAGES).mkdir(parents=True, exist_ok=True)
        sessions = []
        # In the order of the codes: what a file system remembers of the order then tells no more than they
        # do.
        for coded in draw.cases[read]:
            original = copied[coded.case.case_id]
            session_case = replace(original, code=coded.code)
            if read in others:
                for image, copy in zip(original.images(source), session_case.images(target)):
                    shutil.copyfile(image, copy)
            sessions.append(session_case)
        content = Read(read.label, read.reader, read.number, draw.plan.washout_days, tuple(sessions))
        write_atomically(target / SESSION_FILE, json_bytes(content.to_json()))
    _write_coordinator(draw, folder / COORDINATOR)


def _copy_cases(
    cases: Sequence[_CodedCase], folder: Path, progress: Progress | None, workers: int | None
) -> dict[str, SessionCase]:
    """Writes the cases' images under their codes; the session's cases by case id. Raises `InputError` with
    the faults of all, by case id.
    """
    (folder / IMAGES).mkdir(parents=True)
    try:
        copied = in_order(functools.partial(_copy_case, folder=folder), cases, workers, progress)
    except InputError as error:
        raise InputError(sorted(error.faults)) from error
    return {coded.case.case_id: session_case for coded, session_case in zip(cases, copied)}


def _copy_case(coded: _CodedCase, folder: Path) -> SessionCase:
    case = coded.case
    with faults_of(f"case {case.case_id}"):
        study = load_case_study(case)
        if case.early_phase is not None and case.early_phase >= len(study.phases):
            raise InputError(
                f"early phase {case.early_phase}: the study has phases 0 to {len(study.phases) - 1}; correct"
                " the manifest"
            )
    session_case = SessionCase(
        coded.code,
        case.early_phase,
        tuple(phase.start_s for phase in study.phases),
        tuple(phase.duration_s for phase in study.phases),
        study.contrast_start_s,
    )
    for phase, path in zip(study.phases, session_case.images(folder)):
        write_volume(phase.volume, path)
    return session_case


def _set_times(folder: Path) -> None:
    """Gives all that a reader gets one time of change."""
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, (_TIME_OF_CHANGE, _TIME_OF_CHANGE))


# The coordinator's folder


def _write_coordinator(draw: _Draw, folder: Path) -> None:
    plan = draw.plan
    rows = []
    for read, cases in draw.cases.items():
        for coded in cases:
            rows.append({"code": coded.code, "case_id": coded.case.case_id, "rater": read.label})
    about = {
        "format": _FORMAT,
        "version": VERSION,
        "reads": [{"read": read.label, "reader": read.reader, "number": read.number} for read in plan.reads],
        "cases": plan.cases,
        "washout_days": plan.washout_days,
        "seed": plan.seed,
        "inputs": [{"role": "manifest", "sha256": draw.manifest_sha256}],
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
