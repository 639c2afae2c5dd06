"""Sampling an image along one axis: exact, and the same with every version of every library.

OpenCV's warpAffine places samples on a grid of 1/32 pixel before version 5, and not since: up to 3 % of the
grey range apart, so that a model trained under one would read another image under the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

_CUBIC = -0.75
"""Keys' parameter as OpenCV's cubic interpolation has it."""


@dataclass(frozen=True)
class Sampling:
    """`count` samples along the first axis of an image, at the places `start`, `start + step`, ... in samples
    of the image.
    """

    start: float
    step: float
    count: int

    def linear(self, image: np.ndarray) -> np.ndarray:
        """The image (N, M), 0 outside, sampled linearly: (count, M) float32."""
        return self._sampled(image, range(2), lambda distance: 1 - distance, repeat=False)

    def cubic(self, image: np.ndarray) -> np.ndarray:
        """The image (N, M), its edges repeated, sampled by cubic convolution (Keys, IEEE Trans Acoust
        1981;29:1153): (count, M) float32.
        """
        return self._sampled(image, range(-1, 3), _cubic_weight, repeat=True)

    def _sampled(
        self,
        image: np.ndarray,
        neighbours: range,
        weight: Callable[[np.ndarray], np.ndarray],
        *,
        repeat: bool,
    ) -> np.ndarray:
        """The weighted sum of every sample's neighbours. No matrix product: the threads that numpy starts for
        one would slow down the model's own.
        """
        places = self.start + self.step * np.arange(self.count)
        first = np.floor(places).astype(int)
        last = len(image) - 1
        found = np.zeros((self.count, image.shape[1]), np.float32)
        for neighbour in neighbours:
            index = first + neighbour
            weights = weight(np.abs(places - index))
            if not repeat:
                weights = np.where((index >= 0) & (index <= last), weights, 0)
            found += weights.astype(np.float32)[:, None] * image[np.clip(index, 0, last)]
        return found


def _cubic_weight(distance: np.ndarray) -> np.ndarray:
    near = ((_CUBIC + 2) * distance - (_CUBIC + 3)) * distance * distance + 1
    far = ((distance - 5) * distance + 8) * distance * _CUBIC - 4 * _CUBIC
    return np.where(distance < 1, near, far)


def without_aliasing(image: np.ndarray, scale_x: float, scale_y: float) -> np.ndarray:
    """The image blurred as far as sampling it every `scale_x`, `scale_y` pixels demands; unchanged where that
    enlarges it.
    """
    sigmas = [max(scale - 1, 0) / 2 for scale in (scale_x, scale_y)]
    if max(sigmas) < 0.1:
        return image
    return cv2.GaussianBlur(
        image,
        (0, 0),
        sigmaX=max(sigmas[0], 1e-3),
        sigmaY=max(sigmas[1], 1e-3),
        borderType=cv2.BORDER_REPLICATE,
    )
