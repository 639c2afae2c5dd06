"""A GPU, where there is one: mixed precision in a training as long as the study's, several cases in one
forward.

Where there is none the claims are skipped, and the benchmark says so.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import timm
import torch
from bench_training import ARCHITECTURE, RECIPE, finished
from bundles import full_size_bundles
from measure import Claim, ratio_claim, seconds

from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.lesion.masks import Roi
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.model.preprocessing import SquarePreprocessing
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.reading.reading import PreparedCase
from HER2ViTLib.study.study import study_from_volumes
from HER2ViTTrainingLib.batch.worker import GPU_BATCH
from HER2ViTTrainingLib.training.labelled import Labelled, one_slice_each
from HER2ViTTrainingLib.training.trainer import Trainer

CASES = 566
"""The study's development cohort."""
EPOCHS = 50
VALIDATION_CASES = 142
SIDE = 224
GEOMETRY = Geometry((10, 256, 256), (0.86, 0.86, 3.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def claims() -> list[Claim]:
    if not torch.cuda.is_available():
        sys.stdout.write("skipped: gpu: PyTorch sees no GPU here\n")
        return []
    return [whole_training(), mixed_precision(), several_cases()]


# Training


def discs(count: int, seed: int) -> Labelled:
    """Discs on noise, bright in the middle (1) or at the rim (0), anywhere, of any size."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 2)
    y, x = np.indices((SIDE, SIDE), dtype=np.float32)
    images = rng.normal(0.3, 0.05, (count, SIDE, SIDE)).astype(np.float32)
    for image, label in zip(images, labels):
        centre = rng.uniform(84, 140, 2)
        distance = np.hypot(y - centre[0], x - centre[1]) / rng.uniform(35, 63)
        profile = 4 / 3 - distance if label else distance + 1 / 3
        image += np.where(distance < 1, 0.4 * profile, 0)
    return one_slice_each(images, labels)


def study_sized(device: str, epochs: int = EPOCHS, cases: int = CASES) -> Trainer:
    torch.manual_seed(0)
    return Trainer(
        timm.create_model(ARCHITECTURE, num_classes=1),
        training=discs(cases, 1),
        validation=discs(VALIDATION_CASES, 2),
        preprocessing=SquarePreprocessing(),
        recipe=replace(RECIPE, epochs=epochs, patience=epochs),
        seed=1,
        device=device,
    )


def without_autocast() -> contextlib.AbstractContextManager:
    return mock.patch.object(torch, "autocast", lambda *_, **__: contextlib.nullcontext())


def whole_training() -> Claim:
    """A training as long as the study's."""
    study_sized("cuda", epochs=1).run()
    trainer = study_sized("cuda")
    took = seconds(trainer.run)
    best = max(epoch.validation_auc for epoch in trainer.history)
    return Claim(
        f"training of {CASES} cases x {EPOCHS} epochs",
        60.0,
        took,
        "s",
        f"{torch.cuda.get_device_name()}; loss {trainer.history[0].train_loss:.3f} to"
        f" {trainer.history[-1].train_loss:.3f}, best validation AUC {best:.3f}",
    )


def mixed_precision() -> Claim:
    """The memory of an epoch in bfloat16, against one in float32."""

    def epoch() -> tuple[int, float]:
        torch.cuda.empty_cache()
        trainer = study_sized("cuda", epochs=1)
        torch.cuda.reset_peak_memory_stats()
        took = seconds(trainer.run)
        return torch.cuda.max_memory_allocated(), took

    epoch()
    mixed, mixed_seconds = epoch()
    with without_autocast():
        plain, plain_seconds = epoch()
    return Claim(
        "mixed precision: peak memory of a training against float32",
        0.8,
        mixed / plain,
        "x",
        f"{mixed / 2**20:.0f} MiB against {plain / 2**20:.0f} MiB; an epoch {mixed_seconds:.2f} s against"
        f" {plain_seconds:.2f} s",
    )


# Reading


def prepared_cases(reader: Reader, count: int) -> list[PreparedCase]:
    k, j, i = np.indices(GEOMETRY.shape, dtype=np.float32)
    roi = ((k - 5) / 3) ** 2 + ((j - 120) / 14) ** 2 + ((i - 130) / 12) ** 2 <= 1
    noise = np.random.default_rng(0)
    prepared = []
    for case in range(count):
        volumes = [
            Volume((noise.normal(400, 40, GEOMETRY.shape) + level * roi).astype(np.int16), GEOMETRY)
            for level in (0, 600 + 10 * case)
        ]
        prepared.append(reader.prepare(study_from_volumes(volumes), Roi(roi), case_id=f"case{case}"))
    return prepared


def full_size_reader(device: str, method: str = "rollout") -> Reader:
    with tempfile.TemporaryDirectory() as folder:
        bundles = [load_bundle(path) for path in full_size_bundles(Path(folder))]
    return Reader(bundles, device, method)


def several_cases() -> Claim:
    """Both models with attention maps and statistics: as many cases in one forward as a batch takes, against
    one after the other.
    """
    reader = full_size_reader("cuda")
    cases = prepared_cases(reader, GPU_BATCH)

    def together() -> None:
        reader.read_prepared(cases)
        finished()

    def one_by_one() -> None:
        for case in cases:
            reader.read_prepared([case])
        finished()

    claim = ratio_claim(
        f"{GPU_BATCH} cases in one forward against one after the other", 0.2, together, one_by_one, runs=10
    )
    return replace(claim, detail=f"{claim.detail}, {_median_ms(together) / GPU_BATCH:.2f} ms a case")


def _median_ms(run: Callable[[], object], runs: int = 20) -> float:
    return statistics.median(seconds(run) for _ in range(runs)) * 1e3


if __name__ == "__main__":
    sys.stdout.write("\n".join(map(str, claims())) + "\n")
