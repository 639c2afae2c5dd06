"""Programs of others that judge and read our DICOM objects. A test that needs one that is not there skips."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

JAVA = " ".join(f"-Djdk.xml.xpath{limit}=0" for limit in ("ExprOpLimit", "TotalOpLimit", "ExprGrpLimit"))
"""Java 17 counts the operators of style sheets, and PixelMed's has more than it allows."""


def run(name, *arguments):
    """What the program writes; it must end well."""
    program = shutil.which(name) or shutil.which(name, path=Path(sys.executable).parent)
    if program is None:
        pytest.skip(f"{name} is not installed (dicom3tools, pixelmed-apps; pip install dcmqi)")
    command = [program, *map(str, arguments)]
    environment = {**os.environ, "JAVA_TOOL_OPTIONS": JAVA}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


KNOWN = (
    "Unrecognized defined term <99HER2VIT>",
    "Unrecognized defined term <QUANTITY> for value 4",
    "needed to build DICOMDIR - Study",
    'CODE (276214006,SCT,"Finding category"): Content Item not in template',
    'CODE (STATUS,99HER2VIT,"Image-predicted HER2 status, research"): Content Item not in template',
    'has different code meaning ("Source Series for Segmentation")',
)
"""Warnings that are no fault of the object; `Docs/dicom.md` says of each why."""


def _complaints(said):
    """What a validator finds wrong: its errors, and warnings that are not known."""
    told = [line for line in said.splitlines() if line.startswith(("Error", "Warning"))]
    return [line for line in told if line.startswith("Error") or not _is_known(line)]


def _is_known(warning):
    return any(known in warning for known in KNOWN)


def complaints_of_dciodvfy(path):
    """What dicom3tools' validator finds wrong with an object."""
    return _complaints(run("dciodvfy", path))


def complaints_of_pixelmed(path):
    """What PixelMed's validator finds wrong with a structured report."""
    said = run("DicomSRValidator", path)
    assert "Found Root Template TID_1500 (MeasurementReport)" in said
    assert "IOD validation complete" in said
    return _complaints(said)


def segment_by_dcmqi(path, folder):
    """The file of the one segment that dcmqi finds in a segmentation, and what it says of it."""
    run("segimage2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "-p", "seg")
    meta = json.loads((folder / "seg-meta.json").read_text())
    [[attributes]] = meta["segmentAttributes"]
    return folder / "seg-1.nrrd", attributes


def report_by_dcmqi(path, folder):
    """What dcmqi reads of a structured report, as Slicer's table gets it."""
    run("tid1500reader", "--inputDICOM", path, "--outputMetadata", folder / "sr.json")
    return json.loads((folder / "sr.json").read_text())


def map_by_dcmqi(path, folder):
    """The image of a parametric map, and what dcmqi says of it."""
    run("paramap2itkimage", "--inputDICOM", path, "--outputDirectory", folder)
    return sitk.ReadImage(str(folder / "pmap.nrrd")), json.loads((folder / "meta.json").read_text())


def corners_of(image):
    """The places (LPS, mm) of the voxels at the corners of a one-slice image."""
    columns, rows, _ = image.GetSize()
    indices = [(0, 0, 0), (columns - 1, 0, 0), (0, rows - 1, 0)]
    return np.array([image.TransformIndexToPhysicalPoint(index) for index in indices])
