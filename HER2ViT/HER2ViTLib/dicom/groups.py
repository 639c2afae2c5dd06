"""From all images of an examination to the one DCE-MRI: what is asked for, what is signal, which series are
its phases.
"""

from __future__ import annotations

import contextlib
import math
import operator
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from HER2ViTLib.imaging.times import unwrap_midnight
from HER2ViTLib.messages import InputError

from .frames import MAGNITUDE, NEVER_READ, WATER, Frame
from .pixels import pixel_hashes
from .relations import (
    ALIKE,
    MAX_BREAK_S,
    fits_in_time,
    is_close,
    is_made_of_phases,
    is_one_day,
    is_same_run,
    may_be_dynamic,
    shared_parameters,
)
from .selection import Selection
from .stacks import Stack, series_label, stack_of

_Key = tuple[Path, int]
"""A frame: its file and its number in it."""


# What is asked for, and what can be read


def require_selected(frames: Sequence[Frame], selection: Selection, name: str) -> None:
    """Raises `InputError`, listing what there is, for a series that the user chose and that is not there."""
    for wanted in selection.series:
        if not any(wanted in (frame.series_number, frame.series) for frame in frames):
            raise InputError(f"{name}: --series {wanted}: not there; there are {_every_series(frames)}")


def selected(frames: Sequence[Frame], selection: Selection, name: str) -> list[Frame]:
    """The frames of the series and of the image type that the user chose.

    Raises `InputError`, listing what there is, where nothing is left.
    """
    chosen = list(frames)
    if selection.series:
        wanted = set(selection.series)
        chosen = [frame for frame in chosen if {frame.series_number, frame.series} & wanted]
        if not chosen:
            raise InputError(
                f"{name}: none of the series of --series is there; there are {_every_series(frames)}"
            )
    word = selection.image_type.upper()
    if not word:
        return chosen
    found = [frame for frame in chosen if word in frame.image_type or word == frame.kind.upper()]
    if not found:
        there = _telling_words(chosen)
        raise InputError(f"{name}: --image-type {selection.image_type}: no image has it; there are {there}")
    return found


def _every_series(frames: Iterable[Frame]) -> str:
    return "; ".join(dict.fromkeys(series_label([frame]) for frame in frames))


def readable(frames: Sequence[Frame], selection: Selection, name: str) -> list[Frame]:
    """The frames that are signal: magnitude and water, or what else the user chose. Raises `InputError` when
    there are none.
    """
    signal = [frame for frame in frames if frame.kind not in NEVER_READ]
    if not signal:
        kinds = _kinds_text(frames)
        raise InputError(
            f"{name}: holds {kinds} images only, no magnitude, and is not read; give the magnitude images"
        )
    if selection.image_type:
        return signal
    usual = [frame for frame in signal if frame.kind in (MAGNITUDE, WATER)]
    if not usual:
        raise InputError(
            f"{name}: holds {_kinds_text(signal)} images of Dixon's method "
            "and no water; give the water images, "
            f"or choose with --image-type WORD: {_telling_words(signal)}"
        )
    return usual


def _kinds_text(frames: Iterable[Frame]) -> str:
    return ", ".join(sorted({frame.kind for frame in frames}))


def _telling_words(frames: Iterable[Frame]) -> str:
    """The words of the frames' image types that tell them apart; all of them where there is one type only."""
    types = list(map(set, {frame.image_type for frame in frames}))
    common = set.intersection(*types) if len(types) > 1 else set()
    return ", ".join(sorted(set.union(*types) - common - {""})) or "no words"


def without_copies(frames: Sequence[Frame]) -> tuple[list[Frame], dict[str, str]]:
    """The frames without those that were sent again under another UID: same place, same moment, same pixels.
    And the number of the series that is kept, by the series (UID) with copies of it.

    Slices of one value all over (beside the patient) are like any other such slice: they go with the rest of
    their series. Raises `InputError` for pixels that cannot be decoded.
    """
    alike: dict[tuple, list[Frame]] = defaultdict(list)
    # of two series one is kept whole, the same one whatever the files are called
    for frame in sorted(frames, key=_series_key):
        place = tuple(np.round([*frame.position, *frame.orientation], 1))
        count = frame.acquisition_number if frame.acquisition_s is None else None
        moment = (frame.acquisition_s, frame.offset_s, frame.temporal_position, count)
        alike[(place, moment, frame.rows, frame.columns, frame.image_type, frame.protocol)].append(frame)
    doubled = [members for members in alike.values() if len(members) > 1]
    hashes = pixel_hashes([frame for members in doubled for frame in members])
    copies: set[_Key] = set()
    kept: dict[str, str] = {}
    for members in doubled:
        seen: dict[str, Frame] = {}
        for frame in members:
            digest = hashes[frame.path, frame.number]
            if digest is None:
                continue
            if digest in seen:
                copies.add((frame.path, frame.number))
                kept.setdefault(frame.series, seen[digest].series_number)
            seen.setdefault(digest, frame)
    copies |= _blank_copies(frames, copies, hashes)
    return [frame for frame in frames if (frame.path, frame.number) not in copies], kept


