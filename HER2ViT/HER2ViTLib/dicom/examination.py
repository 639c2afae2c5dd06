"""One examination in a folder or file, sorted: which images are the phases of its DCE-MRI, and which not."""

from __future__ import annotations

import math
from collections.abc import Sequence

from HER2ViTLib.imaging.image_files import MAX_VALUES
from HER2ViTLib.imaging.volume import Geometry
from HER2ViTLib.messages import InputError, ReadingWarning

from .choice import choose
from .frames import Frame
from .groups import alike, joined, of_chosen_series, readable, selected, without_copies
from .remarks import left_out_warnings, unused_notes
from .selection import Selection
from .stacks import Stack, geometries_of


class Examination:
    """The images of a folder or file, sorted step by step; `name` is what faults call it. What was found
    before a step refuses stays.

    `reasons`: by series (UID), why its images were not looked at, empty for those that were. `originals`: by
    series that was sent again, the number of the series it is a copy of. `stack` and `geometries`: the phases
    that are read; `rest`: the other groups of images that were looked at.
    """

    def __init__(self, frames: Sequence[Frame], name: str) -> None:
        self.frames = frames
        self.name = name
        self.reasons = dict.fromkeys((frame.series for frame in frames), "")
        self.originals: dict[str, str] = {}
        self.stack = Stack([])
        self.geometries: list[Geometry] = []
        self.rest: list[list[Frame]] = []

    def sort(self, selection: Selection) -> None:
        """Finds the DCE-MRI. Raises `InputError` where it is not clear which images are meant, and for what
        cannot be read.
        """
        if not self.frames:
            raise InputError(
                f"{self.name}: no greyscale slice with position and orientation in its DICOM files; "
                "give MR images"
            )
        chosen = selected(self.frames, selection, self.name)
        self._look_only_at(chosen, self.frames, "not chosen")
        signal = readable(chosen, selection, self.name)
        once, self.originals = without_copies(signal)
        self._look_only_at(once, signal, "copies of images that are used")
        groups = of_chosen_series(once, selection, self.name) if selection.series else alike(once)
        self.stack, self.rest = choose(joined(groups, self.name), self.name)
        self.geometries = geometries_of(self.stack.phases, self.name)
        if sum(math.prod(geometry.shape) for geometry in self.geometries) > MAX_VALUES:
            used = self.stack.frames
            declared = f"{len(used)} slices of {used[0].columns} x {used[0].rows} pixels"
            raise InputError(f"{self.name}: declares {declared}, more than any examination has")

    def _look_only_at(self, kept: Sequence[Frame], before: Sequence[Frame], why: str) -> None:
        left = {frame.series for frame in before} - {frame.series for frame in kept}
        self.reasons.update(dict.fromkeys(left, why))

    @property
    def warnings(self) -> tuple[ReadingWarning, ...]:
        """What may be a phase and is not used."""
        used = self.stack.frames
        return tuple(warning for group in self.rest for warning in left_out_warnings(group, used))

    @property
    def notes(self) -> tuple[str, ...]:
        """The series not used, and why."""
        return unused_notes(self.frames, self.stack.frames, self.reasons)


def examined(frames: Sequence[Frame], selection: Selection, name: str) -> Examination:
    """The examination, sorted. Raises `InputError` as `Examination.sort`."""
    examination = Examination(frames, name)
    examination.sort(selection)
    return examination
