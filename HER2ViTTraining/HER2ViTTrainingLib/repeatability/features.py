"""Features of one outlined lesion that need no model: shape, intensity, enhancement.

Names begin with their group: `shape3d_`, `shape2d_`, `firstorder_`, `enhancement_`. Shape is ITK's
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
from dataclasses import dataclass

import cv2
import numpy as np
import SimpleITK as sitk

from HER2ViTLib.imaging.volume import Geometry, bounding_box
from HER2ViTLib.lesion.measures import areas_mm2
from HER2ViTLib.study.study import Study

ENTROPY_BINS = 32
_PAIRS_AT_ONCE = 512
_WASHOUT = 0.1
"""Relative fall of a voxel's signal from the early to the last phase from which on it washes out."""


@dataclass(frozen=True)
class Feature:
    """What a feature is: its unit ("signal": as stored in the image; "1": none) and its meaning."""

    unit: str
    meaning: str


FEATURES: dict[str, Feature] = {
    "shape3d_volume": Feature("mm3", "voxels of the outline x voxel volume"),
    "shape3d_surface": Feature("mm2", "surface area"),
    "shape3d_sphericity": Feature("1", "surface of the ball of equal volume / surface"),
    "shape3d_maximum_diameter": Feature("mm", "largest distance between two voxels' centres (Feret)"),
    "shape3d_elongation": Feature("1", "longest / middle principal axis"),
    "shape3d_flatness": Feature("1", "middle / shortest principal axis"),
    "shape3d_major_axis": Feature("mm", "longest diameter of the ellipsoid with the same moments and volume"),
    "shape3d_middle_axis": Feature("mm", "middle diameter of that ellipsoid"),
    "shape3d_minor_axis": Feature("mm", "shortest diameter of that ellipsoid"),
    "shape2d_area": Feature("mm2", "area on the largest slice"),
    "shape2d_perimeter": Feature("mm", "perimeter there"),
    "shape2d_roundness": Feature("1", "circumference of the circle of equal area / perimeter"),
    "shape2d_maximum_diameter": Feature("mm", "largest distance between two pixels' centres there (Feret)"),
    "shape2d_elongation": Feature("1", "longer / shorter principal axis"),
    "shape2d_major_axis": Feature("mm", "longer diameter of the ellipse with the same moments and area"),
    "shape2d_minor_axis": Feature("mm", "shorter diameter of that ellipse"),
    "firstorder_mean": Feature("signal", "mean"),
    "firstorder_sd": Feature("signal", "standard deviation (population)"),
    "firstorder_minimum": Feature("signal", "minimum"),
    "firstorder_p10": Feature("signal", "10th percentile"),
    "firstorder_median": Feature("signal", "median"),
    "firstorder_p90": Feature("signal", "90th percentile"),
    "firstorder_maximum": Feature("signal", "maximum"),
    "firstorder_interquartile_range": Feature("signal", "75th minus 25th percentile"),
    "firstorder_skewness": Feature("1", "third standardised moment"),
    "firstorder_kurtosis": Feature("1", "fourth standardised moment, minus 3"),
    "firstorder_energy": Feature("signal2", "sum of squares"),
    "firstorder_entropy": Feature(
        "bit",
        f"Shannon entropy over {ENTROPY_BINS} bins of equal width from minimum to maximum",
    ),
    "firstorder_uniformity": Feature("1", "sum of squared shares of those bins"),
    "enhancement_relative": Feature("1", "(mean early - mean pre) / mean pre"),
    "enhancement_relative_p10": Feature("1", "10th percentile over voxels of (early - pre) / mean pre"),
    "enhancement_relative_p90": Feature("1", "90th percentile of the same"),
    "enhancement_relative_sd": Feature("1", "standard deviation of the same"),
    "enhancement_washout": Feature(
        "1",
        "(mean early - mean last) / mean early; below 0 where the signal goes on rising",
    ),
    "enhancement_ratio": Feature(
        "1",
        "signal enhancement ratio, (mean early - mean pre) / (mean last - mean pre) (Hylton, J Clin Oncol"
        " 2006)",
    ),
    "enhancement_washout_share": Feature(
        "1",
        "share of voxels whose signal falls by more than 10 % from the early to the last phase",
    ),
}
"""The features that need no model, in the order of `features.csv`."""


