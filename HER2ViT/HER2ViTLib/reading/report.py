"""A reading as JSON, as table rows, as a picture and as a self-contained HTML page."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from HER2ViTLib.files.output import UNWRITABLE
from HER2ViTLib.her2 import NO_CALL, TASKS, TWO_STEP, Task
from HER2ViTLib.model.operating_point import OperatingPoint, threshold_meaning

from .pictures import Picture
from .reading import Reading, TaskReading


def reading_json(reading: Reading) -> dict[str, Any]:
    """The reading as plain data, as written to `reading.json`."""
    early = reading.early_phase
    return {
        "case_id": reading.case_id,
        "call": reading.call,
        "probabilities": dict(reading.probabilities) if reading.probabilities is not None else None,
        **_call_set_json(reading),
        "slice": reading.leading_task.slice,
        "slice_axis": reading.slice_axis,
        "early_phase": {**asdict(early), "baseline": list(early.baseline)},
        "tasks": {key: _task_json(task) for key, task in reading.tasks.items()},
        "warnings": [{"code": warning.code, "text": warning.text} for warning in reading.warnings],
        "notes": list(reading.notes),
        "device": reading.device,
        "versions": dict(reading.versions),
        "inputs": [hashed.to_json() for hashed in reading.inputs],
        "notice": " ".join(reading.notices),
    }


def _call_set_json(reading: Reading) -> dict[str, Any]:
    found = reading.call_set
    if found is None:
        return {}
    return {"call_set": list(found.statuses), "coverage": found.coverage_json()}


def _task_json(task: TaskReading) -> dict[str, Any]:
    several = {} if task.spread is None else {"slices": list(task.slices), "spread": task.spread}
    return {
        "score_raw": task.score_raw,
        "score": task.score,
        "threshold": task.threshold,
        "operating_point": _operating_point_json(task.operating_point),
        "prevalence": task.prevalence,
        "slice": task.slice,
        **several,
        "area_mm2": task.area_mm2,
        "attention": asdict(task.attention),
        "bundle_sha256": task.bundle_sha256,
    }


def _operating_point_json(point: OperatingPoint | None) -> dict[str, Any] | None:
    return None if point is None else {"set": point.set_name, **point.to_json()}


def table_rows(reading: Reading) -> list[tuple[str, str]]:
    """(what, value) pairs of a reading, for a result table on the screen."""
    early = reading.early_phase
    when = "" if early.time_s is None else f", {early.time_s:.0f} s after contrast"
    rows = [("Case", reading.case_id)]
    if reading.call is not None and reading.probabilities is not None:
        rows.append(("HER2 call", reading.call))
        rows += [(f"P({status})", f"{value:.3f}") for status, value in reading.probabilities.items()]
    if reading.call_set is not None:
        rows.append(("Cannot be excluded", reading.call_set.text))
        rows += reading.call_set.coverage_rows()
    rows.append(("Early phase", f"{early.index} ({early.rule}{when})"))
    for task in TASKS.values():
        if task.key in reading.tasks:
            rows += _task_rows(task, reading.tasks[task.key])
            if task not in TWO_STEP:
                # Beside a call there are two probabilities of one status.
                rows.append(("  two-step call", "no part of it; a model of its own"))
    rows.append(("Device", reading.device))
    rows += [("Warning", f"{warning.code}: {warning.text}") for warning in reading.warnings]
    rows += [("Note", note) for note in reading.notes]
    rows += [("Notice", notice) for notice in reading.notices]
    return rows


def table_text(reading: Reading) -> str:
    """The result table as aligned plain text."""
    rows = table_rows(reading)
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _task_rows(task: Task, found: TaskReading) -> list[tuple[str, str]]:
    side, sign = ("reached", ">=") if found.score >= found.threshold else ("not reached", "<")
    target = task.target_name
    attention = found.attention
    return [
        (task.title, f"P({target}) {found.score:.3f} {sign} threshold {found.threshold:.3f} ({side})"),
        ("  at the threshold", threshold_meaning(task, found.operating_point)),
        ("  at prevalence", f"{found.prevalence:.2f} of {target} in the development set"),
        ("  slice, area", f"{found.slice}, {found.area_mm2:.1f} mm2"),
        *_slices_rows(found),
        (
            f"  attention ({attention.method})",
            f"{attention.share_in_roi:.0%} in the outline, entropy {attention.entropy:.2f}",
        ),
        ("  foci", f"{attention.foci}, {attention.focal_area_mm2:.0f} mm2 together"),
    ]


def _slices_rows(task: TaskReading) -> list[tuple[str, str]]:
    """What is said of the slices where several were read."""
    if task.spread is None:
        return []
    read = ", ".join(map(str, task.slices))
    return [
        ("  slices read", f"{read}; scored by the mean of their logits, attention is of slice {task.slice}"),
        ("  spread over slices", f"{task.spread:.3f} (SD of the logits; no confidence)"),
    ]


def report_html(reading: Reading, pictures: Sequence[Picture] = ()) -> bytes:
    """A self-contained page: call, notices, warnings, pictures, table, and what it was made from. All texts
    are escaped.

    For browsers, and in the HTML that Qt's QTextDocument prints.
    """
    rows = [row for row in table_rows(reading) if row[0] not in ("Warning", "Notice")]
    page = _page_template().render(
        reading=reading, no_call=NO_CALL, rows=rows, pictures=pictures, data=reading_json(reading)
    )
    return page.encode(errors=UNWRITABLE)


@functools.lru_cache(maxsize=1)
def _page_template() -> Any:
    """Compiled once: that takes ten times as long as a page."""
    from jinja2 import Environment, FileSystemLoader, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=select_autoescape(["html"])
    )
    return environment.get_template("report.html")
