"""How well the hidden variables themselves tell the classes apart: what no model can beat by much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from HER2ViTLib.her2 import TASKS, HER2Status
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.stats.calibration import logistic_fit
from HER2ViTTrainingLib.stats.roc import auc


def oracle_auc(truth: Sequence[Mapping[str, Any]], task: str) -> float:
    """The AUC of a logistic regression on the two latent variables, in the cases it was fitted to.

    `truth` are rows of truth.csv (`her2_status, heterogeneity, rim`), `task` a task's name ("zero-vs-rest",
    "low-vs-positive"). Raises `InputError` where the cases are all of one class.
    """
    labels: list[int] = []
    design: list[tuple[float, float, float]] = []
    for row in truth:
        label = TASKS[task].label(HER2Status(row["her2_status"]))
        if label is not None:
            labels.append(label)
            design.append((1.0, float(row["heterogeneity"]), float(row["rim"])))
    if len(set(labels)) < 2:
        raise InputError(f"oracle AUC of {task}: the cases are all of one class; simulate more")
    try:
        weights, _ = logistic_fit(np.array(design), np.array(labels))
    except ValueError:
        # Without a finite optimum a line between the classes leaves no case on the wrong side.
        return 1.0
    return auc(np.array(labels), np.array(design) @ weights)
