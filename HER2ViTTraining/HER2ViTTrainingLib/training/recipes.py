"""Training recipes: the study's and ours."""

from __future__ import annotations

import math
from dataclasses import dataclass

METHOD = 2
"""Raised when a recipe comes to mean something else, so that no checkpoint of older code is gone on with."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. Learning rates are per step of `batch` cases; `averaging` 0 keeps the plain
    weights.
    """

    name: str
    optimizer: str
    learning_rate: float
    weight_decay: float
    batch: int
    epochs: int
    patience: int
    warm_up: float
    layer_decay: float | None
    averaging: float
    weighted_classes: bool
    augmented: bool
    stops_on: str


RECIPES = {
    "default": Recipe("default", "adamw", 4e-4, 0.05, 32, 40, 12, 0.1, 0.8, 0.98, True, True, "auc"),
    "study": Recipe("study", "adam", 1e-4, 1e-4, 16, 50, 8, 0.0, None, 0.0, False, False, "loss"),
}
STUDY_COSINE_EPOCHS = 10


def learning_rate_factor(recipe: Recipe, step: int, steps_an_epoch: int) -> float:
    """The learning rate at a step, as a share of the recipe's.

    `default`: linear warm-up, then half a cosine to zero. `study`: PyTorch's CosineAnnealingLR with T_max 10,
    stepped once an epoch, which rises again after ten epochs.
    """
    if recipe.name == "study":
        return 0.5 * (1 + math.cos(math.pi * (step // steps_an_epoch) / STUDY_COSINE_EPOCHS))
    steps = steps_an_epoch * recipe.epochs
    ramp = max(1, int(recipe.warm_up * steps))
    if step < ramp:
        return (step + 1) / ramp
    return 0.5 * (1 + math.cos(math.pi * (step - ramp) / max(1, steps - ramp)))
