"""Tests of a difference between groups, and standardised differences, as Table 1 needs them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from .estimates import Comparison
from .fisher import fisher_test
from .round_off import ROUND_OFF, is_constant

MIN_EXPECTED = 5


def t_test(groups: Sequence[np.ndarray], welch: bool = False) -> Comparison:
    """Student's (or Welch's) t test of two samples (n,) float, n >= 2; one-way ANOVA (or Welch's) of more.

    NaN where nothing varies inside the samples but round-off, for Welch's ANOVA in one of them.
    """
    name = (
        ("Welch t" if welch else "Student t") if len(groups) == 2 else ("Welch ANOVA" if welch else "ANOVA")
    )
    of = _moments(groups)
    pooled = (of.sizes - 1) @ of.variances / (of.sizes - 1).sum()
    variances = of.variances if welch else np.full(len(groups), pooled)
    unweighable = welch and len(groups) > 2 and not variances.all()
    if unweighable or _lost_in_round_off(replace(of, variances=variances)):
        return Comparison(name)
    if len(groups) == 2:
        first, second = zip(of.means, np.sqrt(of.variances), of.sizes)
        found = stats.ttest_ind_from_stats(*first, *second, equal_var=not welch)
    elif welch:
        return _welch_anova(of)
    else:
        found = stats.f_oneway(*groups)
    return Comparison(name, float(found.statistic), float(found.pvalue))


@dataclass(frozen=True)
class _Moments:
    """Sizes, means and sample variances of groups (k,); a variance that is round-off alone is 0."""

    sizes: np.ndarray
    means: np.ndarray
    variances: np.ndarray


def _moments(groups: Sequence[np.ndarray]) -> _Moments:
    sizes = np.array([len(group) for group in groups])
    means = np.array([group.mean() for group in groups])
    variances = np.array([0.0 if is_constant(group) else group.var(ddof=1) for group in groups])
    return _Moments(sizes, means, variances)


def _lost_in_round_off(of: _Moments) -> bool:
    """R's rule for two means (`t.test`: "data are essentially constant"), for any number of them."""
    return bool(np.sqrt((of.variances / of.sizes).sum()) <= ROUND_OFF * np.abs(of.means).max())


def _welch_anova(of: _Moments) -> Comparison:
    """Welch, Biometrika 1951;38:330."""
    k = len(of.sizes)
    weights = of.sizes / of.variances
    share = weights / weights.sum()
    lack = ((1 - share) ** 2 / (of.sizes - 1)).sum() / (k * k - 1)
    f = (weights * (of.means - share @ of.means) ** 2).sum() / (k - 1) / (1 + 2 * (k - 2) * lack)
    return Comparison("Welch ANOVA", float(f), float(stats.f.sf(f, k - 1, 1 / (3 * lack))))


def rank_test(groups: Sequence[np.ndarray]) -> Comparison:
    """Mann-Whitney test of two samples, as R's `wilcox.test` (the statistic is its W), Kruskal-Wallis test of
    more.
    """
    values = np.concatenate(groups)
    name = "Mann-Whitney" if len(groups) == 2 else "Kruskal-Wallis"
    if (values == values[0]).all():
        return Comparison(name)
    if len(groups) > 2:
        found = stats.kruskal(*groups)
    else:
        exact = max(map(len, groups)) < 50 and len(np.unique(values)) == len(values)
        found = stats.mannwhitneyu(*groups, method="exact" if exact else "asymptotic", use_continuity=True)
        name += " (exact)" if exact else ""
    return Comparison(name, float(found.statistic), float(found.pvalue))


def table_test(counts: np.ndarray, rng: np.random.Generator) -> Comparison:
    """Chi-squared test of counts (levels, groups) int, or Fisher's exact test when an expected count is below
    5; empty levels do not count.
    """
    counts = counts[counts.any(axis=1)][:, counts.any(axis=0)]
    if min(counts.shape) < 2:
        return Comparison("none: one level only")
    if stats.contingency.expected_freq(counts).min() < MIN_EXPECTED:
        return fisher_test(counts, rng)
    found = stats.chi2_contingency(counts, correction=True)
    return Comparison(
        "chi-squared (Yates)" if counts.shape == (2, 2) else "chi-squared",
        float(found.statistic),
        float(found.pvalue),
    )


# Standardised differences


def continuous_difference(groups: Sequence[np.ndarray]) -> float:
    """Absolute standardised difference of means (Austin 2009), averaged over all pairs of groups.

    Two groups that do not vary but by round-off: 0 where they are the same, else NaN, for it has no bound.
    """

    def of_pair(a: np.ndarray, b: np.ndarray) -> float:
        of = _moments([a, b])
        difference = abs(of.means[0] - of.means[1])
        if _lost_in_round_off(of):
            return 0.0 if difference <= ROUND_OFF * np.abs(of.means).max() else math.nan
        return difference / math.sqrt(of.variances.mean())

    return float(np.mean([of_pair(a, b) for a, b in itertools.combinations(groups, 2)]))


def categorical_difference(counts: np.ndarray) -> float:
    """Standardised difference of counts (levels, groups), averaged over all pairs: Mahalanobis distance of
    the shares (Yang & Dalton 2012).

    NaN where two groups have no level in common: it has no bound.
    """

    def of_pair(a: np.ndarray, b: np.ndarray) -> float:
        if not (a * b).any():
            return math.nan
        covariance = (np.diag(a) - np.outer(a, a) + np.diag(b) - np.outer(b, b)) / 2
        # Shares sum to 1. To leave a level out for that, as the paper does, is to choose a generalised
        # inverse; with a level in common all of them give the same distance, and this one treats the levels
        # alike.
        squared = (a - b) @ np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ (a - b)
        return math.sqrt(max(0.0, squared))

    shares = counts / counts.sum(axis=0)
    return float(np.mean([of_pair(a, b) for a, b in itertools.combinations(shares.T, 2)]))
