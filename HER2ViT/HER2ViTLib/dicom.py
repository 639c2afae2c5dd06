"""The phases of a DCE-MRI in DICOM files: classic MR (a file a slice) and enhanced MR (many slices a file).

Files are sorted by what their headers say, never by name. Only geometry, pixels and relative times leave this room; dates are not read.
"""

from __future__ import annotations

import hashlib
import io
import math
import operator
import struct
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, MultiFrameGrayscaleWordSecondaryCaptureImageStorage, RLELossless, generate_uid

from .inputs import read_file
from .messages import InputError
from .series import DAY_S, PLAUSIBLE_STEP_S, Series, is_dicom_file, unwrap_midnight
from .volume import MOST_VALUES, Geometry, Volume, require_finite, require_real_geometry

_SAME_POSITION_MM = 0.01
_UNEVEN = 0.01
"""Deviation of a slice from its place in the stack, as a share of the slice spacing, from which on the stack is refused."""
_STEP_S = (1.0, 3600.0)
"""Steps between phases that a clock of the header must keep to: others are counters, or gated heart beats."""
_HEADER = [
    *("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ImageType"),
    *("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"),
    *("RepetitionTime", "EchoTime", "FlipAngle", "RescaleSlope", "RescaleIntercept"),
    *("TemporalPositionIdentifier", "TriggerTime", "AcquisitionTime", "AcquisitionDateTime", "AcquisitionDuration", "ContentTime"),
    *("ContrastBolusStartTime", "ContrastBolusAgentSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]

_BROKEN = (
    *(BytesLengthException, InvalidDicomError, AttributeError, ArithmeticError, EOFError, LookupError, MemoryError, NotImplementedError),
    *(OSError, RecursionError, RuntimeError, TypeError, ValueError, struct.error),
)
"""What pydicom and GDCM raise for files that are damaged, or made to do harm."""

_PIXEL_MODULE = [
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
]


@dataclass(frozen=True)
class _Frame:
    """One slice at one time: where it is stored, where it lies, when it was taken (s; None = not said)."""

    path: Path
    number: int
    series: str
    series_label: str
    rows: int
    columns: int
    image_type: tuple[str, ...]
    study: str
    protocol: tuple[float, ...]
    """What must be alike: pixel spacing (mm), repetition and echo time (ms), flip angle (degrees); 0 = not said."""
    position: np.ndarray
    orientation: np.ndarray
    slope: float
    intercept: float
    temporal_position: int | None
    offset_s: float | None
    acquisition_s: float | None
    content_s: float | None
    duration_s: float | None
    contrast_start_s: float | None


def read_dicom(path: Path) -> Series:
    """The phases of the one DCE-MRI in a folder (subfolders included) or in an enhanced file.

    Scouts, other sequences and derived series beside it are left out. Raises `InputError` where it is not clear which series is meant
    (listing them), where slices are missing or uneven, where nothing in the header separates the phases.
    """
    files = _dicom_files(path) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: no DICOM file in this folder; give a DICOM folder, or the image files themselves in time order")
    with warnings.catch_warnings():
        # pydicom prints header values that break a rule of DICOM: noise to the user, and perhaps a name
        warnings.filterwarnings("ignore", module="pydicom")
        return _read_files(files, str(path))


def _read_files(files: Sequence[Path], name: str) -> Series:
    """The phases of the one DCE-MRI in DICOM files; `name` is what faults call them."""
    frames = _frames(files)
    if not frames:
        raise InputError(f"{name}: no greyscale slice with position and orientation in its {len(files)} DICOM files; give MR images")
    phases = _choose_phases(frames, name)
    used = [frame for phase in phases for frame in phase]
    geometries = [_geometry(phase) for phase in phases]
    for geometry in geometries:
        require_real_geometry(geometry, name)
    if sum(math.prod(geometry.shape) for geometry in geometries) > MOST_VALUES:
        raise InputError(f"{name}: declares {len(used)} slices of {used[0].columns} x {used[0].rows} pixels, more than any examination has")
    pixels, sha256 = _read_pixels(used)
    volumes = [Volume(np.stack([pixels[frame.path, frame.number] for frame in phase]), place) for phase, place in zip(phases, geometries)]
    left_out = len({frame.series for frame in frames} - {frame.series for frame in used})
    return Series(volumes, *_times(phases), sha256, left_out)


def _dicom_files(folder: Path) -> list[Path]:
    """The DICOM files in a folder and its subfolders, DICOMDIR and hidden files left out."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    try:
        return [path for path in files if path.name.upper() != "DICOMDIR" and is_dicom_file(path)]
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); check the file") from error


# Headers


def _frames(files: Sequence[Path]) -> list[_Frame]:
    """Every slice in the files that has a place in space, scouts left out; copies of one and the same image are taken once."""
    frames: dict[tuple[str, int], _Frame] = {}
    for path in files:
        try:
            if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                raise ValueError("deflated files are not read, since they may inflate without end")
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_HEADER)
            # several frames without functional groups are a film or a rendering: they have no place each
            is_film = int(header.get("NumberOfFrames") or 1) > 1 and "PerFrameFunctionalGroupsSequence" not in header
            if "Rows" not in header or header.get("SamplesPerPixel", 1) != 1 or is_film:
                continue
            for number in range(int(header.get("NumberOfFrames") or 1)):
                frame = _frame(header, path, number)
                if frame:
                    frames.setdefault((header.get("SOPInstanceUID", str(path)), number), frame)
        except _BROKEN as error:
            raise InputError(f"{path}: its DICOM header is broken ({_reason(error)}); export it again or take it out of the folder") from error
    return list(frames.values())


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _frame(header: Dataset, path: Path, number: int) -> _Frame | None:
    """One slice of a file, None when the header does not say where it lies. Enhanced headers keep these things in functional groups."""
    enhanced = "PerFrameFunctionalGroupsSequence" in header
    group = _functional_groups(header, number) if enhanced else lambda _: header
    position = group("PlanePositionSequence").get("ImagePositionPatient")
    orientation = group("PlaneOrientationSequence").get("ImageOrientationPatient")
    spacing = group("PixelMeasuresSequence").get("PixelSpacing")
    if not (position and orientation and spacing):
        return None
    content, timing = group("FrameContentSequence"), group("MRTimingAndRelatedParametersSequence")
    rescale = group("PixelValueTransformationSequence")
    image_type = (group("MRImageFrameTypeSequence").get("FrameType") if enhanced else None) or header.get("ImageType") or ()
    if "LOCALIZER" in image_type:
        return None
    _require_finite_place(spacing, position, orientation)
    echo_time = group("MREchoSequence").get("EffectiveEchoTime") if enhanced else header.get("EchoTime")
    offset = _number(group("TemporalPositionSequence").get("TemporalPositionTimeOffset")) if enhanced else _number(header.get("TriggerTime"), 1e-3)
    acquired = content.get("FrameAcquisitionDateTime") if enhanced else header.get("AcquisitionTime")
    duration = _number(content.get("FrameAcquisitionDuration"), 1e-3) if enhanced else _number(header.get("AcquisitionDuration"))
    temporal = content.get("TemporalPositionIndex") if enhanced else header.get("TemporalPositionIdentifier")
    return _Frame(
        path=path,
        number=number,
        series=str(header.get("SeriesInstanceUID", "")),
        series_label=f'{header.get("SeriesNumber", "?")} "{header.get("SeriesDescription", "")}"',
        rows=int(header.Rows),
        columns=int(header.Columns),
        image_type=(image_type,) if isinstance(image_type, str) else tuple(image_type),
        study=str(header.get("StudyInstanceUID", "")),
        protocol=tuple(_number(value) or 0.0 for value in (*spacing, timing.get("RepetitionTime"), echo_time, timing.get("FlipAngle"))),
        position=np.array(position, float),
        orientation=np.array(orientation, float),
        slope=_number(rescale.get("RescaleSlope")) or 1.0,
        intercept=_number(rescale.get("RescaleIntercept")) or 0.0,
        temporal_position=None if temporal is None else int(temporal),
        offset_s=offset,
        acquisition_s=_time_of_day(acquired or header.get("AcquisitionDateTime")),
        content_s=_time_of_day(header.get("ContentTime")),
        duration_s=duration,
        contrast_start_s=_contrast_start(header),
    )


def _require_finite_place(spacing: Sequence[float], position: Sequence[float], orientation: Sequence[float]) -> None:
    """Raises `ValueError` for a slice whose header puts it nowhere."""
    for name, values, count in (("PixelSpacing", spacing, 2), ("ImagePositionPatient", position, 3), ("ImageOrientationPatient", orientation, 6)):
        numbers = [float(value) for value in values]
        if len(numbers) != count or not all(map(math.isfinite, numbers)):
            raise ValueError(f"{name} {numbers[:6]}")


def _functional_groups(header: Dataset, number: int) -> Callable[[str], Dataset]:
    """A look-up of the functional groups of an enhanced file: those of the frame before those that all frames share."""
    places = [header.PerFrameFunctionalGroupsSequence[number], *header.get("SharedFunctionalGroupsSequence", [])]

    def group(name: str) -> Dataset:
        return next((place[name][0] for place in places if place.get(name)), Dataset())

    return group


def _contrast_start(header: Dataset) -> float | None:
    """Time of day (s) at which the contrast agent was given."""
    items = [header]
    for agent in header.get("ContrastBolusAgentSequence", []):
        items += agent.get("ContrastAdministrationProfileSequence", [])
    return next((_time_of_day(item.ContrastBolusStartTime) for item in items if item.get("ContrastBolusStartTime")), None)


def _number(value: object, factor: float = 1.0) -> float | None:
    """A header's number times a factor, None for an empty value. Raises `ValueError` for NaN and infinity."""
    if value is None or value == "":
        return None
    if not math.isfinite(float(value)):
        raise ValueError(f"the number {value} in it")
    return float(value) * factor


def _time_of_day(value: object) -> float | None:
    """Seconds since midnight of a DICOM time (HHMMSS.FFFFFF) or date-time (YYYYMMDDHHMMSS.FFFFFF&ZZXX), None when it is neither."""
    digits, _, fraction = str(value or "").split("+")[0].split("-")[0].replace(":", "").strip().partition(".")
    if len(digits) >= 12:
        digits = digits[8:]
    if not (digits.isdigit() and len(digits) in (4, 6)):
        return None
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:6] or 0)
    return hours * 3600 + minutes * 60 + seconds + float(f"0.{fraction or 0}")


