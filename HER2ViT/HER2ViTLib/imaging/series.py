"""The phases in one image file: 3D, 4D, or Slicer's sequences and multi-volumes, with their times where the header has them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from HER2ViTLib.messages import InputError, ReadingWarning

from .volume import Volume, companion_files, geometry_of, nrrd_header, nrrd_list_axis, read_sitk, require_finite, volume_of

PLAUSIBLE_STEP_S = (5.0, 600.0)
"""Shortest and longest time between two phases. Files often carry a repetition time or a mere count (0, 1, 2 ...) in the place of the time."""
DAY_S = 86400.0
_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "min": 60.0}
_NIFTI_UNITS_S = {8: 1.0, 16: 1e-3, 24: 1e-6}
"""NIFTI_UNITS_SEC, MSEC, USEC."""
_NARROW = 32
"""Pixels across below which a slice may be an axis of time or of slices taken for columns or rows; whole
images have far more.
"""


@dataclass(frozen=True)
class Series:
    """Phases read together, in time order. Times in seconds on one clock (time of day where DICOM has it); None = unknown."""

    volumes: Sequence[Volume]
    starts_s: Sequence[float | None]
    durations_s: Sequence[float | None]
    contrast_start_s: float | None
    sha256: str
    warnings: tuple[ReadingWarning, ...] = ()
    notes: tuple[str, ...] = ()
    """What was done without being doubtful: which other series of the folder were not used, and why."""


def read_image_file(path: Path) -> Series:
    """The phases in one image file of three or four dimensions.

    Raises `InputError` for what is not an image, colour, 2D, complex numbers, NaN.
    """
    image = read_sitk(path)
    header = nrrd_header(path)
    volumes = _phase_volumes(image, header, str(path))
    unknown = [None] * len(volumes)
    starts = _nrrd_times(header, len(volumes)) or _nifti_times(image, len(volumes)) or unknown
    return Series(volumes, starts, unknown, None, image_sha256(path))


def is_dicom_file(path: Path) -> bool:
    """Whether a file starts as DICOM files do (as pydicom's `is_dicom`, whose import takes longer than
    reading a NIfTI study).

    Older systems write neither preamble nor meta information: such a file begins with an element of group 2
    or 8, and soon names a class of DICOM's (PS3.10 7.1; PS3.6 annex A).
    """
    with path.open("rb") as file:
        start = file.read(1024)
    return start[128:132] == b"DICM" or (
        start[:2] in (b"\x02\x00", b"\x08\x00") and b"1.2.840.10008.5.1.4.1.1." in start
    )


def require_one_phase(phases: int, name: object) -> None:
    """Raises `InputError` for one of several images that holds more than a phase."""
    if phases > 1:
        raise InputError(f"{name}: holds {phases} phases; give it alone, or one file per phase")


def unwrap_midnight(times: Sequence[float | None]) -> list[float | None]:
    """Times of day (s) of one examination; when it runs over midnight, those after it a day later."""
    known = [time for time in times if time is not None]
    if not known or max(known) - min(known) < DAY_S / 2:
        return list(times)
    return [time + DAY_S if time is not None and time < DAY_S / 2 else time for time in times]


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def image_sha256(path: str | os.PathLike, sha256: Callable[[Path], str] = file_sha256) -> str:
    """SHA-256 of an image file; where its content lies in several files (a header and its voxels), that of the hashes of all of them.

    `sha256` hashes one file. Raises what `companion_files` raises.
    """
    path = Path(path)
    further = companion_files(path)
    return hashlib.sha256("".join(map(sha256, (path, *further))).encode()).hexdigest() if further else sha256(path)


def array_sha256(array: np.ndarray) -> str:
    """SHA-256 of an array's values in C order."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def _phase_volumes(image: sitk.Image, header: dict[str, str], name: str) -> list[Volume]:
    """The phases of a SimpleITK image: 3D; 4D; or 3D with the phases as components, as Slicer stores sequences and multi-volumes.

    SimpleITK makes one vector image of colour and of phases; the NRRD `header` says which it is.
    """
    components, dimension = image.GetNumberOfComponentsPerPixel(), image.GetDimension()
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
    """Start times (s) of the phases of a 4D NIfTI whose header gives a plausible step in a unit of time, else None."""
    if image.GetDimension() != 4 or not image.HasMetaDataKey("xyzt_units"):
        return None
    unit = _NIFTI_UNITS_S.get(int(image.GetMetaData("xyzt_units")) & 0x38, 0.0)
    step = float(image.GetMetaData("pixdim[4]")) * unit
    return _plausible([n * step for n in range(count)])


def _nrrd_times(header: dict[str, str], count: int) -> list[float] | None:
    """Start times (s) of the phases of a Slicer sequence or multi-volume, where it has plausible ones in a unit of time, else None."""
    axis = nrrd_list_axis(header)
    if axis is None:
        return None
    units = re.findall('"(.*?)"', header.get("units", ""))
    unit = units[axis] if axis < len(units) else ""
    multi_volume_unit = header.get("MultiVolume.FrameIdentifyingDICOMTagUnits", "")
    sequence = times_in_seconds(header.get(f"axis {axis} index values", ""), unit, count)
    return sequence or times_in_seconds(header.get("MultiVolume.FrameLabels", ""), multi_volume_unit, count)


def times_in_seconds(values: str, unit: str, count: int) -> list[float] | None:
    """Numbers separated by blanks or commas as plausible times in seconds, None when that is not what they are."""
    factor = _SECONDS.get(unit.strip().lower())
    try:
        times = [float(value) * factor for value in values.replace(",", " ").split()] if factor else []
    except ValueError:
        return None
    return _plausible(times) if len(times) == count else None


def _plausible(starts: list[float]) -> list[float] | None:
    """The times when they rise in steps that DCE phases can have, else None."""
    steps = np.diff(starts)
    shortest, longest = PLAUSIBLE_STEP_S
    return starts if len(steps) and steps.min() >= shortest and steps.max() <= longest else None
