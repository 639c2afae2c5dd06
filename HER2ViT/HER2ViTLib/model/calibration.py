"""From a model's logit to a calibrated probability; without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """Platt scaling (Platt 1999) of the logit: score = sigmoid(slope x logit + intercept), slope > 0."""

    slope: float = 1.0
    intercept: float = 0.0

    def score(self, logit: float) -> float:
        return sigmoid(self.slope * logit + self.intercept)

    def logit_of(self, score: float) -> float:
        """The logit at which the calibrated score reaches `score`."""
        if not 0 < score < 1:
            return -math.inf if score <= 0 else math.inf
        return (math.log(score / (1 - score)) - self.intercept) / self.slope


def sigmoid(logit: float) -> float:
    """The logistic function, without overflow."""
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
