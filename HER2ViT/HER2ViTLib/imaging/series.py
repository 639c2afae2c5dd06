"""The phases in one image file: 3D, 4D, or Slicer's sequences and multi-volumes, with their times where the
header has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from HER2ViTLib.messages import InputError, ReadingWarning

from .image_files import image_sha256, nrrd_header, nrrd_list_axis, read_sitk
from .times import plausible_times, times_in_seconds
from .volume import Volume, geometry_of, require_finite, volume_of

_NIFTI_UNITS_S = {8: 1.0, 16: 1e-3, 24: 1e-6}
"""NIFTI_UNITS_SEC, MSEC, USEC."""
_NARROW = 32
"""Pixels across below which a slice may be an axis of time or of slices taken for columns or rows; whole
images have far more.
"""


@dataclass(frozen=True)
class StoredSlice:
    """Where a slice of a DICOM image is stored: its file, and its number among the file's frames, from 0."""

    path: Path
    number: int


@dataclass(frozen=True)
class Series:
    """Phases read together, in time order. Times in seconds on one clock (time of day where DICOM has it);
    None = unknown. `stored`: the slices of each phase's volume, in its order; empty where it is no DICOM.
    """

    volumes: Sequence[Volume]
    starts_s: Sequence[float | None]
    durations_s: Sequence[float | None]
    contrast_start_s: float | None
    sha256: str
    warnings: tuple[ReadingWarning, ...] = ()
    notes: tuple[str, ...] = ()
    """What was done without being doubtful: which other series of the folder were not used, and why."""
    stored: Sequence[tuple[StoredSlice, ...]] = ()
    frame_of_reference: str = ""
    """UID of the DICOM frame of reference, to compare with that of an outline; no result holds it."""


def read_image_file(path: Path) -> Series:
    """The phases in one image file of three or four dimensions.

    Raises `InputError` for what is not an image, colour, 2D, complex numbers, NaN.
    """
    image = read_sitk(path)
    header = nrrd_header(path)
    volumes = _phase_volumes(image, header, str(path))
    unknown = [None] * len(volumes)
    starts: Sequence[float | None] = (
        _nrrd_times(header, len(volumes)) or _nifti_times(image, len(volumes)) or unknown
    )
    return Series(volumes, starts, unknown, None, image_sha256(path))


def require_one_phase(phases: int, name: object) -> None:
    """Raises `InputError` for one of several images that holds more than a phase."""
    if phases > 1:
        raise InputError(f"{name}: holds {phases} phases; give it alone, or one file per phase")


def _phase_volumes(image: sitk.Image, header: dict[str, str], name: str) -> list[Volume]:
    """The phases of a SimpleITK image: 3D; 4D; or 3D with the phases as components, as Slicer stores
    sequences and multi-volumes.

    SimpleITK makes one vector image of colour and of phases; the NRRD `header` says which it is.
    """
    components = image.GetNumberOfComponentsPerPixel()
    dimension = image.GetDimension()
    if dimension == 3 and components > 1 and nrrd_list_axis(header) is not None:
        array = np.moveaxis(sitk.GetArrayViewFromImage(image), -1, 0).copy()
    elif dimension == 4 and components == 1:
        _require_order_of_axes(image.GetSize(), name)
        array = sitk.GetArrayFromImage(image)
    else:
        return [volume_of(image, name)]
    if not np.isrealobj(array):
        raise InputError(f"{name}: holds complex numbers; give magnitude volumes")
    require_finite(array, name)
    geometry = geometry_of(image, name)
    return [Volume(phase, geometry) for phase in array]


def _require_order_of_axes(size: Sequence[int], name: str) -> None:
    """Raises `InputError` for a 4D image of volumes that no scanner makes: its axes are not columns, rows,
    slices, phases.

    Nothing in a file says which axis is time. Slices a few pixels wide, and many more phases than pixels
    across, tell that it is not the last.
    """
    columns, rows, _slices, phases = size
    narrow, wide = sorted((columns, rows))
    if phases >= 2 * narrow or (narrow < _NARROW and wide >= 4 * narrow):
        axes = " x ".join(map(str, size))
        raise InputError(
            f"{name}: its axes are {axes}, {phases} phases of {columns} x {rows} "
            "pixels; save it as columns, rows, slices, phases"
        )


def _nifti_times(image: sitk.Image, count: int) -> list[float] | None:
    """Start times (s) of the phases of a 4D NIfTI whose header gives a plausible step in a unit of time, else
    None.
    """
    if image.GetDimension() != 4 or not image.HasMetaDataKey("xyzt_units"):
        return None
    unit = _NIFTI_UNITS_S.get(int(image.GetMetaData("xyzt_units")) & 0x38, 0.0)
    step = float(image.GetMetaData("pixdim[4]")) * unit
    return plausible_times([n * step for n in range(count)])


def _nrrd_times(header: dict[str, str], count: int) -> list[float] | None:
    """Start times (s) of the phases of a Slicer sequence or multi-volume, where it has plausible ones in a
    unit of time, else None.
    """
    axis = nrrd_list_axis(header)
    if axis is None:
        return None
    units = re.findall('"(.*?)"', header.get("units", ""))
    unit = units[axis] if axis < len(units) else ""
    multi_volume_unit = header.get("MultiVolume.FrameIdentifyingDICOMTagUnits", "")
    sequence = times_in_seconds(header.get(f"axis {axis} index values", ""), unit, count)
    return sequence or times_in_seconds(header.get("MultiVolume.FrameLabels", ""), multi_volume_unit, count)
