"""The reading: against the bare models, against importing what it needs; and what the doors cost."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from bundles import full_size_bundles
from measure import Claim, over_empty_python_claim, python, ratio_claim

from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.lesion.masks import Roi
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.sample import demo_bundles, sample_phases, sample_roi
from HER2ViTLib.study.study import study_from_volumes

REPOSITORY = Path(__file__).resolve().parents[2]
GEOMETRY = Geometry((50, 256, 256), (0.86, 0.86, 3.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def claims() -> list[Claim]:
    return [warm_reading(), whole_process(), *doors()]


def warm_reading() -> Claim:
    """A loaded study of six phases of 256 x 256 x 50 read with full-size ViT-Tiny, against two bare
    forwards.
    """
    with tempfile.TemporaryDirectory() as folder:
        bundles = [load_bundle(path) for path in full_size_bundles(Path(folder))]
    k, j, i = np.indices(GEOMETRY.shape, dtype=np.float32)
    roi = ((k - 25) / 4) ** 2 + ((j - 120) / 14) ** 2 + ((i - 130) / 12) ** 2 <= 1
    noise = np.random.default_rng(0)
    study = study_from_volumes(
        [
            Volume((noise.normal(400, 40, GEOMETRY.shape) + level * roi).astype(np.int16), GEOMETRY)
            for level in (0, 600, 700, 690, 680, 670)
        ]
    )
    reader = Reader(bundles, "cpu")
    images = torch.randn(1, 3, 224, 224)

    def bare() -> None:
        with torch.inference_mode():
            for bundle in bundles:
                bundle.model(images)

    return ratio_claim(
        "warm reading against two bare forwards", 1.3, lambda: reader.read(study, Roi(roi)), bare, runs=30
    )


def whole_process() -> Claim:
    """`her2vit read` of the sample (no scene), against importing torch and timm and reading the same
    files.
    """
    phases = [str(path) for path in sample_phases()]
    roi = str(sample_roi())
    with tempfile.TemporaryDirectory() as folder:
        bundles = [word for path in demo_bundles() for word in ("--bundle", str(path))]
        ours = python(
            "-m",
            "HER2ViTTrainingLib.commands.main",
            "read",
            *phases,
            "--roi",
            roi,
            *bundles,
            "--out",
            f"{folder}/out",
        )
        code = f"import torch, timm, SimpleITK as sitk; [sitk.ReadImage(path) for path in {[*phases, roi]!r}]"
        return ratio_claim(
            "her2vit read against import torch, timm and reading the files",
            1.5,
            ours,
            python("-c", code),
            runs=7,
            warm_up=1,
        )


def doors() -> list[Claim]:
    """Importing the libraries and the module files (with stand-ins for Slicer), and `her2vit help`."""
    stand_ins = (
        "import sys, types\nclass Any(types.ModuleType):\n    __path__ = []\n    def __getattr__(self,"
        " name):\n        stand_in = type(name, (), {'__init__': lambda *a, **k: None})\n        return"
        " stand_in if name[:1].isupper() or name.startswith('vtk') else (lambda *a, **k: a[0] if a else"
        " None)\nfor name in ('slicer', 'slicer.i18n', 'slicer.util', 'slicer.parameterNodeWrapper',"
        " 'slicer.ScriptedLoadableModule', 'vtk', 'qt', 'ctk'):\n    sys.modules[name] = Any(name)\n"
    )
    check = "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    found = [
        over_empty_python_claim(f"import {library}", 150, ["-c", f"import sys, {library}; {check}"])
        for library in ("HER2ViTLib", "HER2ViTTrainingLib")
    ]
    for module in ("HER2ViT", "HER2ViTTraining"):
        code = f"{stand_ins}sys.path.insert(0, {str(REPOSITORY / module)!r})\nimport {module}\n{check}"
        found.append(over_empty_python_claim(f"import module file {module}.py", 150, ["-c", code]))
    found.append(
        over_empty_python_claim("her2vit help", 150, ["-m", "HER2ViTTrainingLib.commands.main", "help"])
    )
    return found


if __name__ == "__main__":
    sys.stdout.write("\n".join(map(str, claims())) + "\n")
