"""Ridge-penalised logistic regression against the objective written out, and what its penalty does."""

import numpy as np
import pytest
from scipy.optimize import minimize

from HER2ViTTrainingLib.stats.ridge import (
    PENALTIES,
    _fitted,
    cross_validated_logits,
    fit_ridge_logit,
    folds_of,
)
from HER2ViTTrainingLib.stats.roc import auc


def cases(n=120, features=30, strength=1.5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features)) * rng.uniform(0.1, 20, features) + rng.normal(size=features)
    line = strength * (x[:, 0] - x[:, 0].mean()) / x[:, 0].std()
    return x, rng.random(n) < 1 / (1 + np.exp(-line)), np.array([f"p{k}" for k in range(n)])


@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_it_minimises_the_penalised_loss(penalty):
    x, labels, _ = cases(features=5)
    weights = np.random.default_rng(1).uniform(0.2, 1, len(labels))
    share = weights / weights.sum()
    mean = share @ x
    sd = np.sqrt(share @ (x - mean) ** 2)
    z = (x - mean) / sd

    def objective(b):
        line = b[0] + z @ b[1:]
        return share @ np.logaddexp(0, np.where(labels, -line, line)) + penalty / 2 * b[1:] @ b[1:]

    best = minimize(objective, np.zeros(6), method="BFGS", options={"gtol": 1e-9}).x
    coefficients, intercept = _fitted(x, labels, weights, penalty)
    assert coefficients * sd == pytest.approx(best[1:], abs=1e-4)
    assert x @ coefficients + intercept == pytest.approx(best[0] + z @ best[1:], abs=1e-4)


def test_units_and_offsets_of_features_change_nothing():
    x, labels, patients = cases()
    first = fit_ridge_logit(x, labels, patients).logits(x)
    scaled = x * 1000 + 7
    assert fit_ridge_logit(scaled, labels, patients).logits(scaled) == pytest.approx(first, abs=1e-3)


def test_a_feature_that_does_not_vary_counts_for_nothing():
    x, labels, patients = cases(features=4)
    x[:, 3] = 0.1
    assert fit_ridge_logit(x, labels, patients).coefficients[3] == 0


def test_noise_gets_a_stronger_penalty_than_a_signal():
    strong = fit_ridge_logit(*cases(n=400, strength=3)).penalty
    noise = fit_ridge_logit(*cases(n=400, strength=0)).penalty
    assert noise > strong
    assert noise == max(PENALTIES)


def test_the_slices_of_a_patient_stay_in_one_fold_and_weigh_as_one():
    x, labels, patients = cases(n=40, features=3)
    often = np.repeat(np.arange(40), 3)
    for held_out in folds_of(labels[often], patients[often], seed=1):
        assert not set(patients[often][held_out]) & set(patients[often][~held_out])
    once, _ = _fitted(x, labels, np.ones(40), 0.1)
    thrice, _ = _fitted(x[often], labels[often], np.full(120, 1 / 3), 0.1)
    assert thrice == pytest.approx(once, abs=1e-5)


def test_held_out_scores_do_not_know_their_label():
    """On labels that mean nothing they rank at random, however many features there are."""
    areas = []
    for seed in range(12):
        x, labels, patients = cases(n=50, features=60, strength=0, seed=seed)
        logits, fold_of = cross_validated_logits(x, labels, patients)
        folds = [fold_of == k for k in range(5)]
        areas += [auc(labels[k], logits[k]) for k in folds if 0 < labels[k].sum() < k.sum()]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.08)


def test_a_single_patient_of_a_class_is_refused():
    x, labels, _ = cases(n=20)
    one_patient = np.where(labels, "same", [f"p{k}" for k in range(20)])
    with pytest.raises(ValueError, match="two patients of each class"):
        fit_ridge_logit(x, labels, one_patient)
    with pytest.raises(ValueError, match="needs both classes"):
        fit_ridge_logit(x, np.ones(20, bool), np.arange(20))