# Phases


def _choose_phases(frames: Sequence[_Frame], name: str) -> list[list[_Frame]]:
    """The phases, slices in stack order, of the one group of alike frames that is a DCE-MRI; else of the only volume there is.

    Original images go before derived ones: subtractions have the geometry of what they were made of.
    """
    groups, faults = [], []
    for group in _alike(frames):
        try:
            groups.append(_split(_unwrapped(group), name))
        except InputError as fault:
            faults.append((len(group), fault))
    largest = max((len(phases) * len(phases[0]) for phases in groups), default=0)
    for is_derived in (False, True):
        several = [phases for phases in groups if len(phases) > 1 and ("DERIVED" in phases[0][0].image_type) == is_derived]
        if len(several) == 1:
            return several[0]
        if several:
            raise InputError(f"{name}: several series have phases: {_listing(several)}; give the folder of one of them")
        if faults and max(size for size, _ in faults) >= largest:  # the DCE-MRI itself is at fault, not a scout beside it
            raise max(faults, key=operator.itemgetter(0))[1]
    volumes = [phases for phases in groups if "DERIVED" not in phases[0][0].image_type] or groups
    if len(volumes) > 1:
        raise InputError(f"{name}: several series, none with more than one phase: {_listing(volumes)}; give the folder of the DCE series alone")
    return volumes[0]


