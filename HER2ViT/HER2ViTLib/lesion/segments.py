"""The segments that a file of outlines holds, and which of them is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from HER2ViTLib.messages import InputError

MAX_LISTED = 12
"""Segments that a fault lists."""


@dataclass(frozen=True)
class Segment:
    """A segment of a file: its name and id ("" in a plain label map; DICOM has no id either), its label value
    or number, and the layer that holds it.
    """

    label: int
    name: str = ""
    id: str = ""
    layer: int = 0

    def __str__(self) -> str:
        if self.id:
            return f'"{self.name}" (id {self.id}, label {self.label})'
        return f'"{self.name}" (number {self.label})' if self.name else str(self.label)


def header_segments(header: dict[str, str], name: str) -> list[Segment]:
    """The segments a Slicer segmentation names in its header; none for a plain label map. Raises `InputError`
    for labels and layers that are none.
    """
    matches = [re.fullmatch(r"Segment(\d{1,6})_ID", key) for key in header]
    numbers = sorted(int(match[1]) for match in matches if match)

    def whole(key: str, default: int, least: int) -> int:
        text = header.get(key, str(default))
        # 0 as a label would make the lesion of all that is not outlined.
        if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < least:
            raise InputError(
                f"{name}: {key} is {text[:40]!r}, not a whole number from {least} on; save the segmentation"
                " again"
            )
        return int(text)

    return [
        Segment(
            # files written before Slicer 4.11 name neither label nor layer: each segment has a layer of its
            # own
            label=whole(f"Segment{n}_LabelValue", 1, 1),
            name=header.get(f"Segment{n}_Name", ""),
            id=header[f"Segment{n}_ID"],
            layer=whole(f"Segment{n}_Layer", n, 0),
        )
        for n in numbers
    ]


def label_segments(array: np.ndarray, name: str) -> list[Segment]:
    """The labels of a plain label map: its values above zero. Raises `InputError` when there is none."""
    values = np.unique(array[array > 0])
    if not len(values):
        lowest = array.min()
        if lowest < 0:
            raise InputError(
                f"{name}: is empty above 0, its label is {lowest:g}; save the lesion with a label above 0"
            )
        raise InputError(f"{name}: is empty (no label above 0); outline the lesion first")
    return [Segment(int(value)) for value in values]


def choose_segment(segments: Sequence[Segment], wanted: str | None, name: str) -> Segment:
    """The wanted segment by name, id or label value, or the only one. Raises `InputError`, listing them, when
    that is not one segment.
    """
    listed = ", ".join(map(str, segments[:MAX_LISTED]))
    if len(segments) > MAX_LISTED:
        listed += f" and {len(segments) - MAX_LISTED} more"
    if wanted is None:
        if len(segments) > 1:
            raise InputError(f"{name}: holds {len(segments)} segments; choose one with --segment: {listed}")
        return segments[0]
    for matches in (
        [segment for segment in segments if segment.name == wanted],
        [segment for segment in segments if segment.id == wanted],
        [segment for segment in segments if str(segment.label) == str(wanted)],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            what = "id" if matches[0].id else "number"
            raise InputError(
                f"{name}: several segments are called {wanted}; choose one by its {what}: {listed}"
            )
    raise InputError(f"{name}: has no segment {wanted}; it has {listed}")
