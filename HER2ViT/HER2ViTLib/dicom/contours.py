"""Outlines as contours in DICOM RT structure sets (RTSTRUCT; PS3.3 C.8.8.5, C.8.8.6): closed planar contours
on the image's slices, filled on its grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.messages import InputError, ReadingWarning

from .files import sound_header

CURE = "export the structure set again, or load it in 3D Slicer (extension SlicerRT) and save it as .seg.nrrd"
_CLOSED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
_OFF_SLICE = 0.1
"""How far a contour's points may lie off a slice, in slice spacings: positions and contours are rounded."""
_DECIMALS = 6
"""Contour points on the image's grid are rounded to so many, so that round-off decides nothing."""


@dataclass(frozen=True)
class StructureSet:
    """A structure set; `name` is what faults call it."""

    dataset: Dataset
    name: str

    def names(self) -> dict[int, str]:
        """The names of the ROIs (regions of interest) by number, those without a closed contour left out:
        points of reference, and what nobody has drawn yet.

        Raises `InputError` where there is none, and for a broken header.
        """
        with sound_header(self.name, CURE):
            named = {
                int(item.ROINumber): str(item.get("ROIName", "")).strip()
                for item in self.dataset.get("StructureSetROISequence", [])
            }
            drawn = [
                int(item.ReferencedROINumber)
                for item in self.dataset.get("ROIContourSequence", [])
                if not _CLOSED.isdisjoint(_types(item.get("ContourSequence", [])))
            ]
        if not drawn:
            raise InputError(f"{self.name}: holds no closed planar contour; outline the lesion first")
        return {number: named.get(number, "") for number in drawn}

    def frame_of_reference(self, number: int) -> str:
        """The UID of the frame of reference that an ROI lies in, empty where none is named."""
        found = [
            item.get("ReferencedFrameOfReferenceUID", "")
            for item in self.dataset.get("StructureSetROISequence", [])
            if item.ROINumber == number
        ]
        return str(found[0]) if found else ""

    def outline(self, number: int, reference: Geometry) -> tuple[Volume, list[ReadingWarning]]:
        """The pixels inside an ROI on the slices of `reference`, cut to the box around it (which may reach
        beyond the image), and the warning `contour_gaps`.

        A pixel is inside when its centre is: see `filled`. Raises `InputError` for contours that are not
        closed and planar, that lie on no slice or far from the image, that enclose no pixel's centre, and for
        a broken header.
        """
        with sound_header(self.name, CURE):
            contours = self._contours(number)
        points = [np.round(reference.to_index(contour), _DECIMALS) for contour in contours]
        slices = _slices(points, f"{self.name}: ROI {number}")
        corners = np.concatenate(points)
        low = np.array([*np.floor(corners.min(axis=0))[:2], slices.min()])
        high = np.array([*np.ceil(corners.max(axis=0))[:2], slices.max()])
        size = np.array(reference.shape[::-1])
        if (low < -size).any() or (high > 2 * size).any():
            raise InputError(
                f"{self.name}: ROI {number} lies outside the image; give the outline that belongs to this "
                "study"
            )
        i, j, k = (high - low + 1).astype(int).tolist()
        mask = np.zeros((k, j, i), bool)
        for place in np.unique(slices):
            there = [contour[:, :2] - low[:2] for contour, its in zip(points, slices) if its == place]
            mask[int(place - low[2])] = filled(there, (j, i))
        if not mask.any():
            raise InputError(
                f"{self.name}: ROI {number} encloses no voxel's centre; outline the lesion on the image"
            )
        origin = tuple(reference.to_lps(low).tolist())
        box = Geometry((k, j, i), reference.spacing, origin, reference.direction)
        return Volume(mask, box), _gap_warnings(slices)

    def _contours(self, number: int) -> list[np.ndarray]:
        """The ROI's contours, (points, 3) each, mm, LPS."""
        items: list[Dataset] = []
        for roi in self.dataset.ROIContourSequence:
            if roi.ReferencedROINumber == number:
                items += roi.get("ContourSequence", [])
        others = sorted(_types(items) - _CLOSED)
        if others:
            raise InputError(
                f"{self.name}: ROI {number} holds contours of type {', '.join(others)}, which enclose "
                "nothing; keep its closed planar contours only"
            )
        contours = [np.array(item.ContourData, float).reshape(-1, 3) for item in items]
        if not all(len(contour) and np.isfinite(contour).all() for contour in contours):
            raise ValueError("a contour without points, or a point that is no number")
        return contours


def filled(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The pixels (J, I) whose centres lie inside an odd number of polygons, each (points, 2) in pixels (i,
    j): a contour inside another one is a hole, one inside the hole is an island.

    Centres have whole coordinates. A centre on a line belongs to the polygon that lies on the side of larger
    i (for level lines, larger j), so polygons that share an edge share no pixel.
    """
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), bool)
    for polygon in polygons:
        for start, end in zip(polygon, np.roll(polygon, -1, axis=0)):
            upper, lower = (start, end) if start[1] <= end[1] else (end, start)
            first = max(int(np.ceil(upper[1])), 0)
            crossed = np.arange(first, min(int(np.ceil(lower[1])), rows))
            if len(crossed):
                along = (crossed - upper[1]) / (lower[1] - upper[1])
                at = np.round(upper[0] + along * (lower[0] - upper[0]), _DECIMALS)
                crossings[crossed, np.clip(np.ceil(at), 0, columns).astype(int)] ^= True
    return np.logical_xor.accumulate(crossings, axis=1)[:, :columns]


def _types(contours: Sequence[Dataset]) -> set[str]:
    return {str(contour.ContourGeometricType) for contour in contours}


def _slices(points: Sequence[np.ndarray], name: str) -> np.ndarray:
    """The slice of each contour (an index along k). Raises `InputError` for contours that lie on none."""
    slices = np.array([np.rint(np.median(contour[:, 2])) for contour in points])
    off = np.array([np.abs(contour[:, 2] - k).max() for contour, k in zip(points, slices)])
    amiss = int((off > _OFF_SLICE).sum())
    if amiss:
        raise InputError(
            f"{name}: {amiss} of {len(off)} contours do not lie on the image's slices (up to "
            f"{off.max():.2g} slice spacings off), they were drawn on another series or in another plane; "
            "give the series that they were drawn on, or load both in 3D Slicer (extension SlicerRT) and "
            "save the outline as .seg.nrrd"
        )
    return slices


def _gap_warnings(slices: np.ndarray) -> list[ReadingWarning]:
    """`contour_gaps` where slices between the first and the last contour have none."""
    between = int(slices.max() - slices.min()) - 1
    empty = between + 2 - len(np.unique(slices)) if between > 0 else 0
    if not empty:
        return []
    text = (
        f"{empty} of the {between} slices between the first and the last contour have no contour and count "
        "as not outlined, nothing is interpolated; where the lesion goes on, add contours in the program "
        "that drew them"
    )
    return [ReadingWarning("contour_gaps", text)]
