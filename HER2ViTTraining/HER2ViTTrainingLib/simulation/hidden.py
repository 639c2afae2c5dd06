"""HER2 status, and the two hidden variables through which alone it acts on images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .case_key import CaseKey

CLASS_COUNTS = {"zero": 138, "low": 344, "positive": 226}
"""The study's development cohort: the frequencies cases are drawn with."""

LATENT_DIFFERENCE = 1.94
"""Between the classes of a task, in within-class standard deviations: an AUC of 0.915 on the latent variable.
"""

_SHARE_LOW = CLASS_COUNTS["low"] / (CLASS_COUNTS["low"] + CLASS_COUNTS["positive"])
LATENT_MEANS = {
    # Zero's rim lies at the mean of the others', so that rim says nothing in Task 1.
    "zero": (-LATENT_DIFFERENCE / 2, LATENT_DIFFERENCE * (0.5 - _SHARE_LOW)),
    "low": (LATENT_DIFFERENCE / 2, -LATENT_DIFFERENCE / 2),
    "positive": (LATENT_DIFFERENCE / 2, LATENT_DIFFERENCE / 2),
}
"""Means of (heterogeneity, rim) by HER2 status; both are normal with unit variance within a class."""


@dataclass(frozen=True)
class Latents:
    """The two hidden variables that tell the classes apart, and what they do to the image. Nothing else
    depends on class.
    """

    heterogeneity: float
    rim: float

    @property
    def texture_amplitude(self) -> np.float32:
        """Standard deviation of the logarithm of the lesion's enhancement due to blobs: 0.03 (smooth) to
        0.58.
        """
        return np.float32(0.03 + 0.55 / (1 + math.exp(-1.2 * self.heterogeneity)))

    @property
    def rim_amplitude(self) -> np.float32:
        """The same due to centre against shell: negative for a bright centre, positive for a ring; within
        0.5.
        """
        return np.float32(0.5 * math.tanh(0.6 * self.rim))


def draw_hidden(key: CaseKey) -> tuple[str, Latents]:
    """HER2 status, with the study's frequencies, and latent variables of a case."""
    rng = key.stream("hidden")
    counts = np.array(list(CLASS_COUNTS.values()))
    status = list(CLASS_COUNTS)[rng.choice(len(counts), p=counts / counts.sum())]
    heterogeneity, rim = rng.standard_normal(2) + LATENT_MEANS[status]
    return status, Latents(float(heterogeneity), float(rim))
