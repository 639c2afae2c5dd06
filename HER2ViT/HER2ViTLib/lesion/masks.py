"""The lesion's outline (ROI): one segment of a label map, of a Slicer segmentation or of an outline in DICOM,
as a mask on the image's geometry; and back to a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from HER2ViTLib.files.hashes import FILE, VOXELS, InputHash, array_sha256
from HER2ViTLib.files.inputs import is_dicom
from HER2ViTLib.imaging.image_files import (
    image_sha256,
    nrrd_header,
    nrrd_list_axis,
    read_sitk,
    write_volume,
)
from HER2ViTLib.imaging.volume import (
    Geometry,
    Volume,
    geometry_of,
    require_finite,
    resample_mask,
    volume_of,
    with_slice_axis,
)
from HER2ViTLib.messages import InputError, ReadingWarning

from .segments import Segment, choose_segment, header_segments, label_segments

_UNPLACED: dict[str, list[tuple[float, ...]]] = {
    "spacing": [(1, 1, 1)],
    "origin": [(0, 0, 0)],
    "direction": [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, -1, 0, 0, 0, 1)],
}
"""What programs write into a header where they know nothing; the second direction is a NIfTI file's unit
matrix in LPS.
"""
_ROUNDING = 1e-3
"""How far a label may lie from a whole number."""
_MIN_INSIDE = 0.5
"""Share of an outline's voxels that must lie in the image. Less is another place or another patient, not a
lesion at the edge.
"""


@dataclass(frozen=True)
class Roi:
    """The lesion's outline on the image's geometry: a boolean `mask` (K, J, I), and what was doubtful about
    bringing it there.

    `file_sha256`: of the file it was read from, None where it came from none.
    """

    mask: np.ndarray
    warnings: tuple[ReadingWarning, ...] = ()
    file_sha256: str | None = None

    @property
    def input(self) -> InputHash:
        """By what a result names the outline: its file, else its voxels (packed, eight to a byte)."""
        if self.file_sha256 is not None:
            return InputHash("roi", self.file_sha256, FILE)
        return InputHash("roi", array_sha256(np.packbits(self.mask)), VOXELS)

    def with_slice_axis(self, axis: str) -> Roi:
        """The outline cut across array axis `axis` ("i", "j" or "k"), as `Study.with_slice_axis`."""
        return replace(self, mask=with_slice_axis(self.mask, axis))


def read_roi(
    path: str | os.PathLike, reference: Geometry, segment: str | None = None, frame_of_reference: str = ""
) -> Roi:
    """One segment as the outline on the geometry `reference`; resampled (nearest neighbour) where it lies on
    another.

    The file is a label map, a Slicer segmentation (`.seg.nrrd`: cropped extent, several layers), a DICOM
    segmentation (SEG) or contours (RTSTRUCT), or a folder with one such DICOM file. `segment` is a name, an
    id or a number (label value, segment number, ROI number); it may be left out when the file holds only one
    segment. `frame_of_reference`: UID of that of the images, where they are DICOM; an outline in DICOM that
    names another gets the warning `other_frame_of_reference`. Raises `InputError` for a missing or unknown
    segment (listing those there are), colour images, 4D series, NaN, fractional labels or segments, contours
    that are open or lie between the image's slices, and as `roi_on`.
    """
    if is_dicom(path, "the outline's file"):
        return _read_dicom(Path(path), reference, segment, frame_of_reference)
    image = read_sitk(path)
    sha256 = image_sha256(path)
    header = nrrd_header(path)
    named = header_segments(header, str(path))
    if not named:
        _require_one_label_map(image, header, str(path))
    layers = [_label_map(layer, str(path)) for layer in _layers(image, str(path))]
    found = choose_segment(named or label_segments(layers[0].array, str(path)), segment, str(path))
    if found.layer >= len(layers):
        raise InputError(
            f"{path}: segment {found} is on layer {found.layer}, the file has {len(layers)}; save the"
            " segmentation again"
        )
    layer = layers[found.layer]
    name = f"{path}: segment {found}" if found.id else str(path)
    roi = roi_on(layer.with_array(layer.array == found.label), reference, name)
    return replace(roi, file_sha256=sha256)


def _read_dicom(path: Path, reference: Geometry, segment: str | None, frame_of_reference: str) -> Roi:
    # pydicom takes longer to import than a label map to read
    from HER2ViTLib.dicom.outlines import read_outlines

    outlines, sha256 = read_outlines(path)
    listed = [Segment(number, name) for number, name in outlines.names().items()]
    found = choose_segment(listed, segment, str(path))
    drawn, warnings = outlines.outline(found.label, reference)
    roi = roi_on(drawn, reference, f"{path}: segment {found}")
    theirs = outlines.frame_of_reference(found.label)
    if theirs and frame_of_reference and theirs != frame_of_reference:
        text = (
            "the outline was drawn in another DICOM frame of reference than that of the images: another "
            "examination, or the patient was positioned anew; check that it lies on the lesion"
        )
        warnings.append(ReadingWarning("other_frame_of_reference", text))
    return replace(roi, warnings=(*roi.warnings, *warnings), file_sha256=sha256)


def roi_on(mask: Volume, reference: Geometry, name: str = "ROI") -> Roi:
    """The outline where the mask is above zero, on the geometry `reference`; `name` is what faults call it.

    On another grid it is resampled (nearest neighbour), with the warning `outline_resampled`; a part of the
    reference's own grid, as Slicer saves it, is only put in its place. Raises `InputError` when the mask is
    empty, not finite, lies for the most part outside the image, is too small for its voxels, or has lost its
    place: a header that knows nothing, or a grid of the image's size beside it.
    """
    require_finite(mask.array, name)
    outlined = mask.array > 0
    if not outlined.any():
        raise InputError(f"{name}: is empty; outline the lesion first")
    if mask.geometry.matches(reference):
        return Roi(outlined)
    inside = float(reference.holds(mask.geometry.to_lps(np.argwhere(outlined)[:, ::-1])).mean())
    differences = mask.geometry.differences_text(reference)
    fault = _fault_of_place(mask.geometry, reference, inside)
    if fault:
        what, cure = fault
        raise InputError(f"{name}: {what} ({differences}); {cure}")
    on_reference = resample_mask(mask, reference)
    if not on_reference.any():
        raise InputError(
            f"{name}: is too small for the image's voxels, nothing is left of it "
            f"({differences}); outline the lesion on the image"
        )
    if mask.geometry.shape != reference.shape and mask.geometry.is_part_of(reference):
        return Roi(on_reference)
    lost = f"; {1 - inside:.0%} of it lies outside the image" if inside < 1 else ""
    text = (
        "the outline was resampled onto the image (nearest neighbour), its grid is another: "
        f"{differences}{lost}; check that it lies on the lesion"
    )
    return Roi(on_reference, (ReadingWarning("outline_resampled", text),))


def _fault_of_place(geometry: Geometry, reference: Geometry, inside: float) -> tuple[str, str] | None:
    """What is wrong with the place of an outline whose `geometry` does not match `reference`, and the cure;
    None = its place is plausible.

    `inside` is the share of the outline's voxels that lie in the image. The place is lost when all that
    differs from the image is what a program writes where it knows nothing. A grid of the image's size beside
    the image is its own with an axis flipped or a sign lost.
    """
    differing = geometry.differences(reference).keys() - {"size"}
    same_size = geometry.shape == reference.shape
    copy = "copy the image's spacing, direction and origin into its header"
    wholly = differing >= {"spacing", "origin"}
    if (same_size or wholly) and _is_unplaced(geometry, differing) and not geometry.fills(reference):
        cure = copy if same_size else "save it with the geometry of the image that it was drawn on"
        return "its header has lost its place", f"{cure}, or export it again from the program it was drawn in"
    if wholly and _is_unplaced(reference, differing):
        what = "cannot be placed on the image, whose header has lost its place"
        return what, "give the image as it was exported, with its geometry"
    cure = "give the outline that belongs to this study"
    if same_size:
        cure += f", or {copy} if it was drawn on this image"
    if inside < _MIN_INSIDE:
        what = f"{1 - inside:.0%} of it lies outside the image" if inside else "lies outside the image"
        return what, cure
    if same_size and not geometry.holds(reference.middle) and not reference.holds(geometry.middle):
        return "has the image's size but lies beside it", cure
    return None


def _is_unplaced(geometry: Geometry, parts: Iterable[str]) -> bool:
    """Whether these parts of a geometry are what a program writes where it knows nothing."""

    def knows_nothing_of(part: str) -> bool:
        value = getattr(geometry, part)
        return any(np.allclose(value, unknown, rtol=0, atol=1e-6) for unknown in _UNPLACED[part])

    return all(map(knows_nothing_of, parts))


def write_segmentation(
    mask: np.ndarray, geometry: Geometry, path: str | os.PathLike, name: str = "Lesion", tags: str = ""
) -> None:
    """Writes a boolean mask (K, J, I) as a `.seg.nrrd` with one named segment, which 3D Slicer opens as a
    segmentation; `tags` say more of the segment ("name:value", joined by `|`).

    The header fields are those of Slicer's vtkMRMLSegmentationStorageNode.
    """
    k, j, i = geometry.shape
    metadata = {
        "Segment0_ID": name,
        "Segment0_Name": name,
        "Segment0_NameAutoGenerated": "0",
        "Segment0_Color": "0.2 0.9 0.4",
        "Segment0_ColorAutoGenerated": "0",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        **({"Segment0_Tags": f"{tags}|"} if tags else {}),
        "Segment0_Extent": f"0 {i - 1} 0 {j - 1} 0 {k - 1}",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    write_volume(Volume(np.asarray(mask, bool), geometry), path, metadata)


def _require_one_label_map(image: sitk.Image, header: dict[str, str], name: str) -> None:
    """Raises `InputError`, with what it is, for an image that is not one 3D label map."""
    values = image.GetNumberOfComponentsPerPixel()
    size = image.GetSize()
    export = "export the lesion alone as one 3D label map, or its segmentation from 3D Slicer (.seg.nrrd)"
    if len(size) == 4 or (values > 1 and nrrd_list_axis(header) is not None):
        count = size[3] if len(size) == 4 else values
        raise InputError(
            f"{name}: is a 4D series, or has a layer for each label ({count} "
            f"volumes); a ROI is one 3D label map: {export}"
        )
    if values > 1:
        raise InputError(
            f"{name}: has {values} values a voxel: label groups or layers of another "
            f"program, or a colour or vector image; {export}"
        )


def _layers(image: sitk.Image, name: str) -> list[Volume]:
    """The label maps of a segmentation: one, or several where segments overlap."""
    if image.GetNumberOfComponentsPerPixel() == 1:
        return [volume_of(image, name)]
    layers = np.moveaxis(sitk.GetArrayViewFromImage(image), -1, 0)
    geometry = geometry_of(image, name)
    return [Volume(layer.copy(), geometry) for layer in layers]


def _label_map(layer: Volume, name: str) -> Volume:
    """The layer with whole numbers: what resampling has left at 0.9999999 is a 1. Raises `InputError` for
    values that are fractional.
    """
    if layer.array.dtype.kind != "f":
        return layer
    whole = np.rint(layer.array)
    fractional = ~(np.abs(layer.array - whole) <= _ROUNDING)  # NaN too
    if fractional.any():
        raise InputError(
            f"{name}: holds fractional values such as {layer.array[fractional][0]:g}; "
            "threshold it and give a label map"
        )
    return layer.with_array(whole)