def _listing(groups: Sequence[list[list[_Frame]]]) -> str:
    """The groups of series in words."""
    labels = ["series " + " + ".join(dict.fromkeys(frame.series_label for phase in group for frame in phase)) for group in groups]
    return "; ".join(f"{label} ({len(group)} x {len(group[0])} slices)" for label, group in zip(labels, groups))


def _alike(frames: Sequence[_Frame]) -> list[list[_Frame]]:
    """The frames by what does not change from phase to phase: study, matrix, image type (water or fat, magnitude or phase) and protocol."""
    exact: dict[tuple, list[_Frame]] = defaultdict(list)
    for frame in frames:
        exact[(frame.study, frame.rows, frame.columns, frame.image_type), frame.protocol].append(frame)
    groups: list[tuple[tuple, tuple[float, ...], list[_Frame]]] = []
    for (kind, protocol), members in exact.items():
        for other_kind, other_protocol, group in groups:
            # scanners let the repetition time of one protocol differ in the last digits
            if kind == other_kind and all(math.isclose(a, b, rel_tol=0.02) for a, b in zip(protocol, other_protocol)):
                group.extend(members)
                break
        else:
            groups.append((kind, protocol, members))
    return [group for _, _, group in groups]


def _unwrapped(frames: Sequence[_Frame]) -> list[_Frame]:
    """The frames with their times of day running on over midnight."""
    acquired = unwrap_midnight([frame.acquisition_s for frame in frames])
    written = unwrap_midnight([frame.content_s for frame in frames])
    return [replace(frame, acquisition_s=a, content_s=c) for frame, a, c in zip(frames, acquired, written)]


