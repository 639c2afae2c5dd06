"""One frame of a DICOM MR series: where it lies, when it was taken, what kind of image it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .headers import (
    GE,
    GE_COMPONENTS,
    GE_TYPE,
    Header,
    contrast_start_of,
    day_of,
    functional_groups_of,
    number_of,
    private_value,
    require_finite_place,
    scale_slope_of,
    series_of,
    time_of_day_of,
    whole_number_of,
)
from .plain import NativePixels, PlainHeader

MAGNITUDE = "magnitude"
WATER = "water"
DIFFUSION = "diffusion"
LOCALISER = "LOCALIZER"
"""The word of an image type (DICOM PS3.3 C.8.3.1.1.1)."""
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
    **dict.fromkeys(("DIFFUSION", "TRACEW", "DWI"), DIFFUSION),
}
NEVER_READ = ("phase", "real", "imaginary", "map", DIFFUSION)
"""Kinds of image that show no uptake of contrast agent: never read, whatever the user asks for."""


@dataclass(frozen=True)
class Frame:
    """One slice at one time, as its header has it.

    Where it is stored: `path`, and `number` among the frames of that file; what the file calls itself:
    `sop_class` and `instance` (SOP Instance UID). Where it lies: `position` of its
    first pixel and `orientation` of rows and columns (3,) and (6,), mm, LPS. When it was taken: `..._s`,
    seconds of the day, but `offset_s` from the start of the run and `duration_s`; None = not said. `day`: a
    number that only tells days apart. `protocol`: pixel spacing (mm, between rows and between columns),
    repetition and echo time (ms), flip angle (degrees); 0 = not said. `contrast`: the weighting (Acquisition
    Contrast); `b_value`: that of diffusion (s/mm2). `kind`: "magnitude", or what else the image is
    (`NEVER_READ`, water, fat, in-phase, opposed-phase). `slope` and `intercept`: of rescaling;
    `scale_slope`: Philips' private one; `is_philips`: it was made on such a scanner.
    """

    path: Path
    number: int
    sop_class: str
    instance: str
    study: str
    series: str
    series_number: str
    description: str
    modality: str
    frame_of_reference: str
    rows: int
    columns: int
    image_type: tuple[str, ...]
    kind: str
    protocol: tuple[float, ...]
    scan_options: str
    receive_coil: str
    contrast: str
    b_value: float
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
    pixels: NativePixels | None

    @property
    def series_label(self) -> str:
        """Number and description of its series."""
        quoted = f' "{self.description}"' if self.description else ""
        return f"{self.series_number or '?'}{quoted}"

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


def frame_of(header: Header, path: Path, number: int) -> Frame | None:
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
    image_type = words_of((kind_of_frame.get("FrameType") if enhanced else None) or header.get("ImageType"))
    if LOCALISER in image_type:
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
    study, series, series_number, description = series_of(header)
    scale_slope, is_philips = scale_slope_of(header, number, enhanced)
    contrast = str(kind_of_frame.get("AcquisitionContrast") or header.get("AcquisitionContrast") or "")
    b_value = group("MRDiffusionSequence").get("DiffusionBValue") or header.get("DiffusionBValue")
    component = kind_of_frame.get("ComplexImageComponent") or header.get("ComplexImageComponent")
    return Frame(
        path=path,
        number=number,
        sop_class=str(header.get("SOPClassUID", "")),
        instance=str(header.get("SOPInstanceUID", "")),
        study=study,
        series=series,
        series_number=series_number,
        description=description,
        modality=str(header.get("Modality", "")),
        frame_of_reference=str(header.get("FrameOfReferenceUID", "")),
        rows=int(header.Rows),
        columns=int(header.Columns),
        image_type=image_type,
        kind=DIFFUSION if contrast == "DIFFUSION" else _kind(image_type, component, header),
        protocol=tuple(number_of(value) or 0.0 for value in protocol),
        scan_options=" ".join(sorted(words_of(header.get("ScanOptions")))),
        receive_coil=str(coil or ""),
        contrast=contrast,
        b_value=number_of(b_value) or 0.0,
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
        pixels=header.pixels if isinstance(header, PlainHeader) else None,
    )


def words_of(value: Any) -> tuple[str, ...]:
    """A header's words in capitals, however many there are."""
    values = (value,) if isinstance(value, str) else tuple(value or ())
    return tuple(str(word).strip().upper() for word in values)


def _kind(image_type: Sequence[str], component: object, header: Header) -> str:
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
