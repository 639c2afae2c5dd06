"""An estimate with its interval; the outcome of a test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95
Z_95 = NormalDist().inv_cdf(0.5 + LEVEL / 2)


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; NaN where undefined."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """A test's name, statistic and two-sided p; NaN where undefined."""

    name: str
    statistic: float = math.nan
    p: float = math.nan
