"""DICOM: a study from its folder against SimpleITK's series reader, what an examination costs beside its
DCE-MRI, and memory.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import SimpleITK as sitk
from dicom_study import PHASES, SHAPE, write_dynamic, write_multi_frame, write_others
from measure import Claim, ratio_claim

from HER2ViTLib.dicom.contents import read_frames
from HER2ViTLib.study.loading import load_study

RUNS = 9
_PEAK = """
import sys, tracemalloc
from HER2ViTLib.study.loading import load_study
import HER2ViTLib.dicom.series
tracemalloc.start()
study = load_study(sys.argv[1])
held = sum(phase.volume.array.nbytes for phase in study.phases)
print(tracemalloc.get_traced_memory()[1] / held)
"""


def claims() -> list[Claim]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dynamic = write_dynamic(folder / "dynamic")
        multi_frame = write_multi_frame(folder / "enhanced")
        others = write_others(folder / "others")
        examination = Path(shutil.copytree(dynamic, folder / "examination"))
        shutil.copytree(others, examination / "others")
        files = sorted(map(str, dynamic.iterdir()))
        return [
            _against_series_reader(dynamic, files),
            _against_one_read(multi_frame),
            _whole_examination(examination, dynamic, others),
            _peak("a DICOM study's peak memory", dynamic),
            _peak("the same, one enhanced file", multi_frame),
            _peak("the same, a whole examination", examination),
        ]


def _against_series_reader(folder: Path, files: Sequence[str]) -> Claim:
    """SimpleITK is told which files are a series, and in which order: sorting them would cost it twice as
    much again.
    """
    series = [files[n * SHAPE[0] : (n + 1) * SHAPE[0]] for n in range(PHASES)]

    def by_sitk() -> None:
        for names in series:
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames(names)
            sitk.GetArrayFromImage(reader.Execute())

    return ratio_claim(
        f"a DICOM study ({len(files)} files) against SimpleITK's series reader",
        1.2,
        lambda: load_study(folder),
        by_sitk,
        RUNS,
        warm_up=1,
    )


def _against_one_read(folder: Path) -> Claim:
    (file,) = map(str, folder.iterdir())
    return ratio_claim(
        "a DICOM study in one enhanced file against SimpleITK's reader",
        1.2,
        lambda: load_study(folder),
        lambda: sitk.GetArrayFromImage(sitk.ReadImage(file)),
        RUNS,
        warm_up=1,
    )


def _whole_examination(examination: Path, dynamic: Path, others: Path) -> Claim:
    rest = sorted(others.iterdir())

    def parts() -> None:
        load_study(dynamic)
        read_frames(rest)

    return ratio_claim(
        f"an examination ({len(rest)} files beside the DCE-MRI) against the DCE-MRI and the others' headers",
        1.2,
        lambda: load_study(examination),
        parts,
        RUNS,
        warm_up=1,
    )


def _peak(name: str, folder: Path) -> Claim:
    told = subprocess.run(
        [sys.executable, "-c", _PEAK, str(folder)], check=True, capture_output=True, text=True
    )
    return Claim(name, 1.3, float(told.stdout), "x", "of what its voxels take")
