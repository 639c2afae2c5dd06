"""Breast DCE-MRI phantoms: one breast with skin, fat, fibroglandular tissue, vessels, chest wall and a lesion, as two protocols see it.

Anatomy is described in mm in a frame of three coordinates: `a` anterior of the chest wall, `s` superior, `u` lateral (away from the
sternum, on either side). Skin and chest wall are height fields a(s, u), so every tissue is a comparison of depths.

Sources: Tofts et al., J Magn Reson Imaging 1999;10:223 (uptake); Parker et al., Magn Reson Med 2006;56:993 (arterial input);
Rakow-Penner et al., J Magn Reson Imaging 2006;23:87 and Stanisz et al., Magn Reson Med 2005;54:507 (T1); Rohrer et al., Invest Radiol
2005;40:715 (relaxivity); Burgess et al., Med Phys 2001;28:419 (power-law texture of the breast); Gudbjartsson & Patz, Magn Reson Med
1995;34:910 (Rician noise).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import cv2
import numpy as np

from HER2ViTLib.imaging.volume import Geometry
from HER2ViTLib.messages import InputError

HAEMATOCRIT = 0.42
R1_PER_MM_S = {1.5: 4.1, 3.0: 3.7}
TISSUES = ("fat", "gland", "muscle", "skin", "lung", "organ", "blood", "lesion")
"""Order of the rows wherever something is given per tissue; `organ` is the heart on the left, the liver on the right."""
T1_MS = {
    1.5: {"fat": 296, "gland": 1266, "muscle": 1008, "skin": 900, "lung": 1200, "organ": 1030, "blood": 1441, "lesion": 1250},
    3.0: {"fat": 367, "gland": 1445, "muscle": 1412, "skin": 1100, "lung": 1400, "organ": 1471, "blood": 1932, "lesion": 1430},
}
PROTON_DENSITY = {"fat": 0.95, "gland": 0.95, "muscle": 0.75, "skin": 0.65, "lung": 0.15, "organ": 0.8, "blood": 0.85, "lesion": 0.92}

TEXTURE_SPACING_MM = 1.7
SKIN_MM = 2.0
CHEST_WALL_MM = 24.0
RIB_PERIOD_MM = 27.0
FIELD_CENTRE_U_MM = 78.0
"""Distance of the field's centre from the midline; u is 0 there."""

_TOWARDS_LPS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


# Protocols


@dataclass(frozen=True)
class Protocol:
    """How one centre images the breast.

    `shape` (K, J, I); `spacing` (i, j, k) mm; `axes` the patient direction in which i, j and k grow, as letters ("PIR": i to posterior).
    `centre_a_mm` is the field's centre anterior of the chest wall. Times in s after the start of contrast are those of a phase's middle.
    `fat_left` is the share of the fat signal that fat suppression leaves, `snr` the pre-contrast signal of fibroglandular tissue over the
    noise, `coil_fall_mm` the distance over which the coil's sensitivity falls by a factor e towards the back.
    """

    name: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    axes: str
    centre_a_mm: float
    tesla: float
    tr_ms: float
    flip_deg: float
    post_times_s: tuple[float, ...]
    phase_s: float
    fat_left: float
    snr: float
    signal: float
    coil_fall_mm: float
    coil_tilt: float

    @property
    def times_s(self) -> tuple[float, ...]:
        """Middle of each phase, seconds after the start of contrast; the first is before."""
        return (-self.phase_s, *self.post_times_s)

    @property
    def early_phase(self) -> int:
        """The phase nearest to 90 s after the start of contrast."""
        return int(np.argmin(np.abs(np.asarray(self.times_s) - 90)))

    def scaled(self, factor: float) -> Protocol:
        """The same field of view with a coarser matrix: `factor` times as many pixels in plane, its square root through plane.

        Slices are thick already; thinning them out as much as the pixels would leave small lesions on one or two of them.
        Raises `InputError` for a factor that is not between 0.2 and 1.
        """
        if not 0.2 <= factor <= 1:
            raise InputError(f"scale {factor}: must lie between 0.2 and 1")
        factors = (math.sqrt(factor), factor, factor)
        shape = tuple(round(n * f) for n, f in zip(self.shape, factors))
        spacing = tuple(s * n / m for s, n, m in zip(self.spacing, reversed(self.shape), reversed(shape)))
        return replace(self, shape=shape, spacing=spacing)


