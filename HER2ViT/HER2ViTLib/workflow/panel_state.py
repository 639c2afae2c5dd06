"""What the panel allows and tells, by what is chosen and there: plain data in, plain answers out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from HER2ViTLib.her2 import NO_CALL

from .case_facts import NOTHING_KNOWN, CaseFacts, slice_text
from .choices import AUTO, Choices
from .shown_reading import CAME_WITH_SCENE, Inputs, ReadFrom, ShownReading

IN_SESSION = "A session is open: it shows its own cases, and reads nothing. Close it first."
OUTDATED = "Outline, images or models have changed since the reading: read again."
MAX_REMARKS = 6
"""So many are shown under the call; more of them would push the export off the screen."""
HAS_SEQUENCE = "A sequence is chosen: it holds all phases. Choose none to list volumes."


@dataclass(frozen=True)
class SessionState:
    """An open session: where it stands, in one line, how many cases are left, and for how long the current
    one has been shown (s).
    """

    progress: str
    left: int
    elapsed_s: float

    @property
    def finished(self) -> bool:
        """Whether all cases are done."""
        return not self.left

    @property
    def text(self) -> str:
        """Where the session stands, with what is left and the time of the current case."""
        if self.finished:
            return self.progress
        minutes, seconds = divmod(int(self.elapsed_s), 60)
        return f"{self.progress}; {self.left} left. This case: {minutes}:{seconds:02d}"


@dataclass(frozen=True)
class PanelState:
    """All that the panel's looks depend on; the properties say what is possible and what is told.

    `listed` are the phases in the panel's list and `loaded` the images in the scene, `offered` is the one in
    the selector beside the list (empty: none): node IDs. `row` is the selected line of the list, -1 for none.
    `has_map` is true when there is an attention map of the task that is shown. `reading` is None without a
    reading, and for a result table that carries none. `missing_for_export`, `missing_for_archive`: see
    `exporting`. `table`: the CSV to append to, as typed.
    """

    inputs: Inputs
    facts: CaseFacts = NOTHING_KNOWN
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
    missing_for_export: str = ""
    missing_for_archive: str = ""
    table: str = ""
    session: SessionState | None = None

    @property
    def choices(self) -> Choices:
        return self.inputs.choices

    # What the buttons do

    @property
    def obstacles(self) -> Mapping[str, str]:
        """{button: why it cannot be pressed now, in one line; empty where it can}."""
        return {
            **self._case_obstacles(),
            **self._lesion_obstacles(),
            "runButton": self.missing,
            "jumpButton": self._no_map(),
            **self._export_obstacles(),
            **self._session_obstacles(),
        }

    def _case_obstacles(self) -> dict[str, str]:
        of_list = self._in_session() or (HAS_SEQUENCE if self.has_sequence else "")
        no_row = "" if self.row >= 0 else "Select a phase in the table."
        no_earlier = "" if self.row else "The first phase is the earliest already."
        no_pre = "" if self.facts.pre is not None else "No phase before contrast is known to subtract."
        nothing_new = "" if set(self.loaded) - set(self.listed) else "Every loaded volume is a phase already."
        return {
            "dicomButton": self._in_session(),
            "sampleButton": self._in_session(),
            "addPhaseButton": of_list or self._not_addable(),
            "addAllPhasesButton": of_list or nothing_new,
            "movePhaseUpButton": of_list or no_row or no_earlier,
            "removePhaseButton": of_list or no_row,
            "subtractionButton": self.choices.missing_images() or no_pre,
        }

    def _not_addable(self) -> str:
        if not self.offered:
            return "Choose a volume beside this button."
        return "This volume is a phase already." if self.offered in self.listed else ""

    def _lesion_obstacles(self) -> dict[str, str]:
        no_images = self.choices.missing_images()
        no_seed = "" if self.has_seed else "Place a point in the lesion first."
        is_largest = "The largest slice is read already." if self.choices.slice_index == AUTO else ""
        return {
            "growButton": no_images,
            "growAgainButton": no_images or no_seed,
            "newOutlineButton": no_images,
            "largestSliceButton": is_largest,
        }

    def _no_map(self) -> str:
        return "" if self.has_map else "There is no attention map of this task: read with its model."

    def _export_obstacles(self) -> dict[str, str]:
        missing = self._in_session() or self.missing_to_export
        no_file = "" if self.table.strip() else "Choose the table's file beside this button."
        nothing_open = "" if self.choices.phases else "There is no case to leave."
        return {
            "exportReportButton": missing,
            "exportPdfButton": missing,
            "exportRowButton": missing or no_file,
            "exportSceneButton": self._in_session() or nothing_open,
            "saveDicomButton": missing or self.missing_for_archive,
            "nextCaseButton": self._in_session() or nothing_open,
        }

    def _session_obstacles(self) -> dict[str, str]:
        none_open = "" if self.session else "Open a session first."
        all_done = "All cases of this read are done." if self.session and self.session.finished else ""
        no_outline = "" if self.choices.segment else "Outline the lesion first, or skip the case."
        return {
            "sessionOpenButton": "A session is open already." if self.session else "",
            "sessionSaveButton": none_open or all_done or no_outline,
            "sessionSkipButton": none_open or all_done,
            "sessionCloseButton": none_open,
        }

    def _in_session(self) -> str:
        return IN_SESSION if self.session else ""

    @property
    def can_list_phases(self) -> bool:
        """Whether the list of phases counts: a sequence stands in for all of it."""
        return not self.has_sequence

    # Case and slice

    @property
    def case_text(self) -> str:
        """What to do for a case, or which phase is read and why, and what is doubtful."""
        return self.choices.missing_images() or "\n".join(self.facts.explanation)

    @property
    def slice_text(self) -> str:
        return slice_text(self.facts.lesion, self.choices.slice_index, self.choices.slice_count)

    # Reading

    @property
    def missing(self) -> str:
        """Why no reading can run, in one line; empty when one can."""
        return self._in_session() or self.choices.missing()

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
        """The remarks as rich text, codes small: the first of many, and always the last, the notice."""
        told = self.reading.remarks_html if self.reading else ()
        if len(told) > MAX_REMARKS:
            more = f"<i>{len(told) - MAX_REMARKS + 1} more under All values</i>"
            told = (*told[: MAX_REMARKS - 2], more, told[-1])
        return (f"<b>{OUTDATED}</b>", *told) if self.is_outdated else told

    @property
    def thresholds(self) -> tuple[str, ...]:
        """What the threshold of each task means, a sentence each."""
        return self.reading.thresholds if self.reading else ()

    @property
    def missing_to_export(self) -> str:
        """Why the reading cannot leave the scene, in one line; empty where it can."""
        return OUTDATED if self.is_outdated else self.missing_for_export

    # The session

    @property
    def session_progress(self) -> str:
        return self.session.text if self.session else ""
