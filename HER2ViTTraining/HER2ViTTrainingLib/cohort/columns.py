"""The manifest's columns and what each may hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from HER2ViTLib.her2 import HER2Status
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.cells import as_number

from .phase_times import parse_starts

REQUIRED_COLUMNS = ("case_id", "image", "roi")
CLINICAL_COLUMNS = (
    *(
        "age",
        "menopause",
        "histology",
        "pT",
        "pN",
        "grade",
        "er",
        "pr",
        "lvi",
        "tumor_size_cm",
        "positive_ln",
    ),
    *("rfs_months", "rfs_event", "os_months", "os_event"),
)
RESULT_COLUMNS = ("her2_status", "included", "reason")
SUBGROUP_COLUMNS = ("site", "vendor", "field_strength")
"""Of the scanner, not of the patient: what a model may have learnt in place of the disease."""
KNOWN_COLUMNS = (
    *REQUIRED_COLUMNS,
    *("ihc", "ish", *RESULT_COLUMNS, "cohort", "role", "patient_id", "laterality", "exclude"),
    *("segment", "early_phase", "series", "image_type", "roi_a2", "roi_b"),
    *("phase_times_s", "contrast_time_s", *SUBGROUP_COLUMNS),
    *CLINICAL_COLUMNS,
)
STATUSES = (HER2Status.ZERO, HER2Status.LOW, HER2Status.POSITIVE)
"""The classes, and the order that settles ties between them."""
COUNTED_STATUSES = (*STATUSES, HER2Status.NEGATIVE)
"""What an included case may be. A negative one is zero or low: no case of the tasks that tell them apart."""

DEVELOPMENT = "development"
EXTERNAL = "external"
MAX_PHASES = 1000
MAX_CLOCK_S = 1e6
SET_NAMES = ("training", "validation")


# Checks of one value: they return it parsed, or raise what is wrong and the cure

_DEVICE_NAMES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"com{n}" for n in "123456789\u00b9\u00b2\u00b3"),
    *(f"lpt{n}" for n in "123456789\u00b9\u00b2\u00b3"),
}
"""Windows takes them for devices, also with superscript digits and with blanks or an ending behind."""

_MAX_NAME_BYTES = 240
"""File systems take 255, and a file that is being written has a longer name."""


def _name(text: str) -> str:
    """Case ids become folder names, cohorts the names of sets and pictures: they must work on every file
    system and in a spreadsheet.
    """
    usable = (
        re.fullmatch(r"\w[\w.\- ]*", text)
        and not text.endswith(".")
        and len(text) <= 80
        and len(text.encode()) <= _MAX_NAME_BYTES
    )
    if not usable or text.partition(".")[0].rstrip().lower() in _DEVICE_NAMES:
        raise InputError(
            "cannot be the name of a folder; use up to 80 letters, digits and . _ - and begin with a letter"
            " or digit"
        )
    return text


def one_of(*allowed: str, **also: str) -> Callable[[str], str]:
    """A check for the `allowed` words in any letter case; `also` maps further spellings to them."""

    def check(text: str) -> str:
        value = also.get(text.lower(), text.lower())
        if value not in allowed:
            raise InputError(f"not allowed; use {', '.join(allowed)} or leave it empty")
        return value

    return check


def _number(low: float, high: float, whole: bool = False) -> Callable[[str], float]:
    kind = "a whole number" if whole else "a number with a decimal point"
    cure = "use 0 or 1" if whole and (low, high) == (0, 1) else f"use {kind} between {low:g} and {high:g}"

    def check(text: str) -> float:
        value = as_number(text)
        # NaN fails the comparison. Programs write 1 as 1.0 where others of the column are missing.
        if not low <= value <= high or (whole and not value.is_integer()):
            raise InputError(f"{cure}, or leave it empty")
        return int(value) if whole else value

    return check


def external_name(text: str) -> str:
    """A name for an external cohort. Raises `InputError` for that of a set of the development cases."""
    if text.lower() in SET_NAMES:
        raise InputError("is the name of a set of the development cases; call the external cohort otherwise")
    return text


def _reason(text: str) -> str:
    if text.lower() in ("0", "1", "no", "yes", "n", "y", "false", "true", "x", "none"):
        raise InputError("is not a reason; write why the case is excluded, or leave it empty")
    return text


CHECKS: dict[str, Callable[[str], Any]] = {
    # IHC, ISH and HER2 status are checked together: see `reference_standard`.
    "case_id": _name,
    "cohort": _name,
    "role": one_of(DEVELOPMENT, EXTERNAL),
    "laterality": one_of("left", "right", l="left", r="right"),
    "exclude": _reason,
    "early_phase": _number(0, MAX_PHASES - 1, whole=True),
    "phase_times_s": parse_starts,
    "contrast_time_s": _number(-MAX_CLOCK_S, MAX_CLOCK_S),
    "age": _number(1, 120),
    "tumor_size_cm": _number(0.01, 50),
    "positive_ln": _number(0, 100, whole=True),
    "rfs_months": _number(0, 1000),
    "os_months": _number(0, 1000),
    "rfs_event": _number(0, 1, whole=True),
    "os_event": _number(0, 1, whole=True),
}
