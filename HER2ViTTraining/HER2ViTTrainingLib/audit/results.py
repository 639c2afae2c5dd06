"""The files of an audit, and what `her2vit audit` says."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import scipy
import sklearn

from HER2ViTLib import __version__
from HER2ViTLib.files.output import json_bytes, write_results
from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTTrainingLib.evaluation.judging import OPTIMISM_NOTICE
from HER2ViTTrainingLib.pages.texts import estimate_text, p_text

from .auditing import Audit, ColumnAudit, SetAudit
from .measures import SIZES
from .page import audit_html
from .sentences import exploratory, optimistic, trained_on
from .sites import MIN_PATIENTS, PARTITIONS
from .subgroups import MIN_CLASS_PATIENTS, LevelResult

PICTURES = ("auc_by_level.png", "tells_level.png")
RESULT_FILES = ("audit.json", "audit.html", *PICTURES)
VERSIONS = {
    "her2vit": __version__,
    "numpy": np.__version__,
    "scikit-learn": sklearn.__version__,
    "scipy": scipy.__version__,
}


def audit_json(audit: Audit) -> dict[str, Any]:
    """`audit.json`: everything the page shows, with how it was made."""
    return {
        "notice": RESEARCH_NOTICE,
        "optimism": OPTIMISM_NOTICE,
        "exploratory": exploratory(audit),
        "versions": VERSIONS,
        "inputs": [{"role": role, "sha256": sha256} for role, sha256 in audit.about.inputs],
        "bootstrap": {**asdict(audit.plan), "unit": "patient", "interval": "percentile, 95 %"},
        "classifier": {"partitions": PARTITIONS, "min_patients": MIN_PATIENTS},
        "heterogeneity_min_patients_of_a_class": MIN_CLASS_PATIENTS,
        "columns": dict(audit.about.columns),
        "sets_with_one_class": list(audit.about.one_class),
        "notes": [*audit.about.notes, *audit.notes],
        "sets": {one.audited.cases.name: _set_json(one) for one in audit.sets},
    }


def _set_json(one: SetAudit) -> dict[str, Any]:
    audited = one.audited
    return {
        "n": len(audited.first),
        "positive": int(audited.cases.labels[audited.first].sum()),
        "patients": len(set(audited.patients.tolist())),
        "out_of_fold": audited.cases.models is not None,
        "optimistic": optimistic(one),
        "auc": asdict(one.overall.metrics.estimates["auc"]),
        "threshold": one.overall.shown_threshold,
        "threshold_source": one.overall.threshold_source,
        "notes": list(one.overall.notes),
        "size": {name: size and asdict(size) for name, size in one.sizes.items()},
        "columns": {name: _column_json(one, name, column) for name, column in one.columns.items()},
    }


def _column_json(one: SetAudit, name: str, column: ColumnAudit) -> dict[str, Any]:
    test = column.subgroups.heterogeneity
    return {
        "pooled": list(column.pooled),
        "without_level": column.missing,
        "alone": {"auc": asdict(column.site.alone), "why_not": column.site.why_not},
        "told_by": {
            told.question.source: {
                "auc": asdict(told.auc),
                "n": dict(told.question.n),
                "auc_by_status_and_level": told.levels,
                "too_few_patients": told.question.too_few,
                "left_out": told.question.left_out,
                "why_not": told.question.why_not,
            }
            for told in column.site.told
        },
        "levels": {level.level: _level_json(level) for level in column.subgroups.levels},
        "heterogeneity": asdict(test) if test else None,
        "left_out_of_heterogeneity": dict(column.subgroups.left_out),
        "trained_on": trained_on(one, name),
    }


def _level_json(level: LevelResult) -> dict[str, Any]:
    metrics = level.result.metrics.estimates
    return {
        "n": level.n,
        "positive": level.positive,
        "prevalence": asdict(level.prevalence),
        **{name: asdict(metrics[name]) for name in ("auc", "sensitivity", "specificity")},
        "mean_predicted": level.predicted,
        "calibration": asdict(level.line) if level.line else None,
        "seen_in_training": level.seen,
        "notes": list(level.result.notes),
    }


def write_audit(audit: Audit, folder: str | os.PathLike, pictures: Mapping[str, bytes]) -> list[str]:
    """Writes the results, with their pictures (name to PNG), into a folder of their own; those of a former
    run go. Returns the files' names.

    Raises `InputError` when the folder holds anything else.
    """
    contents = {
        "audit.json": json_bytes(audit_json(audit)),
        "audit.html": audit_html(audit, pictures, VERSIONS),
        **pictures,
    }
    return write_results(folder, RESULT_FILES, contents)


def audit_text(audit: Audit) -> str:
    """The main figures in plain lines, for the screen."""
    lines = []
    for one in audit.sets:
        auc = estimate_text(one.overall.metrics.estimates["auc"])
        lines.append(f"{one.audited.cases.name}: AUC of the score {auc}")
        for name, size in one.sizes.items():
            if size:
                difference = estimate_text(size.comparison.difference)
                lines.append(
                    f"  {SIZES[name]} alone {size.comparison.other_auc:.2f}; score minus it {difference}"
                )
        for name, column in one.columns.items():
            lines += _column_lines(name, column)
    return "\n".join([*lines, exploratory(audit), OPTIMISM_NOTICE, RESEARCH_NOTICE])


def _column_lines(name: str, column: ColumnAudit) -> list[str]:
    site = column.site
    lines = [f"  {name} alone tells the label: {site.why_not or estimate_text(site.alone)}"]
    for told in site.told:
        found = told.question.why_not or estimate_text(told.auc)
        lines.append(f"  {told.question.source} tells {name}: {found}")
    test = column.subgroups.heterogeneity
    if test and not math.isnan(test.p):
        lines.append(f"  AUC differs by {name}: Q {test.q:.2f}, df {test.df}, p {p_text(test.p)}")
    return lines
