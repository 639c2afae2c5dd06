"""What the HER2ViT panel decides: can a reading run, and if not why; which models are loaded; what is told.

No Qt and no MRML, and torch only once a reader is asked for, so that every decision is tested outside the
application.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from HER2ViTLib.messages import ReadingWarning

if TYPE_CHECKING:
    pass

AUTO = -1
"""The early phase's number when it is left to the rule."""

Item = TypeVar("Item")


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


def moved_up(items: Sequence[Item], index: int) -> list[Item]:
    """The items with the one at `index` a place earlier; unchanged where there is none or it is the first."""
    moved = list(items)
    if 0 < index < len(moved):
        moved[index - 1], moved[index] = moved[index], moved[index - 1]
    return moved


@dataclass(frozen=True)
class PhaseOrder:
    """How the phases in the panel's list were brought into order: by the DICOM headers, by numbers in their
    names, or by the user.
    """

    order: tuple[int, ...]
    rule: str


BY_HEADERS = "headers"
BY_NAMES = "names"
BY_USER = "user"
ORDER_TEXTS = {
    BY_HEADERS: "Order and times: from the DICOM headers.",
    BY_NAMES: "Order: by the numbers in the names, a guess; check it. Times: unknown.",
    BY_USER: "Order: as listed here; check it.",
}
"""What the panel says of the order of its phases."""


def phase_order(names: Sequence[str], by_headers: Sequence[int] | None) -> PhaseOrder:
    """The order of volumes that are to be phases: `by_headers` (indices in time order) where known, else by a
    number in the names, else as they come.
    """
    if by_headers is not None:
        return PhaseOrder(tuple(by_headers), BY_HEADERS)
    numbers = _telling_numbers(names)
    if numbers is None:
        return PhaseOrder(tuple(range(len(names))), BY_USER)
    return PhaseOrder(tuple(sorted(range(len(names)), key=numbers.__getitem__)), BY_NAMES)


def order_warning(rule: str) -> list[ReadingWarning]:
    """`order_without_times` where the phases' order was guessed from their names."""
    if rule != BY_NAMES:
        return []
    text = "the phases are in the order of the numbers in their names; their times are not known"
    return [ReadingWarning("order_without_times", text)]


def _telling_numbers(names: Sequence[str]) -> list[int] | None:
    """The one number in each name by which all of them differ; None where the names are not alike but for
    such a number.
    """
    texts = {re.sub(r"\d+", "#", name) for name in names}
    if len(texts) != 1 or len(names) < 2:
        return None
    numbers = [list(map(int, re.findall(r"\d+", name))) for name in names]
    distinct = [list(column) for column in zip(*numbers) if len(set(column)) == len(names)]
    return distinct[0] if len(distinct) == 1 else None


def reading_view(visible: Mapping[str, bool]) -> str | None:
    """The slice view that shows a reading, of {name: is it on the screen}: Red if it is shown, else the first
    that is, else Red or any.
    """
    candidates = [name for name, shown in visible.items() if shown] or list(visible)
    return "Red" if "Red" in candidates else next(iter(candidates), None)


def headline(rows: Sequence[tuple[str, str]]) -> str:
    """The result in a few words, from the rows of the result table; empty without a result."""
    if not rows:
        return ""
    call = next((value for what, value in rows if what == "HER2 call"), None)
    return f"HER2 call: {call}" if call else "One task only: no call"


def remarks(rows: Sequence[tuple[str, str]]) -> list[str]:
    """The warnings, without their codes, and the notices among the rows of the result table."""
    return [
        value.partition(": ")[2] if what == "Warning" else value
        for what, value in rows
        if what in ("Warning", "Notice")
    ]
