"""The lesion's outline (ROI): one segment of a label map or of a Slicer segmentation, as a mask on the image's geometry."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from .messages import InputError
from .volume import Geometry, Volume, geometry_of, nrrd_header, nrrd_list_axis, read_sitk, require_finite, resample_mask, volume_of

_LISTED = 12


@dataclass(frozen=True)
class _Segment:
    """A segment of a file: its name and id ("" in a plain label map), its label value, and the layer that holds it."""

    label: int
    name: str = ""
    id: str = ""
    layer: int = 0

    def __str__(self) -> str:
        return f'"{self.name}" (id {self.id}, label {self.label})' if self.id else str(self.label)


def read_roi(path: str | os.PathLike, reference: Geometry, segment: str | None = None) -> np.ndarray:
    """The voxels of one segment, boolean (K, J, I) on the geometry `reference`; resampled (nearest neighbour) where it lies on another.

    The file is a label map or a Slicer segmentation (`.seg.nrrd`: cropped extent, several layers). `segment` is a name, an id or a label
    value; it may be left out when the file holds only one segment.
    Raises `InputError` for a missing or unknown segment (listing those there are), an empty one, one outside the image, colour images,
    4D series, NaN, fractional labels.
    """
    image = read_sitk(path)
    _require_no_dicom_object(image, str(path))
    header = nrrd_header(path)
    named = _header_segments(header)
    if image.GetDimension() == 4 or (nrrd_list_axis(header) is not None and not named):
        raise InputError(f"{path}: is a 4D series; a ROI is one 3D label map")
    layers = _layers(image, str(path)) if named else [volume_of(image, str(path))]
    found = _choose(named or _labels(layers[0].array, str(path)), segment, str(path))
    if found.layer >= len(layers):
        raise InputError(f"{path}: segment {found} is on layer {found.layer}, the file has {len(layers)}; save the segmentation again")
    layer = layers[found.layer]
    return roi_on(layer.with_array(layer.array == found.label), reference, f"{path}: segment {found}" if found.id else str(path))


def roi_on(mask: Volume, reference: Geometry, name: str = "ROI") -> np.ndarray:
    """Where the mask is above zero, boolean (K, J, I) on the geometry `reference`; `name` is what faults call it.

    Raises `InputError` when the mask is empty, not finite or lies outside the image.
    """
    require_finite(mask.array, name)
    if not (mask.array > 0).any():
        raise InputError(f"{name}: is empty; outline the lesion first")
    on_reference = resample_mask(mask, reference)
    if not on_reference.any():
        raise InputError(f"{name}: lies outside the image; give the outline that belongs to this study")
    return on_reference


def _require_no_dicom_object(image: sitk.Image, name: str) -> None:
    """Raises `InputError` for DICOM: a SEG object's frames are not the slices of one label map."""
    if image.HasMetaDataKey("0008|0016"):
        raise InputError(f"{name}: is a DICOM object; load it in Slicer and save the segmentation as .seg.nrrd")


def _header_segments(header: dict[str, str]) -> list[_Segment]:
    """The segments a Slicer segmentation names in its header; none for a plain label map."""
    numbers = sorted(int(match[1]) for match in (re.fullmatch(r"Segment(\d+)_ID", key) for key in header) if match)
    return [
        _Segment(
            # files written before Slicer 4.11 name neither label nor layer: each segment has a layer of its own
            label=int(header.get(f"Segment{n}_LabelValue", 1)),
            name=header.get(f"Segment{n}_Name", ""),
            id=header[f"Segment{n}_ID"],
            layer=int(header.get(f"Segment{n}_Layer", n)),
        )
        for n in numbers
    ]


def _layers(image: sitk.Image, name: str) -> list[Volume]:
    """The label maps of a segmentation: one, or several where segments overlap."""
    if image.GetNumberOfComponentsPerPixel() == 1:
        return [volume_of(image, name)]
    layers = np.moveaxis(sitk.GetArrayViewFromImage(image), -1, 0)
    return [Volume(layer.copy(), geometry_of(image)) for layer in layers]


def _labels(array: np.ndarray, name: str) -> list[_Segment]:
    """The labels of a plain label map: its values above zero. Raises `InputError` when there is none, or for fractional values."""
    values = np.unique(array[array > 0])
    if not len(values):
        raise InputError(f"{name}: is empty (no label above 0); outline the lesion first")
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise InputError(f"{name}: holds fractional values such as {values[values != np.rint(values)][0]:g}; threshold it and give a label map")
    return [_Segment(int(value)) for value in values]


def _choose(segments: Sequence[_Segment], wanted: str | None, name: str) -> _Segment:
    """The wanted segment by name, id or label value, or the only one. Raises `InputError`, listing them, when that is not one segment."""
    listed = ", ".join(str(segment) for segment in segments[:_LISTED]) + (f" and {len(segments) - _LISTED} more" if len(segments) > _LISTED else "")
    if wanted is None:
        if len(segments) > 1:
            raise InputError(f"{name}: holds {len(segments)} segments; choose one with --segment: {listed}")
        return segments[0]
    for matches in (
        [segment for segment in segments if segment.name == wanted],
        [segment for segment in segments if segment.id == wanted],
        [segment for segment in segments if str(segment.label) == str(wanted)],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise InputError(f"{name}: several segments are called {wanted}; choose one by its id: {listed}")
    raise InputError(f"{name}: has no segment {wanted}; it has {listed}")
