"""The statuses that a reading cannot exclude, where its two bundles were made to tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from HER2ViTLib.messages import ReadingWarning
from HER2ViTLib.model.conformal import Conformal

if TYPE_CHECKING:  # needs torch
    from HER2ViTLib.model.bundle import Bundle

NONE_LEFT = "none: unlike the calibration cases of every status"


@dataclass(frozen=True)
class CallSet:
    """The `statuses` that cannot be excluded, zero first, and what they were told by."""

    statuses: tuple[str, ...]
    conformal: Conformal

    @property
    def is_told(self) -> bool:
        """Whether one status is left."""
        return len(self.statuses) == 1

    @property
    def text(self) -> str:
        """In words, for a table or a report."""
        if not self.statuses:
            return NONE_LEFT
        return ", ".join(self.statuses) if self.is_told else f"{', '.join(self.statuses)}: cannot tell"

    def coverage_rows(self) -> list[tuple[str, str]]:
        """(what, value) pairs: the level, and per status the calibration cases and what they allow."""
        rows = [("  coverage", f"{self.conformal.level:g} of the cases of a status, as calibrated on:")]
        for status, of in self.conformal.statuses.items():
            never = "" if of.cutoff else "; too few, never excluded"
            text = f"{of.n} cases, coverage {of.coverage_low:.2f} to {of.coverage_high:.2f} (5th to 95th"
            rows.append((f"    {status}", f"{text} percentile){never}"))
        return rows

    def coverage_json(self) -> dict[str, Any]:
        """`coverage` of `reading.json`."""
        statuses = self.conformal.statuses
        return {
            "level": self.conformal.level,
            "n": {status: of.n for status, of in statuses.items()},
            "percentiles": {status: [of.coverage_low, of.coverage_high] for status, of in statuses.items()},
            "never_excluded": [status for status, of in statuses.items() if of.cutoff == 0],
        }


def call_set(
    first: Bundle, second: Bundle, probabilities: Mapping[str, float], *, as_calibrated: bool
) -> tuple[CallSet | None, list[ReadingWarning]]:
    """What two bundles, of Task 1 and Task 2, cannot exclude at these probabilities of the statuses; None
    where they carry no conformal part, or none for each other: then with a warning. `as_calibrated` is
    whether they read as their bundles say, with so many slices.
    """
    parts = (first.settings.conformal, second.settings.conformal)
    if parts == (None, None):
        return None, []
    fits = (
        parts[0] is not None
        and parts[1] is not None
        and parts[0].partner == second.scores_sha256
        and parts[1].partner == first.scores_sha256
        and (parts[0].level, parts[0].statuses) == (parts[1].level, parts[1].statuses)
    )
    if not fits or parts[0] is None or not as_calibrated:
        why = "another number of slices" if fits else "another partner"
        text = (
            f"what the bundles cannot exclude was calibrated with {why}; no statuses are excluded: make it"
            " anew with her2vit adapt --coverage"
        )
        return None, [ReadingWarning("call_set_not_calibrated", text)]
    return CallSet(parts[0].call_set(probabilities), parts[0]), []


def call_set_warnings(call: str, found: CallSet | None) -> list[ReadingWarning]:
    """Says so when the call by the thresholds is a status that is excluded."""
    if found is None or call in found.statuses:
        return []
    left = ", ".join(found.statuses) or "none"
    text = f"the call {call} follows the thresholds, but is excluded by the coverage; what is left: {left}"
    return [ReadingWarning("call_excluded", text)]
