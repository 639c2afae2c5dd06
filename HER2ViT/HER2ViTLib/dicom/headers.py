"""What the headers of DICOM MR files say of every slice: where it lies, when it was taken, and what kind of
image it is.

Classic MR (a file a slice) and enhanced MR (many slices a file, in functional groups). Dates are compared and
never handed on.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as SequenceOfItems
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from HER2ViTLib.messages import InputError

PHILIPS = "Philips MR Imaging DD 001"
"""Private creator of the block that holds Philips' scale slope: MR Scale Slope (2005,xx0E), Philips MR DICOM
conformance statement.
"""
_PHILIPS_FRAME = "Philips MR Imaging DD 005"
"""Private creator of the per-frame sequence (2005,xx0F) of enhanced files, whose item holds the block above.
"""
_GE = "GEMS_PARM_01"
"""Private creator of GE's image type (0043,xx2F): 0 magnitude, 1 phase, 2 real, 3 imaginary; GE MR DICOM
conformance statement.
"""
_SCALE_SLOPE = 0x0E
_FRAME_SEQUENCE = 0x0F
_GE_TYPE = 0x2F
_GE_COMPONENTS = ("magnitude", "phase", "real", "imaginary")

_HEADER = [
    *(
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SeriesNumber",
        "SeriesDescription",
        "ImageType",
    ),
    *(
        "FrameOfReferenceUID",
        "StudyDate",
        "SeriesDate",
        "AcquisitionDate",
        "SeriesTime",
        "AcquisitionNumber",
        "InstanceNumber",
    ),
    *(
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "NumberOfFrames",
        "PixelSpacing",
        "ImagePositionPatient",
        "ImageOrientationPatient",
    ),
    *(
        "RepetitionTime",
        "EchoTime",
        "FlipAngle",
        "ScanOptions",
        "ReceiveCoilName",
        "AcquisitionContrast",
        "ComplexImageComponent",
    ),
    *("Manufacturer", "RescaleSlope", "RescaleIntercept", "TemporalPositionIdentifier", "TriggerTime"),
    *("AcquisitionTime", "AcquisitionDateTime", "AcquisitionDuration", "ContentTime"),
    *(
        "ContrastBolusStartTime",
        "ContrastBolusAgentSequence",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
    ),
    # a private block may lie at any of 240 places, which its creator tells; tags made once, since that takes
    # longer than reading them
    *(BaseTag((0x2005 << 16) + n) for n in range(0x10, 0x100)),
    *(BaseTag((0x2005 << 16) + (n << 8) + _SCALE_SLOPE) for n in range(0x10, 0x100)),
    *(BaseTag((0x0043 << 16) + n) for n in range(0x10, 0x100)),
    *(BaseTag((0x0043 << 16) + (n << 8) + _GE_TYPE) for n in range(0x10, 0x100)),
]

BROKEN = (
    ArithmeticError,
    AttributeError,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom and GDCM raise for files that are damaged, or made to do harm."""

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

    Where it is stored: `path`, and `number` among the frames of that file. Where it lies: `position` of its
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
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_HEADER, force=True)
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


def reason_of(error: Exception) -> str:
    """What went wrong, on one line."""
    return " ".join(str(error).split())[:120]


def _frame(header: Dataset, path: Path, number: int) -> Frame | None:
    """One slice of a file, None when the header does not say where it lies.

    Enhanced headers keep these things in functional groups (DICOM PS3.3 C.7.6.16, C.8.13.5).
    """
    enhanced = "PerFrameFunctionalGroupsSequence" in header
    group = _functional_groups(header, number) if enhanced else lambda _: header
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
    _require_finite_place(spacing, position, orientation)
    if enhanced:
        echo_time = group("MREchoSequence").get("EffectiveEchoTime")
        offset = _number(group("TemporalPositionSequence").get("TemporalPositionTimeOffset"))
        acquired = content.get("FrameAcquisitionDateTime")
        duration = _number(content.get("FrameAcquisitionDuration"), 1e-3)
        temporal = content.get("TemporalPositionIndex")
        acquisition_number = content.get("FrameAcquisitionNumber")
        instance_number = None
        coil = group("MRReceiveCoilSequence").get("ReceiveCoilName")
    else:
        echo_time = header.get("EchoTime")
        offset = _number(header.get("TriggerTime"), 1e-3)
        acquired = header.get("AcquisitionTime")
        duration = _number(header.get("AcquisitionDuration"))
        temporal = header.get("TemporalPositionIdentifier")
        acquisition_number = header.get("AcquisitionNumber")
        instance_number = header.get("InstanceNumber")
        coil = header.get("ReceiveCoilName")
    protocol = (*spacing, timing.get("RepetitionTime"), echo_time, timing.get("FlipAngle"))
    series_number = str(_whole(header.get("SeriesNumber")) or "")
    scale_slope, is_philips = _scale_slope(header, number, enhanced)
    component = kind_of_frame.get("ComplexImageComponent") or header.get("ComplexImageComponent")
    return Frame(
        path=path,
        number=number,
        study=str(header.get("StudyInstanceUID", "")),
        series=str(header.get("SeriesInstanceUID", "")),
        series_number=series_number,
        series_label=f'{series_number or "?"} "{header.get("SeriesDescription", "")}"',
        frame_of_reference=str(header.get("FrameOfReferenceUID", "")),
        rows=int(header.Rows),
        columns=int(header.Columns),
        image_type=image_type,
        kind=_kind(image_type, component, header),
        protocol=tuple(_number(value) or 0.0 for value in protocol),
        scan_options=" ".join(sorted(_words(header.get("ScanOptions")))),
        receive_coil=str(coil or ""),
        contrast=str(kind_of_frame.get("AcquisitionContrast") or header.get("AcquisitionContrast") or ""),
        position=np.array(position, float),
        orientation=np.array(orientation, float),
        slope=_number(rescale.get("RescaleSlope")) or 1.0,
        intercept=_number(rescale.get("RescaleIntercept")) or 0.0,
        scale_slope=scale_slope,
        is_philips=is_philips,
        day=_day(acquired if enhanced else None, header),
        temporal_position=_whole(temporal),
        offset_s=offset,
        acquisition_s=_time_of_day(acquired or header.get("AcquisitionDateTime")),
        content_s=_time_of_day(header.get("ContentTime")),
        series_s=_time_of_day(header.get("SeriesTime")),
        acquisition_number=_whole(acquisition_number),
        instance_number=_whole(instance_number),
        duration_s=duration,
        contrast_start_s=_contrast_start(header),
    )


