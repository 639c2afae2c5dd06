"""The phases of a DCE-MRI among the series of an examination in DICOM files.

Files are sorted by what their headers say, never by name. Only geometry, pixels and relative times leave this room. What is not used
is compared with what is: a series that may be a phase is never dropped without a word.
"""

from __future__ import annotations

import contextlib
import math
import operator
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .dicom_headers import MAGNITUDE, NEVER_READ, WATER, Frame, read_frames
from .dicom_pixels import PHILIPS_NOTE, has_own_scales, pixel_hashes, read_pixels, scaling_warnings
from .dicom_stacks import (
    SAME_PLACE_MM,
    Stack,
    clock_times,
    geometries_of,
    order_warnings,
    series_label,
    stack_of,
    unwrapped_phases,
)
from .messages import InputError, ReadingWarning
from .selection import EVERYTHING, Selection
from .series import DAY_S, Series, is_dicom_file, require_one_phase
from .volume import MOST_VALUES, Volume

_NORMALISED = "NORM"
_FILTERS = {
    # Image Type (0008,0008), value 4 and further, as the Siemens MR DICOM conformance statements list them
    "ND",  # no distortion correction
    "DIS2D",  # distortion corrected within the slice
    "DIS3D",  # distortion corrected within the volume
    _NORMALISED,  # prescan normalise: divided by the sensitivity of the coil
}
"""Words of an image type that phases of one run may differ in."""
_ALIKE = (1e-3, 1e-3, 0.02, 0.02, 0.02)
"""How far the protocol of one run differs in its last digits, relatively: pixel spacing (2), repetition and echo time, flip angle."""
_SAME_RUN = (1e-3, 1e-3, 0.10, 0.02, 0.05)
"""How far the protocol of a series may differ to be taken in as a phase of the run."""
_MADE_OF_PHASES = {"PROJECTION IMAGE", "MIP", "MPR", "MINIP", "SUB", "SUBTRACT", "SUBTRACTION", "RESAMPLED", "REFORMATTED"}
"""Words of the image types of what workstations make of phases (DICOM PS3.3 C.8.3.1.1.1 names projections; the others are in use)."""
_SAME_WEIGHTING = 2.0
"""A series whose repetition or echo time or flip angle is more than so many times another is no phase of it, but another sequence."""
_LONGEST_BREAK_S = 3600.0
"""A series that begins so much earlier or later does not belong to the run."""


@dataclass(frozen=True)
class PhaseTimes:
    """Order (indices), starts and durations (s; None = unknown) of phases, in time order; the contrast start is on the same clock.

    `scales`: what Philips' rescaled values of each phase must be divided by to be comparable, 1 elsewhere.
    """

    order: tuple[int, ...]
    starts_s: tuple[float | None, ...]
    durations_s: tuple[float | None, ...]
    contrast_start_s: float | None
    scales: tuple[float, ...]
    warnings: tuple[ReadingWarning, ...]


@dataclass(frozen=True)
class _Examination:
    """What was chosen in one folder or file, and what is said of the rest of it."""

    name: str
    stack: Stack
    warnings: tuple[ReadingWarning, ...]
    notes: tuple[str, ...]


