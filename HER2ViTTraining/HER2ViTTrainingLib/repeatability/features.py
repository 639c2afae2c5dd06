"""Features of an outlined lesion, for the agreement of readers: shape, intensity, enhancement, the models'
embeddings and scores.

Names begin with their group: `shape3d_`, `shape2d_`, `firstorder_`, `enhancement_`, `vit1_`, `vit2_`
(embeddings of Task 1 and 2), `score_`. `FEATURES` gives unit and meaning of each. Shape is ITK's
(`LabelShapeStatisticsImageFilter`; surface and perimeter by Crofton's formula, Lehmann & Legland, Insight
Journal 2012); 2D shape is that of the largest slice, the first one of several. Intensity is the early
phase's, in all voxels of the outline, unchanged: a session compares readers on the same images, so nothing is
normalised. What an outline or a study does not have (skewness of one grey value, enhancement without a
pre-contrast phase) is an empty cell.

Texture matrices are left out. Of the packages that follow the Image Biomarker Standardisation Initiative
(IBSI), none does here: pyradiomics 3.1 has no wheel from Python 3.11 on, pictologics 0.9 none before 3.12,
MIRP 2.7 is copyleft, and nyxus 0.11 (90 MB) gives a co-occurrence contrast of 0 for the IBSI's digital
phantom, where 5.28 is right. Features from any of them, as `case_id, rater, FEATURE...`, go to `her2vit
agreement` like these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import SimpleITK as sitk

from HER2ViTLib.imaging.volume import Geometry, bounding_box
from HER2ViTLib.lesion.measures import areas_mm2
from HER2ViTLib.study.study import Study

if TYPE_CHECKING:
    pass
ENTROPY_BINS = 32
_PAIRS_AT_ONCE = 512


# Features of one outline


def shape_features(mask: np.ndarray, geometry: Geometry) -> dict[str, float]:
    """3D and 2D shape of a boolean mask (K, J, I) that is not empty."""
    largest = int(np.argmax(areas_mm2(mask, geometry)))
    volume = _shape(_with_border(mask), geometry.spacing)
    plane = _shape(_with_border(mask[largest]), geometry.spacing[:2])
    solid = (
        "volume",
        "surface",
        "sphericity",
        "maximum_diameter",
        "elongation",
        "flatness",
        "minor_axis",
        "middle_axis",
        "major_axis",
    )
    flat = (
        "area",
        "perimeter",
        "roundness",
        "maximum_diameter",
        "elongation",
        None,
        "minor_axis",
        "major_axis",
    )
    found = {f"shape3d_{name}": value for name, value in zip(solid, volume)}
    return {**found, **{f"shape2d_{name}": value for name, value in zip(flat, plane) if name}}


def _with_border(mask: np.ndarray) -> np.ndarray:
    """The mask cut to its bounding box and one voxel around, so that all of its surface lies inside."""
    return np.pad(mask[bounding_box(mask)], 1)


def _shape(mask: np.ndarray, spacing: Sequence[float]) -> list[float]:
    """Size, surface, roundness, largest diameter, elongation, flatness, and the equivalent ellipsoid's
    diameters from the shortest on.
    """
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing)
    measure = sitk.LabelShapeStatisticsImageFilter()
    measure.Execute(image)
    values = [
        measure.GetPhysicalSize(1),
        measure.GetPerimeter(1),
        measure.GetRoundness(1),
        largest_diameter(mask, spacing),
        # ITK gives 0 for the axis ratios of an outline that is one voxel thick.
        measure.GetElongation(1) or math.nan,
        measure.GetFlatness(1) or math.nan,
        *measure.GetEquivalentEllipsoidDiameter(1),
    ]
    return [float(value) for value in values]


def largest_diameter(mask: np.ndarray, spacing: Sequence[float]) -> float:
    """Largest distance (mm) between the centres of two voxels of a boolean mask (K, J, I) or (J, I) that is
    not empty; `spacing` i first.

    ITK's Feret diameter, but of the corners alone: it compares all pairs on the surface, with a cost that
    grows with its square.
    """
    places = _corners(mask) * np.asarray(spacing)
    places -= places.mean(axis=0)
    squares = (places**2).sum(axis=1)
    largest = 0.0
    for start in range(0, len(places), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        apart = squares[some, None] + squares - 2 * places[some] @ places.T
        one, other = np.unravel_index(apart.argmax(), apart.shape)
        # Found by the quick formula, which rounds; measured by the exact one.
        largest = max(largest, float(np.linalg.norm(places[start + one] - places[other])))
    return largest


def _corners(mask: np.ndarray) -> np.ndarray:
    """Indices (N, 2 or 3), i first, of voxels among which are all corners of the mask's convex hull: no
    others can lie farthest apart.

    A corner of the hull is the end of a row, and a corner of the hull of each slice that it lies on,
    whichever way the slices are cut.
    """
    solid = mask.reshape((1,) * (3 - mask.ndim) + mask.shape)
    rows = np.argwhere(solid.any(axis=2))
    lines = solid[tuple(rows.T)]
    ends = (lines.argmax(axis=1), lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1))
    found = np.concatenate([np.column_stack([rows, end]) for end in ends]).astype(np.int32)
    for axis in range(3):
        found = found[np.argsort(found[:, axis], kind="stable")]
        starts = np.flatnonzero(np.diff(found[:, axis], prepend=-1))
        slices = np.split(np.delete(found, axis, axis=1), starts[1:])
        hulls = [cv2.convexHull(points, returnPoints=False).ravel() for points in slices]
        found = found[np.concatenate([start + hull for start, hull in zip(starts, hulls)])]
    return found[:, ::-1][:, : mask.ndim]


def firstorder_features(values: np.ndarray) -> dict[str, float]:
    """First-order statistics of the voxels' values (N,), N >= 1."""
    values = np.asarray(values, np.float64)
    low, p10, p25, median, p75, p90, high = np.percentile(values, (0, 10, 25, 50, 75, 90, 100))
    mean, sd = values.mean(), values.std()
    z = (values - mean) / sd if high > low else np.full_like(values, np.nan)
    shares = np.histogram(values, ENTROPY_BINS, (low, high))[0] / values.size if high > low else np.ones(1)
    shares = shares[shares > 0]
    return {
        "firstorder_mean": mean,
        "firstorder_sd": sd,
        "firstorder_minimum": low,
        "firstorder_p10": p10,
        "firstorder_median": median,
        "firstorder_p90": p90,
        "firstorder_maximum": high,
        "firstorder_interquartile_range": p75 - p25,
        "firstorder_skewness": (z**3).mean(),
        "firstorder_kurtosis": (z**4).mean() - 3,
        "firstorder_energy": (values**2).sum(),
        "firstorder_entropy": abs((shares * np.log2(shares)).sum()),
        "firstorder_uniformity": (shares**2).sum(),
    }


