"""The images that were read, as the archive knows them: what results refer to, and whose they are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from HER2ViTLib.dicom.contents import read_frames
from HER2ViTLib.dicom.frames import Frame
from HER2ViTLib.dicom.headers import (
    BROKEN,
    Header,
    day_of,
    functional_groups_of,
    number_of,
    reason_of,
    time_of_day_of,
)
from HER2ViTLib.dicom.stacks import geometries_of
from HER2ViTLib.files.inputs import is_dicom
from HER2ViTLib.imaging.series import StoredSlice
from HER2ViTLib.imaging.volume import Geometry
from HER2ViTLib.messages import InputError

from . import codes

NO_MOMENT = ("19000101", "000000")
"""Date and time of an object whose source has none: DICOM demands both."""
_DATES = ("SeriesDate", "AcquisitionDate", "StudyDate", "ContentDate")


@dataclass(frozen=True)
class Source:
    """The images of the early phase. `frames` are its slices in the order of the volume's (rising along the
    normal), all of one series; `header` is that of the first one's file, without private elements and pixels.

    `laterality`: "L" or "R", "" where it is not known. `thickness_mm`: of a slice, which may be another than
    the distance between slices; 0 where it is not known.
    """

    header: Dataset
    frames: tuple[Frame, ...]
    laterality: str
    thickness_mm: float

    @cached_property
    def geometry(self) -> Geometry:
        """Where the slices lie, as the headers have it."""
        return geometries_of([self.frames], "the source images")[0]

    @property
    def is_enhanced(self) -> bool:
        """Whether the slices are frames of an enhanced file."""
        return "PerFrameFunctionalGroupsSequence" in self.header

    @property
    def moment(self) -> tuple[str, str]:
        """Date and time of the source's series (YYYYMMDD, HHMMSS), else of its acquisition, study or content,
        else `NO_MOMENT`.

        Our objects bear it too: the same images give the same objects, whenever they are read.
        """
        for name in _DATES:
            date = str(self.header.get(name) or "")
            if day_of(date, Dataset()) is not None and len(date) == 8:
                time = str(self.header.get(name.replace("Date", "Time")) or "")
                return date, time if time_of_day_of(time) is not None else NO_MOMENT[1]
        return NO_MOMENT


def require_dicom(images: Sequence[Path]) -> None:
    """Raises `InputError` for images that are no DICOM: no archive knows them, nothing can refer to them."""
    for path in images:
        if not is_dicom(path, "a DICOM folder or file"):
            raise InputError(
                f"{path}: is no DICOM, which --dicom-out needs, since its objects refer to the images in the"
                " archive; give the DICOM files, or leave out --dicom-out"
            )


def read_source(slices: Sequence[StoredSlice], laterality: str = "") -> Source:
    """The source whose slices are stored there. `laterality` ("left" or "right", "" = not known) counts
    before what the headers say.

    Raises `InputError` for a broken header, and where no object could refer to the images: UIDs that are
    missing or given twice, slices of several series.
    """
    name = str(slices[0].path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        found = read_frames(sorted({one.path for one in slices}))
        by_place = {(frame.path, frame.number): frame for frame in found}
        frames = tuple(by_place[one.path, one.number] for one in slices)
        try:
            header = pydicom.dcmread(slices[0].path, stop_before_pixels=True, force=True)
            header.remove_private_tags()
            header.decode()
            side = laterality[:1].upper() or _laterality(header, slices[0].number)
            thickness = _thickness_mm(header, slices[0].number)
        except BROKEN as error:
            raise InputError(
                f"{name}: its DICOM header is broken ({reason_of(error)}); export it again"
            ) from error
    _require_references(frames, name)
    return Source(header, frames, side if side in codes.SIDES else "", thickness or 0.0)


def _group(header: Dataset, number: int, name: str) -> Header:
    """A functional group of an enhanced file; of a classic one the header itself."""
    if "PerFrameFunctionalGroupsSequence" not in header:
        return header
    return functional_groups_of(header, number)(name)


def _laterality(header: Dataset, number: int) -> str:
    """The letter of the side that the header tells (DICOM PS3.3 C.7.3.1, C.7.6.1, C.7.6.16.2.8)."""
    anatomy = _group(header, number, "FrameAnatomySequence")
    told = (anatomy.get("FrameLaterality"), header.get("ImageLaterality"), header.get("Laterality"))
    return next((str(letter).upper() for letter in told if letter), "")


def _thickness_mm(header: Dataset, number: int) -> float | None:
    return number_of(_group(header, number, "PixelMeasuresSequence").get("SliceThickness"))


def _require_references(frames: Sequence[Frame], name: str) -> None:
    """Raises `InputError` for slices that cannot be referred to."""
    wanted = {
        "StudyInstanceUID": [frame.study for frame in frames],
        "SeriesInstanceUID": [frame.series for frame in frames],
        "FrameOfReferenceUID": [frame.frame_of_reference for frame in frames],
        "SOPClassUID": [frame.sop_class for frame in frames],
        "SOPInstanceUID": [frame.instance for frame in frames],
    }
    cure = "export the images again from the archive, or leave out --dicom-out"
    for tag, values in wanted.items():
        if not all(values):
            raise InputError(f"{name}: has no {tag}, which results in DICOM refer to; {cure}")
        if tag != "SOPInstanceUID" and len(set(values)) > 1:
            found = f"{len(set(values))} values of {tag}"
            raise InputError(f"{name}: the early phase has {found}, and results in DICOM are of one; {cure}")
    if len({(frame.instance, frame.number) for frame in frames}) < len(frames):
        raise InputError(
            f"{name}: several slices have one SOPInstanceUID, so none can be referred to; {cure}"
        )
