"""SHA-256 of files and arrays, by which results name their inputs."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FILE = "file"
VOXELS = "voxels"


@dataclass(frozen=True)
class InputHash:
    """By what a result names one of its inputs, without telling where it lay.

    `role`: what it was given as ("image", "phase0", "roi"). `of`: what was hashed, a "file" (where there are
    several, their hashes), or the "voxels" of what came without a file, as from a node in 3D Slicer. `name`:
    that of the file, only where the user asked for names.
    """

    role: str
    sha256: str
    of: str
    name: str | None = None

    def to_json(self) -> dict[str, Any]:
        found = {"role": self.role, "sha256": self.sha256, "of": self.of}
        return found if self.name is None else {**found, "name": self.name}


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def array_sha256(array: np.ndarray) -> str:
    """SHA-256 of an array's values in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
