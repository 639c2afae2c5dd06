"""What the panel allows and tells, by what is chosen and there: plain data in, plain answers out."""

from __future__ import annotations

from dataclasses import dataclass

from HER2ViTLib.her2 import NO_CALL

from .choices import Choices
from .shown_reading import CAME_WITH_SCENE, Inputs, ReadFrom, ShownReading

OUTDATED = "Outline, images or models have changed since this reading: read again."


@dataclass(frozen=True)
class SessionState:
    """An open session: where it stands, in one line, and whether all its cases are done."""

    progress: str
    finished: bool


@dataclass(frozen=True)
class PanelState:
    """All that the panel's looks depend on; the properties say what is possible and what is told.

    `listed` are the phases in the panel's list and `loaded` the images in the scene, `offered` is the one in
    the selector beside the list (empty: none): node IDs. `row` is the selected line of the list, -1 for none.
    `has_map` is true when there is an attention map of the task that is shown. `reading` is None without a
    reading, and for a result table that carries none. `missing_for_archive`: see there.
    """

    inputs: Inputs
    listed: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    offered: str = ""
    row: int = -1
    has_sequence: bool = False
    has_seed: bool = False
    has_table: bool = False
    has_map: bool = False
    reading: ShownReading | None = None
    read_from: ReadFrom = CAME_WITH_SCENE
    missing_for_archive: str = ""
    session: SessionState | None = None

    @property
    def choices(self) -> Choices:
        return self.inputs.choices

    # The list of phases; a sequence stands in for all of it

    @property
    def can_list_phases(self) -> bool:
        return not self.has_sequence

    @property
    def can_add_phase(self) -> bool:
        return self.can_list_phases and bool(self.offered) and self.offered not in self.listed

    @property
    def can_add_all_phases(self) -> bool:
        return self.can_list_phases and not set(self.loaded) <= set(self.listed)

    @property
    def can_move_phase_up(self) -> bool:
        return self.can_list_phases and self.row > 0

    @property
    def can_remove_phase(self) -> bool:
        return self.can_list_phases and self.row >= 0

    # Outlining and reading

    @property
    def can_draw_outline(self) -> bool:
        return not self.choices.missing_images()

    @property
    def can_outline_from_seed(self) -> bool:
        return self.can_draw_outline and self.has_seed

    @property
    def missing(self) -> str:
        """Why no reading can run, in one line; empty when one can."""
        return self.choices.missing()

    @property
    def can_run(self) -> bool:
        return not self.missing

    @property
    def run_tool_tip(self) -> str:
        return self.missing or "Read HER2 status of the outlined lesion."

    # The result

    @property
    def is_outdated(self) -> bool:
        """Whether the shown reading is not one of what is chosen now."""
        return self.has_table and self.read_from.is_outdated(self.inputs)

    @property
    def headline(self) -> str:
        """The result in a few words."""
        if not self.has_table:
            return "No reading yet."
        if self.reading is None:
            return "A reading of an earlier version: its call and warnings are in the table."
        if self.reading.call is None:
            return NO_CALL
        return f"HER2 call: {self.reading.call}"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What must be read with the result."""
        told = self.reading.remarks if self.reading else ()
        return (OUTDATED, *told) if self.is_outdated else told

    @property
    def remarks_html(self) -> tuple[str, ...]:
        """The remarks as rich text, codes small."""
        told = self.reading.remarks_html if self.reading else ()
        return (f"<b>{OUTDATED}</b>", *told) if self.is_outdated else told

    @property
    def thresholds(self) -> tuple[str, ...]:
        """What the threshold of each task means, a sentence each."""
        return self.reading.thresholds if self.reading else ()

    @property
    def can_jump(self) -> bool:
        """Whether there is a slice to turn the view to."""
        return self.has_map

    @property
    def missing_to_save(self) -> str:
        """Why the reading cannot be saved as DICOM, in one line; empty where it can."""
        if self.is_outdated:
            return "Outline, images or models have changed since the reading: read again."
        return self.missing_for_archive

    @property
    def save_tool_tip(self) -> str:
        return self.missing_to_save or (
            "Save outline, reading and attention maps into Slicer's DICOM database, in the study of the"
            " images. Research use only."
        )

    # The session

    @property
    def session_progress(self) -> str:
        return self.session.progress if self.session else ""

    @property
    def can_open_session(self) -> bool:
        return self.session is None

    @property
    def can_close_session(self) -> bool:
        return self.session is not None

    @property
    def can_skip_case(self) -> bool:
        return self.session is not None and not self.session.finished

    @property
    def can_save_outline(self) -> bool:
        return self.can_skip_case and bool(self.choices.segment)
