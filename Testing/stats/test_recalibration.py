"""The closed test and cut-offs of a wanted share, against R."""

import math

import numpy as np
import pytest

from HER2ViTTrainingLib.stats.order_statistics import cutoff, needed_values, rank_of_cutoff, reached_share
from HER2ViTTrainingLib.stats.recalibration import INTERCEPT, INTERCEPT_AND_SLOPE, NOTHING, closed_test

INDEX = np.arange(1, 61)
X = -3 + 0.1 * INDEX + 0.5 * np.sin(INDEX)


def labels(wave, shift=0.0):
    """R: y <- as.numeric(wave*sin(7*i) + x + shift > 0), with i <- 1:60; x <- -3 + 0.1*i + 0.5*sin(i)"""
    return wave * np.sin(7 * INDEX) + X + shift > 0


# Computed with R 4.2.2 (all fits with epsilon = 1e-14):
# full <- glm(y ~ x, binomial); int <- glm(y ~ offset(x), binomial); sqrt(diag(vcov(.)))
# ll0 <- sum(y*x - log(1 + exp(x))); s <- 2*(logLik(full) - ll0); pchisq(s, 2, lower.tail = FALSE)
# s <- 2*(logLik(full) - logLik(int)); pchisq(s, 1, lower.tail = FALSE)


def test_a_model_that_holds_is_left_alone_as_in_r():
    found = closed_test(labels(1.3), X)
    assert found.choice == NOTHING
    assert (found.slope.value, found.intercept.value, found.against_intercept) == (1, 0, None)
    assert (found.against_original.statistic, found.against_original.p) == pytest.approx(
        (2.48036302115288, 0.289331696409591), rel=1e-6
    )


def test_a_shift_moves_the_intercept_only_as_in_r():
    found = closed_test(labels(2, 1.2), X)
    assert found.choice == INTERCEPT
    assert found.slope.value == 1
    error = 0.366416377618425
    expected = (1.82591351710642, 1.82591351710642 - 1.959963984540 * error)
    assert (found.intercept.value, found.intercept.low) == pytest.approx(expected, rel=1e-6)
    assert (found.against_original.statistic, found.against_original.p) == pytest.approx(
        (27.7285870000123, 9.52387830622529e-07), rel=1e-6
    )
    assert (found.against_intercept.statistic, found.against_intercept.p) == pytest.approx(
        (0.26531451343137, 0.606492297201667), rel=1e-6
    )


def test_too_extreme_scores_change_slope_and_intercept_as_in_r():
    found = closed_test(labels(4, 2), X)
    assert found.choice == INTERCEPT_AND_SLOPE
    assert (found.intercept.value, found.slope.value) == pytest.approx(
        (1.12439833083579, 0.44961529186823), rel=1e-6
    )
    reach = 1.959963984540 * np.array([0.325372476869769, 0.191600616780733])
    assert (found.intercept.high - 1.12439833083579, found.slope.high - 0.44961529186823) == pytest.approx(
        tuple(reach), rel=1e-6
    )
    assert (found.against_intercept.statistic, found.against_intercept.p) == pytest.approx(
        (6.56788639414411, 0.0103835192755101), rel=1e-6
    )


@pytest.mark.parametrize(
    "y, x, why",
    [
        (X > 0, X, "separate"),
        (X < 0, X, "separate"),
        (labels(1), np.zeros(60), "all the same"),
        (np.ones(60), X, "both classes"),
        (~labels(4), X, "wrong way round"),
    ],
)
def test_what_cannot_be_recalibrated_is_refused(y, x, why):
    with pytest.raises(ValueError, match=why):
        closed_test(y, x)


def test_the_original_is_kept_in_95_percent_where_it_is_right():
    """200 samples of 100 cases: binomial, so 0.95 less three standard errors is 0.904."""
    rng = np.random.default_rng(3)
    kept = 0
    for _ in range(200):
        logits = rng.normal(0, 1.5, 100)
        kept += closed_test(rng.random(100) < 1 / (1 + np.exp(-logits)), logits).choice == NOTHING
    assert kept / 200 >= 0.904


@pytest.mark.parametrize(
    "n, share, rank", [(8, 0.9, 0), (9, 0.9, 1), (18, 0.9, 1), (19, 0.9, 2), (18, 0.95, 0), (19, 0.95, 1)]
)
def test_ranks(n, share, rank):
    assert rank_of_cutoff(n, share) == rank
    assert needed_values(0.9) == 9
    assert needed_values(0.95) == 19


def test_shares_and_intervals_equal_r():
    """R: qbeta(c(.025, .975), 28, 3); qbeta(c(.05, .95), 18, 2); qbinom(c(.025, .975), n, .1), n = 30, 12"""
    share = reached_share(30, 3)
    assert (share.low, share.high) == pytest.approx((0.779264598477038, 0.978882862970277), rel=1e-9)
    assert share.value == pytest.approx(28 / 31)
    share = reached_share(19, 2, 0.9)
    assert (share.low, share.high) == pytest.approx((0.773625750727622, 0.980966879878376), rel=1e-9)
    found = cutoff(np.arange(30)[::-1], 0.9)
    assert (found.value, found.low, found.high) == (2, -math.inf, 7)
    found = cutoff(np.arange(12), 0.9)
    assert (found.value, found.low, found.high) == (0, -math.inf, 4)
    with pytest.raises(ValueError, match="8 values, where 9 are needed"):
        cutoff(np.arange(8), 0.9)


def test_the_cutoff_is_reached_as_often_as_theory_says():
    rng = np.random.default_rng(5)
    reached = [np.mean(rng.random(2000) >= cutoff(rng.random(30), 0.9).value) for _ in range(400)]
    theory = reached_share(30, rank_of_cutoff(30, 0.9))
    assert np.mean(reached) == pytest.approx(theory.value, abs=0.01)
    assert np.mean(np.array(reached) < theory.low) == pytest.approx(0.025, abs=0.025)
