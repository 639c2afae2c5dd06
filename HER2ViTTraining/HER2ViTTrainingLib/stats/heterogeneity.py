"""Whether estimates from several groups differ by more than chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Heterogeneity:
    """Cochran's `q` with its degrees of freedom and p, and `i2`, the share (0-1) of the spread between the
    groups that is beyond chance.
    """

    q: float
    df: int
    p: float
    i2: float


def cochran_q(values: np.ndarray, variances: np.ndarray) -> Heterogeneity:
    """Cochran's test (Biometrics 1954) that the estimates `values` (g,) of independent groups, with
    `variances` (g,), are of one true value; I2 by Higgins & Thompson (Stat Med 2002).

    Variances are estimates too, so p is approximate for small groups. Raises `ValueError` for fewer than two
    groups and for a variance that is not positive, which would weigh infinitely.
    """
    values = np.asarray(values, float)
    variances = np.asarray(variances, float)
    if len(values) < 2 or not (variances > 0).all():
        raise ValueError("heterogeneity needs two groups or more, each with a positive variance")
    weights = 1 / variances
    mean = weights @ values / weights.sum()
    q = float(weights @ (values - mean) ** 2)
    df = len(values) - 1
    return Heterogeneity(q, df, float(stats.chi2.sf(q, df)), max(0.0, (q - df) / q) if q else 0.0)
