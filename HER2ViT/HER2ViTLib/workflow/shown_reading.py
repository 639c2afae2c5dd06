"""The reading that the panel shows: what it says, what it was made from, and where it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from HER2ViTLib.files.inputs import parse_json
from HER2ViTLib.her2 import TASKS, HER2Status, Task
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.operating_point import operating_point_of, threshold_meaning

from .choices import Choices
from .drawings import Score

CALLS = (None, HER2Status.ZERO, HER2Status.LOW, HER2Status.POSITIVE)


@dataclass(frozen=True)
class ShownReading:
    """The call of a reading and the probabilities of the statuses (None unless Task 1 and Task 2 were run),
    its warnings and notice; of each task the score and, in words, what its threshold gives.
    """

    call: str | None
    remarks: tuple[str, ...]
    probabilities: Mapping[str, float] | None = None
    scores: tuple[Score, ...] = ()
    threshold_lines: tuple[str, ...] = ()


def shown_reading(text: str | None) -> ShownReading | None:
    """The reading of a `reading.json`'s text.

    None without a text, as with the result tables of earlier versions, and for a text that is no reading: a
    scene file may have been edited.
    """
    try:
        content = parse_json(text or "")
        call = content["call"]
        remarks = [*(warning["text"] for warning in content["warnings"]), content["notice"]]
        probabilities = content["probabilities"]
        by_key = {task.key: task for task in TASKS.values()}
        tasks = {by_key[key]: told for key, told in content["tasks"].items()}
        scores = [
            Score(f"{_short(task)}: {task.target_name}", float(told["score"]), float(told["threshold"]))
            for task, told in tasks.items()
        ]
        lines = [_threshold_line(task, told.get("operating_point")) for task, told in tasks.items()]
        if probabilities is not None:
            probabilities = {str(status): float(value) for status, value in probabilities.items()}
    except (ValueError, KeyError, TypeError, AttributeError, InputError):
        return None
    if call not in CALLS or not all(isinstance(remark, str) for remark in remarks):
        return None
    return ShownReading(call, tuple(remarks), probabilities, tuple(scores), tuple(lines))


def _threshold_line(task: Task, told: Any) -> str:
    """What a task's threshold gives, in words; `told` is its operating point in a reading's JSON, if any."""
    point = operating_point_of(str(told["set"]), told) if told else None
    return f"{_short(task)}: {threshold_meaning(task, point)}"


def _short(task: Task) -> str:
    """Its number, as in "Task 1"."""
    return task.title.partition(":")[0]


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
    """The slice view that shows a reading in the plane it was acquired in, of {name: (is it on the screen,
    its orientation)}: one on the screen, of that plane where there is one, else Red or any, which is turned
    then.
    """
    shown = {name: orientation for name, (visible, orientation) in views.items() if visible}
    candidates = shown or {name: orientation for name, (_, orientation) in views.items()}
    fitting = [name for name, orientation in candidates.items() if orientation == plane] or list(candidates)
    return "Red" if "Red" in fitting else next(iter(fitting), None)
