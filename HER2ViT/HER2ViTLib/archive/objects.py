"""What all our DICOM objects have in common: their source, patient and study, dates, UIDs."""

from __future__ import annotations

import copy
import hashlib
import io
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from highdicom.base import SOPClass
from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import MRImageStorage
from pydicom.valuerep import DA, TM, DSfloat

from HER2ViTLib import __version__
from HER2ViTLib.dicom.frames import Frame

from . import codes
from .source import Source

RESEARCH_ONLY = "research use only"
_NO_UID = "2.25.0"
"""Stands for a UID until the object's content is known."""
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "HER2ViT")
_OF_THE_PATIENT = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName"),
)
"""What highdicom asks of a source image."""
_NOT_REPEATABLE = ("InstanceCreationDate", "InstanceCreationTime", "ContributingEquipmentSequence")
"""What highdicom writes of the moment at which an object is made."""


@dataclass(frozen=True)
class Tracking:
    """By what the same lesion is known in several objects: a name for people, and a UID."""

    name: str
    uid: str


def uid_of(*texts: str) -> str:
    """A UID that is always the same for the same texts: a UUID by name (RFC 9562, version 5), as DICOM PS3.5
    B.2 writes it.
    """
    return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(texts)).int}"


def equipment(series_number: int, description: str) -> dict[str, Any]:
    """What highdicom is told of every object and its maker. The UIDs follow in `finish`."""
    return {
        "series_instance_uid": _NO_UID,
        "series_number": series_number,
        "sop_instance_uid": _NO_UID,
        "instance_number": 1,
        "manufacturer": "HER2ViT",
        "manufacturer_model_name": "HER2ViT",
        "software_versions": __version__,
        "device_serial_number": "none",
        "series_description": f"{description}, {RESEARCH_ONLY}",
    }


def code_item(code: Code) -> CodedConcept:
    """The code as an item of a sequence of codes."""
    return CodedConcept.from_code(code)


def breast_item(source: Source) -> CodedConcept:
    """The breast as an item of a sequence of anatomic regions, with its side where that is known."""
    item = code_item(codes.BREAST)
    if source.laterality:
        item.AnatomicRegionModifierSequence = [code_item(codes.SIDES[source.laterality])]
    return item


def images_of(source: Source) -> list[Dataset]:
    """The source's slices, each as the classic image that highdicom takes for it: place, UIDs, nothing else.

    So a slice of an enhanced file is no special case, and nothing is carried over unseen. The true references
    follow in `refer_to`, the patient in `finish`.
    """
    step_mm = source.geometry.spacing[2]
    return [_image_of(source, frame, f"2.25.{n}", step_mm) for n, frame in enumerate(source.frames, 1)]


def _image_of(source: Source, frame: Frame, uid: str, step_mm: float) -> Dataset:
    image = Dataset()
    image.SOPClassUID = MRImageStorage
    image.SOPInstanceUID = uid  # `refer_to` gives the true ones: highdicom warns where frames share a file
    image.Modality = "MR"
    image.StudyInstanceUID = frame.study
    image.SeriesInstanceUID = frame.series
    image.FrameOfReferenceUID = frame.frame_of_reference
    image.PositionReferenceIndicator = source.header.get("PositionReferenceIndicator")
    image.Rows = frame.rows
    image.Columns = frame.columns
    image.ImagePositionPatient = [DSfloat(x, auto_format=True) for x in frame.position]
    orientation = source.frames[0].orientation
    image.ImageOrientationPatient = [DSfloat(x, auto_format=True) for x in orientation]
    image.PixelSpacing = list(frame.protocol[:2])
    image.SliceThickness = source.thickness_mm or step_mm
    image.SpacingBetweenSlices = DSfloat(step_mm, auto_format=True)
    for keyword in _OF_THE_PATIENT:
        setattr(image, keyword, None)
    return image


def refer_to(
    image: Dataset, source: Source, of_frame: Sequence[Sequence[Frame]], derivation: Code, same: bool
) -> None:
    """Sets the image's references to its source: as a whole, and for each of its frames to those that it was
    made of. `same`: its pixels lie on the source's.
    """
    instances = dict.fromkeys(frame.instance for frame in source.frames)
    whole = [_reference(source, instance) for instance in instances]
    image.SourceImageSequence = whole
    series = Dataset()
    series.SeriesInstanceUID = source.frames[0].series
    series.ReferencedInstanceSequence = copy.deepcopy(whole)
    image.ReferencedSeriesSequence = [series]
    for group, frames in zip(image.PerFrameFunctionalGroupsSequence, of_frame, strict=True):
        item = Dataset()
        item.DerivationCodeSequence = [code_item(derivation)]
        item.SourceImageSequence = [_frame_reference(source, frame, same) for frame in frames]
        group.DerivationImageSequence = [item]


def _reference(source: Source, instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.frames[0].sop_class
    item.ReferencedSOPInstanceUID = instance
    return item


def _frame_reference(source: Source, frame: Frame, same: bool) -> Dataset:
    item = _reference(source, frame.instance)
    if source.is_enhanced:
        item.ReferencedFrameNumber = frame.number + 1
    item.SpatialLocationsPreserved = "YES" if same else "NO"
    item.PurposeOfReferenceCodeSequence = [code_item(codes.SOURCE_IMAGE)]
    return item


def frames_at(image: Dataset, source: Source) -> list[list[Frame]]:
    """For each frame of the image the slice of the source that lies at its place."""
    positions = np.array([frame.position for frame in source.frames])
    found = []
    for group in image.PerFrameFunctionalGroupsSequence:
        place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        found.append([source.frames[int(np.linalg.norm(positions - place, axis=1).argmin())]])
    return found


def finish(made: SOPClass, source: Source) -> Dataset:
    """The object with the source's patient and study, its date, and UIDs by its content: two objects have one
    UID if, and only if, they are the same.
    """
    header = copy.copy(source.header)
    header.SOPClassUID = MRImageStorage  # these modules are the same in all classes; not all are known
    made.copy_patient_and_study_information(header)
    made.SpecificCharacterSet = "ISO_IR 192"
    if "ContentLabel" in made:
        made.ContentCreatorName = None  # nobody's, and yet it must be there
    date, time = source.moment
    made.ContentDate = DA(date)
    made.ContentTime = TM(time)
    for keyword in _NOT_REPEATABLE:
        if keyword in made:
            delattr(made, keyword)
    _set_uids(made, "")
    _set_uids(made, hashlib.sha256(encoded(made)).hexdigest())
    return made


def _set_uids(made: Dataset, content: str) -> None:
    made.SOPInstanceUID = uid_of("instance", content) if content else _NO_UID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.SeriesInstanceUID = uid_of("series", content) if content else _NO_UID
    organisation = uid_of("dimensions", content) if content else _NO_UID
    for item in (*made.get("DimensionOrganizationSequence", []), *made.get("DimensionIndexSequence", [])):
        item.DimensionOrganizationUID = organisation


def encoded(made: Dataset) -> bytes:
    """The object as the bytes of a file."""
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@contextmanager
def quiet() -> Iterator[None]:
    """pydicom and highdicom print what they think of header values: noise to the user, and perhaps a name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        warnings.filterwarnings("ignore", module="highdicom")
        warnings.filterwarnings("ignore", message="Arguments 'window_center'")
        yield
