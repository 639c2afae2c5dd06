"""A semi-automatic outline of a lesion from a seed point.

The outline is an iso-contour of the enhancement. Tried at a ladder of levels, each contour is freed of what
hangs on it by a thin stalk (vessels, skin, strands of parenchyma) and its holes are filled; the level kept is
the one at which the contour lies on the sharpest edge, and midway between what it encloses and what surrounds
it, where a blurred edge truly is. A level so low that the contour leaks into other tissue lies on no edge at
all. The inner texture of a lesion has edges too: of edges about as sharp, the outer one is the lesion's.
Nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from HER2ViTLib.imaging.volume import Geometry, Volume, bounding_box, ras_to_lps
from HER2ViTLib.messages import InputError

from .measures import distance_to, to_image

REACH_MM = 60.0
"""How far from the seed a lesion is looked for: 50 mm lesions (T3 begins there) are found from a seed at
their edge.
"""
SEED_NEIGHBOURHOOD_MM = 8.0
"""The enhancement's peak is sought this far around the seed, so that a seed in a dark core finds the rim of a
core up to 16 mm across.
"""
PEAK_PERCENTILE = 95.0
MIN_PEAK = 3.0
"""Enhancement below this many times its own spread over the surroundings is noise."""
LEVELS = tuple(np.geomspace(0.9, 0.12, 26))
"""Contour levels as fractions of the peak above the resting signal, highest first. The lowest reach the
enhancement of parenchyma.
"""
SMOOTHING_STEP = 0.0625
SMOOTHING_ITERATIONS = 5
"""Curvature flow; the step is the largest that is stable in three dimensions for voxels of a millimetre."""
STALK_MM = 1.2
"""What is thinner than twice this is cut off: vessels in the breast are up to 3 mm wide."""
GAP_MM = 2.0
"""Gaps in a rim, and clefts narrower than twice this, are closed."""
MAX_CORE_MM2 = 700.0
"""Holes up to this area are filled (a dark core 30 mm across); larger ones are spaces between other
structures, such as skin and chest wall.
"""
NEARBY_MM = 8.0
"""The outline holds the seed or comes as near to it as this: the seed may sit in a dark core, or beside a
small lesion.
"""
SURROUNDINGS_MM = (1.0, 6.0)
"""The shell around the outline where the surrounding tissue is measured; the first millimetre is blurred with
the lesion.
"""
MIN_SURROUNDINGS = 0.05
"""Surroundings count as at least this share of the inside, so that their logarithm exists."""
MIDWAY_WEIGHT = 2.0
SIZE_WEIGHT = 0.15
"""How much a level off the middle, and a small volume, weigh against sharpness: chosen on simulated lesions
(see the tests), where the result hardly changes between 1.5 and 3, and between 0.1 and 0.2.
"""


def outline(
    early: Volume,
    pre: Volume | None,
    seed_lps: Sequence[float],
    box_lps: tuple[Sequence[float], Sequence[float]] | None = None,
    breathe: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Outline of the lesion at a seed point, as a boolean array (K, J, I): one component without holes,
    inside the box if one is given.

    `early` is the early enhanced phase and `pre` the phase before contrast on the same geometry, None when
    there is none: then the early phase itself takes the place of the subtraction. `seed_lps` is a point (x,
    y, z) in or beside the lesion, `box_lps` two opposite corners, LPS, mm. `breathe` is called after each
    candidate, every tenth of a second or so: a window stays alive by it. Raises `InputError` when the seed
    lies outside the image or the box, or nothing there stands out from its surroundings.
    """
    geometry = early.geometry
    seed = _seed_index(geometry, seed_lps, box_lps)
    window = _window(geometry, seed)
    enhancement = early.array[window].astype(np.float32)
    if pre is not None:
        enhancement -= pre.array[window]
    allowed = _inside_box(geometry, window, box_lps)
    contours = _contours(enhancement, geometry, seed - [part.start for part in window], allowed)
    best = max(_breathing(contours, breathe), key=_plausibility, default=None)
    if best is None:
        raise InputError(
            f"seed point {_as_ras(seed_lps)}: nothing enhances there; place it in the lesion, or check which"
            " phase is early"
        )
    mask = np.zeros(geometry.shape, bool)
    mask[window] = best.mask
    return mask


