"""Small DICOM files for the tests: classic MR slices and enhanced MR, as scanners write them."""

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid


def a_header(array, sop_class=MRImageStorage, **tags):
    header = Dataset()
    header.SOPClassUID = sop_class
    header.SOPInstanceUID = generate_uid()
    header.Modality = "MR"
    header.ImageType = ["ORIGINAL", "PRIMARY"]
    header.PatientName = "Doe^Jane"
    header.PatientID = "4711"
    header.StudyDate = "20200229"
    header.StudyInstanceUID = "1.2.3"
    header.SeriesInstanceUID = "1.2.3.4"
    header.SeriesNumber = 4
    header.SeriesDescription = "dyn"
    header.Rows, header.Columns = array.shape[-2:]
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated = 16
    header.BitsStored = 16
    header.HighBit = 15
    header.PixelRepresentation = 0
    header.PixelData = array.astype("<u2").tobytes()
    for name, value in tags.items():
        setattr(header, name, value)
    return header


def save(header, path, transfer_syntax=ExplicitVRLittleEndian):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax
    meta.MediaStorageSOPClassUID = header.SOPClassUID
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    file = FileDataset(
        str(path), header, preamble=b"\0" * 128, file_meta=meta, is_implicit_VR=False, is_little_endian=True
    )
    file.save_as(str(path))


def write_slice(
    path,
    array,
    position,
    orientation=(1, 0, 0, 0, 1, 0),
    spacing=(0.7, 0.9),
    transfer_syntax=ExplicitVRLittleEndian,
    **tags,
):
    """One classic slice; `spacing` is DICOM's (between rows, between columns); `edit` changes the header
    last.
    """
    header = a_header(array)
    header.ImagePositionPatient = [f"{value:.9g}" for value in position]
    header.ImageOrientationPatient = [f"{value:.9f}" for value in orientation]
    header.PixelSpacing = list(spacing)
    header.SliceThickness = 2.0
    header.RepetitionTime = 4.5
    header.EchoTime = 1.7
    header.FlipAngle = 10
    edit = tags.pop("edit", None)
    for name, value in tags.items():
        setattr(header, name, value)
    if edit:
        edit(header)
    save(header, path, transfer_syntax)


def write_phase(
    folder, array, names, origin=(0, 0, 0), orientation=(1, 0, 0, 0, 1, 0), step=2.0, slices=None, **tags
):
    """A classic phase, a file a slice, stacked along the normal from `origin`; `names` yields file names."""
    normal = np.cross(orientation[:3], orientation[3:])
    for k in range(len(array)) if slices is None else slices:
        write_slice(
            folder / next(names), array[k], np.asarray(origin) + k * step * normal, orientation, **tags
        )


def a_group(**tags):
    item = Dataset()
    for name, value in tags.items():
        setattr(item, name, value)
    return Sequence([item])


def write_enhanced(path, frames, orientation, spacing=(0.7, 0.9)):
    """An enhanced file. `frames`: dicts of array, position, phase (from 1), acquired (date-time),
    duration_ms, slope, intercept; and, if need be, component (complex image component) and scale_slope (place
    of Philips' private block, value).
    """
    header = a_header(
        np.stack([frame["array"] for frame in frames]), EnhancedMRImageStorage, NumberOfFrames=len(frames)
    )
    shared = Dataset()
    shared.PlaneOrientationSequence = a_group(
        ImageOrientationPatient=[f"{value:.9f}" for value in orientation]
    )
    shared.PixelMeasuresSequence = a_group(PixelSpacing=list(spacing), SliceThickness=2.0)
    shared.MRTimingAndRelatedParametersSequence = a_group(RepetitionTime=4.5, FlipAngle=10)
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    header.PerFrameFunctionalGroupsSequence = Sequence()
    for frame in frames:
        group = Dataset()
        group.PlanePositionSequence = a_group(
            ImagePositionPatient=[f"{value:.9g}" for value in frame["position"]]
        )
        group.FrameContentSequence = a_group(
            TemporalPositionIndex=frame["phase"],
            FrameAcquisitionDateTime=frame["acquired"],
            FrameAcquisitionDuration=frame["duration_ms"],
        )
        group.PixelValueTransformationSequence = a_group(
            RescaleSlope=frame["slope"], RescaleIntercept=frame["intercept"]
        )
        if "component" in frame:
            group.MRImageFrameTypeSequence = a_group(
                FrameType=["ORIGINAL", "PRIMARY", "T1"], ComplexImageComponent=frame["component"]
            )
        if "scale_slope" in frame:
            inner = Dataset()
            private(*frame["scale_slope"])(inner)
            group.add_new(0x20050014, "LO", "Philips MR Imaging DD 005")
            group.add_new(0x2005140F, "SQ", Sequence([inner]))
        header.PerFrameFunctionalGroupsSequence.append(group)
    save(header, path)


def private(place, scale_slope):
    """Gives a header Philips' scale slope, in the private block at `place`."""

    def edit(header):
        header.add_new(0x20050000 + place, "LO", "Philips MR Imaging DD 001")
        header.add_new(0x20050000 + (place << 8) + 0x0E, "FL", scale_slope)

    return edit


def save_bare(source, path, is_implicit):
    """The file without preamble and meta information, as older systems wrote it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bare = Dataset(dict(dcmread(source)))
    bare.save_as(path, implicit_vr=is_implicit, little_endian=True, enforce_file_format=False)
