"""Outlines as DICOM segmentations (SEG): binary segments, which may overlap, or one label map (PS3.3 A.51,
C.8.20). Frames without outline may be left out, and frames come in any order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from HER2ViTLib.imaging.image_files import MAX_VALUES
from HER2ViTLib.imaging.volume import Geometry, Volume, require_real_geometry
from HER2ViTLib.messages import InputError, ReadingWarning

from .files import sound_header
from .headers import functional_groups_of, number_of, require_finite_place
from .pixels import stored_pixels
from .stacks import SAME_PLACE_MM

CURE = "export the segmentation again, as binary segments on the image's slices, or as .seg.nrrd"
_LABEL_MAP = "LABELMAP"
_UNEVEN = 0.01
"""Deviation of a frame from its place in the stack, as a share of the slice spacing, that is a fault."""


@dataclass(frozen=True)
class _Plane:
    """Where a frame lies: `position` (3,) of its first pixel and `orientation` (6,) of rows and columns, mm,
    LPS; `spacing` (mm, between rows and between columns); `steps`, what its header says about the distance to
    the next slice (mm), the more trustworthy first.
    """

    number: int
    position: np.ndarray
    orientation: np.ndarray
    spacing: tuple[float, float]
    steps: tuple[float, ...]

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclass(frozen=True)
class Segmentation:
    """A segmentation object; `content` is its file's, and `name` what faults call it."""

    dataset: Dataset
    content: bytes
    name: str

    def names(self) -> dict[int, str]:
        """The segments' labels by number, the background of a label map left out.

        Raises `InputError` for fractional segments, and for a broken header.
        """
        with sound_header(self.name, CURE):
            kind = str(self.dataset.SegmentationType)
            if kind not in ("BINARY", _LABEL_MAP):
                raise InputError(
                    f"{self.name}: is a {kind.lower()} segmentation, whose voxels are probabilities or "
                    "shares; threshold it in the program that made it, and export binary segments"
                )
            background = self.dataset.get("PixelPaddingValue", 0) if kind == _LABEL_MAP else None
            found = {}
            for item in self.dataset.SegmentSequence:
                number = int(item.SegmentNumber)
                if number != background:
                    found[number] = str(item.get("SegmentLabel", "")).strip()
            if not found:
                raise ValueError("no segment")
            return found

    def frame_of_reference(self, number: int) -> str:
        """The UID of the frame of reference that a segment lies in, empty where none is named."""
        return str(self.dataset.get("FrameOfReferenceUID", ""))

    def outline(self, number: int, reference: Geometry) -> tuple[Volume, list[ReadingWarning]]:
        """The voxels of a segment, on the slices that the file has of it, and no warning.

        The distance of sparse slices is what the header says; where it is silent, that of the image's slices
        (`reference`) if they are parallel. Raises `InputError` for a broken header, pixels that cannot be
        decoded, frames without a place, of several orientations, uneven, or twice at one place.
        """
        with sound_header(self.name, CURE):
            size = self._require_plausible_size()
            planes = [_plane(self.dataset, n) for n in range(size[0]) if self._shows(n, number)]
            if not planes:
                raise InputError(f"{self.name}: segment {number} is empty; outline the lesion first")
            _require_one_stack(planes, self.name)
            slices, step = _places(planes, reference, self.name)
            geometry = _geometry(planes[int(np.argmin(slices))], (int(slices.max()) + 1, *size[1:]), step)
        require_real_geometry(geometry, self.name)
        if math.prod(geometry.shape) > MAX_VALUES:
            raise InputError(f"{self.name}: its frames lie too far apart for a breast; {CURE}")
        pixels = stored_pixels(self.content, self.name, size[0])
        label = number if self._is_label_map else 1
        mask = np.zeros(geometry.shape, bool)
        for plane, k in zip(planes, slices):
            mask[k] = pixels[plane.number] == label
        return Volume(mask, geometry), []

    @property
    def _is_label_map(self) -> bool:
        return self.dataset.SegmentationType == _LABEL_MAP

    def _require_plausible_size(self) -> tuple[int, int, int]:
        """Frames, rows and columns. Raises `ValueError` for a header that cannot be true."""
        size = (int(self.dataset.NumberOfFrames), int(self.dataset.Rows), int(self.dataset.Columns))
        if len(self.dataset.PerFrameFunctionalGroupsSequence) != size[0]:
            raise ValueError(f"{size[0]} frames, but not so many functional groups")
        if not 0 < math.prod(size) <= MAX_VALUES:
            raise ValueError(f"{size[0]} frames of {size[2]} x {size[1]} pixels")
        return size

    def _shows(self, frame: int, number: int) -> bool:
        """Whether a frame is one of the segment; those of a label map show all segments."""
        if self._is_label_map:
            return True
        group = functional_groups_of(self.dataset, frame)
        return int(group("SegmentIdentificationSequence").ReferencedSegmentNumber) == number


