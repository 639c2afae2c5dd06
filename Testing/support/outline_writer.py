"""Outlines in DICOM for the tests: segmentations and contours made by hand, by highdicom and by dcmqi."""

import json
import shutil
import subprocess
import sysconfig

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.imaging.volume import Volume

from .dicom_writer import a_group, a_header, save, write_slice

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
FRAME_OF_REFERENCE = "1.2.826.0.1.9"


def axes_of(geometry):
    """Rows' and columns' directions as DICOM has them, and that across the slices."""
    directions = np.reshape(geometry.direction, (3, 3)).T
    return (*directions[0], *directions[1]), directions[2]


def write_images(folder, geometry, **tags):
    """A series of slices on a geometry whose axes are right-handed; returns the files in stack order."""
    orientation, _ = axes_of(geometry)
    rng = np.random.default_rng(3)
    for k in range(geometry.shape[0]):
        array = rng.integers(100, 4000, geometry.shape[1:]).astype(np.uint16)
        position = geometry.to_lps((0, 0, k))
        place = dict(orientation=orientation, spacing=(geometry.spacing[1], geometry.spacing[0]))
        more = dict(
            FrameOfReferenceUID=FRAME_OF_REFERENCE,
            StudyInstanceUID="1.2.826.0.1.2",
            SeriesInstanceUID="1.2.826.0.1.3",
            InstanceNumber=k + 1,
            StudyID="1",
            StudyTime="100000",
            PatientBirthDate="",
            PatientSex="F",
            AccessionNumber="",
            ReferringPhysicianName="",
        )
        write_slice(folder / f"{k:03d}.dcm", array, position, **place, **{**more, **tags})
    return sorted(folder.iterdir())


def write_segments(path, geometry, frames, labels=("Lesion",), edit=None):
    """A binary segmentation by hand: `frames` are (segment number, slice k, mask (J, I))."""
    orientation, _ = axes_of(geometry)
    masks = np.stack([mask for _, _, mask in frames]).astype(np.uint8)
    header = a_header(masks, SEGMENTATION, NumberOfFrames=len(frames), Modality="SEG")
    header.ImageType = ["DERIVED", "PRIMARY"]
    header.BitsAllocated = 1
    header.BitsStored = 1
    header.HighBit = 0
    packed = np.packbits(masks.ravel(), bitorder="little").tobytes()
    header.PixelData = packed + b"\0" * (len(packed) % 2)
    header.SegmentationType = "BINARY"
    header.FrameOfReferenceUID = FRAME_OF_REFERENCE
    header.SegmentSequence = Sequence()
    for number, label in enumerate(labels, 1):
        header.SegmentSequence += a_group(SegmentNumber=number, SegmentLabel=label)
    shared = Dataset()
    shared.PlaneOrientationSequence = a_group(ImageOrientationPatient=list(map(ds, orientation)))
    shared.PixelMeasuresSequence = a_group(
        PixelSpacing=[ds(geometry.spacing[1]), ds(geometry.spacing[0])],
        SliceThickness=ds(geometry.spacing[2]),
        SpacingBetweenSlices=ds(geometry.spacing[2]),
    )
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    header.PerFrameFunctionalGroupsSequence = Sequence()
    for number, k, _ in frames:
        group = Dataset()
        position = geometry.to_lps((0, 0, k))
        group.PlanePositionSequence = a_group(ImagePositionPatient=list(map(ds, position)))
        group.SegmentIdentificationSequence = a_group(ReferencedSegmentNumber=number)
        header.PerFrameFunctionalGroupsSequence.append(group)
    if edit:
        edit(header)
    save(header, path)
    return path


def write_by_highdicom(path, images, masks, labels, kind, **options):
    """`masks` (segments, K, J, I), or a label map (K, J, I), on the slices in the files `images`."""
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom import dcmread
    from pydicom.sr.codedict import codes

    described = [
        SegmentDescription(n, label, codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Lesion, "MANUAL")
        for n, label in enumerate(labels, 1)
    ]
    array = np.asarray(masks, np.uint8)
    Segmentation(
        source_images=[dcmread(file) for file in images],
        pixel_array=np.moveaxis(array, 0, -1) if array.ndim == 4 else array,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=100,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="1",
        device_serial_number="1",
        **options,
    ).save_as(path)
    return path


def dcmqi(name):
    """The path of a program of dcmqi, None where it is not installed."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)


def write_by_dcmqi(path, images, geometry, masks, labels, *options):
    """As `write_by_highdicom`, from a NRRD file a segment, by dcmqi's itkimage2segimage."""
    files = []
    segments = []
    for n, (mask, label) in enumerate(zip(masks, labels), 1):
        file = path.with_name(f"{path.stem}_{n}.nrrd")
        write_volume(Volume(np.asarray(mask, np.uint8), geometry), file)
        files.append(str(file))
        abnormal = dict(
            CodeValue="49755003",
            CodingSchemeDesignator="SCT",
            CodeMeaning="Morphologically Abnormal Structure",
        )
        lesion = dict(CodeValue="52988006", CodingSchemeDesignator="SCT", CodeMeaning="Lesion")
        segment = dict(
            labelID=1,
            SegmentLabel=label,
            SegmentDescription=label,
            SegmentAlgorithmType="MANUAL",
            SegmentedPropertyCategoryCodeSequence=abnormal,
            SegmentedPropertyTypeCodeSequence=lesion,
        )
        segments.append([segment])
    about = dict(
        ContentCreatorName="none",
        SeriesDescription="outline",
        SeriesNumber="100",
        InstanceNumber="1",
        BodyPartExamined="BREAST",
        segmentAttributes=segments,
    )
    metadata = path.with_suffix(".json")
    metadata.write_text(json.dumps(about))
    words = ["--inputImageList", ",".join(files), "--inputDICOMList", ",".join(map(str, images))]
    words += ["--inputMetadata", metadata, "--outputDICOM", path, *options]
    run = subprocess.run([dcmqi("itkimage2segimage"), *words], capture_output=True, text=True)
    assert path.exists(), run.stdout + run.stderr
    return path


def write_contours(path, rois, frame_of_reference=FRAME_OF_REFERENCE, edit=None):
    """A structure set by hand. `rois`: {name: contours}, each (points, 3) in LPS, or (type, points)."""
    header = Dataset()
    header.SOPClassUID = RTStructureSetStorage
    header.SOPInstanceUID = generate_uid()
    header.Modality = "RTSTRUCT"
    header.PatientName = "Doe^Jane"
    header.StudyInstanceUID = "1.2.826.0.1.2"
    header.SeriesInstanceUID = "1.2.826.0.1.7"
    header.StructureSetLabel = "outlines"
    header.StructureSetROISequence = Sequence()
    header.ROIContourSequence = Sequence()
    for number, (name, contours) in enumerate(rois.items(), 1):
        header.StructureSetROISequence += a_group(
            ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=frame_of_reference
        )
        item = Dataset()
        item.ReferencedROINumber = number
        item.ContourSequence = Sequence()
        for contour in contours:
            kind, points = contour if isinstance(contour, tuple) else ("CLOSED_PLANAR", contour)
            flat = np.ravel(points)
            item.ContourSequence += a_group(
                ContourGeometricType=kind,
                NumberOfContourPoints=len(flat) // 3,
                ContourData=list(map(ds, flat)),
            )
        header.ROIContourSequence.append(item)
    if edit:
        edit(header)
    save(header, path, ExplicitVRLittleEndian)
    return path


def ds(value):
    """A number as a decimal string of at most 16 characters."""
    text = f"{value:.10g}"
    return text if len(text) <= 16 else f"{value:.8g}"
