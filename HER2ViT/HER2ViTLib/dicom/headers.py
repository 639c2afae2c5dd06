"""What the headers of DICOM MR files say of every slice: where it lies, when it was taken, and what kind of
image it is.

Classic MR (a file a slice) and enhanced MR (many slices a file, in functional groups). Dates are compared and
never handed on.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as SequenceOfItems
from pydicom.tag import BaseTag

PHILIPS = "Philips MR Imaging DD 001"
"""Private creator of the block that holds Philips' scale slope: MR Scale Slope (2005,xx0E), Philips MR DICOM
conformance statement.
"""
PHILIPS_FRAME = "Philips MR Imaging DD 005"
"""Private creator of the per-frame sequence (2005,xx0F) of enhanced files, whose item holds the block above.
"""
GE = "GEMS_PARM_01"
"""Private creator of GE's image type (0043,xx2F): 0 magnitude, 1 phase, 2 real, 3 imaginary; GE MR DICOM
conformance statement.
"""
SCALE_SLOPE = 0x0E
FRAME_SEQUENCE = 0x0F
GE_TYPE = 0x2F
GE_COMPONENTS = ("magnitude", "phase", "real", "imaginary")

_NO_SIGNAL = {
    "66.4": "segmentation (SEG)",
    "66.7": "segmentation (SEG)",
    "30": "parametric map",
    "481.3": "contours (RTSTRUCT)",
    "481": "radiotherapy object",
    "88": "report (SR)",
    "11": "presentation state",
    "66": "raw data or registration",
    "104": "document",
    "4.2": "spectroscopy",
}
"""What objects of a storage class are, by the class below 1.2.840.10008.5.1.4.1.1 or the beginning of it
(DICOM PS3.6, annex A): those that may have pixels, and no signal.
"""

_HEADER = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID SeriesNumber SeriesDescription ImageType
    FrameOfReferenceUID StudyDate SeriesDate AcquisitionDate SeriesTime AcquisitionNumber InstanceNumber
    Rows Columns SamplesPerPixel NumberOfFrames PixelSpacing ImagePositionPatient ImageOrientationPatient
    RepetitionTime EchoTime FlipAngle ScanOptions ReceiveCoilName AcquisitionContrast ComplexImageComponent
    DiffusionBValue Modality
    Manufacturer RescaleSlope RescaleIntercept TemporalPositionIdentifier TriggerTime
    AcquisitionTime AcquisitionDateTime AcquisitionDuration ContentTime
    ContrastBolusStartTime ContrastBolusAgentSequence
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
"""
_ITEMS = """
    PlanePositionSequence PlaneOrientationSequence PixelMeasuresSequence FrameContentSequence
    MRTimingAndRelatedParametersSequence PixelValueTransformationSequence MRImageFrameTypeSequence
    MREchoSequence TemporalPositionSequence MRReceiveCoilSequence MRDiffusionSequence
    FrameType EffectiveEchoTime TemporalPositionTimeOffset TemporalPositionIndex
    FrameAcquisitionDateTime FrameAcquisitionDuration FrameAcquisitionNumber
    ContrastAdministrationProfileSequence
"""
KEYWORDS = _HEADER.split()
"""What is read of a header."""
ITEM_KEYWORDS = _ITEMS.split()
"""What is read of the items in its sequences besides."""
HEADER_TAGS: list[Any] = [
    *KEYWORDS,
    # a private block may lie at any of 240 places, which its creator tells; tags made once, since that takes
    # longer than reading them
    *(BaseTag((0x2005 << 16) + n) for n in range(0x10, 0x100)),
    *(BaseTag((0x2005 << 16) + (n << 8) + SCALE_SLOPE) for n in range(0x10, 0x100)),
    *(BaseTag((0x0043 << 16) + n) for n in range(0x10, 0x100)),
    *(BaseTag((0x0043 << 16) + (n << 8) + GE_TYPE) for n in range(0x10, 0x100)),
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
    zlib.error,
)
"""What pydicom and GDCM raise for files that are damaged, or made to do harm."""

_NOTHING: Header = Dataset()
"""A functional group that a file does not have."""


class Header(Protocol):
    """What is asked of a header, or of an item in one of its sequences: pydicom's `Dataset`, or a
    `PlainHeader`.
    """

    def get(self, key: str, default: Any = None, /) -> Any: ...

    def __contains__(self, name: str, /) -> bool: ...

    def __getattr__(self, name: str, /) -> Any: ...

    def private_block(self, group: int, private_creator: str) -> Any: ...


