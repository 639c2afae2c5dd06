"""The manifest's columns `phase_times_s` and `contrast_time_s`: when a case's phases were taken.

Starts in seconds, joined by `;` in the order of the phases, on one clock whose zero does not matter. With
them the early phase is chosen by time, as from DICOM.
"""

from __future__ import annotations

import math
from itertools import pairwise

from HER2ViTLib.messages import InputError
from HER2ViTLib.study.given_times import GivenTimes
from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.faults import Faults


def parse_starts(text: str) -> tuple[float, ...]:
    """The starts (s) in a cell. Raises `InputError` for what is no number, and when they do not increase."""
    try:
        starts = tuple(float(part) for part in text.split(";"))
    except ValueError:
        starts = (math.nan,)
    if not all(math.isfinite(start) for start in starts):
        raise InputError("use seconds with a decimal point, one ; between two phases, or leave it empty")
    if any(later <= earlier for earlier, later in pairwise(starts)):
        raise InputError(
            "does not increase; give the phases' starts in the order of the phases, on one clock"
        )
    return starts


def given_times(phase_times_s: str, contrast_time_s: str) -> GivenTimes | None:
    """The times in the two cells of a manifest that was checked; None where it gives none."""
    if not phase_times_s:
        return None
    return GivenTimes(parse_starts(phase_times_s), float(contrast_time_s) if contrast_time_s else None)


def check_times(
    row: Row, starts: tuple[float, ...] | None, contrast_start_s: float | None, faults: Faults
) -> None:
    """Whether the times of a row fit its images and each other. (How many phases a single file holds shows
    when it is read.)
    """
    images = row["image"].count(";") + 1
    if starts and images > 1 and len(starts) != images:
        what = f"gives {len(starts)} starts, image has {images} phases; give one for each, or none"
        faults.note(row, "phase_times_s", what)
    if contrast_start_s is None:
        return
    if not row["phase_times_s"]:
        what = "needs the phases' starts on the same clock; fill in phase_times_s, or leave this empty"
        faults.note(row, "contrast_time_s", what)
    elif starts and contrast_start_s >= starts[-1]:
        what = "is not before the last phase; give it in seconds on the clock of phase_times_s"
        faults.note(row, "contrast_time_s", what)
