"""One frame of a DICOM MR series: where it lies, when it was taken, what kind of image it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from HER2ViTLib.messages import InputError

from .headers import (
    BROKEN,
    GE,
    GE_COMPONENTS,
    GE_TYPE,
    HEADER_TAGS,
    contrast_start_of,
    day_of,
    functional_groups_of,
    number_of,
    private_value,
    reason_of,
    require_finite_place,
    scale_slope_of,
    time_of_day_of,
    whole_number_of,
)

MAGNITUDE = "magnitude"
WATER = "water"
_KIND_OF_WORD = {
    # ImageType, value 4 of Siemens, Philips and GE; Complex Image Component, DICOM PS3.3 C.8.13.3.1.3
    **dict.fromkeys(("P", "PHASE", "PHASE MAP", "PHASE_MAP"), "phase"),
    **dict.fromkeys(("R", "REAL", "R_FFE", "R_SE", "R_IR"), "real"),
    **dict.fromkeys(("I", "IMAGINARY", "I_FFE", "I_SE", "I_IR"), "imaginary"),
    # the images of Dixon's method, as the three vendors call them
    **dict.fromkeys(("W", "WATER"), WATER),
    **dict.fromkeys(("F", "FAT"), "fat"),
    **dict.fromkeys(("IP", "IN_PHASE", "INPHASE", "IN PHASE"), "in-phase"),
    **dict.fromkeys(
        ("OP", "OOP", "OPP_PHASE", "OPPOSED_PHASE", "OUT_PHASE", "OUTPHASE", "OUT OF PHASE"), "opposed-phase"
    ),
    **dict.fromkeys(("FF", "FAT_FRACTION", "WATER_FRACTION", "FAT FRACTION", "WATER FRACTION"), "map"),
}
NEVER_READ = ("phase", "real", "imaginary", "map")
"""Kinds of image that are no signal: never read, whatever the user asks for."""


@dataclass(frozen=True)
class Frame:
    """One slice at one time, as its header has it.

    Where it is stored: `path`, and `number` among the frames of that file; what the file calls itself:
    `sop_class` and `instance` (SOP Instance UID). Where it lies: `position` of its
    first pixel and `orientation` of rows and columns (3,) and (6,), mm, LPS. When it was taken: `..._s`,
    seconds of the day, but `offset_s` from the start of the run and `duration_s`; None = not said. `day`: a
    number that only tells days apart. `protocol`: pixel spacing (mm, between rows and between columns),
    repetition and echo time (ms), flip angle (degrees); 0 = not said. `contrast`: the weighting (Acquisition
    Contrast). `kind`: "magnitude", or what else the image is (`NEVER_READ`, water, fat, in-phase,
    opposed-phase). `slope` and `intercept`: of rescaling; `scale_slope`: Philips' private one; `is_philips`:
    it was made on such a scanner.
    """

    path: Path
    number: int
    sop_class: str
    instance: str
    study: str
    series: str
    series_number: str
    series_label: str
    frame_of_reference: str
    rows: int
    columns: int
    image_type: tuple[str, ...]
    kind: str
    protocol: tuple[float, ...]
    scan_options: str
    receive_coil: str
    contrast: str
    position: np.ndarray
    orientation: np.ndarray
    slope: float
    intercept: float
    scale_slope: float | None
    is_philips: bool
    day: int | None
    temporal_position: int | None
    offset_s: float | None
    acquisition_s: float | None
    content_s: float | None
    series_s: float | None
    acquisition_number: int | None
    instance_number: int | None
    duration_s: float | None
    contrast_start_s: float | None

    @property
    def is_derived(self) -> bool:
        """Made of other images, as subtractions are; water images of Dixon's method are read although they
        are called derived.
        """
        return "DERIVED" in self.image_type and self.kind != WATER

    @property
    def moment_s(self) -> float | None:
        """Time of day (s) at which it was taken: a run of one acquisition time has trigger times besides."""
        return None if self.acquisition_s is None else self.acquisition_s + (self.offset_s or 0.0)

    @property
    def own_scale(self) -> float:
        """What rescaled values are divided by where the phases have scales of their own: `has_own_scales`."""
        return self.slope * (self.scale_slope or 1.0)

    @property
    def normal(self) -> np.ndarray:
        """The direction across the slice, a unit vector (3,) in LPS."""
        return np.cross(self.orientation[:3], self.orientation[3:])


def read_frames(files: Sequence[Path]) -> list[Frame]:
    """Every slice in the files that has a place in space, scouts left out; copies of one and the same file
    are taken once.

    Raises `InputError` for a header that is broken.
    """
    frames: dict[tuple, Frame] = {}
    for path in files:
        try:
            # forced: `is_dicom_file` let it pass, with or without the preamble of a Part 10 file
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=HEADER_TAGS, force=True)
            if header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                raise ValueError("deflated files are not read, since they may inflate without end")
            # several frames without functional groups are a film or a rendering: they have no place each
            is_film = (
                int(header.get("NumberOfFrames") or 1) > 1
                and "PerFrameFunctionalGroupsSequence" not in header
            )
            if "Rows" not in header or header.get("SamplesPerPixel", 1) != 1 or is_film:
                continue
            for number in range(int(header.get("NumberOfFrames") or 1)):
                frame = _frame(header, path, number)
                if frame:
                    # anonymisers give one UID to several images: the same image is of the same place and
                    # moment, too
                    uid = header.get("SOPInstanceUID") or str(path)
                    frames.setdefault(
                        (uid, number, frame.series, *frame.position, *_moment_and_counts(frame)), frame
                    )
        except BROKEN as error:
            what = f"its DICOM header is broken ({reason_of(error)})"
            raise InputError(f"{path}: {what}; export it again or take it out of the folder") from error
    return sorted(frames.values(), key=_by_header)


def _by_header(frame: Frame) -> tuple:
    """Sorts frames by what their headers say, so that nothing depends on how files are called."""
    known = [math.inf if value is None else value for value in _moment_and_counts(frame)]
    series = (int(frame.series_number or 0), frame.study, frame.series)
    return (*known, *series, *frame.position.tolist(), frame.kind, frame.image_type)


def _moment_and_counts(frame: Frame) -> tuple[float | None, ...]:
    """All that a header can tell of when an image was taken, and in which order."""
    times = (frame.acquisition_s, frame.offset_s, frame.temporal_position, frame.content_s, frame.series_s)
    return (*times, frame.acquisition_number, frame.instance_number)


def _frame(header: Dataset, path: Path, number: int) -> Frame | None:
    """One slice of a file, None when the header does not say where it lies.

    Enhanced headers keep these things in functional groups (DICOM PS3.3 C.7.6.16, C.8.13.5).
    """
    enhanced = "PerFrameFunctionalGroupsSequence" in header
    group = functional_groups_of(header, number) if enhanced else lambda _: header
    position = group("PlanePositionSequence").get("ImagePositionPatient")
    orientation = group("PlaneOrientationSequence").get("ImageOrientationPatient")
    spacing = group("PixelMeasuresSequence").get("PixelSpacing")
    if not (position and orientation and spacing):
        return None
    content = group("FrameContentSequence")
    timing = group("MRTimingAndRelatedParametersSequence")
    rescale = group("PixelValueTransformationSequence")
    kind_of_frame = group("MRImageFrameTypeSequence")
    image_type = _words((kind_of_frame.get("FrameType") if enhanced else None) or header.get("ImageType"))
    if "LOCALIZER" in image_type:
        return None
    require_finite_place(spacing, position, orientation)
    if enhanced:
        echo_time = group("MREchoSequence").get("EffectiveEchoTime")
        offset = number_of(group("TemporalPositionSequence").get("TemporalPositionTimeOffset"))
        acquired = content.get("FrameAcquisitionDateTime")
        duration = number_of(content.get("FrameAcquisitionDuration"), 1e-3)
        temporal = content.get("TemporalPositionIndex")
        acquisition_number = content.get("FrameAcquisitionNumber")
        instance_number = None
        coil = group("MRReceiveCoilSequence").get("ReceiveCoilName")
    else:
        echo_time = header.get("EchoTime")
        offset = number_of(header.get("TriggerTime"), 1e-3)
        acquired = header.get("AcquisitionTime")
        duration = number_of(header.get("AcquisitionDuration"))
        temporal = header.get("TemporalPositionIdentifier")
        acquisition_number = header.get("AcquisitionNumber")
        instance_number = header.get("InstanceNumber")
        coil = header.get("ReceiveCoilName")
    protocol = (*spacing, timing.get("RepetitionTime"), echo_time, timing.get("FlipAngle"))
    series_number = str(whole_number_of(header.get("SeriesNumber")) or "")
    scale_slope, is_philips = scale_slope_of(header, number, enhanced)
    component = kind_of_frame.get("ComplexImageComponent") or header.get("ComplexImageComponent")
    return Frame(
        path=path,
        number=number,
        sop_class=str(header.get("SOPClassUID", "")),
        instance=str(header.get("SOPInstanceUID", "")),
        study=str(header.get("StudyInstanceUID", "")),
        series=str(header.get("SeriesInstanceUID", "")),
        series_number=series_number,
        series_label=f'{series_number or "?"} "{header.get("SeriesDescription", "")}"',
        frame_of_reference=str(header.get("FrameOfReferenceUID", "")),
        rows=int(header.Rows),
        columns=int(header.Columns),
        image_type=image_type,
        kind=_kind(image_type, component, header),
        protocol=tuple(number_of(value) or 0.0 for value in protocol),
        scan_options=" ".join(sorted(_words(header.get("ScanOptions")))),
        receive_coil=str(coil or ""),
        contrast=str(kind_of_frame.get("AcquisitionContrast") or header.get("AcquisitionContrast") or ""),
        position=np.array(position, float),
        orientation=np.array(orientation, float),
        slope=number_of(rescale.get("RescaleSlope")) or 1.0,
        intercept=number_of(rescale.get("RescaleIntercept")) or 0.0,
        scale_slope=scale_slope,
        is_philips=is_philips,
        day=day_of(acquired if enhanced else None, header),
        temporal_position=whole_number_of(temporal),
        offset_s=offset,
        acquisition_s=time_of_day_of(acquired or header.get("AcquisitionDateTime")),
        content_s=time_of_day_of(header.get("ContentTime")),
        series_s=time_of_day_of(header.get("SeriesTime")),
        acquisition_number=whole_number_of(acquisition_number),
        instance_number=whole_number_of(instance_number),
        duration_s=duration,
        contrast_start_s=contrast_start_of(header),
    )


def _words(value: Any) -> tuple[str, ...]:
    """A header's words in capitals, however many there are."""
    values = (value,) if isinstance(value, str) else tuple(value or ())
    return tuple(str(word).strip().upper() for word in values)


def _kind(image_type: Sequence[str], component: object, header: Dataset) -> str:
    """What kind of image it is.

    The first two words of an image type say something else: original or derived, primary or secondary (PS3.3
    C.7.6.1.1.2).
    """
    for word in image_type[2:]:
        if word in _KIND_OF_WORD:
            return _KIND_OF_WORD[word]
        if word.endswith("MAP") or word == "ADC":
            return "map"
    named = str(component or "").lower()
    if named in ("phase", "real", "imaginary"):
        return named
    of_ge = whole_number_of(private_value(header, 0x0043, GE, GE_TYPE))
    return GE_COMPONENTS[of_ge] if of_ge is not None and 0 <= of_ge < len(GE_COMPONENTS) else MAGNITUDE
