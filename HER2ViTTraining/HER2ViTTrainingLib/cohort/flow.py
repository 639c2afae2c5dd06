"""Who of a cohort was assessed, excluded (and why), included, trained on and validated with: as data, as
text, as a diagram; and the files of it.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, json_bytes, prepare_folder, write_atomically
from HER2ViTLib.her2 import TASKS
from HER2ViTLib.messages import RESEARCH_NOTICE, ReadingWarning
from HER2ViTTrainingLib.tables.grouping import grouped

from .columns import COUNTED_STATUSES, RESULT_COLUMNS, SET_NAMES
from .flow_diagram import flow_png, status_counts
from .manifest import Case, Cohort
from .one_sided import one_sided_cohorts
from .splits import PER_TASK, PER_TASK_NOTE, VALIDATION_SHARE, Splits

RESULT_FILES = ("cases.csv", "splits.json", "flow.json", "flow.png")
"""What `cohort` writes."""


def flow(cohort: Cohort, splits: Splits) -> dict[str, Any]:
    """Who was assessed, excluded (why) and included, per cohort, and the sets of the split: `flow.json`, and
    what the diagram shows.
    """
    cases = {case.case_id: case for case in cohort.cases}
    groups = grouped(cohort.cases, lambda case: (case.role, case.cohort))

    def counts_of(case_ids: Sequence[str]) -> dict[str, int]:
        return _counts([cases[case_id] for case_id in case_ids])

    tasks = {}
    for name, task in splits.tasks.items():
        tasks[name] = {
            "training": counts_of(task.training),
            "validation": counts_of(task.validation),
            "folds": list(map(counts_of, task.folds)),
        }
    split = {
        "kind": splits.kind,
        "seed": splits.seed,
        "validation_share": VALIDATION_SHARE,
        "sha256": splits.sha256,
        "tasks": tasks,
    }
    return {
        "cohorts": [
            {"cohort": name, "role": role, **_flow_of(group)}
            for (role, name), group in sorted(groups.items())
        ],
        "total": _flow_of(cohort.cases),
        "development": _counts(cohort.development),
        "split": {**split, "note": PER_TASK_NOTE} if splits.kind == PER_TASK else split,
        "warnings": [
            {"code": warning.code, "text": warning.text}
            for warning in (*cohort.warnings, *_missing_classes(cohort), *_one_sided_cohorts(cohort))
        ],
        "versions": {"her2vit": __version__},
        "inputs": [{"role": "manifest", "sha256": cohort.sha256}],
        "notice": RESEARCH_NOTICE,
    }


def _flow_of(cases: Sequence[Case]) -> dict[str, Any]:
    reasons = Counter(case.reason for case in cases if not case.included)
    return {
        "assessed": len(cases),
        "excluded": sum(reasons.values()),
        "reasons": [
            {"reason": reason, "n": n}
            for reason, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        ],
        "included": _counts([case for case in cases if case.included]),
    }


def _counts(cases: Sequence[Case]) -> dict[str, int]:
    of_status = Counter(case.her2_status for case in cases)
    by_status = {status.value: of_status[status] for status in COUNTED_STATUSES}
    return {"n": len(cases), "patients": len({case.patient_id for case in cases}), **by_status}


def _missing_classes(cohort: Cohort) -> list[ReadingWarning]:
    """A task without cases of one class cannot be trained; another one may still be."""
    if not cohort.development:
        return [
            ReadingWarning(
                "no_development", "no development case is included: nothing to train on, external cases only"
            )
        ]
    warnings = []
    for task in TASKS.values():
        there = {case.label(task) for case in cohort.development}
        for value, label in ((0, task.other_name), (1, task.target_name)):
            if value not in there:
                text = f"no development case is {label}: {task.title} cannot be trained"
                warnings.append(ReadingWarning("missing_class", text))
    return warnings


def _one_sided_cohorts(cohort: Cohort) -> list[ReadingWarning]:
    by_task = (one_sided_cohorts(cohort, task) for task in TASKS.values())
    return list(itertools.chain.from_iterable(by_task))


def flow_text(data: Mapping[str, Any]) -> str:
    """The flow in plain lines, for the screen."""
    lines = []
    for group in data["cohorts"]:
        assessed = f"{group['assessed']} assessed, {group['excluded']} excluded"
        lines.append(f"{group['cohort']} ({group['role']}): {assessed}, {_counts_text(group['included'])}")
        lines += [f"  excluded {entry['n']}: {entry['reason']}" for entry in group["reasons"]]
    for name, task in data["split"]["tasks"].items():
        lines += [f"{name} {part}: {_counts_text(task[part])}" for part in SET_NAMES]
        lines += [f"{name} fold {n}: {_counts_text(fold)}" for n, fold in enumerate(task["folds"], start=1)]
    if "note" in data["split"]:
        lines.append(data["split"]["note"])
    lines += [f"warning {warning['code']}: {warning['text']}" for warning in data["warnings"]]
    return "\n".join(lines)


def _counts_text(counts: Mapping[str, int]) -> str:
    of = "" if counts["patients"] == counts["n"] else f" of {counts['patients']} patients"
    by_status = ", ".join(f"{n} {status}" for status, n in status_counts(counts).items())
    return f"{counts['n']} cases{of} ({by_status})"


# Results


def write_cohort(cohort: Cohort, splits: Splits, folder: str | os.PathLike) -> list[str]:
    """Writes `cases.csv`, `splits.json`, `flow.json` and `flow.png`; returns their names. Raises `InputError`
    for a folder with other content.
    """
    folder = prepare_folder(folder, RESULT_FILES)
    data = flow(cohort, splits)
    contents = {
        "cases.csv": _cases_csv(cohort),
        "splits.json": splits.to_json(),
        "flow.json": json_bytes(data),
        "flow.png": flow_png(data),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return list(contents)


def _cases_csv(cohort: Cohort) -> bytes:
    """The manifest with the status as resolved, `included` (yes or no) and the reason why not, in the
    manifest's order.
    """
    columns = [*cohort.columns, *(name for name in RESULT_COLUMNS if name not in cohort.columns)]

    def row(case: Case) -> dict[str, str]:
        status = case.her2_status.value if case.her2_status else ""
        return {
            **case.row.values,
            "her2_status": status,
            "included": "yes" if case.included else "no",
            "reason": case.reason,
        }

    return csv_bytes(columns, map(row, cohort.cases))
