"""Probabilities at another prevalence: how they move where it is known, and how it is estimated from
unlabelled cases.

Both assume prior shift: cases of a class look alike here and there, only their shares differ.
"""

from __future__ import annotations

import numpy as np

from .calibration import EXTREME_PROBABILITY

_TOLERANCE = 1e-8
_MAX_ROUNDS = 2_000


def logit_shift(old: float, new: float) -> float:
    """What is added to the logit of a probability when the prevalence changes from `old` to `new`, both
    within 0 and 1 (Saerens et al., Neural Comput 2002, equation 2.4, for two classes).
    """
    return float(np.log(new / (1 - new)) - np.log(old / (1 - old)))


def estimate_priors(
    probabilities: np.ndarray, priors: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """The classes' shares (b, k) among unlabelled cases, by maximum likelihood with the EM algorithm of
    Saerens, Latinne & Decaestecker (Neural Comput 2002).

    `probabilities` (n, k) are the model's, right at the shares `priors` (k,); `weights` (b, n) say how often
    each case is in each resample (default: one sample, each case once).
    """
    likelihood = np.clip(probabilities, EXTREME_PROBABILITY, 1) / priors
    weights = np.ones((1, len(likelihood))) if weights is None else weights
    shares = np.tile(np.asarray(priors, float), (len(weights), 1))
    total = weights.sum(axis=1, keepdims=True)
    for _ in range(_MAX_ROUNDS):
        # Of each case the posterior is share x likelihood over its sum; their mean is the new share.
        of_case = weights / (shares @ likelihood.T)
        updated = shares * (of_case @ likelihood) / total
        moved = np.abs(updated - shares).max()
        shares = updated
        if moved < _TOLERANCE:
            break
    return shares


def log_likelihood_ratio(probabilities: np.ndarray, priors: np.ndarray, shares: np.ndarray) -> float:
    """Twice the gain in log likelihood of unlabelled cases by `shares` (k,) over `priors` (k,): under the
    priors about chi-squared with k - 1 degrees of freedom (Saerens et al. 2002, section 3).
    """
    likelihood = np.clip(probabilities, EXTREME_PROBABILITY, 1) / priors
    return float(2 * (np.log(likelihood @ shares).sum() - np.log(likelihood @ priors).sum()))
