"""The files of an agreement: ICC, Bland-Altman, overlap, report."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import scipy

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, write_results
from HER2ViTTrainingLib.pages.html import html_page
from HER2ViTTrainingLib.pages.texts import estimate_text
from HER2ViTTrainingLib.stats.agreement import GRADES, HEADLINE, BlandAltman, Icc, grade
from HER2ViTTrainingLib.stats.estimates import Estimate

from .agreement import Agreement
from .sentences import sentences

PICTURES = ("icc_forest.png", "bland_altman.png", "overlap.png")
RESULT_FILES = ("icc.csv", "bland_altman.csv", "overlap.csv", "report.html", *PICTURES)
ICC_COLUMNS = (
    "comparison",
    "feature",
    "form",
    "icc",
    "ci_low",
    "ci_high",
    "F",
    "df1",
    "df2",
    "p",
    "n",
    "k",
    "grade",
    "grade_low",
)
BLAND_ALTMAN_COLUMNS = ("comparison", "feature", *(field.name for field in fields(BlandAltman)))
OVERLAP_COLUMNS = ("comparison", "case_id", "dice", "hausdorff95_mm", "mean_distance_mm")


# Tables


def icc_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """Rows of `icc.csv`: comparison by comparison, feature by feature, the six forms."""
    rows = []
    for comparison in agreement.comparisons:
        for n, feature in enumerate(agreement.ratings.features):
            for form, found in comparison.icc.items():
                of = {"comparison": comparison.name, "feature": feature, "form": form}
                rows.append({**of, **_icc_row(found, n)})
    return rows


def _icc_row(found: Icc, n: int) -> dict[str, Any]:
    """One form of the ICC of the feature at place `n`."""
    value = float(found.icc[n])
    low = float(found.low[n])
    return {
        "icc": value,
        "ci_low": low,
        "ci_high": found.high[n],
        "F": found.f[n],
        "df1": _whole(found.df1[n]),
        "df2": _whole(found.df2[n]),
        "p": found.p[n],
        "n": int(found.n[n]),
        "k": found.k,
        "grade": grade(value),
        "grade_low": grade(low),
    }


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)


def bland_altman_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """Rows of `bland_altman.csv`: first minus second rater, pair by pair, feature by feature."""
    rows = []
    for pair, found in agreement.pairs.items():
        for n, feature in enumerate(agreement.ratings.features):
            numbers = {name: values[n] for name, values in vars(found).items()}
            rows.append({"comparison": ",".join(pair), "feature": feature, **numbers})
    return rows


def overlap_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """Rows of `overlap.csv`: a case and pair each."""
    return [
        {
            "comparison": ",".join(overlap.raters),
            "case_id": overlap.case_id,
            "dice": overlap.dice,
            "hausdorff95_mm": overlap.hausdorff95,
            "mean_distance_mm": overlap.mean_distance,
        }
        for overlap in agreement.overlaps
    ]


# Report


def feature_groups(features: Sequence[str]) -> dict[str, list[int]]:
    """Places of the features by group, in their order: the name up to its first underscore; "other" for a
    name that shares it with none.
    """
    groups: dict[str, list[int]] = {}
    for n, feature in enumerate(features):
        groups.setdefault(feature.partition("_")[0], []).append(n)
    lone = [members[0] for members in groups.values() if len(members) == 1]
    shared = {name: members for name, members in groups.items() if len(members) > 1}
    if lone:
        shared["other"] = sorted([*shared.get("other", []), *lone])
    return shared


def summary_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """The headline ICC by comparison and group of features: how many have each grade, by the estimate and by
    the lower bound.
    """
    features = agreement.ratings.features
    groups = feature_groups(features)
    if len(groups) > 1:
        groups["all features"] = list(range(len(features)))
    rows = []
    for comparison in agreement.comparisons:
        for name, members in groups.items():
            row = {"comparison": comparison.name, "group": name, "features": len(members)}
            rows.append({**row, **_summary(comparison.headline, members)})
    return rows


def _summary(found: Icc, members: Sequence[int]) -> dict[str, str]:
    """Median, range and grades of the features at these places."""
    values = found.icc[members]
    known = values[np.isfinite(values)]
    spread = f"{np.median(known):.2f} ({known.min():.2f} to {known.max():.2f})" if known.size else ""
    by_value = Counter(map(grade, values))
    by_low = Counter(map(grade, found.low[members]))
    counts = {name: f"{by_value[name]} ({by_low[name]})" for name in GRADES}
    return {f"{HEADLINE} median (range)": spread, **counts}


def detail_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """The headline ICC of every feature, and for two raters Bland-Altman's bias and limits, as texts."""
    rows = []
    for comparison in agreement.comparisons:
        found = comparison.headline
        differences = agreement.pair(comparison.raters)
        for n, feature in enumerate(agreement.ratings.features):
            interval = Estimate(found.icc[n], found.low[n], found.high[n])
            row = {
                "comparison": comparison.name,
                "feature": feature,
                "cases": int(found.n[n]),
                f"{HEADLINE} (95 % interval)": estimate_text(interval),
                "grade": grade(found.icc[n]),
                "grade by lower bound": grade(found.low[n]),
            }
            rows.append({**row, **_difference(differences, n)})
    return rows


def _difference(found: BlandAltman | None, n: int) -> dict[str, str]:
    """Bias and limits of agreement of the feature at place `n`, empty where more than two raters are
    compared.
    """
    if found is None:
        return {"bias": "", "limits of agreement": ""}
    lower = _significant(found.loa_lower[n])
    upper = _significant(found.loa_upper[n])
    return {"bias": _significant(found.bias[n]), "limits of agreement": f"{lower} to {upper}"}


def _significant(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def report_html(agreement: Agreement, pictures: Mapping[str, bytes]) -> bytes:
    """A self-contained page: sentences, pictures (name to PNG), tables, methods, inputs (role to SHA-256).
    All texts are escaped.
    """
    return html_page(
        "agreement.html",
        pictures,
        sentences=sentences(agreement),
        summary=summary_rows(agreement),
        details=detail_rows(agreement),
        headline=HEADLINE,
        inputs=agreement.inputs,
        versions={"her2vit": __version__, "numpy": np.__version__, "scipy": scipy.__version__},
    )


# Files


def write_agreement(
    agreement: Agreement, folder: str | os.PathLike, pictures: Mapping[str, bytes]
) -> list[str]:
    """Writes the results, with their pictures (name to PNG), into a folder of their own; those of a former
    run go. Returns the files' names.

    Raises `InputError` when the folder holds anything else.
    """
    contents = {
        "icc.csv": csv_bytes(ICC_COLUMNS, icc_rows(agreement)),
        "bland_altman.csv": csv_bytes(BLAND_ALTMAN_COLUMNS, bland_altman_rows(agreement)),
        "overlap.csv": csv_bytes(OVERLAP_COLUMNS, overlap_rows(agreement)),
        "report.html": report_html(agreement, pictures),
        **pictures,
    }
    return write_results(folder, RESULT_FILES, contents)
