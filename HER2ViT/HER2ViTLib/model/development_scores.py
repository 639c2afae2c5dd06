"""How a model's logits were distributed where it was made: what another site's are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from HER2ViTLib.messages import InputError

STEPS = 20
"""Quantiles are stored at 0, 5, ... 100 %."""
_MAX_CASES = 10_000_000


@dataclass(frozen=True)
class DevelopmentScores:
    """Per label, 0 and 1: how many cases of the validation set have it, and the quantiles of their raw logits
    at 0, 5, ... 100 %.
    """

    n: tuple[int, int]
    quantiles: tuple[tuple[float, ...], tuple[float, ...]]

    def to_json(self) -> dict[str, Any]:
        return {"n": list(self.n), "logit_quantiles": [list(of_label) for of_label in self.quantiles]}


def development_scores(labels: np.ndarray, logits: np.ndarray) -> DevelopmentScores:
    """Of labels (n,) and raw logits (n,); both labels must be there."""
    found = [np.asarray(logits, float)[np.asarray(labels) == label] for label in (0, 1)]
    steps = np.linspace(0, 1, STEPS + 1)
    negative, positive = (tuple(np.quantile(of_label, steps).tolist()) for of_label in found)
    return DevelopmentScores((len(found[0]), len(found[1])), (negative, positive))


def development_scores_from_json(data: Any) -> DevelopmentScores | None:
    """The section of a config, None without one. Raises `InputError` for what is none."""
    if data is None:
        return None
    try:
        negative, positive = (_quantiles(of_label) for of_label in data["logit_quantiles"])
        n0, n1 = (_count(n) for n in data["n"])
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"config.json: the development scores are damaged ({error}); get the bundle anew"
        ) from error
    return DevelopmentScores((n0, n1), (negative, positive))


def _quantiles(values: Any) -> tuple[float, ...]:
    if len(values) != STEPS + 1 or not all(type(value) in (int, float) for value in values):
        raise ValueError(f"not {STEPS + 1} quantiles")
    found = tuple(float(value) for value in values)
    if not all(abs(value) < 1e6 for value in found) or list(found) != sorted(found):
        raise ValueError("the quantiles do not ascend")
    return found


def _count(n: Any) -> int:
    if type(n) is not int or not 0 < n <= _MAX_CASES:
        raise ValueError("n is no number of cases")
    return n
