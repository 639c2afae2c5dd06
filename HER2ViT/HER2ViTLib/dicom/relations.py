"""Whether two series of an examination belong together: place, time, way of imaging; and in words where they
do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from HER2ViTLib.imaging.times import DAY_S

from .frames import WATER, Frame
from .stacks import SAME_PLACE_MM

NORMALISED = "NORM"
_FILTERS = {
    # Image Type (0008,0008), value 4 and further, as the Siemens MR DICOM conformance statements list them
    "ND",  # no distortion correction
    "DIS2D",  # distortion corrected within the slice
    "DIS3D",  # distortion corrected within the volume
    NORMALISED,  # prescan normalise: divided by the sensitivity of the coil
}
"""Words of an image type that phases of one run may differ in."""
_MADE_OF_PHASES = {
    # DICOM PS3.3 C.8.3.1.1.1 names projections; the other words are in use
    *("PROJECTION IMAGE", "MIP", "MINIP", "MPR", "RESAMPLED", "REFORMATTED"),
    *("SUB", "SUBTRACT", "SUBTRACTION"),
    *("MOCO", "MOTION CORRECTED", "MOTIONCORRECTED", "REGISTERED"),
}
"""Words of the image types of what scanners and workstations make of phases."""
_MAX_ECHO_MS = 30.0
"""Dynamic series are T1-weighted gradient echoes of a few ms; T2 and diffusion begin above."""
_PROTOCOL = ("pixel spacing", "pixel spacing", "repetition time", "echo time", "flip angle")
ALIKE = (1e-3, 1e-3, 0.02, 0.02, 0.02)
"""How far, relatively, the protocol of one run (`Frame.protocol`) differs in its last digits."""
SAME_RUN = (1e-3, 1e-3, 0.10, 0.02, 0.05)
"""How far the protocol of a series may differ to be taken in as a phase of the run."""
_SAME_WEIGHTING = 2.0
"""A repetition time, echo time or flip angle more than so many times another makes another sequence."""
MAX_BREAK_S = 3600.0
"""A series that begins so much earlier or later does not belong to the run."""


def shared_parameters(frame: Frame) -> tuple:
    """What phases of one run share to the letter: matrix, kind, fat saturation, contrast and coil."""
    return (frame.rows, frame.columns, frame.kind, frame.scan_options, frame.contrast, frame.receive_coil)


def is_close(protocol: Sequence[float], other: Sequence[float], tolerances: Sequence[float]) -> bool:
    """Whether two protocols (`Frame.protocol`) agree within relative tolerances; what one does not say (0)
    does not count.
    """
    for ours, theirs, tolerance in zip(protocol, other, tolerances):
        if ours and theirs and not math.isclose(ours, theirs, rel_tol=tolerance):
            return False
    return True


def is_made_of_phases(frame: Frame) -> bool:
    """Whether the image type says that an image was made of others: a projection, a subtraction, a
    motion-corrected copy.
    """
    return not _MADE_OF_PHASES.isdisjoint(frame.image_type)


def may_be_dynamic(frame: Frame) -> bool:
    """Whether the echo time is that of a dynamic series, as far as the header tells."""
    return frame.protocol[3] <= _MAX_ECHO_MS


def is_other_sequence(frame: Frame, other: Frame) -> bool:
    """Whether repetition time, echo time or flip angle make one of two frames another sequence."""
    for ours, theirs in zip(frame.protocol[2:], other.protocol[2:]):
        if ours and theirs and max(ours, theirs) > _SAME_WEIGHTING * min(ours, theirs):
            return True
    return False


def is_same_run(group: Sequence[Frame], run: Sequence[Frame]) -> bool:
    """Whether a group is imaged as the run is, but for filters and corrections, and lies where it lies."""
    first = group[0]
    other = run[0]
    if shared_parameters(first) != shared_parameters(other):
        return False
    if not is_close(first.protocol, other.protocol, SAME_RUN):
        return False
    return _unfiltered(first) == _unfiltered(other) and is_same_place(group, run)


def _unfiltered(frame: Frame) -> list[str]:
    """The words of the image type that count; water images are called original by some scanners, derived by
    others.
    """
    ignored = _FILTERS | ({"ORIGINAL", "DERIVED"} if frame.kind == WATER else set())
    return [word for word in frame.image_type if word not in ignored]


def is_same_place(group: Sequence[Frame], run: Sequence[Frame]) -> bool:
    """Whether most slices of a group lie on slices of the run, on the same day and in the same frame of
    reference.
    """
    first = group[0]
    other = run[0]
    if (first.rows, first.columns) != (other.rows, other.columns):
        return False
    if has_other_reference(first, other) or not is_one_day(first, other):
        return False
    if np.abs(first.orientation - other.orientation).max() > 1e-3:
        return False
    if not is_close(first.protocol[:2], other.protocol[:2], SAME_RUN):
        return False
    places = np.unique(np.round([frame.position for frame in run], 2), axis=0)
    lie_on_one = [np.abs(places - frame.position).max(axis=1).min() <= SAME_PLACE_MM for frame in group]
    return sum(lie_on_one) > len(group) / 2


def has_other_reference(frame: Frame, other: Frame) -> bool:
    """Whether two frames name different frames of reference: the patient was positioned anew."""
    return len({frame.frame_of_reference, other.frame_of_reference} - {""}) > 1


def is_one_day(frame: Frame, other: Frame) -> bool:
    """Whether two frames are of one day, or of the hours around one midnight, as far as headers tell."""
    if frame.day is None or other.day is None or frame.day == other.day:
        return True
    if frame.acquisition_s is None or other.acquisition_s is None:
        return False
    return abs(frame.day - other.day) == 1 and abs(frame.acquisition_s - other.acquisition_s) > DAY_S / 2


def fits_in_time(group: Sequence[Frame], run: Sequence[Frame]) -> bool | None:
    """Whether a group was acquired between the phases of a run, or within an hour of them; None where the
    headers do not tell.

    What has the moment of a phase does not fit: it is a copy, or made of it.
    """
    ours = moments(group)
    theirs = moments(run)
    if ours is None or theirs is None:
        return None
    # a run over midnight: whichever day brings them together
    breaks = [
        max(min(ours) + day - max(theirs), min(theirs) - max(ours) - day) for day in (-DAY_S, 0.0, DAY_S)
    ]
    return not ours & theirs and min(breaks) <= MAX_BREAK_S


def moments(frames: Iterable[Frame]) -> set[float] | None:
    """When the frames were acquired (time of day, s), None where one of them does not say."""
    found = set()
    for frame in frames:
        if frame.moment_s is None:
            return None
        found.add(frame.moment_s)
    return found


def differences_text(group: Sequence[Frame], run: Sequence[Frame]) -> str:
    """What differs between a series and those used, in words."""
    frame = group[0]
    other = run[0]
    found = [*_image_type_text(frame, other), *_protocol_texts(frame, other)]
    for name in ("scan_options", "receive_coil", "contrast", "kind"):
        ours = getattr(frame, name)
        theirs = getattr(other, name)
        if ours != theirs:
            found.append(f"{name.replace('_', ' ')} {ours or 'none'} against {theirs or 'none'}")
    if has_other_reference(frame, other):
        found.append("another frame of reference")
    found += _place_and_time_text(group, run)
    return ", ".join(found) or "its slices do not make up a phase of the others"


def _image_type_text(frame: Frame, other: Frame) -> list[str]:
    ours = " ".join(sorted(set(frame.image_type) - set(other.image_type)))
    theirs = " ".join(sorted(set(other.image_type) - set(frame.image_type)))
    return [f"image type {ours or 'without'} against {theirs or 'without'}"] if ours or theirs else []


def _protocol_texts(frame: Frame, other: Frame) -> list[str]:
    found = []
    for name, ours, theirs, tolerance in zip(_PROTOCOL, frame.protocol, other.protocol, ALIKE):
        if ours and theirs and not math.isclose(ours, theirs, rel_tol=tolerance):
            found.append(f"{name} {ours:g} against {theirs:g}")
    return found


def _place_and_time_text(group: Sequence[Frame], run: Sequence[Frame]) -> list[str]:
    if not is_one_day(group[0], run[0]):
        return ["another day"]
    if fits_in_time(group, run) is False:
        ours = moments(group) or set()
        theirs = moments(run) or set()
        return ["of the same moment as a phase" if ours & theirs else "hours apart"]
    return [] if is_same_place(group, run) else ["it lies elsewhere"]
