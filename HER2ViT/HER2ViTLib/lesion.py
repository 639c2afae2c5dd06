"""Lesions: a semi-automatic outline from a seed point; areas, overlap and surface distances; segmentations that 3D Slicer opens.

The outline is an iso-contour of the enhancement. Tried at a ladder of levels, each contour is freed of what hangs on it by a thin stalk (vessels,
skin, strands of parenchyma) and its holes are filled; the level kept is the one at which the contour lies on the sharpest edge, and midway
between what it encloses and what surrounds it, where a blurred edge truly is. A level so low that the contour leaks into other tissue lies on no
edge at all; one so high that it follows the lesion's inner texture lies on soft edges only. Nothing is drawn at random.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
import SimpleITK as sitk

from .messages import InputError
from .volume import Geometry, Volume, ras_to_lps, write_volume

Slices = tuple[slice, slice, slice]

REACH_MM = 60.0
"""How far from the seed a lesion is looked for: 50 mm lesions (T3 begins there) are found from a seed at their edge."""
SEED_NEIGHBOURHOOD_MM = 8.0
"""The enhancement's peak is sought this far around the seed, so that a seed in a dark core finds the rim of a core up to 16 mm across."""
PEAK_PERCENTILE = 95.0
LEVELS = tuple(np.geomspace(0.9, 0.12, 26))
"""Contour levels as fractions of the peak above the resting signal, highest first. The lowest reach the enhancement of parenchyma."""
SMOOTHING_ITERATIONS, SMOOTHING_STEP = 5, 0.0625
"""Curvature flow; the step is the largest that is stable in three dimensions for voxels of a millimetre."""
STALK_MM = 1.2
"""What is thinner than twice this is cut off: vessels in the breast are up to 3 mm wide."""
GAP_MM = 2.0
"""Gaps in a rim, and clefts narrower than twice this, are closed."""
LARGEST_CORE_MM2 = 700.0
"""Holes up to this area are filled (a dark core 30 mm across); larger ones are spaces between other structures, such as skin and chest wall."""
NEARBY_MM = 8.0
"""The outline holds the seed or comes as near to it as this: the seed may sit in a dark core, or beside a small lesion."""
SURROUNDINGS_MM = (1.0, 6.0)
"""The shell around the outline where the surrounding tissue is measured; the first millimetre is blurred with the lesion."""


# Outlining


def outline(early: Volume, pre: Volume | None, seed_lps: Sequence[float], box_lps: tuple[Sequence[float], Sequence[float]] | None = None) -> np.ndarray:
    """Outline of the lesion at a seed point, as a boolean array (K, J, I): one component without holes, inside the box if one is given.

    `early` is the early enhanced phase and `pre` the phase before contrast on the same geometry, None when there is none: then the early
    phase itself takes the place of the subtraction. `seed_lps` is a point (x, y, z) in or beside the lesion, `box_lps` two opposite corners,
    LPS, mm. Raises `InputError` when the seed lies outside the image or the box, or nothing there stands out from its surroundings.
    """
    geometry = early.geometry
    seed = _seed_index(geometry, seed_lps, box_lps)
    window = _window(geometry, seed)
    enhancement = early.array[window].astype(np.float32)
    if pre is not None:
        enhancement -= pre.array[window]
    allowed = _inside_box(geometry, window, box_lps)
    contours = _contours(enhancement, geometry, seed - [part.start for part in window], allowed)
    best = max(contours, key=_plausibility, default=None)
    if best is None:
        raise InputError(f"seed point {_as_ras(seed_lps)}: nothing enhances there; place it in the lesion, or check which phase is early")
    mask = np.zeros(geometry.shape, bool)
    mask[window] = best.mask
    return mask


@dataclass(frozen=True)
class _Contour:
    """A candidate: its level above rest, what it encloses, the relative slope at its edge (1/mm), the median level in and around it."""

    level: float
    mask: np.ndarray
    sharpness: float
    inside: float
    outside: float


def _plausibility(contour: _Contour) -> float:
    low, high = max(contour.outside, 0.05 * contour.inside), contour.inside
    middle = (high - low) / np.log(high / low)
    return contour.sharpness * np.exp(-MIDWAY_WEIGHT * abs(np.log(contour.level / middle)))


MIDWAY_WEIGHT = 2.0


