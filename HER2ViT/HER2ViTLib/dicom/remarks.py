"""What a reading says of an examination in DICOM files: what is doubtful about its phases, and which series
were not used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from HER2ViTLib.imaging.times import DAY_S
from HER2ViTLib.messages import ReadingWarning

from .frames import MAGNITUDE, WATER, Frame
from .relations import (
    NORMALISED,
    SAME_RUN,
    differences_text,
    fits_in_time,
    is_close,
    is_made_of_phases,
    is_other_sequence,
    is_same_place,
    moments,
)


def normalisation_warnings(frames: Sequence[Frame]) -> list[ReadingWarning]:
    """`mixed_normalisation` where only some phases were normalised: their signals are not comparable."""
    if len({NORMALISED in frame.image_type for frame in frames}) < 2:
        return []
    text = (
        "some phases are normalised by the coil's sensitivity (NORM in their image type) and some are not: "
        "their signals, and the enhancement between them, are not comparable"
    )
    return [ReadingWarning("mixed_normalisation", text)]


def derived_warnings(frames: Sequence[Frame]) -> list[ReadingWarning]:
    """`derived_phases` where the examination holds no original images: subtractions look like phases."""
    if not all(frame.is_derived for frame in frames):
        return []
    text = "the phases are derived images (subtractions, perhaps): check them, and give the original series"
    return [ReadingWarning("derived_phases", text)]


def left_out_warnings(group: Sequence[Frame], run: Sequence[Frame]) -> list[ReadingWarning]:
    """`phase_left_out` for a group that lies where the phases of the run lie, at a time that fits, and is no
    other sequence.
    """
    if not _may_be_phase(group, run):
        return []
    numbers = sorted({frame.series_number for frame in group})
    every = [*sorted({frame.series_number for frame in run}), *numbers]
    cures = ["one folder per phase, in time order"]
    if all(every):
        cures.insert(0, " ".join(f"--series {number}" for number in dict.fromkeys(every)))
    text = (
        f"series {' + '.join(number or '?' for number in numbers)} ({len(group)} "
        f"slices{_when(group, run)}) lies where "
        f"the phases lie and may be one of them, but is not used: {differences_text(group, run)}; "
        f"to use it give {', or '.join(cures)}"
    )
    return [ReadingWarning("phase_left_out", text)]


def _may_be_phase(group: Sequence[Frame], run: Sequence[Frame]) -> bool:
    first = group[0]
    other = run[0]
    if is_other_sequence(first, other) or is_made_of_phases(first):
        return False
    fits = fits_in_time(group, run)
    if fits is None:  # without times, only what is made in the same way
        fits = not first.is_derived and is_close(first.protocol, other.protocol, SAME_RUN)
    return fits and is_same_place(group, run)


def _when(group: Sequence[Frame], run: Sequence[Frame]) -> str:
    """When a group was acquired, counted from the first phase used."""
    ours = moments(group)
    theirs = moments(run)
    if ours is None or theirs is None:
        return ""
    apart = (min(ours) - min(theirs) + DAY_S / 2) % DAY_S - DAY_S / 2
    return f", {abs(apart):.0f} s {'before' if apart < 0 else 'after'} the first phase used"


def unused_notes(
    frames: Sequence[Frame], used: Sequence[Frame], reasons: Mapping[str, str]
) -> tuple[str, ...]:
    """The series not used, a line each, by number: the same examination gives the same reading, whatever its
    files are called.

    `reasons`: by series, why it was not looked at; empty for what was.
    """
    taken = {frame.series for frame in used}
    by_series: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        if frame.series not in taken:
            by_series[frame.series].append(frame)
    unused = sorted(by_series.items(), key=lambda item: (int(item[1][0].series_number or 0), item[0]))
    notes = []
    for series, members in unused:
        why = reasons[series] or why_not(members, used)
        notes.append(f"series {members[0].series_number or '?'} ({len(members)} slices) not used: {why}")
    return tuple(notes)


def why_not(members: Sequence[Frame], used: Sequence[Frame]) -> str:
    """Why a series that was looked at is not among those used."""
    frame = members[0]
    other = used[0]
    if frame.kind not in (MAGNITUDE, WATER):
        return f"{frame.kind} images"
    if frame.is_derived:
        return "derived images"
    if (frame.rows, frame.columns) != (other.rows, other.columns):
        return f"another matrix ({frame.columns} x {frame.rows} against {other.columns} x {other.rows})"
    return differences_text(members, used)
