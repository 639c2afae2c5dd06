"""Which of the groups of images in an examination is its DCE-MRI."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from HER2ViTLib.messages import InputError

from .frames import Frame
from .groups import shared_number, telling_words
from .relations import is_made_of_phases, may_be_dynamic
from .stacks import Stack, series_label, stack_of


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
    if shared_number(frames):
        return "they are of several examinations; give the folder of one, or its series' UIDs with --series"
    cures = []
    if len({frame.series for frame in frames}) > 1:
        cures.append("choose with --series NUMBER (or its UID), once for each series that is meant")
    if len({frame.image_type for frame in frames}) > 1:
        cures.append(f"choose with --image-type WORD ({telling_words(frames)})")
    return " or ".join(cures) or "give one folder per phase, in time order"