def _breathing(contours: Iterator[_Contour], breathe: Callable[[], None]) -> Iterator[_Contour]:
    for contour in contours:
        breathe()
        yield contour


@dataclass(frozen=True)
class _Contour:
    """A candidate: its level above rest, what it encloses, the relative slope at its edge (1/mm), the median
    level in and around it.
    """

    level: float
    mask: np.ndarray
    volume_mm3: float
    sharpness: float
    inside: float
    outside: float


def _plausibility(contour: _Contour) -> float:
    """High for a sharp edge at the logarithmic mean of inside and outside, a little higher for a larger
    volume.
    """
    low = max(contour.outside, MIN_SURROUNDINGS * contour.inside)
    high = max(contour.inside, 1.01 * low)
    middle = (high - low) / np.log(high / low)
    off_middle = abs(np.log(contour.level / middle))
    return contour.sharpness * np.exp(-MIDWAY_WEIGHT * off_middle) * contour.volume_mm3**SIZE_WEIGHT


def _contours(
    enhancement: np.ndarray, geometry: Geometry, seed: np.ndarray, allowed: np.ndarray
) -> Iterator[_Contour]:
    """Candidates from the highest level down, until one leaves the reach. None where nothing rises above the
    noise.
    """
    flow = sitk.CurvatureFlow(to_image(enhancement, geometry), SMOOTHING_STEP, SMOOTHING_ITERATIONS)
    slope = sitk.GetArrayFromImage(sitk.GradientMagnitude(flow))
    smooth = sitk.GetArrayFromImage(flow)
    smooth -= np.median(smooth)
    distance = _distance_from_seed(seed, smooth.shape, geometry)
    near = allowed & (distance <= SEED_NEIGHBOURHOOD_MM)
    peak = float(np.percentile(smooth[near], PEAK_PERCENTILE))
    if peak <= MIN_PEAK * 1.4826 * np.median(np.abs(smooth)):
        return
    far = distance > REACH_MM - 2 * max(geometry.spacing)
    for level in np.multiply(LEVELS, peak):
        mask = _region(smooth >= level, geometry, seed, allowed)
        if mask is None:
            continue
        if (mask & far).any():
            return
        yield _measured(float(level), mask, smooth, slope, geometry)


def _measured(
    level: float, mask: np.ndarray, smooth: np.ndarray, slope: np.ndarray, geometry: Geometry
) -> _Contour:
    """The candidate with its edge, inside and surroundings measured."""
    box = _grown(bounding_box(mask), SURROUNDINGS_MM[1], geometry)
    inside = mask[box]
    level_map = smooth[box]
    beyond = distance_to(inside, geometry)
    shell = (beyond > SURROUNDINGS_MM[0]) & (beyond <= SURROUNDINGS_MM[1])
    edge = inside & (distance_to(~inside, geometry) <= 1.01 * min(geometry.spacing))
    return _Contour(
        level,
        mask,
        float(np.count_nonzero(inside) * geometry.voxel_mm3),
        float(slope[box][edge].mean()) / level,
        float(np.median(level_map[inside])),
        float(np.median(level_map[shell])) if shell.any() else 0.0,
    )


def _region(
    bright: np.ndarray, geometry: Geometry, seed: np.ndarray, allowed: np.ndarray
) -> np.ndarray | None:
    """The bright part at the seed, freed of thin stalks, gaps closed and holes filled; None when there is
    none near the seed.
    """
    whole = _nearest_component(bright & allowed, geometry, seed)
    if whole is None:
        return None
    box = _grown(bounding_box(whole), 2 * GAP_MM, geometry)
    part = _filled(whole[box], geometry)
    at = seed - [cut.start for cut in box]
    half = min(geometry.spacing) / 2
    core = _nearest_component(distance_to(~part, geometry) > STALK_MM + half, geometry, at)
    if core is not None:
        part &= distance_to(core, geometry) <= STALK_MM + 3 * half
    part |= distance_to(distance_to(part, geometry) > GAP_MM, geometry) > GAP_MM
    found = _nearest_component(_filled(part, geometry) & allowed[box], geometry, at)
    if found is None:
        return None
    mask = np.zeros(bright.shape, bool)
    mask[box] = found
    return mask


