"""Whether unlabelled cases look like a mixture of the classes a model was made on: what prior shift assumes,
and what a new scanner or another kind of patient breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from HER2ViTLib.model.calibration import Calibration
from HER2ViTLib.model.development_scores import STEPS, DevelopmentScores

DRAWS = 200
ALPHA = 0.05
_HALVINGS = 30
_AT = np.linspace(0, 1, STEPS + 1)
_Cdf = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class PopulationCheck:
    """How widely the scores are spread over the distribution of the mixture: 1 where they follow it, below 1
    where they keep to its middle, above where they keep to its ends; and how often it is as far from 1 by
    chance.
    """

    spread: float
    p: float

    @property
    def is_alike(self) -> bool:
        return self.p >= ALPHA


def check_population(
    logits: np.ndarray,
    development: DevelopmentScores,
    calibration: Calibration,
    prevalence: float,
    seed: int,
) -> PopulationCheck:
    """Compares raw logits (n,) with the mixture of the development set's two classes, in the shares that fit
    them best.

    p by parametric bootstrap: samples of that mixture, and development sets of the same size drawn anew, go
    through the same estimate. The spread is looked at, since the estimate of the shares has already fitted
    the place: in simulations it finds a slight change of scanner four times as often as the largest distance
    of the distributions, and still in a fifth of the samples only. It takes the development scores as they
    are: those of a validation set the model was chosen by.
    """
    rng = np.random.default_rng(seed)
    classes = [_distribution(of_label) for of_label in development.quantiles]
    (share,) = _shares(logits[None], calibration, prevalence)
    spread = _spread(logits, _mixture(classes, share))
    drawn = np.where(
        rng.random((DRAWS, len(logits))) < share,
        _drawn(development.quantiles[1], (DRAWS, len(logits)), rng),
        _drawn(development.quantiles[0], (DRAWS, len(logits)), rng),
    )
    as_far = 0
    for one, share_of_one in zip(drawn, _shares(drawn, calibration, prevalence)):
        redrawn = [_redrawn(values, n, rng) for values, n in zip(development.quantiles, development.n)]
        mixture = _mixture([_distribution(values) for values in redrawn], share_of_one)
        as_far += abs(_spread(one, mixture) - 1) >= abs(spread - 1)
    return PopulationCheck(spread, (as_far + 1) / (DRAWS + 1))


def _shares(logits: np.ndarray, calibration: Calibration, prevalence: float) -> np.ndarray:
    """The share of label 1 (b,) that fits each sample of raw logits (b, n) best: the maximum that
    `estimate_priors` finds, here by bisection, for hundreds of samples at once.
    """
    probability = 1 / (1 + np.exp(-(calibration.slope * logits + calibration.intercept)))
    negative = (1 - probability) / (1 - prevalence)
    positive = probability / prevalence
    low = np.zeros(len(logits))
    high = np.ones(len(logits))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        mixed = middle[:, None] * positive + (1 - middle[:, None]) * negative
        rises = ((positive - negative) / mixed).sum(axis=1) > 0
        low = np.where(rises, middle, low)
        high = np.where(rises, high, middle)
    return (low + high) / 2


def _distribution(quantiles: tuple[float, ...] | np.ndarray) -> _Cdf:
    """The distribution function, straight between the quantiles."""
    return lambda at: np.interp(at, quantiles, _AT)


def _mixture(classes: list[_Cdf], share: float) -> _Cdf:
    negative, positive = classes
    return lambda at: (1 - share) * negative(at) + share * positive(at)


def _drawn(quantiles: tuple[float, ...], size: int | tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    return np.interp(rng.random(size), _AT, quantiles)


def _redrawn(quantiles: tuple[float, ...], n: int, rng: np.random.Generator) -> np.ndarray:
    """The quantiles of another sample of n."""
    return np.quantile(_drawn(quantiles, n, rng), _AT)


def _spread(logits: np.ndarray, distribution: _Cdf) -> float:
    """The mean squared distance from the median, in ranks of the distribution, over the expected one."""
    return float(12 * ((distribution(logits) - 0.5) ** 2).mean())
