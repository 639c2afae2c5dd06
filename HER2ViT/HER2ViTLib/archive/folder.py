"""A reading's DICOM folder: all of its objects, or none."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from HER2ViTLib.dicom.headers import BROKEN, reason_of
from HER2ViTLib.files.output import write_results
from HER2ViTLib.her2 import TASKS
from HER2ViTLib.imaging.volume import Volume
from HER2ViTLib.messages import InputError
from HER2ViTLib.reading.reading import Reading
from HER2ViTLib.study.study import Study

from .objects import Tracking, encoded, quiet, uid_of
from .saliency import saliency_object
from .segmentation import outline_object
from .source import Source, read_source
from .structured_report import report_object

DICOM_FILES = ("seg.dcm", "sr.dcm", *(f"saliency_{task.key}.dcm" for task in TASKS.values()))

_OFF_GRID = 0.1
"""How far, in voxels, an outline's voxel may lie from the source's: headers round places to few decimals."""


@dataclass(frozen=True)
class Lesion:
    """An outlined lesion on images that the archive knows: `mask`, boolean (K, J, I) on the slices of
    `source`; `grown` from a seed point, or painted.
    """

    source: Source
    mask: np.ndarray
    grown: bool = False


def lesion_of(
    study: Study, early_phase: int, roi: np.ndarray, *, grown: bool = False, laterality: str = ""
) -> Lesion:
    """The outlined lesion of a study of DICOM images; `roi` is the outline on the study's geometry, whatever
    axis it is cut across.

    `early_phase` is the index of the phase that is read, `laterality` as in `read_source`. Raises
    `InputError` as `read_source`, and for an outline that does not lie on the phase's slices.
    """
    source = read_source(study.phases[early_phase].stored, laterality)
    return Lesion(source, _on_source(Volume(roi, study.geometry), source), grown)


def write_dicom(reading: Reading, lesion: Lesion, folder: str | os.PathLike) -> list[str]:
    """Writes a reading as DICOM objects into a folder of its own and returns the names of the files; those of
    a former reading go.

    All objects are made before one is written. Raises `InputError` for a folder that holds anything else, and
    as `dicom_files`.
    """
    return write_results(folder, DICOM_FILES, dicom_files(reading, lesion))


def dicom_files(reading: Reading, lesion: Lesion) -> dict[str, bytes]:
    """The objects of a reading as the content of files, by their names (of `DICOM_FILES`). Raises
    `InputError` where the source's header keeps an object from being made.
    """
    with quiet():
        try:
            return {name: encoded(made) for name, made in _objects(reading, lesion).items()}
        except BROKEN as error:
            raise InputError(
                f"{lesion.source.frames[0].path}: its header cannot be carried over into DICOM results"
                f" ({reason_of(error)}); mend the header, or leave out --dicom-out"
            ) from error


def _objects(reading: Reading, lesion: Lesion) -> dict[str, Dataset]:
    source = lesion.source
    voxels = hashlib.sha256(np.packbits(lesion.mask).tobytes()).hexdigest()
    tracking = Tracking(reading.case_id, uid_of("lesion", source.frames[0].study, voxels))
    outline = outline_object(source, lesion.mask, lesion.grown, tracking)
    volume_mm3 = float(lesion.mask.sum() * source.geometry.voxel_mm3)
    objects = {
        "seg.dcm": outline,
        "sr.dcm": report_object(source, reading, outline, volume_mm3, tracking),
    }
    for task in TASKS.values():
        if task.key in reading.tasks:
            objects[f"saliency_{task.key}.dcm"] = saliency_object(source, task, reading.tasks[task.key])
    return objects


def _on_source(outline: Volume, source: Source) -> np.ndarray:
    """The outline (K, J, I) on the source's slices, voxel by voxel, whichever way the axes of its own array
    run.

    Raises `InputError` where its voxels are not the source's: nothing is resampled.
    """
    geometry = source.geometry
    places = geometry.to_index(outline.geometry.to_lps(np.argwhere(outline.array)[:, ::-1]))
    voxels = np.rint(places).astype(int)
    are_inside = ((voxels >= 0) & (voxels < geometry.shape[::-1])).all()
    if not are_inside or np.abs(places - voxels).max() > _OFF_GRID:
        difference = outline.geometry.differences_text(geometry)
        raise InputError(
            f"the outline does not lie on the slices of the DICOM images ({difference}); outline it on the"
            " images themselves, or leave out --dicom-out"
        )
    mask = np.zeros(geometry.shape, bool)
    mask[tuple(voxels[:, ::-1].T)] = True
    return mask
