"""Training: what the input pipeline costs beside the step it feeds, and how soon an unchanged cohort is
back.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from measure import Claim, ratio_claim, seconds
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3, dispatch_clip_grad
from torch import Tensor
from torch.nn import functional

from HER2ViTLib.her2 import ZERO_VS_REST
from HER2ViTLib.model.preprocessing import SquarePreprocessing
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.cohort.splits import make_splits
from HER2ViTTrainingLib.simulation.cohorts import simulate_cohort
from HER2ViTTrainingLib.simulation.protocols import PROTOCOLS
from HER2ViTTrainingLib.training.experiment import Experiment, fingerprint, load_data
from HER2ViTTrainingLib.training.labelled import one_slice_each
from HER2ViTTrainingLib.training.recipes import RECIPES
from HER2ViTTrainingLib.training.trainer import Trainer

CASES = 400
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
STEP_TARGET = 1.1 if DEVICE == "cuda" else 1.05
"""A GPU takes as long for a small operation of the input pipeline as for one of the network."""
RECIPE = RECIPES["default"]
ARCHITECTURE = "vit_tiny_patch16_224"


def claims() -> list[Claim]:
    return [input_pipeline(), whole_step(), second_start()]


def finished() -> None:
    """Waits until the device has done what it was given."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def a_trainer() -> Trainer:
    rng = np.random.default_rng(0)
    part = one_slice_each(rng.random((64, 224, 224), np.float32), np.arange(64) % 2)
    return Trainer(
        timm.create_model(ARCHITECTURE, num_classes=1),
        training=part,
        validation=part,
        preprocessing=SquarePreprocessing(),
        recipe=RECIPE,
        seed=1,
        device=DEVICE,
    )


def bare_step(images: Tensor, labels: Tensor) -> Callable[[], None]:
    """The recipe's step as a loop of timm's parts takes it, on tensors already on the device."""
    model = timm.create_model(ARCHITECTURE, num_classes=1).to(DEVICE).train()
    optimizer = create_optimizer_v2(
        model,
        opt=RECIPE.optimizer,
        lr=RECIPE.learning_rate,
        weight_decay=RECIPE.weight_decay,
        layer_decay=RECIPE.layer_decay,
    )
    average = ModelEmaV3(model, decay=RECIPE.averaging)

    def step() -> None:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == "cuda"):
            logits = model(images).squeeze(-1)
        loss = functional.binary_cross_entropy_with_logits(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        dispatch_clip_grad(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        finished()

    return step


def input_pipeline() -> Claim:
    """Choosing, augmenting and normalising a batch, against the step of full-size ViT-Tiny on tensors already
    on the device.
    """
    trainer = a_trainer()
    chosen = torch.arange(RECIPE.batch)
    images, labels, _ = trainer.batch(chosen)

    def pipeline() -> None:
        trainer.batch(chosen)
        finished()

    name = f"input pipeline against the training step ({DEVICE})"
    return ratio_claim(name, 0.05, pipeline, bare_step(images, labels), runs=20)


def whole_step() -> Claim:
    """The trainer's step, input pipeline included, against the bare loop's on tensors already on the
    device.
    """
    trainer = a_trainer()
    trainer.model.train()
    chosen = torch.arange(RECIPE.batch)
    images, labels, _ = trainer.batch(chosen)

    def ours() -> None:
        trainer._step(chosen, 0, 18)
        finished()

    name = f"training step against a bare loop of timm's parts ({DEVICE})"
    return ratio_claim(name, STEP_TARGET, ours, bare_step(images, labels), runs=20)


def second_start() -> Claim:
    """From the manifest to the first step on an unchanged cohort of 400 cases, imports and model creation
    left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        simulate_cohort(CASES, 1, PROTOCOLS["A"], Path(folder) / "cohort", scale=0.25)

        def start() -> None:
            cohort = read_manifest(Path(folder) / "cohort" / "manifest.csv")
            splits = make_splits(cohort)
            split = splits.tasks[ZERO_VS_REST.name]
            sets = {"training": split.training, "validation": split.validation}
            data = load_data(cohort, sets, ZERO_VS_REST, SquarePreprocessing(), Path(folder) / "cache")
            data.labelled("training"), data.labelled("validation")
            fingerprint(Experiment(ZERO_VS_REST), data, splits)

        first = seconds(start)
        again = statistics.median(seconds(start) for _ in range(5))
    return Claim(
        "second train on an unchanged cohort, to its first step",
        2.0,
        again,
        "s",
        f"{CASES} cases; the first time took {first:.1f} s",
    )