PROTOCOLS = {
    "A": Protocol(
        name="A",
        shape=(50, 256, 256),
        spacing=(0.859, 0.859, 3.0),
        axes="PIR",
        centre_a_mm=5.0,
        tesla=1.5,
        tr_ms=6.2,
        flip_deg=10.0,
        post_times_s=(90.0, 165.0, 240.0),
        phase_s=70.0,
        fat_left=0.35,
        snr=20.0,
        signal=480.0,
        coil_fall_mm=130.0,
        coil_tilt=0.10,
    ),
    "B": Protocol(
        name="B",
        shape=(96, 208, 208),
        spacing=(0.8, 0.8, 1.6),
        axes="LPS",
        centre_a_mm=32.0,
        tesla=3.0,
        tr_ms=4.6,
        flip_deg=11.0,
        post_times_s=(100.0, 165.0, 230.0),
        phase_s=60.0,
        fat_left=0.22,
        snr=15.0,
        signal=300.0,
        coil_fall_mm=100.0,
        coil_tilt=0.25,
    ),
}
"""A: sagittal, 1.5 T, thick slices. B: axial, 3 T, thin slices, noisier, with a less even coil."""


@dataclass(frozen=True)
class Frame:
    """The voxels of a protocol for one patient: their geometry, and a, s, u (mm) as arrays that broadcast to (K, J, I).

    `side` is 1 on the patient's left, -1 on the right.
    """

    geometry: Geometry
    a: np.ndarray
    s: np.ndarray
    u: np.ndarray
    side: int

    def to_index(self, points: np.ndarray) -> np.ndarray:
        """Continuous indices (..., 3) in the order (k, j, i) of points (..., 3) given as (a, s, u), mm."""
        return self.geometry.to_index(self.to_lps(points))[..., ::-1]

    def to_lps(self, points: np.ndarray) -> np.ndarray:
        """Points in LPS, mm, of points (..., 3) given as (a, s, u), mm."""
        a, s, u = np.moveaxis(np.asarray(points, float), -1, 0)
        return np.stack([self.side * (u + FIELD_CENTRE_U_MM), -a, s], axis=-1)


def frame_of(protocol: Protocol, left: bool, zoom: float) -> Frame:
    """The protocol's voxels on the patient's left or right side; `zoom` scales the pixels in plane, as operators fit the field to the patient."""
    side = 1 if left else -1
    spacing = (protocol.spacing[0] * zoom, protocol.spacing[1] * zoom, protocol.spacing[2])
    spacing = tuple(round(value, 4) for value in spacing)
    columns = np.array([_TOWARDS_LPS[letter] for letter in protocol.axes], float).T
    centre = np.array([side * FIELD_CENTRE_U_MM, -protocol.centre_a_mm, 0.0])
    half = (np.array(protocol.shape[::-1]) - 1) / 2 * spacing
    origin = centre - columns @ half
    geometry = Geometry(protocol.shape, spacing, tuple(map(float, origin)), tuple(map(float, columns.ravel())))
    lps = []
    for row in range(3):
        index_axis = int(np.flatnonzero(columns[row])[0])
        values = origin[row] + columns[row, index_axis] * spacing[index_axis] * np.arange(protocol.shape[2 - index_axis])
        shape = [1, 1, 1]
        shape[2 - index_axis] = -1
        lps.append(values.reshape(shape).astype(np.float32))
    return Frame(geometry, -lps[1], lps[2], side * lps[0] - np.float32(FIELD_CENTRE_U_MM), side)


# Smooth random fields