def _plane(dataset: Dataset, number: int) -> _Plane:
    """Where a frame lies. Raises `ValueError` for one that lies nowhere, as tiles of microscopy do."""
    group = functional_groups_of(dataset, number)
    position = group("PlanePositionSequence").get("ImagePositionPatient")
    orientation = group("PlaneOrientationSequence").get("ImageOrientationPatient")
    measures = group("PixelMeasuresSequence")
    spacing = measures.get("PixelSpacing")
    if not (position and orientation and spacing):
        raise ValueError(f"frame {number + 1} has no position, orientation or spacing")
    require_finite_place(spacing, position, orientation)
    steps = [number_of(measures.get(name)) or 0.0 for name in ("SpacingBetweenSlices", "SliceThickness")]
    return _Plane(
        number,
        np.array(position, float),
        np.array(orientation, float),
        (float(spacing[0]), float(spacing[1])),
        tuple(map(abs, steps)),
    )


def _require_one_stack(planes: Sequence[_Plane], name: str) -> None:
    first = planes[0]
    for plane in planes:
        is_parallel = np.abs(plane.orientation - first.orientation).max() <= 1e-3
        if not is_parallel or not np.allclose(plane.spacing, first.spacing, rtol=1e-3):
            raise InputError(f"{name}: its frames have several orientations or spacings; {CURE}")


def _places(planes: Sequence[_Plane], reference: Geometry, name: str) -> tuple[np.ndarray, float]:
    """The frames' places in a stack of slices, from 0 along the normal, and the slice spacing (mm)."""
    first = planes[0]
    positions = np.array([plane.position for plane in planes])
    along = positions @ first.normal
    sideways = positions - positions[0] - np.outer(along - along[0], first.normal)
    if np.abs(sideways).max() > 0.1 * min(first.spacing):
        raise InputError(f"{name}: its frames are shifted against each other; {CURE}")
    offsets = along - along.min()
    gaps = np.diff(np.sort(offsets))
    gaps = gaps[gaps > SAME_PLACE_MM]
    slice_axis = np.reshape(reference.direction, (3, 3))[:, 2]
    is_parallel = abs(slice_axis @ first.normal) > 1 - 1e-4
    between, thickness = first.steps
    likely = [between, reference.spacing[2] if is_parallel else 0.0, thickness, min(gaps, default=1.0)]
    for step in likely:
        slices, exact = _on_even_steps(offsets, step)
        if slices is not None:
            if len(np.unique(slices)) < len(slices):
                raise InputError(f"{name}: has several frames of a segment at one place; {CURE}")
            return slices, exact
    raise InputError(f"{name}: its frames lie at uneven distances; {CURE}")


def _on_even_steps(offsets: np.ndarray, step: float) -> tuple[np.ndarray | None, float]:
    """Offsets (mm) as whole numbers of a step, and the step to the last decimal; None where they are none."""
    if step <= 0:
        return None, step
    last = round(float(offsets.max()) / step)
    exact = float(offsets.max()) / last if last else step
    slices = np.rint(offsets / exact).astype(int)
    residual = np.abs(offsets - slices * exact).max()
    fits = residual <= max(_UNEVEN * exact, SAME_PLACE_MM) and abs(exact - step) <= _UNEVEN * step
    return (slices, exact) if fits else (None, step)


def _geometry(lowest: _Plane, shape: tuple[int, int, int], step: float) -> Geometry:
    axes = np.column_stack([lowest.orientation[:3], lowest.orientation[3:], lowest.normal])
    return Geometry(
        shape=shape,
        spacing=(lowest.spacing[1], lowest.spacing[0], step),
        origin=tuple(lowest.position.tolist()),
        direction=tuple(axes.ravel().tolist()),
    )
