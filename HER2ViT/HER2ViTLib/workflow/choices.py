"""What the user has chosen in the panel, and what follows from that alone: what is still missing, on which
phase to outline, which segment counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

AUTO = -1
"""The early phase's or the slice's number when it is left to the rule."""
AS_THE_MODELS_SAY = 0
"""The number of slices when it is left to the models."""


@dataclass(frozen=True)
class Choices:
    """What the user has chosen. `phases` counts the volumes, `bundles` are folders as typed, empty where none
    is chosen.
    """

    phases: int = 0
    early_phase: int = AUTO
    segment: str = ""
    bundles: tuple[str, ...] = ()
    device: str = "auto"
    method: str = "rollout"
    slice_index: int = AUTO
    slice_count: int = AS_THE_MODELS_SAY

    @property
    def slice_override(self) -> int | None:
        """The slice for the reader: its index, or None for the rule."""
        return None if self.slice_index == AUTO else self.slice_index

    @property
    def slice_count_override(self) -> int | None:
        """How many slices the reader reads, or None for as many as the models say."""
        return None if self.slice_count == AS_THE_MODELS_SAY else self.slice_count

    @property
    def early_phase_override(self) -> int | None:
        """The early phase for the reader: a phase's index, or None for the rule."""
        return None if self.early_phase == AUTO else self.early_phase

    @property
    def bundle_folders(self) -> tuple[Path, ...]:
        """The bundle folders that are chosen."""
        return tuple(Path(folder) for folder in self.bundles if folder.strip())

    def missing_images(self) -> str:
        """Why there is no study to work on, in one line; empty when there is one."""
        if not self.phases:
            return "Choose the phases of a DCE-MRI study, in time order, or a sequence."
        if self.early_phase >= self.phases:
            return (
                f"Early phase {self.early_phase} is not there: the study has phases 0 to {self.phases - 1}."
            )
        return ""

    def missing(self) -> str:
        """Why no reading can run, in one line; empty when one can."""
        if self.missing_images():
            return self.missing_images()
        if not self.segment:
            return "Choose the lesion's segment, or outline the lesion first."
        if not self.bundle_folders:
            return "Choose a model folder for at least one task."
        return ""


def painting_phase(phases: int, early_phase: int) -> int:
    """The phase to outline the lesion on, before any reading: the early phase if it is chosen, else the first
    after contrast.
    """
    return early_phase if AUTO < early_phase < phases else min(1, phases - 1)


def chosen_segment(chosen: str, offered: str, existing: Sequence[str]) -> str:
    """The segment to read after a list of segments has changed its selection from `chosen` to `offered`.

    When the chosen segment is deleted, such a list selects another one by itself. That is no choice: none is
    then chosen.
    """
    deleted = bool(chosen) and chosen not in existing
    return "" if deleted or offered not in existing else offered
