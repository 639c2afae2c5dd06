"""The lesion: its shape, how it enhances, and how readers outline it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .anatomy import Breast
from .fields import Waves, soft_step
from .hidden import Latents
from .protocols import Frame


@dataclass(frozen=True)
class Lesion:
    """An irregular lesion: an ellipsoid whose radius varies smoothly with direction, with fine spicules
    outside.

    `centre` is (a, s, u); `semi_axes` mm; `rotation` (3, 3). `lobes` and `spicules` are fields over
    directions, `texture` a field over mm.
    """

    centre: np.ndarray
    semi_axes: np.ndarray
    rotation: np.ndarray
    lobulation: float
    spiculation: float
    lobes: Waves
    spicules: Waves
    texture: Waves

    @property
    def radius_mm(self) -> float:
        """Radius of the sphere of the ellipsoid's volume."""
        return float(np.prod(self.semi_axes) ** (1 / 3))

    @classmethod
    def draw(cls, rng: np.random.Generator, breast: Breast) -> Lesion:
        """A lesion of about 10-50 mm anywhere in the breast that has room for it between skin and chest
        wall.
        """
        wanted = float(np.clip(11 * math.exp(0.36 * rng.standard_normal()), 5.5, 24))
        centre, clearance = _roomy_place(rng, breast, wanted)
        radius = min(wanted, clearance)
        semi_axes = radius * np.array([rng.uniform(1.0, 1.25), 1.0, rng.uniform(0.78, 1.0)])
        rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        # About 3 waves across the lesion, as far as pixels resolve them and a radiologist would call it
        # texture.
        length = float(np.clip(0.75 * radius, 6.0, 11.0))
        return cls(
            centre,
            semi_axes,
            rotation.astype(np.float32),
            rng.uniform(0.08, 0.18),
            rng.uniform(0.0, 0.35),
            Waves.draw(rng, (1.1, 3.2), 12),
            Waves.draw(rng, (0.28, 0.5), 14),
            Waves.draw(rng, (0.8 * length, 1.25 * length), 24),
        )


def _roomy_place(rng: np.random.Generator, breast: Breast, radius: float) -> tuple[np.ndarray, float]:
    """A random place in the breast that leaves room for the radius (else the roomiest of those tried), and
    the radius it has room for.
    """
    distance = np.sqrt(rng.uniform(0, 0.32, 200))
    angle = rng.uniform(0, 2 * np.pi, 200)
    ds = distance * np.sin(angle)
    du = distance * np.cos(angle)
    s = breast.nipple_s + ds * np.where(ds > 0, breast.up, breast.down)
    u = breast.nipple_u + du * breast.side
    share = rng.uniform(0.2, 0.8, 200)
    thickness = breast.thickness(s, u)
    room = np.minimum(share * thickness, (1 - share) * thickness * breast.slant(s, u)) - 4
    # Both protocols' fields of view hold it.
    room = np.minimum(room, 74 - np.abs(s))
    # The longest semi-axis and a lobe reach about 1.4 radii.
    fits = room / 1.4
    chosen = int(np.argmax(fits >= radius)) if (fits >= radius).any() else int(np.argmax(fits))
    return breast.place(s[chosen], u[chosen], share[chosen]), float(fits[chosen])


@dataclass(frozen=True)
class LesionBox:
    """The lesion on the voxels around it.

    `box` slices the (K, J, I) array; `directions` (3, ...) unit vectors from the centre; `level` 0 at the
    centre, 1 on the surface; `outside_mm` distance from the surface along the ray, negative inside;
    `spicule_mm` how far spicules reach out there; `mm` (3, ...) position from the centre; `nearest` the voxel
    (k, j, i) of the box at the centre.
    """

    box: tuple[slice, slice, slice]
    directions: np.ndarray
    level: np.ndarray
    outside_mm: np.ndarray
    spicule_mm: np.ndarray
    mm: np.ndarray
    nearest: tuple[int, int, int]
    radius_mm: float

    def outline(self, displacement_mm: np.ndarray | float = 0.0) -> np.ndarray:
        """The lesion's voxels with the surface moved outwards by so many mm; never empty: the voxel at the
        centre always belongs.
        """
        mask = self.outside_mm < displacement_mm
        mask[self.nearest] = True
        return mask