def object_without_signal(storage: str) -> str:
    """What an object of a storage class (UID) is in words, empty for one that may hold a scanner's images."""
    parts = storage.removeprefix("1.2.840.10008.5.1.4.1.1.").split(".")
    beginnings = (".".join(parts[:count]) for count in (2, 1))
    return next((_NO_SIGNAL[one] for one in beginnings if one in _NO_SIGNAL), "")


def reason_of(error: Exception) -> str:
    """What went wrong, on one line."""
    return " ".join(str(error).split())[:120]


def private_value(dataset: Header, group: int, creator: str, element: int) -> object:
    """The value of a private element, found by the creator of its block (DICOM PS3.5 7.8.1); None where it is
    not there.
    """
    try:
        value = dataset.private_block(group, creator)[element].value
    except KeyError:
        return None
    if isinstance(value, bytes):  # its representation got lost on the way: of ours, four are FL, two are SS
        form = {4: "<f", 2: "<h"}.get(len(value))
        return struct.unpack(form, value)[0] if form else None
    return value[0] if isinstance(value, (MultiValue, SequenceOfItems)) and len(value) else value


def scale_slope_of(header: Header, number: int, enhanced: bool) -> tuple[float | None, bool]:
    """Philips' scale slope of a frame (None = not there), and whether a Philips scanner made the image."""
    value = private_value(header, 0x2005, PHILIPS, SCALE_SLOPE)
    is_philips = "philips" in str(header.get("Manufacturer", "")).lower()
    if enhanced:
        for item in (
            header.PerFrameFunctionalGroupsSequence[number],
            *header.get("SharedFunctionalGroupsSequence", []),
        ):
            inner: Any = private_value(item, 0x2005, PHILIPS_FRAME, FRAME_SEQUENCE)
            if value is None and hasattr(inner, "private_block"):
                value = private_value(inner, 0x2005, PHILIPS, SCALE_SLOPE)
    return number_of(value) or None, is_philips or value is not None


def day_of(acquired: object, header: Header) -> int | None:
    """A number that tells the days of acquisition apart, None where the header has no date."""
    texts = (acquired, *(header.get(name) for name in ("AcquisitionDate", "SeriesDate", "StudyDate")))
    digits = next((str(text)[:8] for text in texts if text and str(text)[:8].isdigit()), "")
    try:
        return (
            date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).toordinal() if len(digits) == 8 else None
        )
    except ValueError:
        return None


def series_of(header: Header) -> tuple[str, str, str, str]:
    """Study, series, the series' number and its description."""
    return (
        str(header.get("StudyInstanceUID", "")),
        str(header.get("SeriesInstanceUID", "")),
        str(whole_number_of(header.get("SeriesNumber")) or ""),
        str(header.get("SeriesDescription") or ""),
    )


def whole_number_of(value: Any) -> int | None:
    """A header's count, None where there is none: a count that cannot be read is no reason to refuse the
    image.
    """
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def require_finite_place(
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


def functional_groups_of(header: Header, number: int) -> Callable[[str], Header]:
    """A look-up of the functional groups of an enhanced file: those of the frame before those that all frames
    share.
    """
    places = [
        header.PerFrameFunctionalGroupsSequence[number],
        *header.get("SharedFunctionalGroupsSequence", []),
    ]

    def group(name: str) -> Header:
        return next((place[name][0] for place in places if place.get(name)), _NOTHING)

    return group


def contrast_start_of(header: Header) -> float | None:
    """Time of day (s) at which the contrast agent was given."""
    items = [header]
    for agent in header.get("ContrastBolusAgentSequence", []):
        items += agent.get("ContrastAdministrationProfileSequence", [])
    told = [item.ContrastBolusStartTime for item in items if item.get("ContrastBolusStartTime")]
    return time_of_day_of(told[0]) if told else None


def number_of(value: Any, factor: float = 1.0) -> float | None:
    """A header's number times a factor, None for an empty value. Raises `ValueError` for NaN and infinity."""
    if value is None or value == "":
        return None
    if not math.isfinite(float(value)):
        raise ValueError(f"the number {value} in it")
    return float(value) * factor


def time_of_day_of(value: object) -> float | None:
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
