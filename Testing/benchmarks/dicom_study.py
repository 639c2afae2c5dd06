"""DICOM studies of a usual size for the benchmarks, with headers as full as scanners write them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from support.dicom_writer import a_group, write_enhanced, write_phase

PHASES = 5
SHAPE = (80, 256, 256)
STEP_MM = 2.0
_AXIAL = (1, 0, 0, 0, 1, 0)
_PRIVATE_BYTES = (12_000, 60_000)
"""Lengths of the two private headers that Siemens writes into every image."""
_USUAL = dict(
    SpecificCharacterSet="ISO_IR 100",
    InstanceCreationDate="20200229",
    InstanceCreationTime="100000.000000",
    StudyTime="095500",
    SeriesDate="20200229",
    AcquisitionDate="20200229",
    ContentDate="20200229",
    AccessionNumber="A-1",
    Manufacturer="A vendor",
    InstitutionName="St Elsewhere",
    InstitutionAddress="Street 1",
    ReferringPhysicianName="Roe^John",
    StationName="MR1",
    StudyDescription="Breast",
    ManufacturerModelName="A scanner",
    PatientBirthDate="19700101",
    PatientSex="F",
    PatientAge="050Y",
    PatientSize=1.7,
    PatientWeight=70,
    BodyPartExamined="BREAST",
    ScanningSequence="GR",
    SequenceVariant=["SP", "OSP"],
    ScanOptions="FS",
    MRAcquisitionType="3D",
    SequenceName="fl3d1",
    AngioFlag="N",
    NumberOfAverages=1,
    ImagingFrequency=63.6,
    ImagedNucleus="1H",
    EchoNumbers=1,
    MagneticFieldStrength=1.5,
    NumberOfPhaseEncodingSteps=320,
    EchoTrainLength=1,
    PercentSampling=70,
    PercentPhaseFieldOfView=100,
    PixelBandwidth=300,
    DeviceSerialNumber="1",
    SoftwareVersions="1",
    ProtocolName="dyn",
    TransmitCoilName="Body",
    AcquisitionMatrix=[0, 320, 320, 0],
    InPlanePhaseEncodingDirection="ROW",
    VariableFlipAngleFlag="N",
    SAR=0.1,
    dBdt=0,
    PatientPosition="HFP",
    StudyID="17",
    FrameOfReferenceUID="1.9",
    PositionReferenceIndicator="",
    SliceLocation=1.0,
    SmallestImagePixelValue=0,
    LargestImagePixelValue=4095,
    WindowCenter=500,
    WindowWidth=1000,
    RequestedProcedureDescription="Breast",
    PerformedProcedureStepStartDate="20200229",
    PerformedProcedureStepID="1",
)


def write_dynamic(folder: Path) -> Path:
    """A classic DCE-MRI: a file a slice, a series a phase."""
    names = _names()
    noise = np.random.default_rng(0)
    for n in range(PHASES):
        array = noise.integers(0, 4096, SHAPE, np.uint16)
        time = dict(AcquisitionTime=f"10{2 * n:02d}00", SeriesTime=f"10{2 * n:02d}00")
        _write_series(folder, array, names, 4 + n, **time)
    return folder


def write_others(folder: Path) -> Path:
    """What an examination holds beside its DCE-MRI: localisers, T2, subtractions."""
    names = _names("other")
    noise = np.random.default_rng(1)
    for orientation in (_AXIAL, (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)):
        array = noise.integers(0, 4096, (5, 256, 256), np.uint16)
        scout = dict(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], AcquisitionTime="095500")
        _write_series(folder, array, names, 1, orientation=orientation, **scout)
    array = noise.integers(0, 4096, (40, 384, 384), np.uint16)
    _write_series(folder, array, names, 2, AcquisitionTime="095700", EchoTime=90.0, RepetitionTime=4000.0)
    for n in range(1, PHASES):
        array = noise.integers(0, 4096, SHAPE, np.uint16)
        made = dict(ImageType=["DERIVED", "SECONDARY", "SUB"], AcquisitionTime=f"10{2 * n:02d}00")
        _write_series(folder, array, names, 20 + n, **made)
    return folder


def write_multi_frame(folder: Path) -> Path:
    """A DCE-MRI in one enhanced file."""
    noise = np.random.default_rng(0)
    frames = [
        dict(
            array=noise.integers(0, 4096, SHAPE[1:], np.uint16),
            position=(0.0, 0.0, STEP_MM * k),
            phase=n + 1,
            acquired=f"2020022910{2 * n:02d}00",
            duration_ms=60000.0,
            slope=1.0,
            intercept=0.0,
            component="MAGNITUDE",
        )
        for n in range(PHASES)
        for k in range(SHAPE[0])
    ]
    folder.mkdir(parents=True)
    write_enhanced(folder / "enhanced.dcm", frames, _AXIAL)
    return folder


def _names(prefix: str = "") -> Iterator[str]:
    return (f"{prefix}{n:05d}.dcm" for n in itertools.count())


def _write_series(folder: Path, array: np.ndarray, names: Iterator[str], number: int, **tags: object) -> None:
    every = {
        **_USUAL,
        "ContentTime": "110000",
        "SeriesNumber": number,
        "SeriesInstanceUID": generate_uid(),
        **tags,
        "edit": _as_full_as_a_scanners,
    }
    write_phase(folder, array, names, step=STEP_MM, **every)


def _as_full_as_a_scanners(header: Dataset) -> None:
    """References and private headers."""
    header.ReferencedImageSequence = [
        a_group(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=f"1.2.{n}")[0]
        for n in range(3)
    ]
    header.RequestAttributesSequence = a_group(ScheduledProcedureStepID="1", RequestedProcedureID="1")
    block = header.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    for element, length in zip((0x10, 0x20), _PRIVATE_BYTES):
        block.add_new(element, "OB", b"\1" * length)
