"""When numbers differ by round-off alone."""

from __future__ import annotations

import math

import numpy as np

ROUND_OFF = 10 * np.finfo(float).eps
"""A standard error below this share of the mean is none: the data are essentially constant (R's `t.test`)."""


def is_constant(values: np.ndarray) -> bool:
    """Whether numbers (n,) vary by round-off alone: the standard error is within `ROUND_OFF` of the mean."""
    return bool(values.std() <= ROUND_OFF * math.sqrt(len(values)) * abs(values.mean()))
