"""The first lines of a bundle's card, for who is about to choose it: from its config.json alone, at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from HER2ViTLib.files.inputs import read_file
from HER2ViTLib.her2 import TASKS, Task
from HER2ViTLib.messages import InputError, faults_of

from .config_file import CONFIG_FILE, MAX_CONFIG_BYTES, parse_config, section_of
from .operating_point import most_telling, operating_point_of, threshold_meaning

_MAX_TEXT = 300
_NOT_ESTIMATED_ON = ("training", "validation")


def model_card_lines(folder: str | os.PathLike) -> tuple[str, ...]:
    """The task; the model's notice if it has one; trained on what, validated how, its licence: a line each.

    The bundle is not verified: that takes torch and its weights (`load_bundle`). Raises `InputError` for a
    folder without a config.json that names one of our tasks.
    """
    folder = Path(folder)
    raw_config = read_file(folder / CONFIG_FILE, "a bundle", MAX_CONFIG_BYTES)
    with faults_of(str(folder)):
        config = parse_config(raw_config)
        ours = section_of(config, "her2vit")
        task = TASKS.get(str(ours.get("task")))
        if task is None:
            raise InputError(
                f"{CONFIG_FILE}: task {ours.get('task')!r}; it must be one of {', '.join(TASKS)}"
            )
        sets = _mapping(_mapping(ours.get("provenance")).get("sets"))
        lines = [task.title, _one_line(ours.get("notice")), _trained_on(task, sets)]
        lines += [_validated_on(task, ours, sets), _licence(config)]
    return tuple(line for line in lines if line)


def _trained_on(task: Task, sets: Mapping[str, Any]) -> str:
    cases = _cases(task, sets.get("training"))
    return f"Trained on {cases}." if cases else "Trained on: the model does not say."


def _validated_on(task: Task, ours: Mapping[str, Any], sets: Mapping[str, Any]) -> str:
    """What its threshold gave; of a bundle that does not say, the AUC on cases it was not made with."""
    points = section_of(ours, "operating_point")
    point = most_telling([operating_point_of(name, content) for name, content in points.items()])
    if point is not None:
        return f"Threshold: {threshold_meaning(task, point)}."
    told = []
    for name, figures in sets.items():
        area = _mapping(figures).get("auc")
        if name not in _NOT_ESTIMATED_ON and isinstance(area, float):
            told.append(f"{_one_line(name)} ({_cases(task, figures)}): AUC {area:.2f}")
    if told:
        return f"Validated on {'; '.join(told)}."
    return "Validated on: no cases but those it was made with, as far as the model says."


def _cases(task: Task, figures: Any) -> str:
    """How many cases a set has, and how many of them are of the target; empty where that is not told."""
    counts = [_mapping(figures).get(name) for name in ("n", "n_pos")]
    if not all(isinstance(count, int) for count in counts):
        return ""
    return f"{counts[0]} cases, {counts[1]} of them {task.target_name}"


def _licence(config: Mapping[str, Any]) -> str:
    """timm keeps a model's licence in its pretrained_cfg."""
    named = _one_line(_mapping(config.get("pretrained_cfg")).get("license"))
    return f"Licence: {named}." if named else "Licence: the model does not say."


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _one_line(text: Any) -> str:
    """A text of a file that may come from anyone, on one line of bearable length; empty for anything else."""
    if not isinstance(text, str):
        return ""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:_MAX_TEXT]
