"""Volumes: numpy arrays (K, J, I) with their geometry in patient space (LPS, mm), read and written through SimpleITK."""

from __future__ import annotations

import gzip
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .messages import InputError
from .output import temporary_name

GEOMETRY_TOLERANCE_VOXELS = 1e-3


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of an array lie in the patient.

    `shape` is (K, J, I), slices first. `spacing` (mm) and `origin` (mm, LPS) are in SimpleITK's order (i, j, k);
    `direction` is SimpleITK's row-major 3 x 3 matrix whose columns are the directions of i, j and k in LPS.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @property
    def index_to_lps(self) -> np.ndarray:
        """The 4 x 4 matrix that takes a voxel index (i, j, k, 1) to a point (x, y, z, 1) in LPS, mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def voxel_mm3(self) -> float:
        return float(np.prod(self.spacing))

    @property
    def pixel_mm2(self) -> float:
        """Area of one pixel of a slice (i x j)."""
        return float(self.spacing[0] * self.spacing[1])

    def to_lps(self, ijk: Sequence[float] | np.ndarray) -> np.ndarray:
        """Points in LPS (mm) of voxel indices (..., 3), in the order (i, j, k); fractions are allowed."""
        matrix = self.index_to_lps
        return np.asarray(ijk, float) @ matrix[:3, :3].T + matrix[:3, 3]

    def to_index(self, lps: Sequence[float] | np.ndarray) -> np.ndarray:
        """Continuous voxel indices (..., 3), in the order (i, j, k), of points in LPS (mm)."""
        matrix = np.linalg.inv(self.index_to_lps)
        return np.asarray(lps, float) @ matrix[:3, :3].T + matrix[:3, 3]

    def matches(self, other: Geometry) -> bool:
        """Whether every voxel of both lies at the same place, within a thousandth of a voxel."""
        if self.shape != other.shape:
            return False
        k, j, i = (n - 1 for n in self.shape)
        corners = np.array([[x, y, z] for x in (0, i) for y in (0, j) for z in (0, k)], float)
        return bool(np.abs(self.to_index(other.to_lps(corners)) - corners).max() <= GEOMETRY_TOLERANCE_VOXELS)

    def with_slice_axis(self, axis: str) -> Geometry:
        """The same voxels with array axis `axis` ("i", "j" or "k") moved to the front: see `Volume.with_slice_axis`."""
        order = _slice_axis_order(axis)
        ijk = [2 - a for a in reversed(order)]
        direction = np.reshape(self.direction, (3, 3))[:, ijk]
        return Geometry(
            tuple(self.shape[a] for a in order), tuple(self.spacing[a] for a in ijk), self.origin, tuple(direction.ravel())
        )


@dataclass(frozen=True)
class Volume:
    """An array (K, J, I) and its geometry."""

    array: np.ndarray
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise ValueError(f"array {self.array.shape} does not fit geometry {self.geometry.shape}")

    def with_array(self, array: np.ndarray) -> Volume:
        return replace(self, array=array)

    def with_slice_axis(self, axis: str) -> Volume:
        """The volume with array axis `axis` first, so that its slices are cut across that axis; nothing is resampled."""
        return Volume(with_slice_axis(self.array, axis), self.geometry.with_slice_axis(axis))


def with_slice_axis(array: np.ndarray, axis: str) -> np.ndarray:
    """An array (K, J, I) with the named axis first: see `Volume.with_slice_axis`."""
    return array.transpose(_slice_axis_order(axis))


def _slice_axis_order(axis: str) -> tuple[int, int, int]:
    """Order of the array axes (K, J, I) that brings the named one to the front and keeps the other two as they are."""
    front = "kji".index(axis)
    return (front, *(a for a in range(3) if a != front))


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Slices that cut the smallest box around a boolean array of any dimension that is not empty."""
    box: tuple[slice, ...] = ()
    for axis in range(mask.ndim):
        # Cut first, look on in what is left: most of an image lies outside.
        touched = np.flatnonzero(mask[box].any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box += (slice(int(touched[0]), int(touched[-1]) + 1),)
    return box


def ras_to_lps(point: Sequence[float]) -> tuple[float, float, float]:
    """A point in RAS (mm), as 3D Slicer shows it, in LPS, as files and SimpleITK have it; and the other way round."""
    r, a, s = point
    return -r, -a, s


def read_sitk(path: str | os.PathLike) -> sitk.Image:
    """The image in a file, as SimpleITK reads it.

    Raises `InputError` for a missing file or one that holds no image.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    if path.is_dir():
        raise InputError(f"{path}: is a folder, a file is needed here")
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as an image; give a NIfTI, NRRD, MetaImage or DICOM file ({_itk_reason(error)})") from error
    _require_finite_nifti(path, image)
    return image


def _require_finite_nifti(path: Path, image: sitk.Image) -> None:
    """Raises `InputError` for NaN or infinity in a NIfTI file: the reader inside ITK turns them into zeros without a word."""
    header = {key: image.GetMetaData(key) for key in ("datatype", "vox_offset", "nifti_type") if image.HasMetaDataKey(key)}
    kind = {"16": "f4", "64": "f8"}.get(header.get("datatype", ""))  # NIFTI_TYPE_FLOAT32, FLOAT64
    if kind is None or header["nifti_type"] != "1":  # 1: header and voxels in one file
        return
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        byte_order = "<" if int.from_bytes(file.read(4), "little") in (348, 540) else ">"  # the header begins with its own length
        file.seek(int(float(header["vox_offset"])))
        require_finite(np.frombuffer(file.read(), byte_order + kind), str(path))


def _itk_reason(error: RuntimeError) -> str:
    """The last telling line of an ITK exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:160] if lines else "unknown reason"


