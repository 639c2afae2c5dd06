"""The bootstrap: against looping scikit-learn's functions over the same resamples, same numbers."""

from __future__ import annotations

import sys

import numpy as np
from measure import Claim, ratio_claim
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score

from HER2ViTTrainingLib.stats.resampling import METRICS, Resampling, bootstrap, metrics_of_weights

CASES = 700
THRESHOLD = 0.5
PLAN = Resampling(1000, seed=1)
COMPARED = ("auc", "accuracy", "sensitivity", "specificity", "f1")


def claims() -> list[Claim]:
    random = np.random.default_rng(0)
    labels = random.random(CASES) < 0.6
    # Two decimals: many ties, as a calibrated score of a small model has.
    scores = (1 / (1 + np.exp(-random.normal(size=CASES) - labels))).round(2)

    def ours() -> np.ndarray:
        return bootstrap(metrics_of_weights(labels, scores, THRESHOLD), labels, PLAN)[0]

    counts = bootstrap(lambda weights: weights, labels, PLAN)[0].astype(int)

    def theirs() -> np.ndarray:
        return np.array([_by_scikit_learn(labels.repeat(count), scores.repeat(count)) for count in counts])

    columns = [METRICS.index(name) for name in COMPARED]
    difference = float(np.abs(ours()[:, columns] - theirs()).max())
    detail = f"{PLAN.resamples} resamples of {CASES} cases, five metrics"
    return [
        ratio_claim(
            "bootstrap against looping scikit-learn over the same resamples",
            0.02,
            ours,
            theirs,
            runs=1,
            warm_up=0,
        ),
        Claim("largest difference between the two", 1e-12, difference, "", detail),
    ]


def _by_scikit_learn(labels: np.ndarray, scores: np.ndarray) -> list[float]:
    called = scores >= THRESHOLD
    return [
        roc_auc_score(labels, scores),
        accuracy_score(labels, called),
        recall_score(labels, called),
        recall_score(labels, called, pos_label=0),
        f1_score(labels, called),
    ]


if __name__ == "__main__":
    sys.stdout.write("\n".join(map(str, claims())) + "\n")
