"""`her2vit features`: how its cost grows with the lesion, and what it adds to reading the files."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import Claim, python, ratio_claim, seconds

from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTTrainingLib.repeatability.features import largest_diameter, shape_features

GEOMETRY = Geometry(
    (100, 256, 256), (0.6, 0.6, 1.0), (-77.0, -77.0, -50.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
)
CASES = 6
PHASES = 4
RADII_MM = (8.0, 11.0, 15.0, 20.0, 27.0)
"""Of the ball that each lesion is drawn from: 3 to 100 cm3, T1 to T3."""


def a_lesion(radius_mm: float, seed: int = 0) -> np.ndarray:
    """An irregular lesion in the middle of the image: a ball with waves and spicules on its surface, and a
    dark core in it.
    """
    random = np.random.default_rng(seed)
    at = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(GEOMETRY.shape, GEOMETRY.spacing[::-1])]
    z, y, x = np.meshgrid(*at, indexing="ij", sparse=True)
    radius = np.sqrt(z**2 + y**2 + x**2) + 1e-9
    surface = np.ones(GEOMETRY.shape)
    for sharpness, height in ((4, 0.3), (4, 0.2), (60, 0.5), (60, 0.4), (60, 0.4)):
        axis = random.normal(size=3)
        axis /= np.linalg.norm(axis)
        surface += height * np.maximum((axis[0] * z + axis[1] * y + axis[2] * x) / radius, 0) ** sharpness
    return (radius <= radius_mm * surface) & (radius >= 0.3 * radius_mm)


def claims() -> list[Claim]:
    return [growth(), whole_command()]


def growth() -> Claim:
    """The power of the number of voxels that the time of the shape features grows with, fitted over lesions
    of all sizes; 1 is linear.
    """
    lesions = [a_lesion(radius) for radius in RADII_MM]
    times = [_quickest(shape_features, mask, GEOMETRY) for mask in lesions]
    diameters = [_quickest(largest_diameter, mask, GEOMETRY.spacing) for mask in lesions]
    voxels = [int(mask.sum()) for mask in lesions]
    power = float(np.polyfit(np.log(voxels), np.log(times), 1)[0])
    told = [
        f"{count} voxels {time * 1e3:.0f} ms, the largest diameter {diameter * 1e3:.0f} ms of it"
        for count, time, diameter in zip(voxels, times, diameters)
    ]
    name = "shape features: power of the number of voxels that their time grows with"
    return Claim(name, 1.0, power, "", f"{told[0]}; {told[-1]}")


def _quickest(measure: Callable, *arguments: object) -> float:
    """Seconds of the quickest of five calls."""
    return min(seconds(lambda: measure(*arguments)) for _ in range(5))


def whole_command() -> Claim:
    """The command on real-sized studies with irregular lesions, against reading the same files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = a_cohort(folder)
        ours = python(
            "-m", "HER2ViTTrainingLib.commands.main", "features", str(manifest), "--out", f"{folder}/out"
        )
        files = sorted(str(path) for path in folder.glob("*.nii.gz"))
        code = (
            "import numpy, SimpleITK as sitk; [sitk.GetArrayFromImage(sitk.ReadImage(path)) "
            f"for path in {files!r}]"
        )
        title = f"her2vit features of {CASES} studies of {PHASES} phases against reading the files"
        return ratio_claim(title, 1.5, ours, python("-c", code), runs=5, warm_up=1)


def a_cohort(folder: Path) -> Path:
    """A manifest of studies of the same images, each with a lesion of its own."""
    noise = np.random.default_rng(0)
    tissue = 300 + 100 * np.sin(np.indices(GEOMETRY.shape)[2] / 9)
    lesion = a_lesion(max(RADII_MM))
    for phase, rise in zip(range(PHASES), (0, 500, 600, 560)):
        image = tissue + rise * lesion + noise.normal(0, 20, GEOMETRY.shape)
        write_volume(Volume(image.astype(np.int16), GEOMETRY), folder / f"0_{phase}.nii.gz")
    rows = ["case_id,image,roi,her2_status"]
    for case in range(CASES):
        for phase in range(PHASES if case else 0):
            shutil.copyfile(folder / f"0_{phase}.nii.gz", folder / f"{case}_{phase}.nii.gz")
        write_volume(
            Volume(a_lesion(RADII_MM[case % len(RADII_MM)], case), GEOMETRY), folder / f"{case}_roi.nii.gz"
        )
        images = ";".join(f"{case}_{phase}.nii.gz" for phase in range(PHASES))
        rows.append(f"case{case},{images},{case}_roi.nii.gz,low")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return manifest


if __name__ == "__main__":
    sys.stdout.write("\n".join(map(str, claims())) + "\n")