def _words(value: object) -> tuple[str, ...]:
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
    of_ge = _whole(_private(header, 0x0043, _GE, _GE_TYPE))
    return _GE_COMPONENTS[of_ge] if of_ge is not None and 0 <= of_ge < len(_GE_COMPONENTS) else MAGNITUDE


def _private(dataset: Dataset, group: int, creator: str, element: int) -> object:
    """The value of a private element, found by the creator of its block (DICOM PS3.5 7.8.1); None where it is
    not there.
    """
    try:
        value = dataset.private_block(group, creator)[element].value
    except KeyError:
        return None
    if isinstance(
        value, bytes
    ):  # its representation got lost on the way: of ours, four bytes are FL, two are SS
        form = {4: "<f", 2: "<h"}.get(len(value))
        return struct.unpack(form, value)[0] if form else None
    return value[0] if isinstance(value, (MultiValue, SequenceOfItems)) and len(value) else value


def _scale_slope(header: Dataset, number: int, enhanced: bool) -> tuple[float | None, bool]:
    """Philips' scale slope of a frame (None = not there), and whether a Philips scanner made the image."""
    value = _private(header, 0x2005, PHILIPS, _SCALE_SLOPE)
    is_philips = "philips" in str(header.get("Manufacturer", "")).lower()
    if enhanced:
        for item in (
            header.PerFrameFunctionalGroupsSequence[number],
            *header.get("SharedFunctionalGroupsSequence", []),
        ):
            inner = _private(item, 0x2005, _PHILIPS_FRAME, _FRAME_SEQUENCE)
            if value is None and isinstance(inner, Dataset):
                value = _private(inner, 0x2005, PHILIPS, _SCALE_SLOPE)
    return _number(value) or None, is_philips or value is not None


def _day(acquired: object, header: Dataset) -> int | None:
    """A number that tells the days of acquisition apart, None where the header has no date."""
    texts = (acquired, *(header.get(name) for name in ("AcquisitionDate", "SeriesDate", "StudyDate")))
    digits = next((str(text)[:8] for text in texts if text and str(text)[:8].isdigit()), "")
    try:
        return (
            date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).toordinal() if len(digits) == 8 else None
        )
    except ValueError:
        return None


def _whole(value: Any) -> int | None:
    """A header's count, None where there is none: a count that cannot be read is no reason to refuse the
    image.
    """
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _require_finite_place(
    spacing: Sequence[float], position: Sequence[float], orientation: Sequence[float]
) -> None:
    """Raises `ValueError` for a slice whose header puts it nowhere."""
    wanted = (
        ("PixelSpacing", spacing, 2),
        ("ImagePositionPatient", position, 3),
        ("ImageOrientationPatient", orientation, 6),
    )
    for name, values, count in wanted:
        numbers = [float(value) for value in values]
        if len(numbers) != count or not all(map(math.isfinite, numbers)):
            raise ValueError(f"{name} {numbers[:6]}")


def _functional_groups(header: Dataset, number: int) -> Callable[[str], Dataset]:
    """A look-up of the functional groups of an enhanced file: those of the frame before those that all frames
    share.
    """
    places = [
        header.PerFrameFunctionalGroupsSequence[number],
        *header.get("SharedFunctionalGroupsSequence", []),
    ]

    def group(name: str) -> Dataset:
        return next((place[name][0] for place in places if place.get(name)), Dataset())

    return group


def _contrast_start(header: Dataset) -> float | None:
    """Time of day (s) at which the contrast agent was given."""
    items = [header]
    for agent in header.get("ContrastBolusAgentSequence", []):
        items += agent.get("ContrastAdministrationProfileSequence", [])
    told = [item.ContrastBolusStartTime for item in items if item.get("ContrastBolusStartTime")]
    return _time_of_day(told[0]) if told else None


def _number(value: object, factor: float = 1.0) -> float | None:
    """A header's number times a factor, None for an empty value. Raises `ValueError` for NaN and infinity."""
    if value is None or value == "":
        return None
    if not math.isfinite(float(value)):
        raise ValueError(f"the number {value} in it")
    return float(value) * factor


def _time_of_day(value: object) -> float | None:
    """Seconds since midnight of a DICOM time (HHMMSS.FFFFFF) or date-time (YYYYMMDDHHMMSS.FFFFFF&ZZXX), None
    when it is neither.
    """
    digits, _, fraction = str(value or "").split("+")[0].split("-")[0].replace(":", "").strip().partition(".")
    if len(digits) >= 12:
        digits = digits[8:]
    if not (digits.isdigit() and len(digits) in (4, 6)):
        return None
    seconds = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:6] or 0)
    return seconds + float(f"0.{fraction or 0}")
