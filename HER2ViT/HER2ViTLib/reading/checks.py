"""What is doubtful about a reading: the slice, the call, a case unlike the training set."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from HER2ViTLib.imaging.volume import bounding_box
from HER2ViTLib.messages import ReadingWarning
from HER2ViTLib.model.preprocessing import Patch
from HER2ViTLib.model.properties import UNITS

from .reading import TaskReading

SMALL_LESION_MM2 = 10.0


def slice_warnings(roi: np.ndarray, patches: Sequence[Patch]) -> list[ReadingWarning]:
    """What is unusual about the outline on the chosen slices, or where it touches the image's border."""
    warnings = []
    for index, area_mm2 in dict.fromkeys((patch.slice, patch.area_mm2) for patch in patches):
        outline = np.ascontiguousarray(roi[index][bounding_box(roi[index])], dtype=np.uint8)
        parts = cv2.connectedComponents(outline, connectivity=8)[0] - 1
        if parts > 1:
            warnings.append(
                ReadingWarning(
                    "multifocal", f"the outline has {parts} separate parts on slice {index}; all were kept"
                )
            )
        if area_mm2 < SMALL_LESION_MM2:
            warnings.append(
                ReadingWarning("small_lesion", f"the outline covers only {area_mm2:.1f} mm2 on slice {index}")
            )
    first_and_last = len(roi) > 1 and (roi[0].any() or roi[-1].any())
    if first_and_last or roi[:, [0, -1]].any() or roi[:, :, [0, -1]].any():
        warnings.append(
            ReadingWarning(
                "lesion_at_border", "the outline touches the image's border; the lesion may be cut off"
            )
        )
    return warnings


def unlike_training(
    task_key: str, properties: Mapping[str, float], limits: Mapping[str, tuple[float, float]]
) -> list[ReadingWarning]:
    """Warns of each property of a case (see `case_properties`) that lies outside what the model was trained
    on.

    `limits` are the 1st and 99th percentile of the training set by property; what is not known of the case is
    passed over.
    """
    warnings = []
    for name, (low, high) in limits.items():
        value = properties.get(name)
        if value is None or low <= value <= high:
            continue
        unit = UNITS.get(name, "")
        text = (
            f"{task_key}: {name.replace('_', ' ')} {value:.3g}{unit} lies outside the training set's 1st to"
            f" 99th percentile ({low:.3g} to {high:.3g}{unit})"
        )
        warnings.append(ReadingWarning("unlike_training", text))
    return warnings


def slice_count_warnings(task_key: str, count: int, own: int) -> list[ReadingWarning]:
    """Says so when a model reads another number of slices than its bundle's `own`."""
    if count == own:
        return []
    text = (
        f"{task_key}: up to {count} slices were read, the bundle was made for {own}; calibration and"
        f" threshold are the bundle's own, for {own}"
    )
    return [ReadingWarning("slice_count", text)]


def attention_warnings(tasks: Sequence[TaskReading]) -> list[ReadingWarning]:
    """Says so when two tasks have one and the same map, which is then no evidence of either's own."""
    maps = [task.attention_map for task in tasks]
    for one, other in itertools.combinations(maps, 2):
        if np.array_equal(one, other):
            text = (
                f"two tasks have the same attention map: their models differ in the last layer only, which"
                f" {tasks[0].attention.method} does not see; --attention gradient does"
            )
            return [ReadingWarning("same_attention", text)]
    return []


def call_warnings(
    call: str, probabilities: Mapping[str, float], task1: TaskReading, task2: TaskReading
) -> list[ReadingWarning]:
    """Says so when the thresholds' call is not the most probable status."""
    likeliest = max(probabilities, key=probabilities.__getitem__)
    if likeliest == call:
        return []
    text = (
        f"the call {call} follows the thresholds (p1 {task1.score:.3f} against t1 {task1.threshold:.3f}, p2"
        f" {task2.score:.3f} against t2 {task2.threshold:.3f}); the most probable status is {likeliest}"
        f" ({probabilities[likeliest]:.2f})"
    )
    return [ReadingWarning("call_differs_from_most_probable", text)]
