"""How well ratings of the same cases agree: the six intraclass correlations with F test and interval, and
Bland-Altman's limits of agreement.

Arrays in, arrays out, all features at once. Ratings are (cases, raters, features); NaN is a missing rating.

**Missing ratings** are dropped listwise per feature: a case counts for a feature only when every rater
compared has rated it, as in R's `irr::icc` (`psych::ICC` by default fits a mixed model to what is left
instead). `n` says how many cases counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

FORMS = ("ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)")
HEADLINE = "ICC(2,1)"
GRADES = {"excellent": 0.90, "good": 0.75, "moderate": 0.50, "poor": -np.inf}
"""What an ICC must be *above* to have the grade (the study's terms; those of Koo & Li, J Chiropr Med 2016).
"""
_TAIL = 0.025
_Z = stats.norm.isf(_TAIL)
_ROUND_OFF = 16 * np.finfo(float).eps


def grade(icc: float) -> str:
    """The name of an ICC's grade; empty for NaN."""
    return next((name for name, bound in GRADES.items() if icc > bound), "")


# Intraclass correlation


@dataclass(frozen=True)
class Icc:
    """One form of the intraclass correlation for all features: arrays (features,), NaN where undefined.

    `low`, `high`: 95 % interval. `f`, `df1`, `df2`, `p`: the test of "no variance between the cases". `n`
    cases counted, `k` raters.
    """

    icc: np.ndarray
    low: np.ndarray
    high: np.ndarray
    f: np.ndarray
    df1: np.ndarray
    df2: np.ndarray
    p: np.ndarray
    n: np.ndarray
    k: int


@dataclass(frozen=True)
class _MeanSquares:
    """Of the two-way layout without replication, per feature (features,): between cases, within cases,
    between raters, residual.
    """

    n: np.ndarray
    cases: np.ndarray
    within: np.ndarray
    raters: np.ndarray
    residual: np.ndarray


def icc(ratings: np.ndarray) -> Mapping[str, Icc]:
    """The six forms of Shrout & Fleiss (Psychol Bull 1979) by name, for ratings (cases, raters, features) of
    two or more raters.

    Closed-form analysis of variance, intervals of McGraw & Wong (Psychol Methods 1996): the numbers of R's
    `psych::ICC(lmer = FALSE)`. The intervals of ICC(2,.) are an approximation that is too narrow where few
    raters differ much: of two raters whose means differ as much as their single ratings scatter it holds the
    truth in four of five studies only (simulated); the others are exact. Negative values stay negative. Empty
    (NaN) is what the ratings do not define: everything of a feature that is constant up to round-off or has
    fewer than two complete cases, and a value or limit whose formula has no positive denominator (far below
    zero, `psych` would give numbers above 1 there). Perfect agreement is 1 with interval (1, 1), F infinite
    and p = 0. Where every rater gives every case the same value, F and ICC(3,.) are 0/0 (empty), ICC(1,1) is
    -1/(k - 1), ICC(1,k) is empty, ICC(2,.) 0.
    Raises `ValueError` for fewer than two raters.
    """
    k = ratings.shape[1]
    if k < 2:
        raise ValueError("an ICC needs two raters or more")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        squares = _mean_squares(np.asarray(ratings, float))
        found: dict[str, Icc] = {}
        for model in (1, 2, 3):
            found.update(_forms_of_model(squares, k, model))
    return {form: found[form] for form in FORMS}


def _mean_squares(ratings: np.ndarray) -> _MeanSquares:
    """Deviations come from differences to the first complete case and, within a case, to its first rating,
    not from sums of squares: where cases or raters do not differ they are exactly zero, and a large common
    offset costs no digits. Deviations within the ratings' own round-off are zero too: a ratio of two of them
    would be any number. The unit is the feature's range, which cancels in every result.
    """
    k = ratings.shape[1]
    complete = np.isfinite(ratings).all(axis=1)
    counted = complete[:, None]
    n = complete.sum(axis=0)
    low = np.where(counted, ratings, np.inf).min(axis=(0, 1))
    high = np.where(counted, ratings, -np.inf).max(axis=(0, 1))
    varies = (n > 1) & (high - low > _ROUND_OFF * np.maximum(np.abs(low), np.abs(high)))
    unit = np.where(varies, high - low, np.nan)
    cases = np.where(varies, n, np.nan)
    round_off = _ROUND_OFF * np.maximum(np.abs(low), np.abs(high)) / unit
    first = np.broadcast_to(complete.argmax(axis=0), (1, *ratings.shape[1:]))
    first_case = np.take_along_axis(ratings, first, axis=0)
    moves = np.where(counted, (ratings - first_case) / unit, 0)
    case_moves = moves.mean(axis=1)
    offsets = np.where(counted, (ratings - ratings[:, :1]) / unit, 0)
    within = offsets - offsets.mean(axis=1, keepdims=True)
    rater_shifts = within.sum(axis=0) / cases
    # The residual of the moves: a rater's shift is no part of it.
    apart = moves - moves[:, :1]
    apart = apart - apart.mean(axis=1, keepdims=True)
    residuals = np.where(counted, apart - apart.sum(axis=0) / cases, 0)
    deviations = np.where(complete, case_moves - case_moves.sum(axis=0) / cases, 0)

    def squares(values: np.ndarray) -> np.ndarray:
        """Their sum per feature, 0 where none of them exceeds round-off."""
        flat = values.reshape(-1, values.shape[-1])
        return np.where(np.abs(flat).max(axis=0) <= round_off, 0.0, (flat**2).sum(axis=0))

    return _MeanSquares(
        n=n,
        cases=k * squares(deviations) / (cases - 1),
        within=squares(within) / (cases * (k - 1)),
        raters=cases * squares(rater_shifts) / (k - 1),
        residual=squares(residuals) / ((cases - 1) * (k - 1)),
    )


def _forms_of_model(squares: _MeanSquares, k: int, model: int) -> dict[str, Icc]:
    """Both forms of a model. 1: one-way; 2: two-way, raters random (agreement); 3: two-way, raters fixed
    (consistency).
    """
    between = squares.cases
    error = squares.within if model == 1 else squares.residual
    n = np.where(np.isfinite(between), squares.n, np.nan)
    df1 = n - 1
    df2 = n * (k - 1) if model == 1 else (n - 1) * (k - 1)
    error_df = _agreement_df(squares, k) if model == 2 else df2
    low_ratio = stats.f.isf(_TAIL, df1, error_df)
    high_ratio = 1 / stats.f.isf(_TAIL, error_df, df1)
    f = between / error
    rater_part = (squares.raters - squares.residual) / n if model == 2 else 0.0

    def form(noise: np.ndarray | float) -> Icc:
        def at(ratio: np.ndarray | float) -> np.ndarray:
            """The coefficient, were error and noise `ratio` times what they are: 1 gives the estimate,
            quantiles of F give the limits.
            """
            denominator = between + ratio * noise
            return np.where(denominator > 0, (between - ratio * error) / denominator, np.nan)

        return Icc(at(1.0), at(low_ratio), at(high_ratio), f, df1, df2, stats.f.sf(f, df1, df2), squares.n, k)

    return {f"ICC({model},1)": form((k - 1) * error + k * rater_part), f"ICC({model},k)": form(rater_part)}


def _agreement_df(squares: _MeanSquares, k: int) -> np.ndarray:
    """Satterthwaite's degrees of freedom of ICC(2,.)'s error (Shrout & Fleiss 1979; McGraw & Wong 1996, table
    7), freed of division by the residual mean square, which is zero where raters differ by a constant only.
    """
    n = squares.n
    between = squares.cases
    raters = squares.raters
    residual = squares.residual
    icc = (between - residual) / (between + (k - 1) * residual + k * (raters - residual) / n)
    a = k * icc * raters
    b = (n * (1 + (k - 1) * icc) - k * icc) * residual
    df = (k - 1) * (n - 1) * (a + b) ** 2 / ((n - 1) * a**2 + b**2)
    # No error to weigh, or no agreement: any degrees of freedom give the same limits, (1, 1) or (0, 0).
    return np.where((a == 0) & (b == 0), 1.0, df)


# Bland-Altman


@dataclass(frozen=True)
class BlandAltman:
    """Differences first - second rater of all features: arrays (features,), NaN where fewer than two cases
    count.

    `bias` with its interval, `sd` of the differences, and the lower and upper limit of agreement (`loa`),
    each with its 95 % interval.
    """

    n: np.ndarray
    bias: np.ndarray
    bias_low: np.ndarray
    bias_high: np.ndarray
    sd: np.ndarray
    loa_lower: np.ndarray
    loa_lower_low: np.ndarray
    loa_lower_high: np.ndarray
    loa_upper: np.ndarray
    loa_upper_low: np.ndarray
    loa_upper_high: np.ndarray


def bland_altman(first: np.ndarray, second: np.ndarray) -> BlandAltman:
    """Bias and limits of agreement (bias -+ 1.96 SD) between two raters' ratings (cases, features).

    Intervals as Bland & Altman (Stat Methods Med Res 1999;8:135): t distribution with n - 1 degrees of
    freedom, the standard error of a limit approximated by SD sqrt(1/n + 1.96^2 / (2 (n - 1))).
    """
    differences = np.asarray(first, float) - np.asarray(second, float)
    counted = np.isfinite(differences)
    cases = counted.sum(axis=0)
    n = np.where(cases > 1, cases, np.nan)
    bias = np.where(counted, differences, 0).sum(axis=0) / n
    sd = np.sqrt((np.where(counted, differences - bias, 0) ** 2).sum(axis=0) / (n - 1))
    t = stats.t.isf(_TAIL, n - 1)
    bias_reach = t * sd / np.sqrt(n)
    limit_reach = t * sd * np.sqrt(1 / n + _Z**2 / (2 * (n - 1)))
    lower = bias - _Z * sd
    upper = bias + _Z * sd
    return BlandAltman(
        n=cases,
        bias=bias,
        bias_low=bias - bias_reach,
        bias_high=bias + bias_reach,
        sd=sd,
        loa_lower=lower,
        loa_lower_low=lower - limit_reach,
        loa_lower_high=lower + limit_reach,
        loa_upper=upper,
        loa_upper_low=upper - limit_reach,
        loa_upper_high=upper + limit_reach,
    )