@dataclass(frozen=True)
class Waves:
    """A smooth random field of zero mean and unit variance, defined everywhere: a sum of plane waves of random directions and phases."""

    vectors: np.ndarray
    phases: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, lengths: tuple[float, float], count: int) -> Waves:
        """Waves of lengths between the two given, in the unit of the points they will be asked for."""
        direction = rng.standard_normal((count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        vectors = direction * (2 * np.pi / rng.uniform(*lengths, (count, 1)))
        return cls(vectors.astype(np.float32), rng.uniform(0, 2 * np.pi, (count, 1)).astype(np.float32))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values (...) at points (3, ...)."""
        flat = np.cos(self.vectors @ points.reshape(3, -1) + self.phases).sum(axis=0)
        return (flat * np.float32(math.sqrt(2 / len(self.vectors)))).reshape(points.shape[1:])


@lru_cache(maxsize=1)
def _normal_quantiles() -> np.ndarray:
    quantile = NormalDist().inv_cdf
    return np.array([quantile((n + 0.5) / 65536) for n in range(65536)], np.float32)


def normal_noise(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Standard normal float32 values, from a table of 65536 quantiles: three times as fast as the exact draw, and noise takes half the time."""
    return _normal_quantiles()[rng.integers(0, 65536, shape, dtype=np.uint16)]


@lru_cache(maxsize=8)
def _texture_filter(shape: tuple[int, int, int], spacing_kji: tuple[float, float, float], along: int) -> np.ndarray:
    """Fourier filter of power-law noise (power ~ f^-3), cut off below 45 mm and stretched along array axis `along`, towards the nipple."""
    frequencies = [np.fft.fftfreq(n, d) if axis < 2 else np.fft.rfftfreq(n, d) for axis, (n, d) in enumerate(zip(shape, spacing_kji))]
    frequencies[along] = frequencies[along] * 1.8
    k, j, i = np.meshgrid(*frequencies, indexing="ij", sparse=True)
    response = (k**2 + j**2 + i**2 + 45.0**-2) ** -0.75
    response[0, 0, 0] = 0
    # Unit variance of the filtered white noise; all but the first and last columns of the half spectrum count twice.
    twice = np.full(response.shape[2], 2.0)
    twice[0] = 1
    if shape[2] % 2 == 0:
        twice[-1] = 1
    response /= np.sqrt((response**2 * twice).sum() / np.prod(shape))
    return response.astype(np.float32)


def _texture(rng: np.random.Generator, protocol: Protocol) -> np.ndarray:
    """Power-law noise (K, J, I) of zero mean and unit variance, made no finer than needed: at about `TEXTURE_SPACING_MM` in plane."""
    along = next(2 - axis for axis, letter in enumerate(protocol.axes) if letter in "AP")
    slices, rows, columns = protocol.shape
    step = max(1, round(TEXTURE_SPACING_MM / protocol.spacing[0]))
    shape = (slices, -(-rows // step), -(-columns // step))
    response = _texture_filter(shape, (protocol.spacing[2], protocol.spacing[1] * step, protocol.spacing[0] * step), along)
    field = np.fft.irfftn(np.fft.rfftn(normal_noise(rng, shape)) * response, s=shape, axes=(0, 1, 2)).astype(np.float32)
    if step == 1:
        return field
    return np.stack([cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_LINEAR) for plane in field])


# Kinetics


def parker_arterial_input(minutes: np.ndarray) -> np.ndarray:
    """Concentration of contrast in arterial blood, mM, `minutes` after its arrival: the population average of Parker et al. 2006."""
    t = np.asarray(minutes, float)
    first = 0.809 / (0.0563 * math.sqrt(2 * math.pi)) * np.exp(-((t - 0.17046) ** 2) / (2 * 0.0563**2))
    second = 0.330 / (0.132 * math.sqrt(2 * math.pi)) * np.exp(-((t - 0.365) ** 2) / (2 * 0.132**2))
    tail = 1.050 * np.exp(-0.1685 * t) / (1 + np.exp(-38.078 * (t - 0.483)))
    return np.where(t > 0, first + second + tail, 0.0)


def tissue_concentration(times_s: Sequence[float], arrival_s: float, ktrans: float, kep: float, vp: float) -> np.ndarray:
    """Concentration of contrast in tissue, mM, at the given times: the extended Tofts model; `ktrans` and `kep` per minute."""
    step = 1 / 60
    minutes = np.arange(0, max(max(times_s), 60) / 60 + step, step)
    plasma = parker_arterial_input(minutes - arrival_s / 60) / (1 - HAEMATOCRIT)
    extravascular = ktrans * step * np.convolve(plasma, np.exp(-kep * minutes))[: len(minutes)]
    return np.interp(np.asarray(times_s) / 60, minutes, vp * plasma + extravascular, left=0.0)


def spoiled_gradient_echo(t1_ms: np.ndarray, tr_ms: float, flip_deg: float) -> np.ndarray:
    """Signal of a spoiled gradient echo per unit proton density; T2* is neglected (the echo is short)."""
    decay = np.exp(-tr_ms / np.asarray(t1_ms, float))
    flip = math.radians(flip_deg)
    return np.sin(flip) * (1 - decay) / (1 - np.cos(flip) * decay)


@dataclass(frozen=True)
class Uptake:
    """How a patient's tissues take up contrast: arrival in the breast (s), and (ktrans, kep, vp) per tissue, rates per minute."""

    arrival_s: float
    tissues: dict[str, tuple[float, float, float]]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Uptake:
        """One patient's rates: brisk uptake and wash-out in the lesion, slow and persistent in fibroglandular tissue, next to none in fat."""
        lesion = 0.24 * math.exp(0.4 * rng.standard_normal())
        ve = rng.uniform(0.16, 0.42)
        gland = 0.027 * math.exp(0.38 * rng.standard_normal())
        tissues = {
            "fat": (0.003, 0.05, 0.002),
            "gland": (gland, 0.10, 0.008),
            "muscle": (0.045, 0.35, 0.015),
            "skin": (0.030, 0.20, 0.015),
            "lung": (0.05, 0.5, 0.10),
            "organ": (0.45, 0.9, 0.10),
            "blood": (0.0, 1.0, 1 - HAEMATOCRIT),
            "lesion": (lesion, lesion / ve, 0.04),
        }
        return cls(rng.uniform(14, 22), tissues)

    def signals(self, protocol: Protocol) -> np.ndarray:
        """Signal (phases, tissues) by the spoiled gradient echo equation, fat suppression included; fibroglandular tissue is 1 before contrast."""
        columns = []
        for tissue in TISSUES:
            t1 = T1_MS[protocol.tesla][tissue]
            concentration = tissue_concentration(protocol.times_s, self.arrival_s, *self.tissues[tissue])
            shortened = 1000 / (1000 / t1 + R1_PER_MM_S[protocol.tesla] * concentration)
            share = protocol.fat_left if tissue == "fat" else 1.0
            columns.append(share * PROTON_DENSITY[tissue] * spoiled_gradient_echo(shortened, protocol.tr_ms, protocol.flip_deg))
        signals = np.stack(columns, axis=1)
        return (signals / signals[0, TISSUES.index("gland")]).astype(np.float32)


# Anatomy


@dataclass(frozen=True)
class Breast:
    """Size and shape of a breast and its chest wall, mm: how far it reaches forward, up, down and sideways, where the nipple is."""

    reach: float
    up: float
    down: float
    side: float
    nipple_s: float
    nipple_u: float
    fat_over_muscle: float
    density: float
    unevenness: Waves

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Breast:
        size = rng.uniform(0.85, 1.12)
        return cls(
            reach=78 * size * rng.uniform(0.9, 1.1),
            up=74 * size,
            down=58 * size,
            side=64 * min(size, 1.05),
            nipple_s=rng.uniform(-14, 2),
            nipple_u=rng.uniform(-6, 8),
            fat_over_muscle=rng.uniform(7, 12),
            density=float(np.clip(rng.normal(0, 0.4), -0.8, 0.8)),
            unevenness=Waves.draw(rng, (45, 110), 10),
        )

    def chest(self, s: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The chest wall's surface a(s, u): it falls back to the side and towards the armpit."""
        return -0.0022 * (u + 30) ** 2 + 2 - 0.0006 * s**2 - 0.0011 * np.maximum(s, 0) ** 2 + 1.6 * self._uneven(s, u, 0.0)

    def off_axis(self, s: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Squared distance from the nipple's axis, 1 at the breast's rim."""
        ds, du = s - self.nipple_s, u - self.nipple_u
        return (ds / np.where(ds > 0, self.up, self.down)) ** 2 + (du / self.side) ** 2

    def thickness(self, s: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Distance from the chest wall to the skin along a."""
        off = self.off_axis(s, u)
        bulge = 0.62 * np.maximum(1 - off, 0) + 0.38 * np.maximum(1 - np.sqrt(off + 0.02), 0)
        from_nipple = (s - self.nipple_s) ** 2 + (u - self.nipple_u) ** 2
        return self.fat_over_muscle + self.reach * bulge * (1 + 0.035 * self._uneven(s, u, 300.0)) + 7 * np.exp(-from_nipple / (2 * 4.5**2))

    def _uneven(self, s: np.ndarray, u: np.ndarray, cut: float) -> np.ndarray:
        return self.unevenness(np.stack(np.broadcast_arrays(np.float32(cut), s, u)).astype(np.float32))

    def slant(self, s: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Cosine between the skin's normal and a: turns a distance along a into a depth under the skin."""

        def skin(s: np.ndarray, u: np.ndarray) -> np.ndarray:
            return self.chest(s, u) + self.thickness(s, u)

        slope_s = (skin(s + 1.5, u) - skin(s - 1.5, u)) / 3
        slope_u = (skin(s, u + 1.5) - skin(s, u - 1.5)) / 3
        return 1 / np.sqrt(1 + slope_s**2 + slope_u**2)

    def place(self, s: np.ndarray, u: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Points (..., 3) as (a, s, u) at a share (0-1) of the way from the chest wall to the skin."""
        return np.stack([self.chest(s, u) + share * self.thickness(s, u), s, u], axis=-1)


def _soft(depth: np.ndarray, width: float) -> np.ndarray:
    """A step at depth 0 that a voxel of the given width would see."""
    out = depth * np.float32(1 / width)
    out += np.float32(0.5)
    return np.clip(out, 0, 1, out=out)


def _tissue_shares(breast: Breast, frame: Frame, texture: np.ndarray) -> np.ndarray:
    """Share of each voxel that the first six `TISSUES` take, vessels and lesion left out: (6, K, J, I) float32."""
    width = 1.2 * frame.geometry.spacing[0]
    chest, thickness, slant = (surface(frame.s, frame.u).astype(np.float32) for surface in (breast.chest, breast.thickness, breast.slant))
    depth = (chest + thickness - frame.a) * slant
    behind = chest - frame.a
    under_skin = _soft(depth - np.float32(SKIN_MM), width)
    chest_wall = _soft(behind, width)
    inside_ribs = _soft(behind - np.float32(CHEST_WALL_MM), 2 * width)

    shares = np.empty((6, *texture.shape), np.float32)
    fat, gland, muscle, skin, lung, organ = shares
    np.subtract(_soft(depth, width), under_skin, out=skin)
    breast_tissue = under_skin * (1 - chest_wall)
    np.multiply(breast_tissue, _glandularity(breast, frame, texture, depth, -behind / thickness), out=gland)
    np.subtract(breast_tissue, gland, out=fat)
    wall = chest_wall - inside_ribs
    # Ribs are marrow: they look like fat.
    ribs = wall * _ribs(frame, behind)
    fat += ribs
    np.subtract(wall, ribs, out=muscle)
    np.multiply(inside_ribs, _organ(frame, texture), out=organ)
    np.subtract(inside_ribs, organ, out=lung)
    # Blood vessels and breathing make lung and organ mottled.
    lung *= np.clip(1 + texture, 0.3, 4)
    organ *= np.clip(1 + np.float32(0.15) * texture, 0.5, 1.5)
    return shares


def _glandularity(breast: Breast, frame: Frame, texture: np.ndarray, depth: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Share of fibroglandular tissue in the breast's tissue; `forward` is 0 at the chest wall, 1 at the skin."""
    forward = np.clip(forward, 0, 1)
    off = breast.off_axis(frame.s, frame.u).astype(np.float32)
    zone = np.float32(1.0 + breast.density) - np.float32(2.6) * off - np.float32(5.0) * (forward - np.float32(0.5)) ** 2
    # Towards the nipple the ducts come together.
    zone += np.float32(1.4) * np.exp(-40 * off) * forward
    zone += np.float32(1.1) * texture
    zone *= np.float32(0.9)
    zone += np.float32(0.35)
    np.clip(zone, 0, 1, out=zone)
    # A rind of fat stays under the skin.
    zone *= _soft(depth - np.float32(SKIN_MM + 2.5), 3.0)
    # Strands through the fat: where another stretch of the same noise changes sign.
    strands = np.abs(np.roll(texture, [n // 2 for n in texture.shape], axis=(0, 1, 2)))
    strands *= np.float32(-3.5)
    strands += np.float32(0.55)
    return np.maximum(zone, strands, out=zone)


def _ribs(frame: Frame, behind: np.ndarray) -> np.ndarray:
    """Share of rib in the chest wall; `behind` is the depth behind the wall's surface, mm."""
    along = np.mod(frame.s + np.float32(0.3) * frame.u, np.float32(RIB_PERIOD_MM)) - np.float32(RIB_PERIOD_MM / 2)
    return _soft(1 - np.sqrt((along / 6) ** 2 + ((behind - np.float32(17.5)) / np.float32(5)) ** 2), 0.35)


def _organ(frame: Frame, texture: np.ndarray) -> np.ndarray:
    """Share of heart (left) or liver (right) in what lies behind the ribs."""
    centre_a, centre_s, centre_u, radius = (-52, -28, -48, 42) if frame.side > 0 else (-55, -75, -5, 55)
    distance = np.sqrt(((frame.a - centre_a) * 1.1) ** 2 + (frame.s - centre_s) ** 2 + (frame.u - centre_u) ** 2)
    return _soft(radius - distance + 2 * texture, 7.0)


# Vessels


def _vessel_paths(rng: np.random.Generator, breast: Breast) -> list[tuple[np.ndarray, np.ndarray]]:
    """Points (n, 3) as (a, s, u) and radii (n,), mm, of a few vessels that run from the breast's rim towards the nipple."""
    paths = []
    for _ in range(rng.integers(4, 8)):
        angle = rng.uniform(-0.4, 2.4) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi)
        ends = np.array([0.95, rng.uniform(0.35, 0.7), rng.uniform(0.08, 0.3)])
        bend = angle + rng.normal(0, 0.45, 3) * (0.3, 1, 1)
        ds, du = ends * np.sin(bend), ends * np.cos(bend)
        t = np.linspace(0, 1, 160)
        bezier = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1)
        wiggle = 2.0 * np.sin(t * rng.uniform(8, 16) + rng.uniform(0, 6))
        s = breast.nipple_s + bezier @ (ds * np.where(ds > 0, breast.up, breast.down)) + wiggle
        u = breast.nipple_u + bezier @ (du * breast.side) + wiggle[::-1]
        share = bezier @ np.array([rng.uniform(0.35, 0.75), rng.uniform(0.3, 0.8), rng.uniform(0.5, 0.8)])
        paths.append((breast.place(s, u, share), rng.uniform(0.8, 1.5) * (1.1 - 0.6 * t)))
    return paths


def _rasterise_vessels(paths: Sequence[tuple[np.ndarray, np.ndarray]], frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Flat voxel indices, each once, and the share of the voxel that blood takes."""
    shape, spacing = frame.geometry.shape, np.array(frame.geometry.spacing[::-1])
    points = np.concatenate([path for path, _ in paths])
    radii = np.concatenate([radius for _, radius in paths])
    reach = np.ceil(2.2 / spacing).astype(int)
    offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    index = frame.to_index(points)
    voxels = np.rint(index).astype(int)[:, None] + offsets
    distance = np.abs(voxels - index[:, None]) * spacing
    # A voxel is as long as the slice is thick: within that length it meets the tube, but is filled by it only in part.
    longest = int(np.argmax(spacing))
    distance[..., longest] = np.maximum(distance[..., longest] - spacing[longest] / 2, 0)
    filled = np.minimum(1, 1.6 * radii / spacing[longest])[:, None]
    share = filled * np.clip((radii[:, None] - np.linalg.norm(distance, axis=-1)) / spacing.min() + 0.5, 0, 1)
    valid = (share > 0.02) & np.all((voxels >= 0) & (voxels < shape), axis=-1)
    flat = np.ravel_multi_index(tuple(voxels[valid].T), shape)
    order = np.lexsort((share[valid], flat))
    flat, share = flat[order], share[valid][order]
    last = np.append(flat[1:] != flat[:-1], True)
    return flat[last], share[last].astype(np.float32)


# Lesion and outlines


@dataclass(frozen=True)
class Latents:
    """The two hidden variables that tell the classes apart, and what they do to the image. Nothing else depends on class."""

    heterogeneity: float
    rim: float

    @property
    def texture_amplitude(self) -> np.float32:
        """Standard deviation of the logarithm of the lesion's enhancement due to blobs: 0.03 (smooth) to 0.58."""
        return np.float32(0.03 + 0.55 / (1 + math.exp(-1.2 * self.heterogeneity)))

    @property
    def rim_amplitude(self) -> np.float32:
        """The same due to centre against shell: negative for a bright centre, positive for a ring; within 0.5."""
        return np.float32(0.5 * math.tanh(0.6 * self.rim))


@dataclass(frozen=True)
class Lesion:
    """An irregular lesion: an ellipsoid whose radius varies smoothly with direction, with fine spicules outside.

    `centre` is (a, s, u); `semi_axes` mm; `rotation` (3, 3). `lobes` and `spicules` are fields over directions, `texture` a field over mm.
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
        """A lesion of about 10-50 mm that fits between skin and chest wall, where it pleases in the breast."""
        wanted = float(np.clip(11 * math.exp(0.36 * rng.standard_normal()), 5.5, 24))
        centre, clearance = _roomy_place(rng, breast, wanted)
        radius = min(wanted, clearance)
        semi_axes = radius * np.array([rng.uniform(1.0, 1.25), 1.0, rng.uniform(0.78, 1.0)])
        rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        # About 3 waves across the lesion, as far as pixels resolve them and a radiologist would call it texture.
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
    """A random place in the breast that leaves room for the radius (else the roomiest of those tried), and the radius it has room for."""
    distance, angle = np.sqrt(rng.uniform(0, 0.32, 200)), rng.uniform(0, 2 * np.pi, 200)
    ds, du = distance * np.sin(angle), distance * np.cos(angle)
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

    `box` slices the (K, J, I) array; `directions` (3, ...) unit vectors from the centre; `level` 0 at the centre, 1 on the surface;
    `outside_mm` distance from the surface along the ray, negative inside; `spicule_mm` how far spicules reach out there; `mm` (3, ...) position.
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
        """The lesion's voxels with the surface moved outwards by so many mm; never empty: the voxel at the centre always belongs."""
        mask = self.outside_mm < displacement_mm
        mask[self.nearest] = True
        return mask


def lesion_box(lesion: Lesion, frame: Frame) -> LesionBox:
    """The lesion on the voxels within 1.9 radii of its centre."""
    shape, spacing = frame.geometry.shape, frame.geometry.spacing[::-1]
    centre = frame.to_index(lesion.centre)
    reach = 1.9 * lesion.radius_mm / np.array(spacing) + 1
    low = np.clip(np.floor(centre - reach), 0, np.array(shape) - 1).astype(int)
    high = np.clip(np.ceil(centre + reach) + 1, 1, shape).astype(int)
    box = tuple(slice(lo, hi) for lo, hi in zip(low, high))
    mm = np.stack(np.broadcast_arrays(*(_cut(axis, box) - np.float32(c) for axis, c in zip((frame.a, frame.s, frame.u), lesion.centre))))
    distance = np.maximum(np.sqrt((mm**2).sum(axis=0)), np.float32(1e-3))
    directions = mm / distance
    scaled = np.tensordot((lesion.rotation / lesion.semi_axes[:, None]).astype(np.float32), mm, axes=1)
    level = np.sqrt((scaled**2).sum(axis=0))
    surface = np.clip(1 + np.float32(lesion.lobulation) * lesion.lobes(directions), 0.6, 1.45)
    radial = surface * distance / np.maximum(level, np.float32(1e-6))
    spicule = np.float32(lesion.spiculation) * radial * np.maximum(lesion.spicules(directions) - np.float32(1.0), 0)
    nearest = tuple(int(round(c) - lo) for c, lo in zip(centre, low))
    return LesionBox(box, directions, level / surface, distance - radial, spicule, mm, nearest, lesion.radius_mm)


def _cut(axis: np.ndarray, box: Sequence[slice]) -> np.ndarray:
    """The part of a broadcasting coordinate array that lies in the box."""
    return axis[tuple(part if n > 1 else slice(None) for part, n in zip(box, axis.shape))]


def _enhancement_map(lesion: Lesion, box: LesionBox, latents: Latents) -> np.ndarray:
    """What the lesion's enhancement is multiplied with, voxel by voxel; its mean over the lesion is 1 on every slice.

    Texture and rim are normalised slice by slice, so that the slice a reader picks shows the latents and nothing but the latents.
    """
    weight = box.outline() * _soft(-box.outside_mm, 1.5)
    rim = np.tanh((box.level - np.float32(0.65)) / np.float32(0.16))
    # Squashed: no blob stands out of the texture alone.
    texture = np.tanh(lesion.texture(box.mm))
    exponent = latents.texture_amplitude * _standardised(texture, weight) + latents.rim_amplitude * _standardised(rim, weight)
    enhancement = np.exp(exponent)
    return enhancement / _slice_means(enhancement, weight)


def _slice_means(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean of each slice (K, 1, 1); of the whole where the slice has no weight."""
    total = weight.sum(axis=(1, 2), keepdims=True)
    sums = (values * weight).sum(axis=(1, 2), keepdims=True)
    return np.where(total > 0.5, sums / np.maximum(total, 1e-6), sums.sum() / total.sum()).astype(np.float32)


def _standardised(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Zero mean on every slice; unit variance on slices large enough to have one, else over the whole lesion."""
    centred = values - _slice_means(values, weight)
    variance = _slice_means(centred**2, weight)
    overall = (centred**2 * weight).sum() / weight.sum()
    large = weight.sum(axis=(1, 2), keepdims=True) > 0.4 * weight.sum(axis=(1, 2)).max()
    return centred / np.sqrt(np.where(large, variance, overall) + np.float32(1e-6))


def reader_outlines(rng: np.random.Generator, box: LesionBox) -> dict[str, np.ndarray]:
    """Outlines of the box as readers draw them: `roi_a1` and `roi_a2` by one reader on two days, `roi_b1` by another; spicules are left out.

    Each reader has a bias and habits of his own; every read adds its own error. Displacements are smooth over the surface, and grow with
    the lesion as the error of a hand-drawn outline does.
    """

    def error(bias: float, spread: float) -> np.ndarray:
        return np.float32(rng.normal(bias, spread / 2)) + np.float32(spread) * Waves.draw(rng, (0.9, 2.0), 8)(box.directions)

    radius = box.radius_mm
    reader_a, reader_b = error(0.0, 0.05 * radius), error(0.03 * radius, 0.08 * radius)
    reads = {"roi_a1": reader_a, "roi_a2": reader_a, "roi_b1": reader_b}
    return {name: box.outline(np.clip(habit + error(0.0, 0.035 * radius), -0.35 * radius, 0.4 * radius)) for name, habit in reads.items()}


# Image


def render(
    protocol: Protocol,
    frame: Frame,
    breast: Breast,
    lesion: Lesion,
    box: LesionBox,
    uptake: Uptake,
    latents: Latents,
    anatomy: np.random.Generator,
    noise: Sequence[np.random.Generator],
    phases: Sequence[int],
) -> dict[int, np.ndarray]:
    """Images (K, J, I) int16 of the phases asked for, by phase index; `noise` has a generator for each of the protocol's phases."""
    texture = _texture(anatomy, protocol)
    vessels = _vessel_paths(anatomy, breast)
    gain = protocol.signal * math.exp(0.12 * anatomy.standard_normal())
    tilts = anatomy.normal(0, protocol.coil_tilt, 2)
    before, *_ = every_phase = uptake.signals(protocol)
    signals = every_phase[list(phases)]

    shares = _tissue_shares(breast, frame, texture)
    clean = (signals[:, : len(shares)] @ shares.reshape(len(shares), -1)).reshape(len(signals), *protocol.shape)
    _paint_vessels(clean, vessels, frame, signals[:, TISSUES.index("blood")])
    tumour = TISSUES.index("lesion")
    _paint_lesion(clean, box, _enhancement_map(lesion, box, latents), before[tumour], signals[:, tumour] - before[tumour], frame)

    # Fat and gland are not quite even either; then the coil, and the receiver's gain.
    texture *= np.float32(0.05)
    texture += np.float32(1)
    texture *= _coil(protocol, frame, tilts) * np.float32(gain)
    clean *= texture
    return {phase: _rician(image, gain / protocol.snr, noise[phase]) for phase, image in zip(phases, clean)}


def _paint_vessels(images: np.ndarray, paths: Sequence[tuple[np.ndarray, np.ndarray]], frame: Frame, blood: np.ndarray) -> None:
    """Lays vessels over the images (phases, K, J, I); `blood` is the signal of blood in each phase."""
    voxels, share = _rasterise_vessels(paths, frame)
    flat = images.reshape(len(images), -1)
    flat[:, voxels] += share * (blood[:, None] - flat[:, voxels])


def _paint_lesion(images: np.ndarray, box: LesionBox, pattern: np.ndarray, before: float, enhancement: np.ndarray, frame: Frame) -> None:
    """Lays the lesion and its spicules over the images (phases, K, J, I): its signal before contrast, its mean enhancement in each phase.

    The pattern multiplies the enhancement of the signal, not the concentration: so the mean signal does not depend on it.
    """
    width = 1.3 * frame.geometry.spacing[0]
    spicules = np.minimum(box.spicule_mm - box.outside_mm, 0.25 * width)
    share = _soft(np.maximum(-box.outside_mm, spicules), width)
    images = images[(slice(None), *box.box)]
    images += share * (before + enhancement[:, None, None, None] * pattern - images)


def _coil(protocol: Protocol, frame: Frame, tilts: np.ndarray) -> np.ndarray:
    """The receive coil's smooth sensitivity, 1 about the middle of the breast, falling towards the back."""
    forward = np.exp(np.clip(frame.a - 40, -140, 60) / np.float32(protocol.coil_fall_mm)).astype(np.float32)
    across = np.exp(np.float32(tilts[0]) * frame.s / 80 - (frame.s / 160) ** 2) * np.exp(np.float32(tilts[1]) * frame.u / 80 - (frame.u / 180) ** 2)
    return forward * across


def _rician(signal: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of the signal with complex noise of the given sd, rounded to int16; works in place on `signal`."""
    real = normal_noise(rng, signal.shape)
    real *= np.float32(sigma)
    real += signal
    real *= real
    imaginary = normal_noise(rng, signal.shape)
    imaginary *= np.float32(sigma)
    imaginary *= imaginary
    real += imaginary
    np.sqrt(real, out=real)
    real += np.float32(0.5)
    return real.astype(np.int16)