def voxel_features(study: Study, mask: np.ndarray, pre: int | None, early: int) -> dict[str, float]:
    """All `FEATURES` of the lesion under a boolean mask (K, J, I) that is not empty, by name; those that the
    study does not allow are left out. `pre`, `early`: indices of the pre-contrast (None = there is none) and
    the early phase.
    """

    def signal(phase: int) -> np.ndarray:
        return study.phases[phase].volume.array[mask].astype(np.float64)

    last = len(study.phases) - 1
    before = None if pre is None or pre == early else signal(pre)
    after = None if last in (early, pre) else signal(last)
    return {
        **shape_features(mask, study.geometry),
        **firstorder_features(signal(early)),
        **enhancement_features(before, signal(early), after),
    }


# Shape


def shape_features(mask: np.ndarray, geometry: Geometry) -> dict[str, float]:
    """3D and 2D shape (mm, mm2, mm3) of a boolean mask (K, J, I) that is not empty; 2D is that of the largest
    slice.
    """
    largest = int(np.argmax(areas_mm2(mask, geometry)))
    solid = _shape(_with_border(mask), geometry.spacing)
    flat = _shape(_with_border(mask[largest]), geometry.spacing[:2])
    return {
        "shape3d_volume": solid.size,
        "shape3d_surface": solid.boundary,
        "shape3d_sphericity": solid.roundness,
        "shape3d_maximum_diameter": solid.maximum_diameter,
        "shape3d_elongation": solid.elongation,
        "shape3d_flatness": solid.flatness,
        "shape3d_major_axis": solid.axes[2],
        "shape3d_middle_axis": solid.axes[1],
        "shape3d_minor_axis": solid.axes[0],
        "shape2d_area": flat.size,
        "shape2d_perimeter": flat.boundary,
        "shape2d_roundness": flat.roundness,
        "shape2d_maximum_diameter": flat.maximum_diameter,
        "shape2d_elongation": flat.elongation,
        "shape2d_major_axis": flat.axes[1],
        "shape2d_minor_axis": flat.axes[0],
    }


def _with_border(mask: np.ndarray) -> np.ndarray:
    """The mask cut to its bounding box and one voxel around, so that all of its surface lies inside."""
    return np.pad(mask[bounding_box(mask)], 1)


@dataclass(frozen=True)
class _Shape:
    """Shape in three or two dimensions: size (mm3 or mm2), boundary (surface in mm2 or perimeter in mm),
    ratios, diameters (mm); `axes` are the diameters of the ellipsoid or ellipse with the same moments and
    size, shortest first.
    """

    size: float
    boundary: float
    roundness: float
    maximum_diameter: float
    elongation: float
    flatness: float
    axes: tuple[float, ...]


def _shape(mask: np.ndarray, spacing: Sequence[float]) -> _Shape:
    """Shape of a boolean mask (K, J, I) or (J, I) that is not empty; `spacing` (mm) i first."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing)
    measure = sitk.LabelShapeStatisticsImageFilter()
    measure.Execute(image)
    return _Shape(
        size=measure.GetPhysicalSize(1),
        boundary=measure.GetPerimeter(1),
        roundness=measure.GetRoundness(1),
        maximum_diameter=largest_diameter(mask, spacing),
        # ITK gives 0 for the axis ratios of an outline that is one voxel thick.
        elongation=measure.GetElongation(1) or math.nan,
        flatness=measure.GetFlatness(1) or math.nan,
        axes=measure.GetEquivalentEllipsoidDiameter(1),
    )


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


# Signal


def firstorder_features(values: np.ndarray) -> dict[str, float]:
    """First-order statistics of the voxels' values (N,), N >= 1."""
    values = np.asarray(values, np.float64)
    low, p10, p25, median, p75, p90, high = np.percentile(values, (0, 10, 25, 50, 75, 90, 100))
    mean = values.mean()
    sd = values.std()
    if high > low:
        z = (values - mean) / sd
        counts = np.histogram(values, ENTROPY_BINS, (low, high))[0]
        shares = counts[counts > 0] / values.size
    else:
        z = np.full_like(values, np.nan)
        shares = np.ones(1)
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
        found["washout_share"] = float(np.mean(last < (1 - _WASHOUT) * early))
        if pre is not None and last.mean() > pre.mean():
            found["ratio"] = (early.mean() - pre.mean()) / (last.mean() - pre.mean())
    return {f"enhancement_{name}": float(value) for name, value in found.items()}