def read_dicom(paths: Sequence[Path], selection: Selection = EVERYTHING) -> list[Series]:
    """The phases of the one DCE-MRI in each folder (subfolders included) or enhanced file, all on one clock and of one scaling.

    Several paths are a phase each, in time order. Scouts, other sequences and derived series beside the DCE-MRI are left out, and noted;
    one that may be a phase is warned of (`phase_left_out`). Phase images, real and imaginary parts and maps are never read; of Dixon
    images the water is. Raises `InputError` where it is not clear which series is meant (listing them), where slices are missing or
    uneven, where nothing in the header brings the phases into order, where one of several paths holds more than one phase.
    """
    with _quiet():
        found = {path: read_frames(_files(path)) for path in paths}
    _require_selected([frame for frames in found.values() for frame in frames], selection, ", ".join(map(str, paths)))
    examinations = [_examined(found[path], selection, str(path)) for path in paths]
    if len(paths) > 1:
        for examination in examinations:
            require_one_phase(len(examination.stack.phases), examination.name)
    phases = [phase for examination in examinations for phase in examination.stack.phases]
    used = [frame for phase in phases for frame in phase]
    starts, durations, contrast = _times_in_any_order(phases)
    told = [*scaling_warnings(used), *_normalisation_warnings(used), *_derived_warnings(used)]
    own_scales = has_own_scales(used)
    read = []
    for n, examination in enumerate(examinations):
        mine = slice(n, n + 1) if len(paths) > 1 else slice(None)
        warnings_here = (*order_warnings(examination.stack, starts), *examination.warnings, *(told if n == 0 else []))
        volumes, sha256 = _volumes(examination, own_scales)
        notes = (*examination.notes, *([PHILIPS_NOTE] if own_scales else []))
        read.append(Series(volumes, starts[mine], durations[mine], contrast, sha256, warnings_here, notes))
    return read


def _files(path: Path) -> list[Path]:
    files = _dicom_files(path) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: no DICOM file in this folder; give a DICOM folder, or the image files themselves in time order")
    return files


def _times_in_any_order(phases: Sequence[Sequence[Frame]]) -> tuple[list[float | None], list[float | None], float | None]:
    """Times as `clock_times`, of phases that the user may have given in another order than that of time."""
    phases = unwrapped_phases(phases)
    firsts = [_moments(phase) for phase in phases]
    is_known = not any(None in moments for moments in firsts)
    order = sorted(range(len(phases)), key=lambda n: min(firsts[n])) if is_known else list(range(len(phases)))
    starts, durations, contrast = clock_times([phases[n] for n in order])
    places = [order.index(n) for n in range(len(phases))]
    return [starts[n] for n in places], [durations[n] for n in places], contrast


def phase_times(files: Sequence[Sequence[Path]]) -> PhaseTimes | None:
    """When phases were taken whose files are known, a list for each; None where the headers do not bring them into order.

    Raises `InputError` for a header that is broken.
    """
    with _quiet():
        owner: dict[tuple[Path, int], int] = {}
        frames: list[Frame] = []
        for n, paths in enumerate(files):
            found = read_frames(paths)
            owner.update({(frame.path, frame.number): n for frame in found})
            frames += found
    try:
        stack = stack_of(frames, "the phases") if frames else Stack([])
    except InputError:
        return None
    owners = [{owner[frame.path, frame.number] for frame in phase} for phase in stack.phases]
    if len(owners) != len(files) or any(len(found) != 1 for found in owners):
        return None
    own_scales = has_own_scales(frames)
    scales = [phase[0].slope * phase[0].scale_slope if own_scales else 1.0 for phase in stack.phases]
    order = [found.pop() for found in owners]
    starts, durations, contrast = clock_times(stack.phases)
    told = (*order_warnings(stack, starts), *scaling_warnings(frames), *_normalisation_warnings(frames))
    return PhaseTimes(tuple(order), tuple(starts), tuple(durations), contrast, tuple(scales), told)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """pydicom prints header values that break a rule of DICOM: noise to the user, and perhaps a name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        yield


def _examined(frames: Sequence[Frame], selection: Selection, name: str) -> _Examination:
    """The DCE-MRI among the frames of a folder or file; `name` is what faults call it."""
    if not frames:
        raise InputError(f"{name}: no greyscale slice with position and orientation in its DICOM files; give MR images")
    chosen = _selected(frames, selection, name)
    signal = _readable(chosen, selection, name)
    readable = _without_copies(signal)
    groups = _run(readable) if selection.series else _alike(readable)
    stack, others = _choose(_joined(groups, name), name)
    reasons = {frame.series: "not chosen" for frame in frames}
    reasons.update({frame.series: "" for frame in chosen})
    reasons.update({frame.series: "copies of images that are used" for frame in signal})
    reasons.update({frame.series: "" for frame in readable})
    told = tuple(warning for group in others for warning in _left_out(group, stack))
    return _Examination(name, stack, told, _notes(frames, stack.frames, reasons))


def _volumes(examination: _Examination, own_scales: bool) -> tuple[list[Volume], str]:
    """The phases' volumes, and the hash of their files."""
    phases, used = examination.stack.phases, examination.stack.frames
    geometries = geometries_of(phases, examination.name)
    if sum(math.prod(geometry.shape) for geometry in geometries) > MOST_VALUES:
        size = f"{used[0].columns} x {used[0].rows}"
        raise InputError(f"{examination.name}: declares {len(used)} slices of {size} pixels, more than any examination has")
    pixels, sha256 = read_pixels(used, own_scales)
    arrays = [np.stack([pixels[frame.path, frame.number] for frame in phase]) for phase in phases]
    return list(map(Volume, arrays, geometries)), sha256


