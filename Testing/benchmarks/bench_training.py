"""Training: what the input pipeline costs beside the step it feeds, and how soon an unchanged cohort is
back.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np
import timm
import torch
from measure import Claim, ratio_claim, seconds
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


def claims() -> list[Claim]:
    return [input_pipeline(), second_start()]


def input_pipeline() -> Claim:
    """Choosing, augmenting and normalising a batch, against the step of full-size ViT-Tiny on tensors already
    on the device.
    """
    recipe = RECIPES["default"]
    rng = np.random.default_rng(0)
    part = one_slice_each(rng.random((64, 224, 224), np.float32), np.arange(64) % 2)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = Trainer(
        timm.create_model("vit_tiny_patch16_224", num_classes=1),
        training=part,
        validation=part,
        preprocessing=SquarePreprocessing(),
        recipe=recipe,
        seed=1,
        device=device,
    )
    chosen = torch.arange(recipe.batch)
    images, labels, _ = trainer.batch(chosen)

    def finished() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def pipeline() -> None:
        trainer.batch(chosen)
        finished()

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits = trainer.model(images).squeeze(-1)
        trainer.optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(logits.float(), labels).backward()
        trainer.optimizer.step()
        finished()

    return ratio_claim(
        f"input pipeline against the training step ({device})", 0.05, pipeline, step, runs=10, warm_up=2
    )


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
