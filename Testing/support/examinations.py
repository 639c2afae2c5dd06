"""Whole DCE-MRIs in DICOM with their patient, as an archive holds them; outlined and read."""

import itertools

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from support.dicom_writer import a_group, write_enhanced, write_phase

SHAPE = (6, 40, 44)
ORIGIN = (-10.0, 5.0, 3.0)
TIMES = ("100000", "100200", "100330")
LEVELS = (100, 300, 260)
AXIAL = (1, 0, 0, 0, 1, 0)
SAGITTAL = (0, 1, 0, 0, 0, -1)
OBLIQUE = (0.8, 0.6, 0, 0, 0, -1)
PATIENT = dict(
    SpecificCharacterSet="ISO_IR 100",
    PatientName="Döe^Jane",
    PatientID="4711",
    PatientBirthDate="19700101",
    PatientSex="F",
    PatientAge="050Y",
    StudyID="17",
    StudyTime="095500",
    AccessionNumber="A-1",
    SeriesDate="20200229",
    SeriesTime="100500",
    InstitutionName="St Elsewhere",
    FrameOfReferenceUID="1.9",
)


def a_lesion():
    """The outline (K, J, I): on three slices, largest on slice 2."""
    k, j, i = np.indices(SHAPE)
    return ((k - 2) / 1.5) ** 2 + ((j - 18) / 7) ** 2 + ((i - 24) / 6) ** 2 <= 1


def phases():
    """Three phases (K, J, I) in which the lesion enhances."""
    noise = np.random.default_rng(0)
    return [(noise.normal(100, 10, SHAPE) + (level - 100) * a_lesion()).astype(np.uint16) for level in LEVELS]


def private(header):
    """Private elements, also where they hide in a sequence."""
    header.private_block(0x0029, "SECRET", create=True).add_new(0x10, "LO", "Doe private")
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    item.ReferencedSOPInstanceUID = "1.5"
    item.private_block(0x0029, "SECRET", create=True).add_new(0x10, "LO", "Doe hidden")
    header.ReferencedStudySequence = [item]


def write_classic(folder, orientation=AXIAL, **tags):
    """A file a slice, a series a phase."""
    names = map(str, itertools.count())
    for n, (array, time) in enumerate(zip(phases(), TIMES)):
        series = dict(SeriesInstanceUID=f"1.2.3.{n}", SeriesNumber=4 + n, AcquisitionTime=time)
        every = {**PATIENT, **series, "edit": private, **tags}
        write_phase(folder, array, names, ORIGIN, orientation, **every)
    return folder


def write_multi_frame(folder, orientation=AXIAL, laterality=""):
    """All phases in one enhanced file; nothing of the patient but what the writer gives."""
    normal = np.cross(orientation[:3], orientation[3:])
    frames = [
        dict(
            array=array[k],
            position=ORIGIN + 2 * k * normal,
            phase=n + 1,
            acquired=f"20200229{time}",
            duration_ms=60000.0,
            slope=1.0,
            intercept=0.0,
        )
        for n, (array, time) in enumerate(zip(phases(), TIMES))
        for k in range(len(array))
    ]
    folder.mkdir(parents=True)
    path = folder / "enhanced.dcm"
    write_enhanced(path, frames, orientation)
    header = dcmread(path)
    header.FrameOfReferenceUID = "1.9"
    if laterality:
        anatomy = a_group(FrameLaterality=laterality)
        header.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = anatomy
    header.save_as(path)
    return folder
