"""Clinical data and follow-up of simulated patients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

LOG_HAZARD_RATIOS = {
    "age": math.log(1.09),
    "tumor_size_cm": math.log(1.29),
    "positive_ln": math.log(1.11),
    "rim_high": math.log(2.52),
}
"""Conditional log hazard ratios, of death and of recurrence alike, per year, cm, node, and for rim > 0: the
study's multivariable estimates.
"""

WEIBULL_SHAPE = 1.2
BASELINE_EVENTS_AT_5_YEARS = {"death": 0.035, "recurrence": 0.055}
"""Share of events within 60 months at age 52.6, 2.5 cm, no positive node, rim <= 0."""


def draw_clinical(rng: np.random.Generator, status: str, size_cm: float) -> dict[str, Any]:
    """The manifest's clinical columns but follow-up. Only `ihc` and `ish` follow the status; pT follows the
    size, pN the positive nodes.
    """
    ihc, ish = _draw_immunohistochemistry(rng, status)
    age = int(np.clip(round(rng.normal(52.6, 10.5)), 24, 88))
    size = max(0.3, round(size_cm * (1 + 0.06 * rng.standard_normal()), 1))
    nodes = int(rng.negative_binomial(0.9, 0.22)) if rng.random() < 0.48 else 0
    er = rng.random() < 0.70
    return {
        "ihc": ihc,
        "ish": ish,
        "age": age,
        "menopause": _or_unknown(rng, 0.03, "yes" if age + rng.normal(0, 4) > 50.5 else "no"),
        "histology": "invasive" if rng.random() < 0.93 else "others",
        "pT": "T1" if size <= 2 else "T2" if size <= 5 else "T3",
        "pN": "N0" if nodes == 0 else "N1" if nodes <= 3 else "N2" if nodes <= 9 else "N3",
        "grade": _or_unknown(rng, 0.05, str(rng.choice(["G1", "G2", "G3"], p=[0.07, 0.55, 0.38]))),
        "er": "positive" if er else "negative",
        "pr": "positive" if rng.random() < (0.82 if er else 0.06) else "negative",
        "lvi": "yes" if rng.random() < 0.3 else "no",
        "tumor_size_cm": size,
        "positive_ln": nodes,
    }


def _or_unknown(rng: np.random.Generator, share: float, value: str) -> str:
    return "NA" if rng.random() < share else value


def _draw_immunohistochemistry(rng: np.random.Generator, status: str) -> tuple[str, str]:
    """IHC and ISH of a status: the several ways that lead to each, and ISH sometimes done where it was not
    needed.
    """
    way, extra = rng.random(2)
    if status == "zero":
        return "0", "negative" if extra < 0.05 else ""
    if status == "low":
        return ("1+", "negative" if extra < 0.08 else "") if way < 0.55 else ("2+", "negative")
    return ("3+", "positive" if extra < 0.15 else "") if way < 0.8 else ("2+", "positive")


def log_hazard(clinical: Mapping[str, Any], rim: float) -> float:
    """Log hazard relative to age 52.6, 2.5 cm, no positive node, rim <= 0."""
    return (
        LOG_HAZARD_RATIOS["age"] * (clinical["age"] - 52.6)
        + LOG_HAZARD_RATIOS["tumor_size_cm"] * (clinical["tumor_size_cm"] - 2.5)
        + LOG_HAZARD_RATIOS["positive_ln"] * clinical["positive_ln"]
        + LOG_HAZARD_RATIOS["rim_high"] * (rim > 0)
    )


def draw_follow_up(rng: np.random.Generator, clinical: dict[str, Any], rim: float) -> dict[str, Any]:
    """Months and event (0 or 1) of recurrence-free and overall survival: Weibull, proportional hazards,
    censored at the end of follow-up.

    Death and recurrence have the same shape and the same hazard ratios, so the earlier of the two has them as
    well.
    """
    relative = math.exp(log_hazard(clinical, rim))
    hazard = {name: -math.log(1 - share) * relative for name, share in BASELINE_EVENTS_AT_5_YEARS.items()}
    months = {name: 60 * (rng.exponential() / rate) ** (1 / WEIBULL_SHAPE) for name, rate in hazard.items()}
    end = rng.uniform(40, 110)

    def observed(time: float) -> tuple[float, int]:
        return max(0.1, round(min(time, end), 1)), int(time <= end)

    rfs_months, rfs_event = observed(min(months.values()))
    os_months, os_event = observed(months["death"])
    return {"rfs_months": rfs_months, "rfs_event": rfs_event, "os_months": os_months, "os_event": os_event}
