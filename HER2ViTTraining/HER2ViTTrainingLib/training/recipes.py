"""Training recipes, and the learning rates of those that fine-tune.

`study` repeats the published code: Adam, cosine annealing that rises again after ten epochs, early stopping
on the validation loss, no augmentation. `default` is ours: augmentation, AdamW with warm-up, cosine and
layer-wise learning-rate decay, class weights from the training part, averaged weights, early stopping on the
validation AUC. `probe`, for small cohorts, leaves the pretrained encoder as it is (see `probe`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

METHOD = 2
"""Part of a training's fingerprint: raised when a recipe comes to mean something else, so that no checkpoint
of older code is resumed.
"""


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How all weights of a network are trained.

    `learning_rate` is that of a step of `batch` slices, at its peak; `warm_up` the share of all steps that
    lead up to it; `layer_decay` the factor by which it falls from one layer to the one below (None: the same
    for all). `patience`: epochs without a better `stops_on` ("auc" or "loss", of the validation set) before
    training ends. `averaging` is the decay of the weights' moving average; 0 keeps the plain weights.
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


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Only the last layer is fitted, by ridge-penalised logistic regression."""

    name: str


Recipe = FineTuning | Probe
RECIPES: dict[str, Recipe] = {
    "default": FineTuning(
        name="default",
        optimizer="adamw",
        learning_rate=4e-4,
        weight_decay=0.05,
        batch=32,
        epochs=40,
        patience=12,
        warm_up=0.1,
        layer_decay=0.8,
        averaging=0.98,
        weighted_classes=True,
        augmented=True,
        stops_on="auc",
    ),
    "study": FineTuning(
        name="study",
        optimizer="adam",
        learning_rate=1e-4,
        weight_decay=1e-4,
        batch=16,
        epochs=50,
        patience=8,
        warm_up=0.0,
        layer_decay=None,
        averaging=0.0,
        weighted_classes=False,
        augmented=False,
        stops_on="loss",
    ),
    "probe": Probe(name="probe"),
}
STUDY_COSINE_EPOCHS = 10


def learning_rate_factor(recipe: FineTuning, step: int, steps_an_epoch: int) -> float:
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
