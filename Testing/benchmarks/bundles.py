"""Bundles as large as the study's models, with random weights: for speed they are as good as trained ones."""

from __future__ import annotations

from pathlib import Path

import timm
import torch

from HER2ViTLib.her2 import TWO_STEP
from HER2ViTLib.model.bundle import save_bundle
from HER2ViTLib.model.calibration import Calibration
from HER2ViTLib.model.config import Settings
from HER2ViTLib.model.preprocessing import SquarePreprocessing

ARCHITECTURE = "vit_tiny_patch16_224"
PERCENTILES = {
    "relative_enhancement": (0.2, 3.0),
    "lesion_area": (20.0, 900.0),
    "lesion_to_background_contrast": (1.0, 5.0),
}


def full_size_bundles(folder: Path) -> list[Path]:
    """Writes a ViT-Tiny bundle per task; returns their folders."""
    for task in TWO_STEP:
        torch.manual_seed(0)
        settings = Settings(task, SquarePreprocessing(), 0.5, Calibration(), 0.5, PERCENTILES)
        save_bundle(
            folder / task.name,
            timm.create_model(ARCHITECTURE, num_classes=1),
            ARCHITECTURE,
            {},
            settings,
            "benchmark",
        )
    return [folder / task.name for task in TWO_STEP]
