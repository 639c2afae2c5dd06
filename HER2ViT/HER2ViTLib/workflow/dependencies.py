"""Which Python packages are still needed inside 3D Slicer, and which pip must leave alone. Decides only;
installs nothing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib import metadata

READING = {
    "jinja2": "jinja2>=3.1",
    "cv2": "opencv-python-headless>=4.9",
    "safetensors": "safetensors>=0.4",
    "timm": "timm>=1.0.20",
}
"""What a reading needs, {module: requirement}. torch comes through Slicer's PyTorch extension, which picks
the build for the GPU; the rest is Slicer's own.
"""

SESSION = {"filelock": "filelock>=3.12"}
"""What a reader's session needs, likewise."""

PROTECTED = ("numpy", "pillow", "pydicom", "requests", "scipy", "SimpleITK", "torch", "torchvision")
"""Packages that belong to Slicer or to its PyTorch extension: other extensions and Slicer itself break when
pip swaps them.
"""


def missing_packages(packages: Mapping[str, str]) -> list[str]:
    """Requirements, in pip's words, whose module is not there, of {module: requirement}."""
    return [
        requirement for module, requirement in packages.items() if importlib.util.find_spec(module) is None
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
