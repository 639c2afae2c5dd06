"""Measures of outlines: area a slice, Dice overlap, distances between surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from HER2ViTLib.imaging.volume import Geometry, bounding_box


def areas_mm2(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Area of the mask (K, J, I) on each slice, mm2, as an array (K,)."""
    return np.array([np.count_nonzero(plane) for plane in mask]) * geometry.pixel_mm2


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice overlap of two boolean masks, 0 to 1; 1 when both are empty (Dice, Ecology 1945)."""
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / total if total else 1.0


@dataclass(frozen=True)
class SurfaceDistances:
    """How far two surfaces lie apart, in mm, both ways: the mean, and the 95 % Hausdorff distance (the larger
    of both ways' 95th percentiles).
    """

    mean: float
    hausdorff95: float


def surface_distances(a: np.ndarray, b: np.ndarray, geometry: Geometry) -> SurfaceDistances:
    """Distances between the surfaces of two boolean masks (K, J, I): from each one's outermost voxels to the
    nearest of the other's.

    Both empty: 0. One empty: infinite.
    """
    if not a.any() or not b.any():
        distance = 0.0 if a.any() == b.any() else float("inf")
        return SurfaceDistances(distance, distance)
    box = bounding_box(a | b)
    to_a = _distance_to_surface(np.pad(a[box], 1), geometry)
    to_b = _distance_to_surface(np.pad(b[box], 1), geometry)
    there = to_b[to_a == 0]
    back = to_a[to_b == 0]
    return SurfaceDistances(
        float(np.concatenate([there, back]).mean()),
        float(max(np.percentile(there, 95), np.percentile(back, 95))),
    )


def _distance_to_surface(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Distance (mm) of each voxel to the nearest voxel of the mask's surface; 0 on it."""
    distance = sitk.SignedMaurerDistanceMap(
        to_image(mask, geometry), squaredDistance=False, useImageSpacing=True
    )
    return np.abs(sitk.GetArrayFromImage(distance))


def distance_to(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Distance of each voxel to the nearest one of the mask, mm; 0 inside, infinite for an empty mask."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    distance = sitk.SignedMaurerDistanceMap(
        to_image(mask, geometry), insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    return np.maximum(sitk.GetArrayFromImage(distance), 0)


def to_image(array: np.ndarray, geometry: Geometry) -> sitk.Image:
    """A part of a volume as a SimpleITK image with its spacing; its place in the patient does not matter."""
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    image.SetSpacing(geometry.spacing)
    return image
