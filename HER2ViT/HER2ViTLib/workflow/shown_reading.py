"""The reading that the panel shows: what it says, what it was made from, and where it is shown."""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from HER2ViTLib.files.inputs import parse_json
from HER2ViTLib.her2 import TASKS, HER2Status, Task
from HER2ViTLib.messages import RESEARCH_NOTICE, ReadingWarning
from HER2ViTLib.model.operating_point import OperatingPoint, operating_point_of, threshold_meaning
from HER2ViTLib.reading.warning_order import TECHNICAL, in_order

from .choices import Choices
from .drawings import Score

CALLS = (None, HER2Status.ZERO, HER2Status.LOW, HER2Status.POSITIVE)


@dataclass(frozen=True)
class ShownReading:
    """What the panel tells of a reading.

    `call` and `probabilities` are None unless Task 1 and Task 2 were run. `remarks`: first what matters for
    this case, then the models' limits, then technical warnings, last the notice of research use; `codes` are
    the warnings' own, empty for a remark that is none. `scores` are the tasks', `thresholds` says of each in
    a sentence what its threshold means.
    """

    call: str | None
    remarks: tuple[str, ...]
    codes: tuple[str, ...] = ()
    probabilities: Mapping[str, float] | None = None
    scores: tuple[Score, ...] = ()
    thresholds: tuple[str, ...] = ()

    @property
    def remarks_html(self) -> tuple[str, ...]:
        """The remarks in words, their codes small beside them, as a label with rich text shows them."""
        told = itertools.zip_longest(self.remarks, self.codes, fillvalue="")
        return tuple(_remark_html(remark, code) for remark, code in told)


def _remark_html(remark: str, code: str) -> str:
    words = html.escape(remark)
    return f"{words} <small><code>{html.escape(code)}</code></small>" if code else words


def shown_reading(text: str | None) -> ShownReading | None:
    """The reading of a `reading.json`'s text.

    None without a text, as with the result tables of earlier versions, and for a text that is no reading: a
    scene file may have been edited.
    """
    try:
        content = parse_json(text or "")
        return _shown(content)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _shown(content: Mapping[str, Any]) -> ShownReading:
    """Raises `ValueError` and what a missing or odd value raises."""
    tasks = [task for task in TASKS.values() if task.key in content.get("tasks", {})]
    told = [(task, content["tasks"][task.key]) for task in tasks]
    points = [_operating_point(found.get("operating_point")) for _, found in told]
    remarks = _remarks(content, tasks, points)
    texts = tuple(text for text, _ in remarks)
    if content["call"] not in CALLS or not all(isinstance(text, str) for text in texts):
        raise ValueError("no reading")
    probabilities = content.get("probabilities")
    numbers = [(float(found["score"]), float(found["threshold"])) for _, found in told]
    return ShownReading(
        call=content["call"],
        remarks=texts,
        codes=tuple(code for _, code in remarks),
        probabilities=probabilities and {name: float(value) for name, value in probabilities.items()},
        scores=tuple(Score(_short(task), *pair) for task, pair in zip(tasks, numbers)),
        thresholds=tuple(
            f"{_number(task)}: {threshold_meaning(task, point)}." for task, point in zip(tasks, points)
        ),
    )


def _remarks(
    content: Mapping[str, Any], tasks: Sequence[Task], points: Sequence[OperatingPoint | None]
) -> list[tuple[str, str]]:
    """(text, code) of each remark, in the order in which they are told."""
    warnings = [ReadingWarning(str(one["code"]), one["text"]) for one in content["warnings"]]
    ordered = in_order(warnings)
    technical = [(one.text, one.code) for one in ordered if one.code in TECHNICAL]
    others = [(one.text, one.code) for one in ordered if one.code not in TECHNICAL]
    optimistic = [
        _number(task) for task, point in zip(tasks, points) if point is not None and point.optimistic
    ]
    limits = []
    if optimistic:
        of = " and ".join(optimistic)
        limits.append((f"{of}: optimistic, the threshold was tried only on the cases it was chosen on", ""))
    notice = content["notice"]
    if notice.startswith(RESEARCH_NOTICE):
        limits += [(text, "") for text in [notice.removeprefix(RESEARCH_NOTICE).strip()] if text]
        notice = RESEARCH_NOTICE
    return [*_cannot_be_excluded(content), *others, *limits, *technical, (notice, "")]


def _cannot_be_excluded(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The statuses that are left, where the models were made to tell."""
    if "call_set" not in content:
        return []
    left = [str(status) for status in content["call_set"]]
    told = ", ".join(left) if left else "none, it is unlike the calibration cases of every status"
    several = ": it cannot tell" if len(left) > 1 else ""
    return [
        (f"Cannot be excluded at {float(content['coverage']['level']):.0%} coverage: {told}{several}", "")
    ]


def _operating_point(content: Any) -> OperatingPoint | None:
    return None if content is None else operating_point_of(content["set"], content)


def _number(task: Task) -> str:
    return task.title.partition(":")[0]


def _short(task: Task) -> str:
    return f"{_number(task)}: {task.target_name}"


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
