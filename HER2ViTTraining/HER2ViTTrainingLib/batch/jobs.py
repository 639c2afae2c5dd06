"""A batch's cases as jobs, and their results on disk: a folder per case that is there whole or not at all,
with a record of its making.

Known to both sides: to the process that hands the jobs out (it needs no torch) and to the workers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast

from HER2ViTLib import __version__
from HER2ViTLib.dicom.selection import Selection
from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.inputs import parse_json
from HER2ViTLib.files.output import TEMPORARY_PREFIX, json_bytes
from HER2ViTLib.imaging.image_files import companion_files
from HER2ViTLib.messages import InputError
from HER2ViTLib.study.given_times import GivenTimes
from HER2ViTTrainingLib.cohort.manifest import Case

FORMAT = 2
"""Part of every key: raised when a case's folder is written in another way, so that older ones are written
again.
"""
RECORD_FILE = "record.json"
NO_FILES: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True)
class Settings:
    """How all cases of a batch are read. `root` is the manifest's folder, which no result names;
    `slice_count` as in `Reader`; `dicom_out`: where the readings are written as DICOM objects, too.
    """

    root: Path
    bundles: tuple[Path, ...]
    bundle_sha256: tuple[str, ...]
    device: str
    attention: str
    figures: bool
    slice_count: int | None = None
    dicom_out: Path | None = None
    her2vit: str = __version__


@dataclass(frozen=True)
class Failure:
    """Why a case could not be read. `stage`: image, outline, reading, dicom, or worker (the process that read
    it ended).
    """

    stage: str
    reason: str


@dataclass(frozen=True)
class Record:
    """What is known of a case that was done: the key it was done for, and its failure if it could not be
    read.
    """

    key: str
    failure: Failure | None


@dataclass(frozen=True)
class Job:
    """One case to read into `folder`, and into `dicom_folder` where that is wanted. `key` names all that the
    results depend on: another key, other results.
    """

    case_id: str
    images: tuple[Path, ...]
    roi: Path
    segment: str | None
    early_phase: int | None
    selection: Selection
    times: GivenTimes | None
    laterality: str
    folder: Path
    dicom_folder: Path | None
    key: str

    def record(self) -> Record | None:
        """The record in the case's folder; None where there is none, it is of other inputs or settings, or
        the DICOM objects made with it are not in their place.
        """
        try:
            content = parse_json((self.folder / RECORD_FILE).read_bytes())
            record = Record(content["key"], Failure(**content["failure"]) if content["failure"] else None)
            are_in_place = self.dicom_folder is None or all(
                file_sha256(self.dicom_folder / name) == sha256 for name, sha256 in content["dicom"].items()
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        return record if record.key == self.key and are_in_place else None


def job_of(case: Case, settings: Settings, folder: Path) -> Job:
    """The job of a manifest's case. Its folder is named by the case id: `cohort` accepts only those that are
    valid names on every file system.

    A file counts as changed when its name, size or time of change is another; of a DICOM folder every file
    counts.
    """
    roi = cast(Path, case.roi)  # `read_cases` refuses a case without an outline
    made_from = [
        [
            FORMAT,
            settings.her2vit,
            settings.bundle_sha256,
            settings.attention,
            settings.figures,
            settings.slice_count,
        ],
        [
            case.case_id,
            case.segment,
            case.early_phase,
            astuple(case.selection),
            case.times and astuple(case.times),
            case.row["image"],
            case.row["roi"],
        ],
        [_signature(path) for path in (*case.images, roi)],
    ]
    laterality = case.row["laterality"]
    if settings.dicom_out is not None:
        made_from.append(["dicom", laterality])
    key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
    return Job(
        case_id=case.case_id,
        images=case.images,
        roi=roi,
        segment=case.segment or None,
        early_phase=case.early_phase,
        selection=case.selection,
        times=case.times,
        laterality=laterality,
        folder=folder,
        dicom_folder=settings.dicom_out and settings.dicom_out / case.case_id,
        key=key,
    )


def _signature(path: Path) -> list:
    try:
        files = (
            sorted(entry for entry in path.rglob("*") if entry.is_file())
            if path.is_dir()
            else [path, *companion_files(path)]
        )
        states = [(os.path.relpath(file, path), file.stat()) for file in files]
    except (OSError, InputError):
        return []  # what is missing or cannot be looked at shows when the case is read
    return [[name, state.st_size, state.st_mtime_ns] for name, state in states]


@contextlib.contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write into; afterwards it takes the place of the old one. Left with an error, the old
    one stays.
    """
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    made = parent / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
    old = parent / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
    made.mkdir()
    try:
        yield made
        with contextlib.suppress(FileNotFoundError):
            folder.rename(old)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def case_folder(
    job: Job, failure: Failure | None = None, dicom: Mapping[str, bytes] = NO_FILES
) -> Iterator[Path]:
    """A new folder to write the case's results into; afterwards it gets its record and takes the place of the
    case's old one.

    `dicom`: the case's DICOM objects by the names of their files. They are in their place before the record
    is, so that a record always stands for both. Left with an error, the old folder stays.
    """
    with _whole_folder(job.folder) as made:
        yield made
        if job.dicom_folder is not None:
            _put_in_place(job.dicom_folder, dicom)
        record = {
            "key": job.key,
            "failure": failure and {"stage": failure.stage, "reason": failure.reason},
            "dicom": {name: hashlib.sha256(content).hexdigest() for name, content in dicom.items()},
        }
        (made / RECORD_FILE).write_bytes(json_bytes(record))


def _put_in_place(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes the folder anew; without files there is none."""
    if not files:
        shutil.rmtree(folder, ignore_errors=True)
        return
    with _whole_folder(folder) as made:
        for name, content in files.items():
            (made / name).write_bytes(content)


def write_failure(job: Job, failure: Failure) -> None:
    """Replaces the case's folder by one that holds nothing but the record of its failure."""
    with case_folder(job, failure):
        pass


@contextlib.contextmanager
def room_to_write(folder: Path) -> Iterator[None]:
    """Turns the faults of writing into one line: a full disk, no permission. They are no case's failure, but
    end the run.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"{folder}: no room or no permission to write ({reason}); mend that and run again: what is done"
            " stays"
        ) from error


def sweep(folder: Path | None) -> None:
    """Removes what killed runs left half-written among the cases' folders in `folder`, where there is one."""
    for entry in os.scandir(folder) if folder is not None and folder.is_dir() else ():
        if entry.name.startswith(TEMPORARY_PREFIX):
            shutil.rmtree(entry.path, ignore_errors=True)
