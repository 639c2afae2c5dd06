"""One random stream a case and purpose; each case's hidden variables."""

from __future__ import annotations

import numpy as np

from .lesions import Latents

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

_STREAMS = ("hidden", "body", "clinical", "survival", "texture", "outlines", "counts", "noise")


def random_stream(seed: int, index: int, protocol: str, stream: str, part: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, index, ord(protocol), _STREAMS.index(stream), part])


def case_id_of(protocol_name: str, seed: int, index: int) -> str:
    return f"{protocol_name}{seed}-{index:05d}"


def draw_hidden(index: int, seed: int, protocol_name: str) -> tuple[str, Latents]:
    """HER2 status, with the study's frequencies, and latent variables of case `index` of a seed."""
    rng = random_stream(seed, index, protocol_name, "hidden")
    counts = np.array(list(CLASS_COUNTS.values()))
    status = list(CLASS_COUNTS)[rng.choice(len(counts), p=counts / counts.sum())]
    heterogeneity, rim = rng.standard_normal(2) + LATENT_MEANS[status]
    return status, Latents(float(heterogeneity), float(rim))