def lesion_box(lesion: Lesion, frame: Frame) -> LesionBox:
    """The lesion on the voxels within 1.9 radii of its centre."""
    shape = frame.geometry.shape
    spacing = frame.geometry.spacing[::-1]
    centre = frame.to_index(lesion.centre)
    reach = 1.9 * lesion.radius_mm / np.array(spacing) + 1
    low = np.clip(np.floor(centre - reach), 0, np.array(shape) - 1).astype(int)
    high = np.clip(np.ceil(centre + reach) + 1, 1, shape).astype(int)
    slices, rows, columns = (slice(lo, hi) for lo, hi in zip(low, high))
    box = (slices, rows, columns)
    axes = (frame.a, frame.s, frame.u)
    offsets = [_cut(axis, box) - np.float32(middle) for axis, middle in zip(axes, lesion.centre)]
    mm = np.stack(np.broadcast_arrays(*offsets))
    distance = np.maximum(np.sqrt((mm**2).sum(axis=0)), np.float32(1e-3))
    directions = mm / distance
    scaled = np.tensordot((lesion.rotation / lesion.semi_axes[:, None]).astype(np.float32), mm, axes=1)
    level = np.sqrt((scaled**2).sum(axis=0))
    surface = np.clip(1 + np.float32(lesion.lobulation) * lesion.lobes(directions), 0.6, 1.45)
    radial = surface * distance / np.maximum(level, np.float32(1e-6))
    spicule = (
        np.float32(lesion.spiculation) * radial * np.maximum(lesion.spicules(directions) - np.float32(1.0), 0)
    )
    k, j, i = (int(round(c) - lo) for c, lo in zip(centre, low))
    return LesionBox(
        box=box,
        directions=directions,
        level=level / surface,
        outside_mm=distance - radial,
        spicule_mm=spicule,
        mm=mm,
        nearest=(k, j, i),
        radius_mm=lesion.radius_mm,
    )


def _cut(axis: np.ndarray, box: Sequence[slice]) -> np.ndarray:
    """The part of a broadcasting coordinate array that lies in the box."""
    return axis[tuple(part if n > 1 else slice(None) for part, n in zip(box, axis.shape))]


def enhancement_map(lesion: Lesion, box: LesionBox, latents: Latents) -> np.ndarray:
    """What the lesion's enhancement is multiplied with, voxel by voxel; its mean over the lesion is 1 on
    every slice.

    Texture and rim are normalised slice by slice, so that the slice a reader picks shows the latents and
    nothing but the latents.
    """
    weight = box.outline() * soft_step(-box.outside_mm, 1.5)
    rim = np.tanh((box.level - np.float32(0.65)) / np.float32(0.16))
    # Squashed: no blob stands out of the texture alone.
    texture = np.tanh(lesion.texture(box.mm))
    exponent = latents.texture_amplitude * _standardised(
        texture, weight
    ) + latents.rim_amplitude * _standardised(rim, weight)
    enhancement = np.exp(exponent)
    return enhancement / _slice_means(enhancement, weight)


def _slice_means(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean of each slice (K, 1, 1); of the whole where the slice has no weight."""
    total = weight.sum(axis=(1, 2), keepdims=True)
    sums = (values * weight).sum(axis=(1, 2), keepdims=True)
    return np.where(total > 0.5, sums / np.maximum(total, 1e-6), sums.sum() / total.sum()).astype(np.float32)


def _standardised(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Zero mean on every slice; unit variance on slices large enough to have one, else over the whole
    lesion.
    """
    centred = values - _slice_means(values, weight)
    variance = _slice_means(centred**2, weight)
    overall = (centred**2 * weight).sum() / weight.sum()
    large = weight.sum(axis=(1, 2), keepdims=True) > 0.4 * weight.sum(axis=(1, 2)).max()
    return centred / np.sqrt(np.where(large, variance, overall) + np.float32(1e-6))


def reader_outlines(rng: np.random.Generator, box: LesionBox) -> dict[str, np.ndarray]:
    """Outlines of the box as readers draw them: `roi_a1` and `roi_a2` by one reader on two days, `roi_b1` by
    another; spicules are left out.

    Each reader has a bias and habits of their own; every read adds its own error. Displacements are smooth
    over the surface, and grow with the lesion as the error of a hand-drawn outline does.
    """

    def error(bias: float, spread: float) -> np.ndarray:
        offset = np.float32(rng.normal(bias, spread / 2))
        return offset + np.float32(spread) * Waves.draw(rng, (0.9, 2.0), 8)(box.directions)

    radius = box.radius_mm
    reader_a = error(0.0, 0.05 * radius)
    reader_b = error(0.03 * radius, 0.08 * radius)
    outlines: dict[str, np.ndarray] = {}
    for name, habit in (("roi_a1", reader_a), ("roi_a2", reader_a), ("roi_b1", reader_b)):
        displacement = habit + error(0.0, 0.035 * radius)
        outlines[name] = box.outline(np.clip(displacement, -0.35 * radius, 0.4 * radius))
    return outlines