def _series_key(frame: Frame) -> tuple:
    return (int(frame.series_number or 0), frame.study, frame.series)


def _blank_copies(frames: Sequence[Frame], copies: set[_Key], hashes: Mapping[_Key, str | None]) -> set[_Key]:
    """The slices of one value of series whose other slices, all of one moment, are copies."""
    of_series: dict[tuple, set[_Key]] = defaultdict(set)
    for frame in frames:
        phase = (frame.study, frame.series, frame.acquisition_s, frame.temporal_position)
        of_series[phase].add((frame.path, frame.number))
    found: set[_Key] = set()
    for keys in of_series.values():
        blank = {key for key in keys if hashes.get(key, "not hashed") is None}
        rest = keys - blank
        if rest and rest <= copies:
            found |= blank
    return found


# Which series belong together


def of_chosen_series(frames: Sequence[Frame], selection: Selection, name: str) -> list[list[Frame]]:
    """The frames of series that the user chose by name, all of one matrix together, whatever else differs.

    Kinds stay apart where a series holds several: the user did not choose among them. Raises `InputError`
    where a number that was given names series of several examinations.
    """
    number = _shared_number([frame for frame in frames if frame.series not in selection.series])
    if number:
        raise InputError(
            f"{name}: --series {number}: series of that number are in several examinations; give the folder "
            "of one, or the series' UIDs"
        )
    kinds: dict[str, set[str]] = defaultdict(set)
    for frame in frames:
        kinds[frame.series].add(frame.kind)
    is_mixed = any(len(found) > 1 for found in kinds.values())
    groups: dict[tuple, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[frame.rows, frame.columns, frame.kind if is_mixed else ""].append(frame)
    return list(groups.values())


def _shared_number(frames: Iterable[Frame]) -> str:
    """A series number that several examinations (studies and days) have used, empty where none is."""
    owners: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        owners[frame.series_number].append(frame)
    for number, members in owners.items():
        first = members[0]
        is_one = all(frame.study == first.study and is_one_day(frame, first) for frame in members)
        if number and not is_one:
            return number
    return ""


def alike(frames: Sequence[Frame]) -> list[list[Frame]]:
    """The frames by what does not change from phase to phase: study, day, orientation, image type,
    parameters, protocol.

    More than an hour without an image parts a group: two examinations of one day, say.
    """
    exact: dict[tuple, list[Frame]] = defaultdict(list)
    for frame in frames:
        orientation = tuple((np.round(frame.orientation, 1) + 0.0).tolist())
        kind = (frame.study, frame.day, frame.image_type, orientation, shared_parameters(frame))
        exact[kind, frame.protocol].append(frame)
    groups: list[tuple[tuple, tuple[float, ...], list[Frame]]] = []
    for (kind, protocol), members in exact.items():
        for other_kind, other_protocol, group in groups:
            if kind == other_kind and is_close(protocol, other_protocol, ALIKE):
                group.extend(members)
                break
        else:
            groups.append((kind, protocol, members))
    return [part for _, _, group in groups for part in _without_breaks(group)]


def _without_breaks(group: Sequence[Frame]) -> list[list[Frame]]:
    unwrapped = unwrap_midnight([frame.acquisition_s for frame in group])
    times = [time for time in unwrapped if time is not None]
    if len(times) < len(group):
        return [list(group)]
    parts: list[list[Frame]] = []
    last = -math.inf
    for time, frame in sorted(zip(times, group), key=operator.itemgetter(0)):
        if time - last > MAX_BREAK_S:
            parts.append([])
        parts[-1].append(frame)
        last = time
    return parts


def joined(groups: Sequence[list[Frame]], name: str) -> list[list[Frame]]:
    """The groups, largest first, those put together that are phases of one run although their headers differ
    a little.
    """
    waiting = sorted(groups, key=len, reverse=True)
    found: list[list[Frame]] = []
    while waiting:
        run = waiting.pop(0)
        for group in list(waiting):
            # a phase has more than one slice: folders of many single images end soon
            fits = is_same_run(group, run) and fits_in_time(group, run) is not False
            if len(group) > 1 and fits and not _are_two_examinations(group, run):
                with contextlib.suppress(InputError):
                    stack_of([*run, *group], name)
                    run = [*run, *group]
                    waiting.remove(group)
        found.append(run)
    return found


def _are_two_examinations(group: Sequence[Frame], run: Sequence[Frame]) -> bool:
    """Whether both are studies of their own that hold phases: a header without dates and frames of reference
    tells no more of two time points. A single phase may well lie in a study of its own.
    """
    studies = {frame.study for frame in group} & {frame.study for frame in run}
    return not studies and _holds_phases(group) and _holds_phases(run)


def _holds_phases(frames: Sequence[Frame]) -> bool:
    return len({tuple(np.round(frame.position, 2)) for frame in frames}) < len(frames)


# Which of them is the DCE-MRI


def choose(groups: Sequence[list[Frame]], name: str) -> tuple[Stack, list[list[Frame]]]:
    """The one group that is a DCE-MRI, else the only volume there is, as a stack, and the other groups.

    What cannot be a dynamic series gives way to what can: `_may_be_dce`. Original images go before derived
    ones: subtractions have the geometry of what they were made of. Raises `InputError` where there are
    several, or where the largest group is none.
    """
    scouts = _of_several_orientations(groups)
    stacks: list[tuple[Stack, bool]] = []
    faults: list[tuple[int, InputError]] = []
    unlikely_faults: list[tuple[int, InputError]] = []
    for group in groups:
        is_likely = _may_be_dce(group[0], scouts)
        try:
            stacks.append((stack_of(group, name), is_likely))
        except InputError as fault:
            (faults if is_likely else unlikely_faults).append((len(group), fault))
    chosen = _only_dce(stacks, faults if stacks else faults + unlikely_faults, name)
    taken = {(frame.path, frame.number) for frame in chosen.frames}
    return chosen, [group for group in groups if (group[0].path, group[0].number) not in taken]


def _may_be_dce(frame: Frame, scouts: set[str]) -> bool:
    """Whether an image may be one of a dynamic series: echo time, image type, and not in a series of several
    orientations, as localisers are (`scouts`).
    """
    return may_be_dynamic(frame) and not is_made_of_phases(frame) and frame.series not in scouts


def _of_several_orientations(groups: Iterable[Sequence[Frame]]) -> set[str]:
    """The series (UIDs) whose images of one type are of several orientations."""
    orientations: dict[tuple, set[tuple]] = defaultdict(set)
    for group in groups:
        for frame in group:
            orientation = tuple(np.round(frame.orientation, 1) + 0.0)
            orientations[frame.series, frame.image_type].add(orientation)
    return {series for (series, _), found in orientations.items() if len(found) > 1}


def _only_dce(
    stacks: Sequence[tuple[Stack, bool]], faults: Sequence[tuple[int, InputError]], name: str
) -> Stack:
    """The DCE-MRI among stacks, each with whether it is likely to be one; `faults`, with sizes, of groups
    that are no stack.
    """
    sizes = [len(stack.frames) for stack, is_likely in stacks if is_likely]
    sizes = sizes or [len(stack.frames) for stack, _ in stacks]
    for wanted, is_derived in ((True, False), (True, True), (False, False), (False, True)):
        several = [
            stack
            for stack, is_likely in stacks
            if len(stack.phases) > 1 and (is_likely, stack.frames[0].is_derived) == (wanted, is_derived)
        ]
        if len(several) == 1:
            return several[0]
        if several:
            raise InputError(f"{name}: several series have phases: {_listing(several)}; {_cure(several)}")
        # the DCE-MRI itself is at fault, not a scout beside it
        if faults and max(size for size, _ in faults) >= max(sizes, default=0):
            raise max(faults, key=operator.itemgetter(0))[1]
    everything = [stack for stack, _ in stacks]
    volumes = [stack for stack in everything if not stack.frames[0].is_derived] or everything
    if len(volumes) > 1:
        raise InputError(
            f"{name}: several series, none with more than one phase: {_listing(volumes)}; {_cure(volumes)}"
        )
    return volumes[0]


def _listing(stacks: Sequence[Stack]) -> str:
    """The stacks in words."""
    sizes = [f"{len(stack.phases)} x {len(stack.phases[0])} slices" for stack in stacks]
    return "; ".join(f"{series_label(stack.frames)} ({size})" for stack, size in zip(stacks, sizes))


def _cure(stacks: Sequence[Stack]) -> str:
    """Which flag chooses among the stacks; no number does between examinations that number their series
    alike.
    """
    frames = [frame for stack in stacks for frame in stack.frames]
    if _shared_number(frames):
        return "they are of several examinations; give the folder of one, or its series' UIDs with --series"
    cures = []
    if len({frame.series for frame in frames}) > 1:
        cures.append("choose with --series NUMBER (or its UID), once for each series that is meant")
    if len({frame.image_type for frame in frames}) > 1:
        cures.append(f"choose with --image-type WORD ({_telling_words(frames)})")
    return " or ".join(cures) or "give one folder per phase, in time order"
