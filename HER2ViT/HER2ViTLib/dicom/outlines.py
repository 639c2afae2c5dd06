"""The door to outlines in DICOM: which object a file or folder holds, and its segments by number."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pydicom

from HER2ViTLib.files.inputs import read_file
from HER2ViTLib.messages import InputError

from .contours import StructureSet
from .files import dataset_of, dicom_files, sound_header
from .segmentation import Segmentation

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
SURFACES = "1.2.840.10008.5.1.4.1.1.66.5"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
_CURE = "export the outline again, as a segmentation (SEG), contours (RTSTRUCT) or .seg.nrrd"


def read_outlines(path: Path) -> tuple[Segmentation | StructureSet, str]:
    """The segmentation (SEG) or structure set (RTSTRUCT) in a DICOM file, or the only one in a folder and its
    subfolders; and the SHA-256 of its file.

    Raises `InputError` for another DICOM object, for a folder with none or several, and for a broken header.
    """
    file = _only_outline(path) if path.is_dir() else path
    content = read_file(file, "the outline's file")
    with sound_header(file, _CURE):
        dataset = dataset_of(content)
        kind = str(dataset.get("SOPClassUID", ""))
    sha256 = hashlib.sha256(content).hexdigest()
    if kind in (SEGMENTATION, LABEL_MAP):
        return Segmentation(dataset, content, str(file)), sha256
    if kind == STRUCTURE_SET:
        return StructureSet(dataset, str(file)), sha256
    if kind == SURFACES:
        what = "is a DICOM surface segmentation, which is not read"
    else:
        what = "is a DICOM object that holds no outline, an image perhaps"
    raise InputError(f"{file}: {what}; {_CURE}")


def _only_outline(folder: Path) -> Path:
    """The one DICOM file in a folder that holds outlines."""
    found = []
    for file in dicom_files(folder):
        with sound_header(file, "take it out of the folder, or give the outline's file itself"):
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SOPClassUID"], force=True)
            if str(header.get("SOPClassUID", "")) in (SEGMENTATION, LABEL_MAP, STRUCTURE_SET):
                found.append(file)
    if len(found) != 1:
        names = f" ({', '.join(file.name for file in found[:5])})" if found else ""
        raise InputError(
            f"{folder}: of its DICOM files {len(found)} hold outlines (SEG, RTSTRUCT){names}, not one; give "
            "the outline's file itself"
        )
    return found[0]