def _dicom_files(folder: Path) -> list[Path]:
    """The DICOM files in a folder and its subfolders, DICOMDIR and hidden files left out."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    try:
        return [path for path in files if path.name.upper() != "DICOMDIR" and is_dicom_file(path)]
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); check the file") from error


# What is asked for, and what can be read


def _require_selected(frames: Sequence[Frame], selection: Selection, name: str) -> None:
    """Raises `InputError`, listing what there is, for a series that the user chose and that is not there."""
    for wanted in selection.series:
        if not any(wanted in (frame.series_number, frame.series) for frame in frames):
            there = "; ".join(dict.fromkeys(series_label([frame]) for frame in frames))
            raise InputError(f"{name}: --series {wanted}: not there; there are {there}")


def _selected(frames: Sequence[Frame], selection: Selection, name: str) -> list[Frame]:
    """The frames of the series and of the image type that the user chose. Raises `InputError`, listing what there is."""
    chosen = list(frames)
    if selection.series:
        chosen = [frame for frame in chosen if {frame.series_number, frame.series} & set(selection.series)]
        if not chosen:
            there = "; ".join(dict.fromkeys(series_label([frame]) for frame in frames))
            raise InputError(f"{name}: none of the series of --series is there; there are {there}")
    word = selection.image_type.upper()
    if word:
        words = _words_text(chosen)
        chosen = [frame for frame in chosen if word in frame.image_type or word == frame.kind.upper()]
        if not chosen:
            raise InputError(f"{name}: --image-type {selection.image_type}: no image has it; there are {words}")
    return chosen


def _readable(frames: Sequence[Frame], selection: Selection, name: str) -> list[Frame]:
    """The frames that are signal: magnitude and water, or what else the user chose. Raises `InputError` when there are none."""
    signal = [frame for frame in frames if frame.kind not in NEVER_READ]
    if not signal:
        kinds = ", ".join(sorted({frame.kind for frame in frames}))
        raise InputError(f"{name}: holds {kinds} images only, no magnitude, and is not read; give the magnitude images")
    if selection.image_type:
        return signal
    usual = [frame for frame in signal if frame.kind in (MAGNITUDE, WATER)]
    if not usual:
        kinds = ", ".join(sorted({frame.kind for frame in signal}))
        raise InputError(
            f"{name}: holds {kinds} images of Dixon's method and no water; give the water images, or choose with --image-type WORD: "
            f"{_words_text(signal)}"
        )
    return usual


def _words_text(frames: Iterable[Frame]) -> str:
    """The words of the frames' image types that tell them apart."""
    types = [set(words) for words in dict.fromkeys(frame.image_type for frame in frames)]
    words = set.union(*types) - (set.intersection(*types) if len(types) > 1 else set())
    return ", ".join(sorted(word for word in words if word)) or "no words"