def _split(frames: Sequence[_Frame], name: str) -> list[list[_Frame]]:
    """Frames of one protocol as phases in time order, the slices of each in stack order (rising along the normal).

    Raises `InputError` when they do not make up complete phases.
    """
    label = f"{name}: series " + " + ".join(dict.fromkeys(frame.series_label for frame in frames))
    if any(np.abs(frame.orientation - frames[0].orientation).max() > 1e-3 for frame in frames):
        raise InputError(f"{label}: slices of several orientations; give the folder of one series")
    by_position = _by_position(frames)
    count = len(by_position[0])
    if any(len(place) != count for place in by_position):
        counts = sorted({len(place) for place in by_position})
        raise InputError(
            f"{label}: {counts[0]} to {counts[-1]} images at a slice position: slices are missing, or the phases lie at different places; "
            "export the series again or give the folder of one"
        )
    if count > 1:
        by_position = _in_time_order(by_position, label)
    phases = [[place[n] for place in by_position] for n in range(count)]
    for phase in phases:
        _require_even(phase, label)
    return phases


def _normal(frame: _Frame) -> np.ndarray:
    return np.cross(frame.orientation[:3], frame.orientation[3:])


def _by_position(frames: Sequence[_Frame]) -> list[list[_Frame]]:
    """The frames by slice position, rising along the normal."""
    along = np.array([frame.position for frame in frames]) @ _normal(frames[0])
    order = np.argsort(along, kind="stable")
    next_place = np.flatnonzero(np.diff(along[order]) > _SAME_POSITION_MM) + 1
    return [[frames[n] for n in place] for place in np.split(order, next_place)]


