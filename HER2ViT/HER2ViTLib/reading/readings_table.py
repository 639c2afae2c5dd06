"""Readings as rows of a table, `readings.csv`: which columns it has, and what stands in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from HER2ViTLib.her2 import TASKS, TWO_STEP

_TASK_COLUMNS = (
    "score",
    "score_raw",
    "threshold",
    "slice",
    "area_mm2",
    "entropy",
    "share_in_roi",
    "foci",
    "focal_area_mm2",
    "bundle_sha256",
)
_TASK_COLUMNS_OF_SEVERAL_SLICES = ("slices", "spread")
_COLUMNS_BEFORE = (
    "case_id",
    "call",
    "p_zero",
    "p_low",
    "p_positive",
    "slice",
    "early_phase",
    "early_phase_rule",
    "attention",
)
_CALL_SET_COLUMNS = ("call_set", "coverage")
NONE_LEFT = "none"
"""In the column call_set, where every status was excluded."""
_COLUMNS_AFTER = ("warnings", "her2vit", "notice")


def readings_columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The table's columns: those of the two-step call always, those of what cannot be excluded where a bundle
    tells it, those of another task where it was read, those of several slices where some case of the task was
    read on several.
    """
    filled = set().union(*rows)
    columns = [*_COLUMNS_BEFORE]
    columns += [column for column in _CALL_SET_COLUMNS if column in filled]
    for task in TASKS.values():
        if task in TWO_STEP or f"{task.key}_score" in filled:
            columns += [f"{task.key}_{column}" for column in _TASK_COLUMNS]
        if f"{task.key}_spread" in filled:
            columns += [f"{task.key}_{column}" for column in _TASK_COLUMNS_OF_SEVERAL_SLICES]
    return [*columns, *_COLUMNS_AFTER]


def reading_row(reading: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a `reading.json` as a row of `readings.csv`; numbers with a fraction to six decimals."""
    tasks = reading["tasks"]
    first = list(tasks.values())[0]  # noqa: RUF015  without a task an error that callers expect
    early = reading["early_phase"]
    row = {
        "case_id": reading["case_id"],
        "call": reading["call"],
        **{f"p_{status}": value for status, value in (reading["probabilities"] or {}).items()},
        "slice": reading["slice"],
        "early_phase": early["index"],
        "early_phase_rule": early["rule"],
        "attention": first["attention"]["method"],
        "warnings": " ".join(dict.fromkeys(warning["code"] for warning in reading["warnings"])),
        "her2vit": reading["versions"]["her2vit"],
        "notice": reading["notice"],
    }
    if "call_set" in reading:
        row["call_set"] = ";".join(reading["call_set"]) or NONE_LEFT
        row["coverage"] = reading["coverage"]["level"]
    for key, task in tasks.items():
        values = {**task, **task["attention"]}
        row.update({f"{key}_{column}": values[column] for column in _TASK_COLUMNS})
        if "slices" in task:
            row[f"{key}_slices"] = ";".join(map(str, task["slices"]))
            row[f"{key}_spread"] = task["spread"]
    return {column: f"{value:.6f}" if isinstance(value, float) else value for column, value in row.items()}
