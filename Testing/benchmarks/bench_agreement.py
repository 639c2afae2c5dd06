"""Intraclass correlations of all features at once: against a loop over the features with pingouin, same
numbers.

pingouin is GPL, so it belongs to no extra; install it by hand to measure this. Without it the claim is
skipped, and the benchmark says so.
"""

from __future__ import annotations

import sys

import numpy as np
from measure import Claim, ratio_claim

from HER2ViTTrainingLib.stats.agreement import HEADLINE, icc

FEATURES = 1000
CASES = 60
READS = 2
LOOPED = 100
"""Features the loop goes through; it takes the same for each, so its time is multiplied."""


def claims() -> list[Claim]:
    try:
        import pandas
        import pingouin
    except ImportError:
        sys.stdout.write(
            "skipped: agreement: pingouin is not installed (GPL, in no extra); install it by hand to measure"
            " this claim\n"
        )
        return []
    random = np.random.default_rng(0)
    ratings = random.normal(size=(CASES, 1, FEATURES)) + random.uniform(0.1, 1, FEATURES) * random.normal(
        size=(CASES, READS, FEATURES)
    )
    case, read = (index.ravel() for index in np.indices((CASES, READS)))
    tables = [
        pandas.DataFrame({"case": case, "read": read, "value": ratings[:, :, n].ravel()})
        for n in range(LOOPED)
    ]

    def ours() -> np.ndarray:
        return icc(ratings)[HEADLINE].icc

    def theirs() -> np.ndarray:
        return np.array(
            [
                pingouin.intraclass_corr(table, targets="case", raters="read", ratings="value")["ICC"][1]
                for table in tables
            ]
        )

    difference = float(np.abs(ours()[:LOOPED] - theirs()).max())
    timed = ratio_claim("", 1.0, ours, theirs, runs=3, warm_up=1)
    share = LOOPED / FEATURES
    name = (
        f"ICC with intervals of {FEATURES} features x {CASES} cases x {READS} reads against looping pingouin"
        " over them"
    )
    return [
        Claim(name, 1 / 200, timed.result * share, "x", f"{timed.detail} for {LOOPED} features"),
        Claim("largest difference between the two", 1e-12, difference, "", HEADLINE),
    ]


if __name__ == "__main__":
    sys.stdout.write("\n".join(map(str, claims())) + "\n")
