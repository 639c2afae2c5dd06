"""A reading's DICOM folder: all of its objects, or none."""

from __future__ import annotations

import hashlib
import os

import numpy as np
from pydicom.dataset import Dataset

from HER2ViTLib.dicom.headers import BROKEN, reason_of
from HER2ViTLib.files.output import write_results
from HER2ViTLib.her2 import TASKS
from HER2ViTLib.imaging.volume import Volume, resample_mask
from HER2ViTLib.messages import InputError
from HER2ViTLib.reading.reading import Reading
from HER2ViTLib.study.study import Study

from .objects import Tracking, encoded, quiet, uid_of
from .saliency import saliency_object
from .segmentation import outline_object
from .source import Source
from .structured_report import report_object

DICOM_FILES = ("seg.dcm", "sr.dcm", *(f"saliency_{task.key}.dcm" for task in TASKS.values()))


def write_dicom(
    reading: Reading,
    study: Study,
    roi: np.ndarray,
    source: Source,
    folder: str | os.PathLike,
    *,
    grown: bool = False,
) -> list[str]:
    """Writes a reading as DICOM objects into a folder of its own and returns the names of the files.

    `roi`: the outline (K, J, I) on the study's geometry, `grown` or painted. `source`: the images of the
    early phase. All objects are made before one is written. Raises `InputError` for a folder that holds
    anything else, and where the source's header keeps an object from being made.
    """
    return write_results(folder, DICOM_FILES, dicom_files(reading, study, roi, source, grown=grown))


def dicom_files(
    reading: Reading, study: Study, roi: np.ndarray, source: Source, *, grown: bool = False
) -> dict[str, bytes]:
    """The objects of a reading as the content of files, by their names; see `write_dicom`."""
    mask = _on_source(Volume(roi, study.geometry), source)
    with quiet():
        try:
            return {name: encoded(made) for name, made in _objects(reading, mask, source, grown).items()}
        except BROKEN as error:
            raise InputError(
                f"{source.frames[0].path}: its header cannot be carried over into DICOM results"
                f" ({reason_of(error)}); mend the header, or leave out --dicom-out"
            ) from error


def _objects(reading: Reading, mask: np.ndarray, source: Source, grown: bool) -> dict[str, Dataset]:
    voxels = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
    tracking = Tracking(reading.case_id, uid_of("lesion", source.frames[0].study, voxels))
    outline = outline_object(source, mask, grown, tracking)
    volume_mm3 = float(mask.sum() * source.geometry.voxel_mm3)
    objects = {
        "seg.dcm": outline,
        "sr.dcm": report_object(source, reading, outline, volume_mm3, tracking),
    }
    for task in TASKS.values():
        if task.key in reading.tasks:
            objects[f"saliency_{task.key}.dcm"] = saliency_object(source, task, reading.tasks[task.key])
    return objects


def _on_source(outline: Volume, source: Source) -> np.ndarray:
    """The outline (K, J, I) on the source's slices, whichever way the axes of its own array run.

    Raises `InputError` where that would change it: nothing is resampled.
    """
    mask = resample_mask(outline, source.geometry)
    if mask.sum() != outline.array.sum():
        difference = outline.geometry.differences_text(source.geometry)
        raise InputError(
            f"the outline does not lie on the slices of the DICOM images ({difference}); outline it on the"
            " images themselves, or leave out --dicom-out"
        )
    return mask