def nrrd_header(path: str | os.PathLike) -> dict[str, str]:
    """The fields and key/value pairs in the text header of a NRRD file; empty for other formats.

    SimpleITK before 2.5 does not tell of what kind an axis of components is: colour, phases or layers.
    """
    with Path(path).open("rb") as file:
        if file.read(4) != b"NRRD":
            return {}
        lines = [line.decode("utf-8", "replace").strip() for line in itertools.takewhile(bytes.strip, file)]
    return {key: value.strip() for key, _, value in (line.partition(":=" if ":=" in line else ":") for line in lines)}


def nrrd_list_axis(header: dict[str, str]) -> int | None:
    """The axis of a NRRD file along which whole volumes are listed (phases of a sequence, layers of a segmentation), if there is one."""
    kinds = header.get("kinds", "").split()
    return kinds.index("list") if "list" in kinds else None


def geometry_of(image: sitk.Image) -> Geometry:
    """Geometry of a 3D SimpleITK image."""
    return Geometry(tuple(reversed(image.GetSize())), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def volume_of(image: sitk.Image, name: str) -> Volume:
    """The volume of a scalar 3D SimpleITK image; `name` is what faults call it.

    Raises `InputError` for 2D, 4D, colour or vector images, complex numbers and values that are not finite.
    """
    components = image.GetNumberOfComponentsPerPixel()
    if components > 1:
        raise InputError(f"{name}: has {components} values a voxel (a colour or vector image); give a scalar volume")
    if image.GetDimension() != 3:
        raise InputError(f"{name}: is {image.GetDimension()}D; a 3D volume is needed")
    array = sitk.GetArrayFromImage(image)
    if not np.isrealobj(array):
        raise InputError(f"{name}: holds complex numbers; give a magnitude volume")
    require_finite(array, name)
    return Volume(array, geometry_of(image))


def require_finite(array: np.ndarray, name: str) -> None:
    """Raises `InputError` when the array holds NaN or infinity."""
    if array.dtype.kind == "f" and not np.isfinite(array.sum(dtype=np.float64)):
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            raise InputError(f"{name}: {bad} voxels are NaN or infinite; repair or re-export the image")


def read_volume(path: str | os.PathLike) -> Volume:
    """The scalar 3D volume in a file. Raises `InputError` as `read_sitk` and `volume_of` do."""
    return volume_of(read_sitk(path), str(path))


def to_sitk(volume: Volume) -> sitk.Image:
    """The volume as a SimpleITK image (masks as 8 bit)."""
    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction)
    return image


def write_volume(volume: Volume, path: str | os.PathLike, metadata: dict[str, str] | None = None) -> None:
    """Writes the volume, compressed, under a temporary name first, so that no half-written file is ever left behind."""
    image = to_sitk(volume)
    for key, value in (metadata or {}).items():
        image.SetMetaData(key, value)
    path = Path(path)
    temporary = temporary_name(path)
    try:
        sitk.WriteImage(image, str(temporary), useCompression=True)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def resample_mask(mask: Volume, geometry: Geometry) -> np.ndarray:
    """The mask on another geometry, nearest neighbour, as a boolean array (K, J, I); voxels outside the mask are False."""
    if mask.geometry.matches(geometry):
        return mask.array > 0
    image = to_sitk(mask.with_array(mask.array > 0))
    reference = sitk.Image(*(int(n) for n in reversed(geometry.shape)), sitk.sitkUInt8)
    reference.SetSpacing(geometry.spacing)
    reference.SetOrigin(geometry.origin)
    reference.SetDirection(geometry.direction)
    resampled = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return sitk.GetArrayFromImage(resampled) > 0