def _contours(enhancement: np.ndarray, geometry: Geometry, seed: np.ndarray, allowed: np.ndarray) -> Iterator[_Contour]:
    """Candidates from the highest level down, until one leaves the window."""
    flow = sitk.CurvatureFlow(_image(enhancement, geometry), SMOOTHING_STEP, SMOOTHING_ITERATIONS)
    smooth = sitk.GetArrayFromImage(flow)
    slope = sitk.GetArrayFromImage(sitk.GradientMagnitude(flow))
    smooth -= np.median(smooth)
    peak = np.percentile(smooth[allowed & (_distance_mm(seed, smooth.shape, geometry) <= SEED_NEIGHBOURHOOD_MM)], PEAK_PERCENTILE)
    far = _distance_mm(seed, smooth.shape, geometry) > REACH_MM - 2 * max(geometry.spacing)
    for level in np.multiply(LEVELS, peak):
        mask = _region(smooth >= level, geometry, seed, allowed)
        if mask is None:
            continue
        if (mask & far).any():
            return
        yield _measure(level, mask, smooth, slope, geometry)


def _measure(level, mask, smooth, slope, geometry):
    box = _around(_bounding_box(mask), SURROUNDINGS_MM[1], geometry)
    m, v, g = mask[box], smooth[box], slope[box]
    d = _distance_to(m, geometry)
    shell = (d > SURROUNDINGS_MM[0]) & (d <= SURROUNDINGS_MM[1])
    depth = _distance_to(~m, geometry)
    global EXTRA
    EXTRA = (_area(m, geometry), depth.max(), np.mean(g[m&(depth<=min(geometry.spacing)*1.01)]), np.percentile(v[m],25),np.percentile(v[shell],75) if shell.any() else 0, np.median(g[m]))
    edge = m & (_distance_to(~m, geometry) <= min(geometry.spacing)*1.01)
    return _Contour(level, mask, float(g[edge].mean()) / level, float(np.median(v[m])), float(np.median(v[shell])) if shell.any() else 0.0)


def _around(box, mm, geometry):
    margin = [int(np.ceil(mm / s)) + 1 for s in geometry.spacing[::-1]]
    return tuple(slice(max(0, p.start - m), p.stop + m) for p, m in zip(box, margin))


def _region(bright: np.ndarray, geometry: Geometry, seed: np.ndarray, allowed: np.ndarray) -> Optional[np.ndarray]:
    bright = _nearest_component(bright & allowed, geometry, seed)
    if bright is None:
        return None
    box = _around(_bounding_box(bright), 2 * GAP_MM, geometry)
    part = _fill(bright[box], geometry)
    at = seed - [p.start for p in box]
    half = min(geometry.spacing) / 2
    core = _nearest_component(_distance_to(~part, geometry) > STALK_MM + half, geometry, at)
    if core is not None:
        part &= _distance_to(core, geometry) <= STALK_MM + 3 * half
    part |= _distance_to(_distance_to(part, geometry) > GAP_MM, geometry) > GAP_MM
    part = _nearest_component(_fill(part, geometry) & allowed[box], geometry, at)
    if part is None:
        return None
    mask = np.zeros(bright.shape, bool)
    mask[box] = part
    return mask


def _area(m, geometry):
    m = np.pad(m, 1)
    a = np.array(geometry.spacing[::-1]); v = a.prod()
    return sum(np.count_nonzero(np.diff(m, axis=n)) * v / a[n] for n in range(3))