def _in_time_order(by_position: Sequence[Sequence[_Frame]], label: str) -> list[list[_Frame]]:
    """The frames at each position in time order, by the first thing in the header that tells all of them apart.

    Each series counts its own temporal positions and trigger times; across series the time of day goes first, and where a series holds
    several phases, its time together with the count within it.
    """
    frames = [frame for place in by_position for frame in place]
    if len({frame.series for frame in frames}) == 1:
        keys = [("temporal_position",), ("offset_s",), ("acquisition_s",), ("content_s",)]
    else:
        keys = [("acquisition_s",), ("temporal_position",), ("acquisition_s", "temporal_position"), ("acquisition_s", "offset_s"), ("content_s",)]
    for names in keys:
        key = operator.attrgetter(*names)
        is_known = all(getattr(frame, name) is not None for frame in frames for name in names)
        if is_known and all(len(set(map(key, place))) == len(place) for place in by_position):
            return [sorted(place, key=key) for place in by_position]
    raise InputError(
        f"{label}: {len(by_position[0])} images at each position, but no temporal position, trigger, acquisition or content time "
        "tells them apart; give one file per phase"
    )


def _require_even(slices: Sequence[_Frame], label: str) -> None:
    """Raises `InputError` unless the slices lie one above the other, at equal distances."""
    if len(slices) == 1:
        raise InputError(f"{label}: is one slice; give the folder of the whole series")
    positions = np.array([frame.position for frame in slices])
    along = positions @ _normal(slices[0])
    step = (along[-1] - along[0]) / (len(slices) - 1)
    gaps = np.diff(along)
    if np.abs(gaps - step).max() > _UNEVEN * step:
        raise InputError(f"{label}: slices are missing or uneven ({gaps.min():.3g} to {gaps.max():.3g} mm apart); export the series again")
    sideways = positions - positions[0] - np.outer(along - along[0], _normal(slices[0]))
    if np.abs(sideways).max() > 0.1 * min(slices[0].protocol[:2]):
        raise InputError(f"{label}: slices are shifted against each other by {np.abs(sideways).max():.3g} mm; give one stack")


def _geometry(slices: Sequence[_Frame]) -> Geometry:
    """Geometry of a stack of slices, as SimpleITK's series reader gives it."""
    first, last = slices[0], slices[-1]
    row, column, normal = first.orientation[:3], first.orientation[3:], _normal(first)
    step = float((last.position - first.position) @ normal) / (len(slices) - 1)
    return Geometry(
        shape=(len(slices), first.rows, first.columns),
        spacing=(first.protocol[1], first.protocol[0], step),
        origin=tuple(first.position.tolist()),
        direction=tuple(np.column_stack([row, column, normal]).ravel().tolist()),
    )


def _times(phases: Sequence[Sequence[_Frame]]) -> tuple[list[float | None], list[float | None], float | None]:
    """Start and duration of the phases, and the contrast start, on the first clock of the header that runs with them; None = unknown."""
    unknown: list[float | None] = [None] * len(phases)
    attributes = [("acquisition_s",), ("acquisition_s", "offset_s"), ("offset_s",), ("content_s",)]
    clocks = {names: _clock(phases, *names) for names in attributes}
    # the content time is that of writing the image: reconstructions in a row look like very quick phases
    names = next((names for names in attributes if _runs(clocks[names], PLAUSIBLE_STEP_S if "content_s" in names else _STEP_S)), None)
    if names is None:
        return unknown, unknown, None
    clock = clocks[names]
    starts = [min(times) for times in clock]
    contrast = {frame.contrast_start_s for phase in phases for frame in phase} - {None}
    if names == ("offset_s",) or len(contrast) != 1:  # another clock; or no time of injection but one that every series has of its own
        return starts, _durations(phases, clock), None
    day = DAY_S * round((starts[0] - min(contrast)) / DAY_S)
    return starts, _durations(phases, clock), min(contrast) + day


def _clock(phases: Sequence[Sequence[_Frame]], *names: str) -> list[list[float | None]]:
    """The time of every slice, phase by phase: the sum of the named attributes; None where one is unknown."""

    def time(frame: _Frame) -> float | None:
        values = [getattr(frame, name) for name in names]
        return None if None in values else sum(values)

    return [[time(frame) for frame in phase] for phase in phases]


