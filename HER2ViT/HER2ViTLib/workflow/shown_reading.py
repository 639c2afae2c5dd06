"""The reading that the panel shows: what it says, what it was made from, and where it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from HER2ViTLib.files.inputs import parse_json
from HER2ViTLib.her2 import HER2Status

from .choices import Choices

CALLS = (None, HER2Status.ZERO, HER2Status.LOW, HER2Status.POSITIVE)


@dataclass(frozen=True)
class ShownReading:
    """The call of a reading (None unless Task 1 and Task 2 were run), and its warnings and notice."""

    call: str | None
    remarks: tuple[str, ...]


def shown_reading(text: str | None) -> ShownReading | None:
    """The reading of a `reading.json`'s text.

    None without a text, as with the result tables of earlier versions, and for a text that is no reading: a
    scene file may have been edited.
    """
    try:
        content = parse_json(text or "")
        call = content["call"]
        remarks = [*(warning["text"] for warning in content["warnings"]), content["notice"]]
    except (ValueError, KeyError, TypeError):
        return None
    if call not in CALLS or not all(isinstance(remark, str) for remark in remarks):
        return None
    return ShownReading(call, tuple(remarks))


@dataclass(frozen=True)
class Inputs:
    """What a reading is made from: the choices, and the IDs of the nodes with the images and the outline."""

    choices: Choices
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class ReadFrom:
    """What the shown reading was made from, and whether its outline was edited since then.

    `inputs` is None for a reading that came with its scene: nobody knows what it was made from, so only an
    edited outline makes it outdated.
    """

    inputs: Inputs | None = None
    outline_edited: bool = False

    def with_outline_edited(self) -> ReadFrom:
        """The same, its outline edited since."""
        return replace(self, outline_edited=True)

    def is_outdated(self, now: Inputs) -> bool:
        """Whether a reading of what is chosen `now` could differ."""
        return self.outline_edited or self.inputs not in (None, now)


CAME_WITH_SCENE = ReadFrom()


def reading_view(views: Mapping[str, tuple[bool, str]], plane: str) -> str | None:
    """The slice view that shows a reading in the plane it was acquired in, of {name: (is it on the screen, its
    orientation)}: one on the screen, of that plane where there is one, else Red or any, which is turned then.
    """
    shown = {name: orientation for name, (visible, orientation) in views.items() if visible}
    candidates = shown or {name: orientation for name, (_, orientation) in views.items()}
    fitting = [name for name, orientation in candidates.items() if orientation == plane] or list(candidates)
    return "Red" if "Red" in fitting else next(iter(fitting), None)