def _distance_to(mask, geometry):
    """Distance of each voxel to the nearest one of the mask, mm; 0 inside."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    d = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(_image(mask, geometry), False, False, True))
    return np.maximum(d, 0)


def _fill(mask, geometry):
    """Fills slice-wise, all slices side by side."""
    k, j, i = mask.shape
    outside = np.pad(~mask, ((0, 0), (1, 1), (1, 1)), constant_values=True).reshape(-1, i + 2)
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(outside.astype(np.uint8))))
    small = np.bincount(labels.ravel()) <= LARGEST_CORE_MM2 / geometry.pixel_mm2
    return small[labels].reshape(k, j + 2, i + 2)[:, 1:-1, 1:-1] & ~mask | mask


def _nearest_component(mask, geometry, seed):
    """The component that holds the seed or is nearest to it, within `NEARBY_MM`; None when there is none."""
    if not mask.any(): return None
    voxels = np.argwhere(mask)
    d = (((voxels - seed) * geometry.spacing[::-1]) ** 2).sum(axis=1)
    n = int(d.argmin())
    if d[n] > NEARBY_MM**2: return None
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(_image(mask, geometry)))
    return labels == labels[tuple(voxels[n])]


def _distance_mm(seed: np.ndarray, shape: Sequence[int], geometry: Geometry) -> np.ndarray:
    """Distance of each voxel from the seed, mm."""
    axes = [((np.arange(n) - c) * s) ** 2 for n, c, s in zip(shape, seed, geometry.spacing[::-1])]
    return np.sqrt(axes[0][:, None, None] + axes[1][:, None] + axes[2])


def _inside_box(geometry, window, box_lps):
    shape = tuple(p.stop - p.start for p in window)
    if box_lps is None: return np.ones(shape, bool)
    low, high = np.sort(np.asarray(box_lps, float), axis=0)
    k, j, i = np.ogrid[window]
    m = geometry.index_to_lps
    inside = np.ones(shape, bool)
    for axis in range(3):
        c = m[axis, 0] * i + m[axis, 1] * j + m[axis, 2] * k + m[axis, 3]
        inside &= (low[axis] <= c) & (c <= high[axis])
    return inside


def _as_ras(lps: Sequence[float]) -> str:
    """A point as 3D Slicer shows it."""
    return "({:.1f}, {:.1f}, {:.1f}) in R, A, S".format(*ras_to_lps(lps))


def _seed_index(geometry: Geometry, seed_lps: Sequence[float], box_lps: tuple[Sequence[float], Sequence[float]] | None) -> np.ndarray:
    """The voxel (k, j, i) of the seed. Raises `InputError` when it lies outside the image or the box."""
    index = np.rint(geometry.to_index(seed_lps)).astype(int)[::-1]
    if not all(0 <= n < size for n, size in zip(index, geometry.shape)):
        raise InputError(f"seed point {_as_ras(seed_lps)}: lies outside the image; place it in the lesion")
    if box_lps is not None:
        low, high = np.sort(np.asarray(box_lps, float), axis=0)
        if not np.all((low <= seed_lps) & (seed_lps <= high)):
            raise InputError(f"seed point {_as_ras(seed_lps)}: lies outside the box; place it in the lesion, inside the box")
    return index


def _window(geometry: Geometry, seed: np.ndarray) -> Slices:
    """The part of the image within `REACH_MM` of the seed."""
    reach = np.ceil(REACH_MM / np.array(geometry.spacing[::-1])).astype(int)
    return tuple(slice(max(0, c - r), min(n, c + r + 1)) for c, r, n in zip(seed, reach, geometry.shape))


def areas_mm2(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Area of the mask on each slice, mm2, as an array (K,)."""
    return np.array([np.count_nonzero(plane) for plane in mask]) * geometry.pixel_mm2


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice overlap of two boolean masks, 0 to 1; 1 when both are empty."""
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / total if total else 1.0


@dataclass(frozen=True)
class SurfaceDistances:
    """How far two surfaces lie apart, in mm, both ways: the mean, and the 95 % Hausdorff distance (the larger of both ways' 95th percentiles)."""

    mean: float
    hausdorff95: float


def surface_distances(a: np.ndarray, b: np.ndarray, geometry: Geometry) -> SurfaceDistances:
    """Distances between the surfaces of two boolean masks (K, J, I): from each one's outermost voxels to the nearest of the other's.

    Both empty: 0. One empty: infinite.
    """
    if not a.any() or not b.any():
        distance = 0.0 if a.any() == b.any() else float("inf")
        return SurfaceDistances(distance, distance)
    box = _bounding_box(a | b)
    to_a, to_b = (_distance_to_surface(np.pad(mask[box], 1), geometry) for mask in (a, b))
    there, back = to_b[to_a == 0], to_a[to_b == 0]
    return SurfaceDistances(float(np.concatenate([there, back]).mean()), float(max(np.percentile(there, 95), np.percentile(back, 95))))


def _distance_to_surface(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Distance (mm) of each voxel to the nearest voxel of the mask's surface."""
    image = _image(mask, geometry)
    return np.abs(sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)))


def _image(array: np.ndarray, geometry: Geometry) -> sitk.Image:
    """A part of a volume as a SimpleITK image with its spacing; where it lies in the patient does not matter."""
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    image.SetSpacing(geometry.spacing)
    return image


def _bounding_box(mask: np.ndarray) -> Slices:
    """The smallest part (K, J, I) that holds all of the mask."""
    return tuple(
        slice(int(hit[0]), int(hit[-1]) + 1) for hit in (np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3))
    )