def _runs(clock: Sequence[Sequence[float | None]], steps: tuple[float, float]) -> bool:
    """Whether a clock is known everywhere and goes on from phase to phase, without overlap and by steps (s) in the given range."""
    if any(time is None for times in clock for time in times):
        return False
    found = np.diff([min(times) for times in clock])
    return all(steps[0] <= step <= steps[1] for step in found) and all(max(a) < min(b) for a, b in zip(clock, clock[1:]))


def _durations(phases: Sequence[Sequence[_Frame]], clock: Sequence[Sequence[float]]) -> list[float | None]:
    """Durations of the phases (s) where the header has them; None when one runs into the next phase: then it is that of the whole series."""
    unknown: list[float | None] = [None] * len(phases)
    if any(not frame.duration_s for phase in phases for frame in phase):
        return unknown
    starts = [min(times) for times in clock]
    ends = [max(time + frame.duration_s for time, frame in zip(times, phase)) for times, phase in zip(clock, phases)]
    if any(end > start + 1.0 for end, start in zip(ends, starts[1:])):
        return unknown
    return [end - start for start, end in zip(starts, ends)]


# Pixels


def _read_pixels(frames: Sequence[_Frame]) -> tuple[dict[tuple[Path, int], np.ndarray], str]:
    """The pixels of each frame, rescaled, and the SHA-256 over the sorted SHA-256s of the files."""
    by_file: dict[Path, list[_Frame]] = defaultdict(list)
    for frame in frames:
        by_file[frame.path].append(frame)
    is_plain = all(frame.slope == 1 and frame.intercept == 0 for frame in frames)
    pixels, digests = {}, []
    for path, members in by_file.items():
        content = read_file(path, "the DICOM file")
        digests.append(hashlib.sha256(content).hexdigest())
        stored = _stored_pixels(content, str(path), 1 + max(frame.number for frame in members))
        for frame in members:
            image = stored[frame.number]
            if not is_plain:
                with np.errstate(over="ignore", invalid="ignore"):
                    image = image.astype(np.float32) * np.float32(frame.slope) + np.float32(frame.intercept)
            require_finite(image, str(path))
            pixels[path, frame.number] = image
    return pixels, hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def _stored_pixels(content: bytes, name: str, frames: int) -> np.ndarray:
    """The stored values of a file's frames (frame, row, column), so many at least. Raises `InputError` when they cannot be decoded."""
    try:
        dataset = pydicom.dcmread(io.BytesIO(content))
        syntax = dataset.file_meta.TransferSyntaxUID
        array = _decoded_by_gdcm(dataset) if syntax.is_encapsulated and syntax != RLELossless else dataset.pixel_array
        array = array.reshape(-1, dataset.Rows, dataset.Columns)
        if len(array) < frames:
            raise ValueError(f"{len(array)} frames where its header has {frames}")
        return array
    except _BROKEN as error:
        raise InputError(f"{name}: its pixels cannot be decoded ({_reason(error)}); export it again, uncompressed") from error


def _decoded_by_gdcm(dataset: FileDataset) -> np.ndarray:
    """The stored values of compressed pixels, by the GDCM inside SimpleITK: pydicom alone cannot decode JPEG.

    It is handed the bare pixels, since it would apply the first frame's rescaling to all.
    """
    bare = Dataset()
    for keyword in _PIXEL_MODULE:
        if keyword in dataset:
            bare[keyword] = dataset[keyword]
    bare.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    bare.SOPInstanceUID = generate_uid()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = bare.SOPClassUID, bare.SOPInstanceUID
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "pixels.dcm"))
        FileDataset(path, bare, preamble=b"\0" * 128, file_meta=meta, is_implicit_VR=False, is_little_endian=True).save_as(path)
        return sitk.GetArrayFromImage(sitk.ReadImage(path))
