"""What the tables of a batch say beside the readings: failures, and how many readings could tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from HER2ViTLib.reading.readings_table import NONE_LEFT

FAILURE_COLUMNS = ("case_id", "stage", "reason")


@dataclass(frozen=True)
class SetSizes:
    """Of how many readings one status was left (`told`), several (`cannot_tell`), none (`none_left`)."""

    told: int
    cannot_tell: int
    none_left: int


def set_sizes(rows: Sequence[Mapping[str, Any]]) -> SetSizes | None:
    """Of the rows of `readings.csv`; None where none has a column call_set."""
    found = [row["call_set"] for row in rows if "call_set" in row]
    if not found:
        return None
    none_left = found.count(NONE_LEFT)
    several = sum(";" in left for left in found)
    return SetSizes(len(found) - several - none_left, several, none_left)