def enhancement_features(
    pre: np.ndarray | None, early: np.ndarray, last: np.ndarray | None
) -> dict[str, float]:
    """Enhancement and wash-out of the same voxels (N,) in the pre-contrast, the early and the last phase;
    None = there is no such phase.

    The voxels' relative enhancement is taken to the *mean* pre-contrast signal: single dark voxels would rule
    a ratio.
    """
    early = np.asarray(early, np.float64)
    found: dict[str, float] = {}
    if pre is not None and pre.mean() > 0:
        relative = (early - pre) / pre.mean()
        p10, p90 = np.percentile(relative, (10, 90))
        found = {
            "relative": relative.mean(),
            "relative_p10": p10,
            "relative_p90": p90,
            "relative_sd": relative.std(),
        }
    if last is not None and early.mean() > 0:
        last = np.asarray(last, np.float64)
        found["washout"] = 1 - last.mean() / early.mean()
        found["washout_share"] = float(np.mean(last < 0.9 * early))
        if pre is not None and last.mean() > pre.mean():
            found["ratio"] = (early.mean() - pre.mean()) / (last.mean() - pre.mean())
    return {f"enhancement_{name}": float(value) for name, value in found.items()}


def voxel_features(study: Study, roi: np.ndarray, pre: int | None, early: int) -> dict[str, float]:
    last = len(study.phases) - 1

    def values(phase: int | None) -> np.ndarray | None:
        return None if phase is None else study.phases[phase].volume.array[roi].astype(np.float64)

    before, after = None if pre == early else pre, None if last in (early, pre) else last
    return {
        **shape_features(roi, study.geometry),
        **firstorder_features(values(early)),
        **enhancement_features(values(before), values(early), values(after)),
    }
