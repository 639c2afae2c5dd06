"""Prior shift and its estimate, against a direct maximisation of the likelihood in R."""

import numpy as np
import pytest

from HER2ViTTrainingLib.stats.prior_shift import estimate_priors, log_likelihood_ratio, logit_shift

INDEX = np.arange(1, 81)
PRIORS = np.array([0.25, 0.5, 0.25])


def three_probabilities():
    """R: i <- 1:80; p1 <- plogis(.6 + 3*sin(i)); p2 <- plogis(-.2 + 3*sin(2.3*i)); P <- cbind(1-p1, p1*p2,
    p1*(1-p2))
    """
    not_zero = 1 / (1 + np.exp(-0.6 - 3 * np.sin(INDEX)))
    low = 1 / (1 + np.exp(0.2 - 3 * np.sin(2.3 * INDEX)))
    return np.column_stack([1 - not_zero, not_zero * low, not_zero * (1 - low)])


# Computed with R 4.2.2: L <- sweep(P, 2, prior, "/")
# ll <- function(t) {e <- exp(c(0, t)); w <- e/sum(e); sum(log(L %*% w))}
# o <- optim(c(0, 0), ll, method = "BFGS", control = list(fnscale = -1, reltol = 1e-16, maxit = 1000))
# e <- exp(c(0, o$par)); e/sum(e); 2*(o$value - sum(log(L %*% prior)))


def test_three_shares_and_their_test_equal_r():
    probabilities = three_probabilities()
    (shares,) = estimate_priors(probabilities, PRIORS)
    assert shares == pytest.approx((0.5916646315747, 0.0436691887278, 0.3646661796975), abs=1e-5)
    assert log_likelihood_ratio(probabilities, PRIORS, shares) == pytest.approx(37.8857199142, rel=1e-7)


def test_two_shares_equal_r():
    """R: optimize(function(a) sum(log(cbind(P[,1]/.25, p1/.75) %*% c(a, 1-a))), c(1e-6, 1-1e-6), maximum =
    TRUE, tol = 1e-14)
    """
    zero = three_probabilities()[:, 0]
    (shares,) = estimate_priors(np.column_stack([zero, 1 - zero]), np.array([0.25, 0.75]))
    assert shares == pytest.approx((0.609839907372, 1 - 0.609839907372), abs=1e-6)


def test_weights_count_cases():
    probabilities = three_probabilities()
    twice = np.ones((2, 80))
    twice[1, :5] = 2
    found = estimate_priors(probabilities, PRIORS, twice)
    assert found[0] == pytest.approx(estimate_priors(probabilities, PRIORS)[0], abs=1e-9)
    doubled = np.concatenate([probabilities, probabilities[:5]])
    assert found[1] == pytest.approx(estimate_priors(doubled, PRIORS)[0], abs=1e-6)


def test_a_known_shift_makes_probabilities_right_at_the_new_prevalence():
    """Two normal classes, one standard deviation apart: the logit is x - 1/2 + log odds of the prevalence."""
    x = np.linspace(-3, 3, 7)
    at = {share: x - 0.5 + np.log(share / (1 - share)) for share in (0.3, 0.8)}
    assert at[0.3] + logit_shift(0.3, 0.8) == pytest.approx(at[0.8])


def test_the_estimate_finds_the_shares_of_a_simulated_site():
    rng = np.random.default_rng(2)
    positive = rng.random(4000) < 0.7
    x = rng.normal(2 * positive, 1)
    probability = 1 / (1 + np.exp(-(2 * x - 2 + np.log(0.3 / 0.7))))
    (shares,) = estimate_priors(np.column_stack([1 - probability, probability]), np.array([0.7, 0.3]))
    assert shares[1] == pytest.approx(0.7, abs=0.04)
