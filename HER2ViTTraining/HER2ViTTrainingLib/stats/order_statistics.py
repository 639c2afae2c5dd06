"""Cut-offs that a chosen share of new cases will reach, from the order of those at hand: without any
assumption about their distribution, but that the cases are exchangeable.

Of `n` values, the cut-off is the r-th smallest, r = floor((n + 1)(1 - share)). A new value reaches it with
probability (n + 1 - r)/(n + 1), at least `share`, on average over samples. Of one sample the probability is a
draw from a beta distribution with n + 1 - r and r (Wilks, Ann Math Stat 1941; as class-conditional conformal
prediction: Vovk, JMLR 2012).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from .estimates import LEVEL, Estimate

_ROUND_OFF = 1e-9


def rank_of_cutoff(n: int, share: float) -> int:
    """The rank r of the cut-off that the `share` of new values reaches, from 1; 0 where `n` values are too
    few for any.
    """
    return math.floor((n + 1) * (1 - share) + _ROUND_OFF)


def needed_values(share: float) -> int:
    """The smallest number of values that gives a cut-off: 9 for 0.9, 19 for 0.95."""
    return math.ceil(share / (1 - share) - _ROUND_OFF)


def reached_share(n: int, rank: int, level: float = LEVEL) -> Estimate:
    """The share of new values that reach the r-th smallest of `n`: its mean over samples, and between which
    limits it lies in `level` of them. Rank 0 stands for no cut-off, which all reach.
    """
    if rank == 0:
        return Estimate(1.0, 1.0, 1.0)
    beta = stats.beta(n + 1 - rank, rank)
    low, high = beta.ppf([(1 - level) / 2, (1 + level) / 2])
    return Estimate((n + 1 - rank) / (n + 1), float(low), float(high))


def cutoff(values: np.ndarray, share: float) -> Estimate:
    """The cut-off that `share` of new values reach, from values (n,), with the 95 % interval of the
    population's quantile by order statistics (Conover, Practical Nonparametric Statistics); an end that the
    values are too few for is infinite.

    Raises `ValueError` for fewer values than `needed_values`.
    """
    ordered = np.sort(values)
    rank = rank_of_cutoff(len(ordered), share)
    if rank == 0:
        raise ValueError(f"{len(ordered)} values, where {needed_values(share)} are needed")
    below = stats.binom(len(ordered), 1 - share)
    lower = int(below.ppf((1 - LEVEL) / 2))
    upper = int(below.ppf((1 + LEVEL) / 2)) + 1
    low = ordered[lower - 1] if lower else -math.inf
    high = ordered[upper - 1] if upper <= len(ordered) else math.inf
    return Estimate(float(ordered[rank - 1]), float(low), float(high))
