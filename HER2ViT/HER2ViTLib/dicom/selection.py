"""Which images of an examination in DICOM files the user means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """What the user chooses among the series of an examination: numbers or UIDs of series (none = by the
    rules), and a word of the image type (empty = magnitude, and of Dixon images water).
    """

    series: tuple[str, ...] = ()
    image_type: str = ""


EVERYTHING = Selection()
