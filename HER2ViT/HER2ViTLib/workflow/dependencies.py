"""Which Python packages a reading still needs inside 3D Slicer, and what pip must leave alone. Decides only;
installs nothing.
"""

from __future__ import annotations

import importlib.util
from importlib import metadata

PACKAGES = {
    "cv2": "opencv-python-headless>=4.9",
    "safetensors": "safetensors>=0.4",
    "timm": "timm>=1.0.20",
}
"""Module: requirement. torch comes through Slicer's PyTorch extension, which picks the build for the GPU; the
rest is Slicer's own.
"""

PROTECTED = ("numpy", "pillow", "pydicom", "requests", "scipy", "SimpleITK", "torch", "torchvision")
"""Packages that belong to Slicer or to its PyTorch extension: other extensions and Slicer itself break when
pip swaps them.
"""


def missing_packages() -> list[str]:
    """Requirements, in pip's words, whose module is not there."""
    return [
        requirement for module, requirement in PACKAGES.items() if importlib.util.find_spec(module) is None
    ]


def missing_torch() -> bool:
    """Whether torch or torchvision is not there."""
    return any(importlib.util.find_spec(module) is None for module in ("torch", "torchvision"))


def protecting_constraints() -> str:
    """A pip constraints file that pins every protected package to the version that is installed."""
    return "".join(f"{name}=={version}\n" for name, version in map(_installed, PROTECTED) if version)


def _installed(name: str) -> tuple[str, str | None]:
    try:
        return name, metadata.version(name)
    except metadata.PackageNotFoundError:
        return name, None
