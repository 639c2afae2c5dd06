"""The report's files, and what `her2vit report` says."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, write_results
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError
from HER2ViTTrainingLib.pages.html import html_page

from .checklists import COLUMNS, Checklist, answered_checklists, checklist_rows
from .methods import methods
from .sections import Drawing, drawing_of, parts_found
from .study import KINDS, Result, find_results, makers_of, require_fitting

RESULT_FILES = ("study.html", "checklists.csv")
METHODS = "methods"
PARTS = {
    "external": ("table2", "Table 2 has no external set: evaluate one, or say why not"),
    "sites": ("audit", "no audit by site or scanner (her2vit audit --by)"),
}
"""Parts of sections that checklist items ask for: the section, and what is said where it has no such part."""


@dataclass(frozen=True)
class Run:
    """One run as the document shows it: how it was made, of what, and what came out. `inputs`: role, hash,
    and where the study has it from.
    """

    name: str
    line: str
    inputs: Sequence[tuple[str, str, str]]
    drawing: Drawing


@dataclass(frozen=True)
class Section:
    """A section of the document and its runs."""

    key: str
    title: str
    runs: Sequence[Run]


@dataclass(frozen=True)
class Report:
    """The document as data. `missing`: what the study lacks, with what would bring it."""

    methods: Sequence[str]
    sections: Sequence[Section]
    missing: Sequence[str]
    checklists: Sequence[Checklist]


def report_of(study: os.PathLike, *, keep_names: bool) -> Report:
    """The report of the results below the folder `study`. `keep_names` shows in which of its folders each
    result lies. Raises `InputError` where there are none, or they are damaged or do not fit together.
    """
    results = find_results(Path(study))
    require_fitting(results)
    makers = makers_of(results)
    sections = []
    missing = {}
    for kind in KINDS:
        of_kind = [one for one in results if one.kind is kind]
        if of_kind:
            sections.append(Section(kind.key, kind.title, [_run(one, makers, keep_names) for one in of_kind]))
        else:
            missing[kind.key] = f"{kind.title} is missing (her2vit {kind.command})"
    lacking = list(missing.values())
    present = {METHODS: "Methods", **{one.key: one.title for one in sections}}
    found = parts_found(results)
    for part, (key, otherwise) in PARTS.items():
        if part in found:
            present[part] = present[key]
        else:
            missing[part] = otherwise
    return Report(_methods(results), sections, lacking, answered_checklists(present, missing))


def _methods(results: Sequence[Result]) -> list[str]:
    try:
        return methods(results)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"a result lacks a setting ({error}); run its command again") from error


def _run(result: Result, makers: Mapping[str, Result], keep_names: bool) -> Run:
    line = result.record.line if result.record else ""
    inputs = [(role, sha256, _origin(makers.get(sha256), keep_names)) for role, sha256 in result.inputs]
    return Run(result.name if keep_names else "", line, inputs, drawing_of(result))


def _origin(maker: Result | None, keep_names: bool) -> str:
    if maker is None:
        return "given to the study"
    return f"{maker.kind.title}{f' ({maker.name})' if keep_names else ''}"


def write_report(report: Report, folder: os.PathLike) -> list[str]:
    """Writes `study.html` and `checklists.csv` into a folder of their own; returns their names. Raises
    `InputError` when the folder holds anything else.
    """
    page = html_page(
        "study.html",
        {},
        {"base64": _base64},
        report=report,
        anchors={part: key for part, (key, _) in PARTS.items()},
        version=__version__,
    )
    rows: list[dict[str, Any]] = checklist_rows(report.checklists)
    return write_results(
        folder, RESULT_FILES, {"study.html": page, "checklists.csv": csv_bytes(COLUMNS, rows)}
    )


def _base64(png: bytes) -> str:
    return base64.b64encode(png).decode()


def report_text(report: Report) -> str:
    """What is there, what is missing and how the checklists stand, for the screen."""
    lines = [f"{one.title}: {len(one.runs)}" for one in report.sections]
    lines += report.missing
    for checklist in report.checklists:
        states = [answer.answered for answer in checklist.answers]
        counts = ", ".join(f"{states.count(name)} {name}" for name in ("yes", "in part", "open"))
        lines.append(f"{checklist.name}: {len(states)} items: {counts}")
    return "\n".join([*lines, RESEARCH_NOTICE])
