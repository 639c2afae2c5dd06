"""What a reading was made from and with: case id, versions."""

from __future__ import annotations

import hashlib
import platform

import cv2
import numpy as np
import SimpleITK as sitk
import timm
import torch

from HER2ViTLib import __version__
from HER2ViTLib.study.study import Study


def default_case_id(study: Study) -> str:
    """A name that tells nothing of the patient: from the hash of the images."""
    hashes = "".join(hashed.sha256 for hashed in study.inputs)
    return f"case-{hashlib.sha256(hashes.encode()).hexdigest()[:12]}"


def versions() -> dict[str, str]:
    """What the reading was made with."""
    return {
        "her2vit": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "SimpleITK": sitk.Version.VersionString(),
    }
