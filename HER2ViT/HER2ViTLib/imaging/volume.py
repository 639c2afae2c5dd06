"""Volumes: numpy arrays (K, J, I) with their geometry in patient space (LPS, mm), read and written through
SimpleITK.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from HER2ViTLib.messages import InputError

GEOMETRY_TOLERANCE_VOXELS = 1e-3
PLAUSIBLE_SPACING_MM = (0.01, 100.0)
_MAX_ORIGIN_MM = 1e6
_SKEW = 0.01
"""Cosine of the angle between two axes from which on they are not perpendicular (half a degree); headers
round.
"""


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of an array lie in the patient.

    `shape` is (K, J, I), slices first. `spacing` (mm) and `origin` (mm, LPS) are in SimpleITK's order (i, j,
    k); `direction` is SimpleITK's row-major 3 x 3 matrix whose columns are the directions of i, j and k in
    LPS.
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
        return self.shape == other.shape and bool(
            np.abs(self._corners_on(other) - self._corners).max() <= GEOMETRY_TOLERANCE_VOXELS
        )

    def is_part_of(self, other: Geometry) -> bool:
        """Whether every voxel is one of `other`'s grid, thought to go on beyond its edges: the same axes,
        shifted by whole voxels.
        """
        shifts = self._corners_on(other) - self._corners
        return bool(np.abs(shifts - np.rint(shifts[0])).max() <= GEOMETRY_TOLERANCE_VOXELS)

    def fills(self, other: Geometry) -> bool:
        """Whether both cover the same part of the patient, within half a voxel, however their axes run."""
        ours = np.sort(self._corners_on(other), axis=0)
        theirs = np.sort(other._corners, axis=0)
        return bool(np.abs(ours - theirs).max() <= 0.5)

    def holds(self, lps: Sequence[float] | np.ndarray) -> np.ndarray:
        """Whether points in LPS (..., 3), mm, lie in a voxel, boolean (...)."""
        nearest = np.rint(self.to_index(lps))
        return ((nearest >= 0) & (nearest < self.shape[::-1])).all(axis=-1)

    @property
    def middle(self) -> np.ndarray:
        """The middle of what the voxels cover, a point (x, y, z) in LPS, mm."""
        return self.to_lps((np.array(self.shape[::-1]) - 1) / 2)

    @property
    def _corners(self) -> np.ndarray:
        """The indices (8, 3) of the voxels at the corners."""
        k, j, i = (n - 1 for n in self.shape)
        return np.array([[x, y, z] for x in (0, i) for y in (0, j) for z in (0, k)], float)

    def _corners_on(self, other: Geometry) -> np.ndarray:
        """The corners as continuous indices (8, 3) of `other`."""
        return other.to_index(self.to_lps(self._corners))

    def differences(self, other: Geometry) -> dict[str, str]:
        """What differs, in words, of size, spacing, direction and origin, written to the fourth decimal:
        {part: "ours against theirs"}.
        """
        parts = {
            "size": (self.shape[::-1], other.shape[::-1], ""),
            "spacing": (self.spacing, other.spacing, " mm"),
            "direction": (self.direction, other.direction, ""),
            "origin": (self.origin, other.origin, " mm"),
        }
        written = {
            part: (_listed(ours), _listed(theirs), unit) for part, (ours, theirs, unit) in parts.items()
        }
        return {
            part: f"{ours} against {theirs}{unit}"
            for part, (ours, theirs, unit) in written.items()
            if ours != theirs
        }

    def differences_text(self, other: Geometry) -> str:
        """What differs, in one line."""
        found = [f"{part} {values}" for part, values in self.differences(other).items()]
        return ", ".join(found) or "shifted by more than a thousandth of a voxel"

    def with_slice_axis(self, axis: str) -> Geometry:
        """The same voxels with array axis `axis` ("i", "j" or "k") moved to the front: see
        `Volume.with_slice_axis`.
        """
        k, j, i = _slice_axis_order(axis)
        # spacing and direction come in the opposite order
        ijk = (2 - i, 2 - j, 2 - k)
        direction = np.reshape(self.direction, (3, 3))[:, ijk]
        return Geometry(
            shape=(self.shape[k], self.shape[j], self.shape[i]),
            spacing=(self.spacing[ijk[0]], self.spacing[ijk[1]], self.spacing[ijk[2]]),
            origin=self.origin,
            direction=tuple(direction.ravel()),
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
        """The volume with array axis `axis` first, so that its slices are cut across that axis; nothing is
        resampled.
        """
        return Volume(with_slice_axis(self.array, axis), self.geometry.with_slice_axis(axis))


def with_slice_axis(array: np.ndarray, axis: str) -> np.ndarray:
    """An array (K, J, I) with the named axis first: see `Volume.with_slice_axis`."""
    return array.transpose(_slice_axis_order(axis))


def _slice_axis_order(axis: str) -> tuple[int, int, int]:
    """Order of the array axes (K, J, I) that brings the named one to the front and keeps the other two as
    they are.
    """
    front = "kji".index(axis)
    second, third = (a for a in range(3) if a != front)
    return front, second, third


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Slices that cut the smallest box around a boolean array of any dimension that is not empty."""
    box: tuple[slice, ...] = ()
    for axis in range(mask.ndim):
        # Cut first, look on in what is left: most of an image lies outside.
        touched = np.flatnonzero(mask[box].any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box += (slice(int(touched[0]), int(touched[-1]) + 1),)
    return box


def _listed(values: Sequence[float]) -> str:
    return " x ".join(f"{round(value, 4) + 0.0:.10g}" for value in values)  # + 0.0: no minus before a zero


def ras_to_lps(point: Sequence[float]) -> tuple[float, float, float]:
    """A point in RAS (mm), as 3D Slicer shows it, in LPS, as files and SimpleITK have it; and the other way
    round.
    """
    r, a, s = point
    return -r, -a, s


def geometry_of(image: sitk.Image, name: str) -> Geometry:
    """Geometry of the first three axes of a SimpleITK image; `name` is what faults call it. Raises
    `InputError` as `require_real_geometry`.
    """
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    shape = tuple(reversed(image.GetSize()[:3]))
    geometry = Geometry(
        shape, image.GetSpacing()[:3], image.GetOrigin()[:3], tuple(direction.ravel().tolist())
    )
    require_real_geometry(geometry, name)
    return geometry


def require_real_geometry(geometry: Geometry, name: str) -> None:
    """Raises `InputError` for what no scanner's geometry is: spacing out of all proportion, axes that are not
    perpendicular (areas and distances would be wrong), an origin far away, NaN.
    """
    low, high = PLAUSIBLE_SPACING_MM
    if not all(low <= step <= high for step in geometry.spacing):  # NaN fails the comparison
        raise InputError(
            f"{name}: has voxels of {_by(geometry.spacing)} mm; spacing must be {low:g} to {high:g} mm:"
            " correct the header"
        )
    if not all(abs(place) <= _MAX_ORIGIN_MM for place in geometry.origin):
        raise InputError(f"{name}: has its origin at {_by(geometry.origin)} mm; correct the header")
    axes = np.reshape(geometry.direction, (3, 3))
    if not np.abs(axes.T @ axes - np.eye(3)).max() <= _SKEW:
        raise InputError(
            f"{name}: its axes are not perpendicular (directions {_by(geometry.direction)}); resample it onto"
            " a straight grid"
        )


def volume_of(image: sitk.Image, name: str) -> Volume:
    """The volume of a scalar 3D SimpleITK image; `name` is what faults call it.

    Raises `InputError` for 2D, 4D, colour or vector images, complex numbers and values that are not finite.
    """
    components = image.GetNumberOfComponentsPerPixel()
    if components > 1:
        raise InputError(
            f"{name}: has {components} values a voxel (a colour or vector image); give a scalar volume"
        )
    if image.GetDimension() != 3:
        raise InputError(f"{name}: is {image.GetDimension()}D; a 3D volume is needed")
    array = sitk.GetArrayFromImage(image)
    if not np.isrealobj(array):
        raise InputError(f"{name}: holds complex numbers; give a magnitude volume")
    require_finite(array, name)
    return Volume(array, geometry_of(image, name))


def require_finite(array: np.ndarray, name: str) -> None:
    """Raises `InputError` when the array holds NaN or infinity."""
    if array.dtype.kind == "f" and not np.isfinite(array.sum(dtype=np.float64)):
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            raise InputError(f"{name}: {bad} voxels are NaN or infinite; repair or re-export the image")


def to_sitk(volume: Volume) -> sitk.Image:
    """The volume as a SimpleITK image (masks as 8 bit)."""
    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction)
    return image


def resample_mask(mask: Volume, geometry: Geometry) -> np.ndarray:
    """The mask on another geometry, nearest neighbour, as a boolean array (K, J, I); voxels outside the mask
    are False.
    """
    if mask.geometry.matches(geometry):
        return mask.array > 0
    image = to_sitk(mask.with_array(mask.array > 0))
    reference = sitk.Image(*(int(n) for n in reversed(geometry.shape)), sitk.sitkUInt8)
    reference.SetSpacing(geometry.spacing)
    reference.SetOrigin(geometry.origin)
    reference.SetDirection(geometry.direction)
    resampled = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return sitk.GetArrayFromImage(resampled) > 0


def _by(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