def _filled(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The mask with its holes filled slice by slice, up to `MAX_CORE_MM2` each."""
    k, j, i = mask.shape
    # All slices one below the other, a frame around each: one 2D labelling does for all.
    background = np.pad(~mask, ((0, 0), (1, 1), (1, 1)), constant_values=True).reshape(-1, i + 2)
    labels = sitk.GetArrayFromImage(
        sitk.ConnectedComponent(sitk.GetImageFromArray(background.astype(np.uint8)))
    )
    small = np.bincount(labels.ravel()) <= MAX_CORE_MM2 / geometry.pixel_mm2
    return small[labels].reshape(k, j + 2, i + 2)[:, 1:-1, 1:-1] & ~mask | mask


def _nearest_component(mask: np.ndarray, geometry: Geometry, seed: np.ndarray) -> np.ndarray | None:
    """The component that holds the seed or is nearest to it, within `NEARBY_MM`; None when there is none."""
    voxels = np.argwhere(mask)
    if not len(voxels):
        return None
    squared = (((voxels - seed) * geometry.spacing[::-1]) ** 2).sum(axis=1)
    nearest = int(squared.argmin())
    if squared[nearest] > NEARBY_MM**2:
        return None
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(to_image(mask, geometry)))
    return labels == labels[tuple(voxels[nearest])]


def _distance_from_seed(seed: np.ndarray, shape: Sequence[int], geometry: Geometry) -> np.ndarray:
    """Distance of each voxel from the seed, mm."""
    k, j, i = (
        ((np.arange(n) - at) * spacing) ** 2 for n, at, spacing in zip(shape, seed, geometry.spacing[::-1])
    )
    return np.sqrt(k[:, None, None] + j[:, None] + i)


def _window(geometry: Geometry, seed: np.ndarray) -> tuple[slice, ...]:
    """The part of the image within `REACH_MM` of the seed."""
    reach = np.ceil(REACH_MM / np.array(geometry.spacing[::-1])).astype(int)
    return tuple(slice(max(0, at - r), min(n, at + r + 1)) for at, r, n in zip(seed, reach, geometry.shape))


def _grown(box: Sequence[slice], margin_mm: float, geometry: Geometry) -> tuple[slice, ...]:
    """The box grown by a margin on all sides; slicing clips it at the far end."""
    margin = (int(np.ceil(margin_mm / spacing)) + 1 for spacing in geometry.spacing[::-1])
    return tuple(slice(max(0, part.start - m), part.stop + m) for part, m in zip(box, margin))


def _inside_box(
    geometry: Geometry, window: Sequence[slice], box_lps: tuple[Sequence[float], Sequence[float]] | None
) -> np.ndarray:
    """Which voxels of the window lie in the box; all without one."""
    inside = np.ones([part.stop - part.start for part in window], bool)
    if box_lps is None:
        return inside
    low, high = np.sort(np.asarray(box_lps, float), axis=0)
    k, j, i = np.ogrid[tuple(window)]
    for (to_i, to_j, to_k, offset), least, most in zip(geometry.index_to_lps[:3], low, high):
        coordinate = to_i * i + to_j * j + to_k * k + offset
        inside &= (least <= coordinate) & (coordinate <= most)
    return inside


def _seed_index(
    geometry: Geometry, seed_lps: Sequence[float], box_lps: tuple[Sequence[float], Sequence[float]] | None
) -> np.ndarray:
    """The voxel (k, j, i) of the seed. Raises `InputError` when it lies outside the image or the box."""
    index = np.rint(geometry.to_index(seed_lps)).astype(int)[::-1]
    if not all(0 <= at < n for at, n in zip(index, geometry.shape)):
        raise InputError(f"seed point {_as_ras(seed_lps)}: lies outside the image; place it in the lesion")
    if box_lps is not None:
        low, high = np.sort(np.asarray(box_lps, float), axis=0)
        if not np.all((low <= seed_lps) & (np.asarray(seed_lps) <= high)):
            raise InputError(
                f"seed point {_as_ras(seed_lps)}: lies outside the box; place it in the lesion, inside"
                " the box"
            )
    return index


def _as_ras(lps: Sequence[float]) -> str:
    """A point as 3D Slicer shows it."""
    return "({:.1f}, {:.1f}, {:.1f}) in R, A, S".format(*ras_to_lps(lps))