def _without_copies(frames: Sequence[Frame]) -> list[Frame]:
    """The frames without those that were sent again under another UID: same place, same moment, same pixels.

    Slices of one value all over (beside the patient) are like any other such slice: they go with the rest of their series.
    """
    alike: dict[tuple, list[Frame]] = defaultdict(list)
    # of two series one is kept whole, the same one whatever the files are called
    for frame in sorted(frames, key=lambda frame: (int(frame.series_number or 0), frame.study, frame.series)):
        place = tuple(np.round([*frame.position, *frame.orientation], 1))
        counted = frame.acquisition_number if frame.acquisition_s is None else None
        moment = (frame.acquisition_s, frame.offset_s, frame.temporal_position, counted)
        alike[(place, moment, frame.rows, frame.columns, frame.image_type, frame.protocol)].append(frame)
    doubled = [members for members in alike.values() if len(members) > 1]
    hashes = pixel_hashes([frame for members in doubled for frame in members])
    copies: set[tuple[Path, int]] = set()
    for members in doubled:
        seen: set[str | None] = {None}
        for frame in members:
            digest = hashes[frame.path, frame.number]
            if digest is not None and digest in seen:
                copies.add((frame.path, frame.number))
            seen.add(digest)
    return [frame for frame in frames if (frame.path, frame.number) not in copies | _blank_copies(frames, copies, hashes)]


def _blank_copies(
    frames: Sequence[Frame], copies: set[tuple[Path, int]], hashes: Mapping[tuple[Path, int], str | None]
) -> set[tuple[Path, int]]:
    """The slices of one value of series whose other slices, all of one moment, are copies."""
    of_series: dict[tuple, list[tuple[Path, int]]] = defaultdict(list)
    for frame in frames:
        of_series[frame.study, frame.series, frame.acquisition_s, frame.temporal_position].append((frame.path, frame.number))
    found: set[tuple[Path, int]] = set()
    for keys in of_series.values():
        blank = {key for key in keys if key in hashes and hashes[key] is None}
        rest = set(keys) - blank
        if rest and rest <= copies:
            found |= blank
    return found


# Which series belong together


