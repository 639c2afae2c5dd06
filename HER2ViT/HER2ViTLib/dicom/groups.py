"""The images of an examination in groups: what is asked for, what is signal, which series belong together."""

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
    is_one_day,
    is_same_run,
    shared_parameters,
)
from .selection import Selection
from .stacks import series_label, stack_of

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
        there = telling_words(chosen)
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
            f"or choose with --image-type WORD: {telling_words(signal)}"
        )
    return usual


def _kinds_text(frames: Iterable[Frame]) -> str:
    return ", ".join(sorted({frame.kind for frame in frames}))


def telling_words(frames: Iterable[Frame]) -> str:
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
    number = shared_number([frame for frame in frames if frame.series not in selection.series])
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


def shared_number(frames: Iterable[Frame]) -> str:
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
