"""The phases of a DCE-MRI among the series of an examination in DICOM files.

Files are sorted by what their headers say, never by name. Only geometry, pixels and relative times leave this
room. What is not used is compared with what is: a series that may be a phase is never dropped without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from HER2ViTLib.imaging.series import Series, StoredSlice, require_one_phase
from HER2ViTLib.imaging.volume import Volume
from HER2ViTLib.messages import InputError, ReadingWarning

from .contents import read_frames
from .examination import Examination, examined
from .files import dicom_files, quiet
from .frames import Frame
from .groups import require_selected
from .pixels import PHILIPS_NOTE, has_own_scales, read_pixels, scaling_warnings
from .relations import moments
from .remarks import derived_warnings, normalisation_warnings
from .selection import EVERYTHING, Selection
from .stacks import Stack, clock_times, order_warnings, stack_of, unwrapped_phases


@dataclass(frozen=True)
class PhaseTimes:
    """Order (indices), starts and durations (s; None = unknown) of phases, in time order; the contrast start
    is on their clock.

    `scales`: what Philips' rescaled values of each phase must be divided by to be comparable, 1 elsewhere.
    `stored`: where the slices of each phase are, in the order of the stack.
    """

    order: tuple[int, ...]
    starts_s: tuple[float | None, ...]
    durations_s: tuple[float | None, ...]
    contrast_start_s: float | None
    scales: tuple[float, ...]
    stored: tuple[tuple[StoredSlice, ...], ...]
    warnings: tuple[ReadingWarning, ...]


@dataclass(frozen=True)
class DceFiles:
    """A DCE-MRI by its headers: the `files` that are used, the starts of its phases and of contrast (s of the
    day; None = unknown), and what is said of it and of the other files.
    """

    files: tuple[Path, ...]
    starts_s: tuple[float | None, ...]
    contrast_start_s: float | None
    warnings: tuple[ReadingWarning, ...]
    notes: tuple[str, ...]


THE_IMAGES = "the images"
"""What faults call files that came without a folder."""


def read_dicom(paths: Sequence[Path], selection: Selection = EVERYTHING) -> list[Series]:
    """The phases of the one DCE-MRI in each folder (subfolders included) or enhanced file, on one clock and
    of one scaling.

    Several paths are a phase each, in time order. Scouts, other sequences and derived series beside the
    DCE-MRI are left out, and noted; one that may be a phase is warned of (`phase_left_out`). Phase images,
    real and imaginary parts and maps are never read; of Dixon images the water is. Volumes are (K, J, I) in
    LPS, times in seconds of the day. Raises `InputError` where it is not clear which series is meant (listing
    them), where slices are missing or uneven, where nothing in the header brings the phases into order, where
    one of several paths holds more than one phase.
    """
    return _read([dicom_files(path) for path in paths], [str(path) for path in paths], selection)


def read_dicom_files(files: Sequence[Path]) -> Series:
    """The phases of the one DCE-MRI among files, as `read_dicom` reads them from a folder."""
    (series,) = _read([files], [THE_IMAGES], EVERYTHING)
    return series


def dce_in_files(files: Sequence[Path]) -> DceFiles:
    """What `read_dicom_files` would read, by the headers alone. Raises `InputError` as it does, but for what
    only the pixels tell.
    """
    with quiet():
        frames = read_frames(files)
    examination = examined(frames, EVERYTHING, THE_IMAGES)
    phases = examination.stack.phases
    starts, _, contrast = clock_times(phases)
    used = {frame.path for frame in examination.stack.frames}
    return DceFiles(
        files=tuple(path for path in files if path in used),
        starts_s=tuple(starts),
        contrast_start_s=contrast,
        warnings=(*order_warnings(examination.stack, starts), *examination.warnings),
        notes=examination.notes,
    )


def _read(files: Sequence[Sequence[Path]], paths: Sequence[str], selection: Selection) -> list[Series]:
    """The phases among the files that each path stands for."""
    with quiet():
        found = [read_frames(those) for those in files]
    require_selected([frame for frames in found for frame in frames], selection, ", ".join(paths))
    examinations = [examined(frames, selection, path) for frames, path in zip(found, paths)]
    if len(paths) > 1:
        for examination in examinations:
            require_one_phase(len(examination.stack.phases), examination.name)
    phases = [phase for examination in examinations for phase in examination.stack.phases]
    used = [frame for phase in phases for frame in phase]
    starts, durations, contrast = _times_in_any_order(phases)
    told = (*scaling_warnings(used), *normalisation_warnings(used), *derived_warnings(used))
    own_scales = has_own_scales(used)
    read = []
    for n, examination in enumerate(examinations):
        mine = slice(n, n + 1) if len(paths) > 1 else slice(None)
        volumes, sha256 = _volumes(examination, own_scales)
        doubts = (*order_warnings(examination.stack, starts), *examination.warnings, *told)
        notes = (*examination.notes, *([PHILIPS_NOTE] if own_scales else []))
        stored = [_stored(phase) for phase in examination.stack.phases]
        place = examination.stack.frames[0].frame_of_reference
        read.append(
            Series(volumes, starts[mine], durations[mine], contrast, sha256, doubts, notes, stored, place)
        )
    return read


def _stored(phase: Sequence[Frame]) -> tuple[StoredSlice, ...]:
    return tuple(StoredSlice(frame.path, frame.number) for frame in phase)


def phase_times(files: Sequence[Sequence[Path]]) -> PhaseTimes | None:
    """When phases were taken whose files are known, a list for each; None where the headers do not bring them
    into order.

    Raises `InputError` for a header that is broken.
    """
    owner: dict[tuple[Path, int], int] = {}
    frames: list[Frame] = []
    with quiet():
        for n, paths in enumerate(files):
            found = read_frames(paths)
            owner.update({(frame.path, frame.number): n for frame in found})
            frames += found
    try:
        stack = stack_of(frames, "the phases") if frames else Stack([])
    except InputError:
        return None
    order = [_only_owner(phase, owner) for phase in stack.phases]
    if sorted(order) != list(range(len(files))):
        return None
    own_scales = has_own_scales(frames)
    scales = [phase[0].own_scale if own_scales else 1.0 for phase in stack.phases]
    starts, durations, contrast = clock_times(stack.phases)
    told = (*order_warnings(stack, starts), *scaling_warnings(frames), *normalisation_warnings(frames))
    return PhaseTimes(
        order=tuple(order),
        starts_s=tuple(starts),
        durations_s=tuple(durations),
        contrast_start_s=contrast,
        scales=tuple(scales),
        stored=tuple(map(_stored, stack.phases)),
        warnings=told,
    )


def _only_owner(phase: Sequence[Frame], owner: dict[tuple[Path, int], int]) -> int:
    """The one list of files that a phase's slices are in, -1 where there are several."""
    found = {owner[frame.path, frame.number] for frame in phase}
    return found.pop() if len(found) == 1 else -1


def _times_in_any_order(
    phases: Sequence[Sequence[Frame]],
) -> tuple[Sequence[float | None], Sequence[float | None], float | None]:
    """Times as `clock_times`, of phases that the user may have given in another order than that of time."""
    phases = unwrapped_phases(phases)
    acquired = [moments(phase) for phase in phases]
    first = [min(found) for found in acquired if found is not None]
    order = list(range(len(phases)))
    if len(first) == len(phases):
        order.sort(key=first.__getitem__)
    starts, durations, contrast = clock_times([phases[n] for n in order])
    places = [order.index(n) for n in range(len(phases))]
    return [starts[n] for n in places], [durations[n] for n in places], contrast


def _volumes(examination: Examination, own_scales: bool) -> tuple[list[Volume], str]:
    """The phases' volumes, and the hash of their files."""
    signals, sha256 = read_pixels(examination.stack.phases, own_scales)
    return list(map(Volume, signals, examination.geometries)), sha256
