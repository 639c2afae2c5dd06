"""The results of a prognosis: the files that `her2vit prognosis` writes, Table 3 as a page, and what the
command says.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import lifelines
import numpy as np
import pandas as pd

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, json_bytes, write_results
from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTTrainingLib.pages.html import html_page
from HER2ViTTrainingLib.pages.texts import aligned, p_text, with_decimals
from HER2ViTTrainingLib.stats.estimates import Estimate

from .prognosis import ENTRY_P, Prognosis

PICTURES = ("km.png", "forest.png")
RESULT_FILES = ("logrank.json", "km.csv", "cox.csv", "table3.csv", "table3.html", *PICTURES)
KM_COLUMNS = ("group", "time", "at_risk", "events", "censored", "survival", "low", "high")
COX_COLUMNS = (
    "variable",
    "model",
    "hr",
    "ci_low",
    "ci_high",
    "p",
    "n",
    "events",
    "reference",
    "ph_p",
    "concordance",
    "warning",
)

_PLAIN_RATIOS = (1e-3, 1e5)

METHODS = (
    (
        "Survival: Kaplan-Meier; 95 % bands and intervals of medians on the log scale with Greenwood's"
        " variance (the default of R's survfit)."
    ),
    (
        "Groups: log-rank test over all groups; for each pair as well, with Holm's correction beside. A group"
        " that is censored before the first event does not count in the degrees of freedom; a pair with"
        " nothing to compare is empty and does not count in Holm's correction. Times that differ by round-off"
        " alone are ties, here and everywhere (R's timefix)."
    ),
    (
        "Hazard ratios: Cox model, Efron's method for ties, cases complete for the model, Wald intervals (95"
        " %) and p values; continuous variables per unit, levels against the reference level. With --select"
        f" p the multivariable model takes the variables whose univariable p is below {ENTRY_P} (Wald test"
        " over all their levels)."
    ),
    (
        "Proportional hazards: lifelines' proportional_hazard_test on Kaplan-Meier time (not the score test"
        " of R's cox.zph, whose p differs). Concordance: Harrell's, of the model in the cases it was fitted"
        " to, hence optimistic."
    ),
)


def km_rows(found: Prognosis) -> list[dict[str, Any]]:
    """Rows of `km.csv`: every curve from time 0 on."""
    rows: list[dict[str, Any]] = []
    for curve in found.curves:
        if curve.times[0] > 0:
            rows.append(dict(zip(KM_COLUMNS, (curve.name, 0.0, curve.n, 0, 0, 1.0, 1.0, 1.0))))
        columns = (
            *(curve.times, curve.at_risk, curve.events, curve.censored),
            *(curve.survival, curve.low, curve.high),
        )
        for values in zip(*(column.tolist() for column in columns)):
            rows.append(dict(zip(KM_COLUMNS, (curve.name, *values))))
    return rows


def cox_rows(found: Prognosis) -> list[dict[str, Any]]:
    """Rows of `cox.csv`: the univariable models, then the multivariable one."""
    models = [*found.univariable, *([found.multivariable] if found.multivariable else [])]
    return [
        {
            "variable": row.variable,
            "model": row.model,
            "hr": row.ratio.value,
            "ci_low": row.ratio.low,
            "ci_high": row.ratio.high,
            "p": row.p,
            "n": model.n,
            "events": model.events,
            "reference": row.reference,
            "ph_p": row.ph_p,
            "concordance": model.concordance,
            "warning": "; ".join(found.warnings),
        }
        for model in models
        for row in model.ratios
    ]


def ratio_text(ratio: Estimate) -> str:
    """`2.10 (1.11, 3.99)`; up to two digits more where an interval is so narrow that both ends would read the
    same, powers of ten where its upper end is very large or small (a covariate in units far from its
    spread)."""
    if not _PLAIN_RATIOS[0] <= ratio.high < _PLAIN_RATIOS[1]:
        return f"{ratio.value:.3g} ({ratio.low:.3g}, {ratio.high:.3g})"
    digits = next((n for n in (2, 3) if f"{ratio.low:.{n}f}" != f"{ratio.high:.{n}f}"), 4)
    return f"{ratio.value:.{digits}f} ({ratio.low:.{digits}f}, {ratio.high:.{digits}f})"


def table3_rows(found: Prognosis) -> list[dict[str, str]]:
    """The study's Table 3: a row per variable or level, hazard ratio, interval and p of the univariable and
    the multivariable model.
    """
    adjusted = {row.variable: row for row in found.multivariable.ratios} if found.multivariable else {}
    rows = []
    for variable, model in zip(found.variables, found.univariable):
        for row in model.ratios:
            other = adjusted.get(row.variable)
            rows.append(
                {
                    "variable": row.variable + (f" vs {variable.reference}" if variable.reference else ""),
                    "n (events)": f"{model.n} ({model.events})",
                    "univariable HR (95% CI)": ratio_text(row.ratio),
                    "p": p_text(row.p),
                    "multivariable HR (95% CI)": ratio_text(other.ratio) if other else "not entered",
                    "multivariable p": p_text(other.p) if other else "",
                }
            )
    return rows


def group_rows(found: Prognosis) -> list[dict[str, Any]]:
    """The groups of `logrank.json`: size, events and median with its interval (NaN: not reached)."""
    rows = []
    for curve in found.curves:
        median = curve.median
        rows.append(
            {
                "name": curve.name,
                "n": curve.n,
                "events": int(curve.events.sum()),
                "median": median.value,
                "median_low": median.low,
                "median_high": median.high,
            }
        )
    return rows


def median_text(row: Mapping[str, float]) -> str:
    """`1807 (1528, not reached)`, or `not reached`."""
    value, low, high = (
        "not reached" if math.isnan(row[name]) else f"{row[name]:g}"
        for name in ("median", "median_low", "median_high")
    )
    return value if value == low == high else f"{value} ({low}, {high})"


def versions() -> dict[str, str]:
    """Versions of what computed the results."""
    return {
        "her2vit": __version__,
        "python": platform.python_version(),
        "lifelines": lifelines.__version__,
        "numpy": np.__version__,
        "pandas": pd.__version__,
    }


def logrank_json(found: Prognosis) -> dict[str, Any]:
    """`logrank.json`: the tests and groups, and how they came about."""
    test = found.overall
    model = found.multivariable
    compared = found.question.group or found.question.score
    return {
        "statistic": test.statistic,
        "df": test.df if compared else None,
        "p": test.p,
        "groups": group_rows(found),
        "pairwise": [asdict(pair) for pair in found.pairs],
        "warnings": list(found.warnings),
        "notes": list(found.notes),
        "question": asdict(found.question),
        "multivariable": (
            {
                "variables": found.entered,
                "n": model.n,
                "events": model.events,
                "concordance": model.concordance,
            }
            if model
            else None
        ),
        "methods": METHODS,
        "inputs": [{"role": role, "sha256": sha256} for role, sha256 in found.cases.inputs],
        "versions": versions(),
        "notice": RESEARCH_NOTICE,
    }


def prognosis_text(found: Prognosis) -> str:
    """Groups, log-rank test and Table 3 as plain text, with warnings, notes and the notice."""
    lines = [
        f"{row['name']}: n {row['n']}, events {row['events']}, median {median_text(row)}"
        for row in group_rows(found)
    ]
    if len(found.curves) > 1:
        test = found.overall
        result = f"chi-squared {test.statistic:.4f}, df {test.df}, p {p_text(test.p)}"
        lines.append(f"log-rank: {'no test' if math.isnan(test.p) else result}")
    rows = table3_rows(found)
    if rows:
        lines += aligned([list(rows[0]), *(list(row.values()) for row in rows)])
    warnings = [f"warning: {text}" for text in found.warnings]
    return "\n".join([*lines, *warnings, *found.notes, RESEARCH_NOTICE])


def table3_html(found: Prognosis, pictures: Mapping[str, bytes]) -> bytes:
    """Table 3 as a self-contained page, with log-rank tests, warnings, methods and pictures (name to PNG).
    All texts are escaped.
    """
    return html_page(
        "table3.html",
        pictures,
        {
            "p": p_text,
            "median": median_text,
            "statistic": lambda value: with_decimals(value, 4),
            "concordance": with_decimals,
        },
        found=found,
        groups=group_rows(found),
        rows=table3_rows(found),
        ratios=cox_rows(found),
        methods=METHODS,
        versions=versions(),
    )


def write_prognosis(found: Prognosis, folder: str | os.PathLike, pictures: Mapping[str, bytes]) -> list[str]:
    """Writes the results, with their pictures (name to PNG), into a folder of their own; those of a former
    run go. Returns the files' names.

    Raises `InputError` when the folder holds anything else.
    """
    rows = table3_rows(found)
    notice = " ".join([*found.warnings, RESEARCH_NOTICE])
    contents = {
        "logrank.json": json_bytes(logrank_json(found)),
        "km.csv": csv_bytes(KM_COLUMNS, km_rows(found)),
        "cox.csv": csv_bytes(COX_COLUMNS, cox_rows(found)),
        **(
            {"table3.csv": csv_bytes([*rows[0], "notice"], [{**row, "notice": notice} for row in rows])}
            if rows
            else {}
        ),
        "table3.html": table3_html(found, pictures),
        **pictures,
    }
    return write_results(folder, RESULT_FILES, contents)
