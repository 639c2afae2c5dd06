"""The files of an evaluation: metrics, Table 2, comparisons, subgroups; and what `her2vit evaluate` says."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, json_bytes, write_results
from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTTrainingLib.pages.html import html_page
from HER2ViTTrainingLib.pages.texts import aligned, estimate_text, p_text, with_decimals
from HER2ViTTrainingLib.stats.estimates import Estimate
from HER2ViTTrainingLib.stats.resampling import METRICS

from .judging import OPTIMISM_NOTICE, Evaluation, SetResult

PICTURES = ("roc.png", "confusion.png", "calibration.png", "decision_curve.png")
RESULT_FILES = (
    "metrics.csv",
    "metrics.json",
    "table2.csv",
    "table2.html",
    "subgroups.csv",
    "comparison.csv",
    *PICTURES,
)
TABLE2_COLUMNS = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "f1": "F1",
}
VERSIONS = {"her2vit": __version__, "numpy": np.__version__}
_UNDEFINED = Estimate(math.nan)


def metrics_row(result: SetResult) -> dict[str, Any]:
    """A row of `metrics.csv`."""
    row = {
        "set": result.cases.name,
        **result.counts,
        "threshold": result.shown_threshold,
        "threshold_source": result.threshold_source,
    }
    for name in METRICS:
        row.update(_columns(name, result.metrics.estimates[name]))
    row.update(auc_delong_low=result.delong.low, auc_delong_high=result.delong.high)
    line = result.calibration
    row.update(_columns("calibration_slope", line.slope if line else _UNDEFINED))
    row.update(_columns("calibration_intercept", line.intercept if line else _UNDEFINED))
    return {**row, "redrawn": result.metrics.redrawn, "notes": "; ".join(result.notes)}


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def comparison_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Rows of `comparison.csv`: `score` against each other column, per set."""
    return [
        {
            "set": result.cases.name,
            "score": "score",
            "other": column,
            "n": len(result.cases.labels),
            "auc": test.auc,
            "auc_other": test.other_auc,
            **_columns("difference", test.difference),
            "z": test.z,
            "p": test.p,
        }
        for result in evaluation.sets
        for column, test in result.comparisons.items()
    ]


def table2_rows(evaluation: Evaluation) -> list[dict[str, str]]:
    """The study's Table 2: a row per set, point estimates with 95 % intervals to two decimals."""
    rows = []
    for result in evaluation.sets:
        labels = result.cases.labels
        row = {"set": result.cases.name, "n (positive)": f"{len(labels)} ({labels.sum()})"}
        for name, title in TABLE2_COLUMNS.items():
            row[title] = estimate_text(result.metrics.estimates[name])
        shown = result.shown_threshold
        row["threshold"] = shown if isinstance(shown, str) else with_decimals(shown)
        row["threshold from"] = result.threshold_source
        rows.append(row)
    return rows


def table2_text(evaluation: Evaluation) -> str:
    """Table 2 as aligned plain text, with the notices."""
    rows = table2_rows(evaluation)
    table = aligned([list(rows[0]), *(list(row.values()) for row in rows)])
    return "\n".join([*table, OPTIMISM_NOTICE, RESEARCH_NOTICE])


def metrics_json(evaluation: Evaluation) -> dict[str, Any]:
    """`metrics.json`: per set everything there is, with how it was made."""
    plan = evaluation.plan
    return {
        "notice": RESEARCH_NOTICE,
        "optimism": OPTIMISM_NOTICE,
        "versions": VERSIONS,
        "inputs": [{"role": "predictions", "sha256": evaluation.sha256}],
        "positive": "score >= threshold",
        "bootstrap": {
            **asdict(plan),
            "unit": "patient" if evaluation.by_patient else "case",
            "interval": "percentile, 95 %",
        },
        "notes": list(evaluation.notes),
        "sets": {result.cases.name: _set_json(result) for result in evaluation.sets},
        "subgroups": [
            {"column": column, "level": level, "set": result.cases.name, **_set_json(result)}
            for column, level, result in evaluation.subgroups
        ],
    }


def _set_json(result: SetResult) -> dict[str, Any]:
    curve = result.decision
    return {
        **result.counts,
        "threshold": result.shown_threshold,
        "threshold_source": result.threshold_source,
        "metrics": {name: asdict(estimate) for name, estimate in result.metrics.estimates.items()},
        "delong": {"low": result.delong.low, "high": result.delong.high},
        "youden": {**asdict(result.optimum), "j": result.optimum.j} if result.optimum else None,
        "calibration": asdict(result.calibration) if result.calibration else None,
        "decision_curve": (
            {name: values.tolist() for name, values in asdict(curve).items()} if curve else None
        ),
        "comparisons": {column: asdict(test) for column, test in result.comparisons.items()},
        "redrawn": result.metrics.redrawn,
        "undefined": {name: times for name, times in result.metrics.undefined.items() if times},
        "notes": list(result.notes),
    }


def table2_html(evaluation: Evaluation, pictures: Mapping[str, bytes]) -> bytes:
    """Table 2 as a self-contained page, with notices, comparisons, notes and pictures (name to PNG). All
    texts are escaped.
    """
    return html_page(
        "table2.html",
        pictures,
        {"estimate": estimate_text, "p": p_text},
        rows=table2_rows(evaluation),
        evaluation=evaluation,
        optimism=OPTIMISM_NOTICE,
        versions=VERSIONS,
    )


def write_evaluation(
    evaluation: Evaluation, folder: str | os.PathLike, pictures: Mapping[str, bytes]
) -> list[str]:
    """Writes the results, with their pictures (name to PNG), into a folder of their own; those of a former
    run go. Returns the files' names.

    Raises `InputError` when the folder holds anything else.
    """
    rows = [metrics_row(result) for result in evaluation.sets]
    table2 = [{**row, "notice": f"{OPTIMISM_NOTICE} {RESEARCH_NOTICE}"} for row in table2_rows(evaluation)]
    subgroups = [
        {"by": column, "level": level, **metrics_row(result)}
        for column, level, result in evaluation.subgroups
    ]
    comparison = comparison_rows(evaluation)
    contents = {
        "metrics.csv": csv_bytes(list(rows[0]), rows),
        "metrics.json": json_bytes(metrics_json(evaluation)),
        "table2.csv": csv_bytes(list(table2[0]), table2),
        "table2.html": table2_html(evaluation, pictures),
        **({"subgroups.csv": csv_bytes(list(subgroups[0]), subgroups)} if subgroups else {}),
        **({"comparison.csv": csv_bytes(list(comparison[0]), comparison)} if comparison else {}),
        **pictures,
    }
    return write_results(folder, RESULT_FILES, contents)
