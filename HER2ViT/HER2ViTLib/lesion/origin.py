"""How an outline came about, where its file says so: grown from a seed point, or not known."""

from __future__ import annotations

import os

from HER2ViTLib.files.inputs import is_dicom
from HER2ViTLib.imaging.image_files import nrrd_header

from .segments import Segment, choose_segment, header_segments

GROWN = "HER2ViT.Outline:grown"
"""The tag of a segment that `her2vit segment` grew. 3D Slicer keeps tags of segments, also of one that was
corrected by hand since: it is semi-automatic then, too.
"""


def is_grown(path: str | os.PathLike, segment: str | None = None) -> bool:
    """Whether the file's segment says that it was grown from a seed point; False where a file says nothing,
    as most do. `segment` as in `read_roi`.
    """
    if is_dicom(path, "the outline's file"):
        return False
    header = nrrd_header(path)
    named = header_segments(header, str(path))
    return bool(named) and GROWN in _tags(header, choose_segment(named, segment, str(path)))


def _tags(header: dict[str, str], segment: Segment) -> list[str]:
    """A segment's tags, as Slicer's vtkMRMLSegmentationStorageNode writes them: joined by `|`."""
    key = next(key for key, value in header.items() if key.endswith("_ID") and value == segment.id)
    return header.get(key.removesuffix("_ID") + "_Tags", "").split("|")
