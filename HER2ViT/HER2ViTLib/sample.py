"""Where the bundled sample lies: one simulated case and two demo models, for trying the software only."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parent / "data"


def sample_phases() -> list[Path]:
    """The sample's phases, one file each, in time order: before contrast and three after."""
    return [DATA / f"sample_phase{n}.nrrd" for n in range(4)]


def sample_roi() -> Path:
    """The outline of the sample's lesion, a Slicer segmentation."""
    return DATA / "sample_roi.seg.nrrd"


def demo_bundles() -> list[Path]:
    """The demo models' bundle folders: zero vs rest, low vs positive."""
    return [DATA / "demo_zero_vs_rest", DATA / "demo_low_vs_positive"]
