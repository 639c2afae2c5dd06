"""Random fields: waves, noise, power-law texture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import cv2
import numpy as np

from .protocols import Protocol

TEXTURE_SPACING_MM = 1.7


@dataclass(frozen=True)
class Waves:
    """A smooth random field of zero mean and unit variance, defined everywhere: a sum of plane waves of
    random directions and phases.
    """

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
    """Standard normal float32 values, from a table of 65536 quantiles: three times as fast as the exact draw,
    and noise takes half the time.
    """
    return _normal_quantiles()[rng.integers(0, 65536, shape, dtype=np.uint16)]


@lru_cache(maxsize=8)
def _texture_filter(
    shape: tuple[int, int, int], spacing_kji: tuple[float, float, float], along: int
) -> np.ndarray:
    """Fourier filter of power-law noise (power ~ f^-3), cut off below 45 mm and stretched along array axis
    `along`, towards the nipple.
    """
    frequencies = [
        np.fft.fftfreq(n, d) if axis < 2 else np.fft.rfftfreq(n, d)
        for axis, (n, d) in enumerate(zip(shape, spacing_kji))
    ]
    frequencies[along] = frequencies[along] * 1.8
    k, j, i = np.meshgrid(*frequencies, indexing="ij", sparse=True)
    response = (k**2 + j**2 + i**2 + 45.0**-2) ** -0.75
    response[0, 0, 0] = 0
    # Unit variance of the filtered white noise; all but the first and last columns of the half spectrum count
    # twice.
    twice = np.full(response.shape[2], 2.0)
    twice[0] = 1
    if shape[2] % 2 == 0:
        twice[-1] = 1
    response /= np.sqrt((response**2 * twice).sum() / np.prod(shape))
    return response.astype(np.float32)


def power_law_texture(rng: np.random.Generator, protocol: Protocol) -> np.ndarray:
    """Power-law noise (K, J, I) of zero mean and unit variance, made no finer than needed: at about
    `TEXTURE_SPACING_MM` in plane.
    """
    along = next(2 - axis for axis, letter in enumerate(protocol.axes) if letter in "AP")
    slices, rows, columns = protocol.shape
    step = max(1, round(TEXTURE_SPACING_MM / protocol.spacing[0]))
    shape = (slices, -(-rows // step), -(-columns // step))
    response = _texture_filter(
        shape, (protocol.spacing[2], protocol.spacing[1] * step, protocol.spacing[0] * step), along
    )
    field = np.fft.irfftn(np.fft.rfftn(normal_noise(rng, shape)) * response, s=shape, axes=(0, 1, 2)).astype(
        np.float32
    )
    if step == 1:
        return field
    return np.stack([cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_LINEAR) for plane in field])


def soft_step(depth: np.ndarray, width: float) -> np.ndarray:
    """A step at depth 0 that a voxel of the given width would see."""
    out = depth * np.float32(1 / width)
    out += np.float32(0.5)
    return np.clip(out, 0, 1, out=out)
