"""Small models and bundles for the tests."""

from __future__ import annotations

import pytest
import timm
import torch

from HER2ViTLib.her2 import TASKS
from HER2ViTLib.model.bundle import save_bundle
from HER2ViTLib.model.calibration import Calibration
from HER2ViTLib.model.config import Settings
from HER2ViTLib.model.preprocessing import SquarePreprocessing

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU here")
TINY = {"embed_dim": 48, "depth": 2, "num_heads": 3, "img_size": 64}


def a_model(seed=0, architecture="vit_tiny_patch16_224", **model_args):
    torch.manual_seed(seed)
    model = timm.create_model(architecture, num_classes=1, **(model_args or TINY)).eval()
    with torch.no_grad():
        model.get_classifier().weight.normal_(std=0.3)
    return model


def settings(task="zero-vs-rest", **changes):
    values = {
        "task": TASKS[task],
        "preprocessing": SquarePreprocessing(size=(64, 64)),
        "threshold": 0.5,
        "calibration": Calibration(1.3, -0.2),
        "prevalence": 0.8,
        "training_percentiles": {"lesion_area": (20.0, 900.0)},
    }
    return Settings(**{**values, **changes})


def a_bundle_folder(folder, task="zero-vs-rest", seed=0, half=False, **changes):
    model = a_model(seed)
    save_bundle(
        folder,
        model.half() if half else model,
        "vit_tiny_patch16_224",
        TINY,
        settings(task, **changes),
        "# A model for tests",
    )
    return folder