def _run(frames: Sequence[Frame]) -> list[list[Frame]]:
    """The frames of series that the user chose by name, all of one matrix together, whatever else differs.

    Kinds stay apart where a series holds several: the user did not choose among them.
    """
    kinds: dict[str, set[str]] = defaultdict(set)
    for frame in frames:
        kinds[frame.series].add(frame.kind)
    is_mixed = any(len(found) > 1 for found in kinds.values())
    groups: dict[tuple, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[frame.rows, frame.columns, frame.kind if is_mixed else ""].append(frame)
    return list(groups.values())


def _alike(frames: Sequence[Frame]) -> list[list[Frame]]:
    """The frames by what does not change from phase to phase: study, day, matrix, orientation, kind and type of image, coil, protocol."""
    exact: dict[tuple, list[Frame]] = defaultdict(list)
    for frame in frames:
        orientation = tuple((np.round(frame.orientation, 1) + 0.0).tolist())
        exact[(frame.study, frame.day, frame.image_type, orientation, _recipe(frame)), frame.protocol].append(frame)
    groups: list[tuple[tuple, tuple[float, ...], list[Frame]]] = []
    for (kind, protocol), members in exact.items():
        for other_kind, other_protocol, group in groups:
            if kind == other_kind and _is_close(protocol, other_protocol, _ALIKE):
                group.extend(members)
                break
        else:
            groups.append((kind, protocol, members))
    return [part for _, _, group in groups for part in _without_breaks(group)]


def _without_breaks(group: Sequence[Frame]) -> list[list[Frame]]:
    """A group in parts between which more than an hour passes: two examinations of one day, say."""
    if any(frame.acquisition_s is None for frame in group):
        return [list(group)]
    in_time = sorted(group, key=lambda frame: frame.acquisition_s)
    gaps = np.diff([frame.acquisition_s for frame in in_time])
    breaks = np.flatnonzero(gaps > _LONGEST_BREAK_S) + 1
    return [list(part) for part in np.split(np.array(in_time, object), breaks)]


def _recipe(frame: Frame) -> tuple:
    """What phases of one run have in common to the letter: matrix, kind, fat saturation, contrast and coil."""
    return (frame.rows, frame.columns, frame.kind, frame.scan_options, frame.contrast, frame.receive_coil)


def _is_close(protocol: Sequence[float], other: Sequence[float], tolerances: Sequence[float]) -> bool:
    """Whether two protocols agree; what one of them does not say (0) does not count."""
    return all(not (a and b) or math.isclose(a, b, rel_tol=tolerance) for a, b, tolerance in zip(protocol, other, tolerances))


def _joined(groups: Sequence[list[Frame]], name: str) -> list[list[Frame]]:
    """The groups, those put together that are phases of one run although their headers differ a little; the largest first."""
    waiting = sorted(groups, key=len, reverse=True)
    joined: list[list[Frame]] = []
    while waiting:
        run = waiting.pop(0)
        for group in list(waiting):
            if len(group) > 1 and _is_same_run(group, run) and _fits(group, run) is not False:
                with contextlib.suppress(InputError):
                    stack_of([*run, *group], name)
                    run = [*run, *group]
                    waiting.remove(group)
        joined.append(run)
    return joined


def _is_same_run(group: Sequence[Frame], run: Sequence[Frame]) -> bool:
    """Whether a group is of the run's recipe but for filters and corrections, and lies where it lies."""
    first, other = group[0], run[0]
    is_alike = _recipe(first) == _recipe(other) and _is_close(first.protocol, other.protocol, _SAME_RUN)
    # water images are called original by some scanners, derived by others
    ignored = _FILTERS | ({"ORIGINAL", "DERIVED"} if first.kind == WATER else set())
    filtered = [[word for word in frame.image_type if word not in ignored] for frame in (first, other)]
    return is_alike and filtered[0] == filtered[1] and _is_same_place(group, run)


def _is_same_place(group: Sequence[Frame], run: Sequence[Frame]) -> bool:
    """Whether most slices of a group lie on slices of the run, on the same day and in the same frame of reference."""
    first, other = group[0], run[0]
    references = {first.frame_of_reference, other.frame_of_reference} - {""}
    if (first.rows, first.columns) != (other.rows, other.columns) or len(references) > 1 or not _is_one_day(first, other):
        return False
    if np.abs(first.orientation - other.orientation).max() > 1e-3 or not _is_close(first.protocol[:2], other.protocol[:2], _SAME_RUN):
        return False
    places = np.unique(np.round([frame.position for frame in run], 2), axis=0)
    on_one = [np.abs(places - frame.position).max(axis=1).min() <= SAME_PLACE_MM for frame in group]
    return sum(on_one) > len(group) / 2


def _is_one_day(frame: Frame, other: Frame) -> bool:
    """Whether two frames are of one day, or of the hours around one midnight, as far as their headers tell."""
    if frame.day is None or other.day is None or frame.day == other.day:
        return True
    times = (frame.acquisition_s, other.acquisition_s)
    return abs(frame.day - other.day) == 1 and None not in times and abs(times[0] - times[1]) > DAY_S / 2


def _fits(group: Sequence[Frame], run: Sequence[Frame]) -> bool | None:
    """Whether a group was acquired between, shortly before or shortly after the phases of the run; None where the headers do not tell."""
    ours, theirs = _moments(group), _moments(run)
    if None in ours or None in theirs:
        return None
    # a run over midnight: whichever day brings them together
    breaks = [max(min(ours) + day - max(theirs), min(theirs) - max(ours) - day) for day in (-DAY_S, 0.0, DAY_S)]
    return not ours & theirs and min(breaks) <= _LONGEST_BREAK_S


def _moments(frames: Iterable[Frame]) -> set[float | None]:
    """When the frames were acquired (s)."""
    return {None if frame.acquisition_s is None else frame.acquisition_s + (frame.offset_s or 0.0) for frame in frames}


# Which of them is the DCE-MRI


def _choose(groups: Sequence[list[Frame]], name: str) -> tuple[Stack, list[list[Frame]]]:
    """The one group that is a DCE-MRI, else the only volume there is, as a stack, and the other groups.

    Original images go before derived ones: subtractions have the geometry of what they were made of.
    """
    stacks: list[tuple[Stack, list[Frame]]] = []
    faults: list[tuple[int, InputError]] = []
    for group in groups:
        try:
            stacks.append((stack_of(group, name), group))
        except InputError as fault:
            faults.append((len(group), fault))
    chosen = _only_dce([stack for stack, _ in stacks], faults, name)
    return chosen, [group for group in groups if not any(stack is chosen and members is group for stack, members in stacks)]


def _only_dce(stacks: Sequence[Stack], faults: Sequence[tuple[int, InputError]], name: str) -> Stack:
    """The stack to read. Raises `InputError` where there are several, or where the largest group is none."""
    largest = max((len(stack.frames) for stack in stacks), default=0)
    for is_derived in (False, True):
        several = [stack for stack in stacks if len(stack.phases) > 1 and stack.frames[0].is_derived == is_derived]
        if len(several) == 1:
            return several[0]
        if several:
            raise InputError(f"{name}: several series have phases: {_listing(several)}; {_cure(several)}")
        if faults and max(size for size, _ in faults) >= largest:  # the DCE-MRI itself is at fault, not a scout beside it
            raise max(faults, key=operator.itemgetter(0))[1]
    volumes = [stack for stack in stacks if not stack.frames[0].is_derived] or stacks
    if len(volumes) > 1:
        raise InputError(f"{name}: several series, none with more than one phase: {_listing(volumes)}; {_cure(volumes)}")
    return volumes[0]


def _listing(stacks: Sequence[Stack]) -> str:
    """The stacks in words."""
    return "; ".join(f"{series_label(stack.frames)} ({len(stack.phases)} x {len(stack.phases[0])} slices)" for stack in stacks)


def _cure(stacks: Sequence[Stack]) -> str:
    """Which flag chooses among the stacks."""
    frames = [frame for stack in stacks for frame in stack.frames]
    by_series = "choose with --series NUMBER (or its UID), once for each series that is meant"
    by_type = f"choose with --image-type WORD ({_words_text(frames)})"
    types = {frame.image_type for frame in frames}
    series = {frame.series for frame in frames}
    return " or ".join([by_series] * (len(series) > 1) + [by_type] * (len(types) > 1)) or "give one folder per phase, in time order"


# What is said of the rest


def _normalisation_warnings(frames: Sequence[Frame]) -> list[ReadingWarning]:
    """`mixed_normalisation` where only some of the phases were normalised: their signals are not comparable."""
    normalised = {_NORMALISED in frame.image_type for frame in frames}
    if len(normalised) < 2:
        return []
    text = (
        "some phases are normalised by the coil's sensitivity (NORM in their image type) and some are not: their signals, and the "
        "enhancement between them, are not comparable"
    )
    return [ReadingWarning("mixed_normalisation", text)]


def _derived_warnings(frames: Sequence[Frame]) -> list[ReadingWarning]:
    """`derived_phases` where the examination holds no original images: subtractions look like phases."""
    if not all(frame.is_derived for frame in frames):
        return []
    text = "the phases are derived images (subtractions, perhaps), not original ones: check them, and give the original series"
    return [ReadingWarning("derived_phases", text)]


def _left_out(group: Sequence[Frame], stack: Stack) -> list[ReadingWarning]:
    """`phase_left_out` for a group that lies where the phases lie, at a time that fits, and is no other sequence."""
    run = stack.frames
    fits = _fits(group, run)
    first, other = group[0], run[0]
    if fits is None:  # without times, only what is made in the same way
        fits = not first.is_derived and _is_close(first.protocol, other.protocol, _SAME_RUN)
    is_sequence = any(max(a, b) > _SAME_WEIGHTING * min(a, b) for a, b in zip(first.protocol[2:], other.protocol[2:]) if a and b)
    is_made = not _MADE_OF_PHASES.isdisjoint(first.image_type)
    if not fits or is_sequence or is_made or not _is_same_place(group, run):
        return []
    numbers = sorted({frame.series_number or "?" for frame in group})
    every = dict.fromkeys([*sorted({frame.series_number for frame in run}), *sorted({frame.series_number for frame in group})])
    flags = " ".join(f"--series {number}" for number in every) + ", or" if all(every) else ""
    text = (
        f"series {' + '.join(numbers)} ({len(group)} slices{_when(group, run)}) lies where the phases lie and may be one of them, but is "
        f"not used: {_differences(group, run)}; to use it give {flags} one folder per phase, in time order".replace("  ", " ")
    )
    return [ReadingWarning("phase_left_out", text)]


def _when(group: Sequence[Frame], run: Sequence[Frame]) -> str:
    """When a group was acquired, counted from the first phase used."""
    ours, theirs = _moments(group), _moments(run)
    if None in ours or None in theirs:
        return ""
    apart = (min(ours) - min(theirs) + DAY_S / 2) % DAY_S - DAY_S / 2
    return f", {abs(apart):.0f} s {'before' if apart < 0 else 'after'} the first phase used"


def _differences(group: Sequence[Frame], run: Sequence[Frame]) -> str:
    """What differs between a series and those used, in words."""
    frame, other = group[0], run[0]
    found = []
    mine, others = set(frame.image_type), set(other.image_type)
    if mine != others:
        found.append(f"image type {' '.join(sorted(mine - others)) or 'without'} against {' '.join(sorted(others - mine)) or 'without'}")
    names = ("pixel spacing", "pixel spacing", "repetition time", "echo time", "flip angle")
    for name, ours, theirs, tolerance in zip(names, frame.protocol, other.protocol, _ALIKE):
        if ours and theirs and not math.isclose(ours, theirs, rel_tol=tolerance):
            found.append(f"{name} {ours:g} against {theirs:g}")
    for name in ("scan_options", "receive_coil", "contrast", "kind"):
        ours, theirs = getattr(frame, name), getattr(other, name)
        if ours != theirs:
            found.append(f"{name.replace('_', ' ')} {ours or 'none'} against {theirs or 'none'}")
    if len({frame.frame_of_reference, other.frame_of_reference} - {""}) > 1:
        found.append("another frame of reference")
    if not _is_one_day(frame, other):
        found.append("another day")
    elif _fits(group, run) is False:
        found.append("of the same moment as a phase" if _moments(group) & _moments(run) else "hours apart")
    elif not _is_same_place(group, run):
        found.append("it lies elsewhere")
    return ", ".join(found) or "its slices do not make up a phase of the others"


def _notes(frames: Sequence[Frame], used: Sequence[Frame], reasons: Mapping[str, str]) -> tuple[str, ...]:
    """What the reading says without alarm: the series not used.

    `reasons`: by series, why it was not looked at; empty for what was.
    """
    by_series: dict[str, list[Frame]] = defaultdict(list)
    taken = {frame.series for frame in used}
    for frame in frames:
        if frame.series not in taken:
            by_series[frame.series].append(frame)
    # by number, whatever the files are called: the same examination gives the same reading
    unused = sorted(by_series.values(), key=lambda members: (int(members[0].series_number or 0), members[0].series))
    notes = [
        f"series {members[0].series_number or '?'} ({len(members)} slices) not used: {reasons[members[0].series] or _why_not(members, used)}"
        for members in unused
    ]
    return tuple(notes)


def _why_not(members: Sequence[Frame], used: Sequence[Frame]) -> str:
    frame, other = members[0], used[0]
    if frame.kind not in (MAGNITUDE, WATER):
        return f"{frame.kind} images"
    if frame.is_derived:
        return "derived images"
    if (frame.rows, frame.columns) != (other.rows, other.columns):
        return f"another matrix ({frame.columns} x {frame.rows} against {other.columns} x {other.rows})"
    return _differences(members, used)
