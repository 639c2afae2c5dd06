"""What a worker of a batch does: it reads cases one after the other; while the models have one, the next
one's files are read.

The models are loaded once a process. On the CPU a worker uses one thread and reads case by case, so that its
numbers depend neither on how many workers there are nor on who reads what; on a GPU several cases go through
a model together.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import SimpleITK as sitk
import torch

from HER2ViTLib import __version__
from HER2ViTLib.lesion.masks import Roi, read_roi
from HER2ViTLib.lesion.origin import is_grown
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.reading.folder import write_reading
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.reading.reading import Overrides, PreparedCase, Reading
from HER2ViTLib.study.study import Study
from HER2ViTTrainingLib.cohort.case_study import load_case_study
from HER2ViTTrainingLib.parallel.executors import keep_freed_memory

from .jobs import NO_FILES, Failure, Job, Settings, case_folder, room_to_write, write_failure

if TYPE_CHECKING:
    from HER2ViTLib.archive.folder import Lesion

GPU_BATCH = 16
_MODELS = threading.Lock()
"""Recording attention hooks into a model: one forward at a time, also where a Dask worker has several
threads.
"""


@dataclass(frozen=True)
class _Prepared:
    """A case ready for the models; with its study and outline only where pictures are drawn, with its lesion
    on the archive's images only where DICOM objects are made.
    """

    case: PreparedCase
    study: Study | None = None
    roi: np.ndarray | None = None
    lesion: Lesion | None = None


def read_jobs(settings: Settings, jobs: Sequence[Job]) -> None:
    """Reads cases, each into its folder; what fails is recorded there.

    Raises `InputError` for what concerns them all: the bundles, the device, no room to write.
    """
    with _MODELS:
        reader = _reader(settings)
    size = cases_per_forward(reader)
    with ThreadPoolExecutor(1) as loader:
        ahead = _ahead(loader, settings, reader, [job for job in jobs if job.record() is None], size)
        while batch := list(itertools.islice(ahead, size)):
            ready: list[tuple[Job, _Prepared]] = []
            for job, prepared in batch:
                if isinstance(prepared, Failure):
                    with room_to_write(job.folder.parent):
                        write_failure(job, prepared)
                else:
                    ready.append((job, prepared))
            readings = _readings(reader, [prepared.case for _, prepared in ready])
            for (job, prepared), reading in zip(ready, readings):
                _write(settings, job, prepared, reading)


def cases_per_forward(reader: Reader) -> int:
    """One on the CPU: it is no slower, and a case's numbers do not change with its company."""
    return 1 if reader.device.type == "cpu" else GPU_BATCH


@functools.lru_cache(maxsize=1)
def _reader(settings: Settings) -> Reader:
    if settings.her2vit != __version__:
        raise InputError(
            f"a worker has her2vit {__version__}, this is {settings.her2vit}; install the same version"
            " everywhere"
        )
    keep_freed_memory()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    bundles = [load_bundle(folder) for folder in settings.bundles]
    for folder, bundle, expected in zip(settings.bundles, bundles, settings.bundle_sha256):
        if bundle.sha256 != expected:
            raise InputError(
                f"{folder}: is another bundle here than where the batch was started, or was changed since;"
                " run again"
            )
    return Reader(bundles, settings.device, settings.attention, settings.slice_count)


def _ahead(
    loader: ThreadPoolExecutor, settings: Settings, reader: Reader, jobs: Sequence[Job], size: int
) -> Iterator[tuple[Job, _Prepared | Failure]]:
    """The jobs with their prepared cases, the loader always one forward ahead."""
    waiting: deque[tuple[Job, Future]] = deque()
    for job in jobs:
        waiting.append((job, loader.submit(_prepare, settings, reader, job)))
        if len(waiting) > size:
            first, prepared = waiting.popleft()
            yield first, prepared.result()
    for job, prepared in waiting:
        yield job, prepared.result()


def _prepare(settings: Settings, reader: Reader, job: Job) -> _Prepared | Failure:
    stage = "image"
    try:
        study = load_case_study(job)
        stage = "outline"
        roi = read_roi(job.roi, study.geometry, job.segment, study.frame_of_reference)
        stage = "reading"
        case = reader.prepare(study, roi, Overrides(job.early_phase), case_id=job.case_id)
        stage = "dicom"
        lesion = _lesion(job, study, roi, case) if job.dicom_folder is not None else None
    except Exception as error:  # noqa: BLE001  a case's door: whatever is wrong with it, the others go on
        return Failure(stage, _reason(error, settings))
    if not settings.figures:
        return _Prepared(case, lesion=lesion)
    return _Prepared(case, study, roi.mask, lesion)


def _lesion(job: Job, study: Study, roi: Roi, case: PreparedCase) -> Lesion:
    """The outlined lesion as DICOM objects refer to it."""
    from HER2ViTLib.archive.folder import lesion_of  # highdicom, which only this needs

    grown = is_grown(job.roi, job.segment)
    return lesion_of(study, case.early_phase.index, roi.mask, grown=grown, laterality=job.laterality)


def _reason(error: Exception, settings: Settings) -> str:
    """One line; files by their names in the manifest."""
    text = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    return " ".join(text.replace(f"{settings.root}{os.sep}", "").split())


def _readings(reader: Reader, cases: Sequence[PreparedCase]) -> list[Reading | Exception]:
    """The readings; where cases fail together each is read alone, so that only the faulty ones fail."""
    if not cases:
        return []
    try:
        with _MODELS:
            return list(reader.read_prepared(cases))
    except Exception as error:  # noqa: BLE001  as above: no finite score, no GPU memory
        if len(cases) == 1:
            return [error]
        alone = (_readings(reader, [case]) for case in cases)
        return list(itertools.chain.from_iterable(alone))


def _write(settings: Settings, job: Job, prepared: _Prepared, reading: Reading | Exception) -> None:
    """Puts the reading's folder in place; that of a failure where the case could not be read."""
    with room_to_write(job.folder.parent):
        if isinstance(reading, Exception):
            write_failure(job, Failure("reading", _reason(reading, settings)))
            return
        try:
            dicom = _dicom_files(prepared, reading)
        except InputError as error:
            write_failure(job, Failure("dicom", _reason(error, settings)))
            return
        with case_folder(job, dicom=dicom) as folder:
            write_reading(reading, prepared.study, prepared.roi, folder, figures=settings.figures)


def _dicom_files(prepared: _Prepared, reading: Reading) -> Mapping[str, bytes]:
    if prepared.lesion is None:
        return NO_FILES
    from HER2ViTLib.archive.folder import dicom_files

    return dicom_files(reading, prepared.lesion)
