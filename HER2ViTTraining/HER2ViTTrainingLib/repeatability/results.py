"""The agreement's files: ICC, Bland-Altman, overlap, report."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import scipy

from HER2ViTLib import __version__
from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.output import csv_bytes, write_results
from HER2ViTLib.imaging.image_files import image_sha256
from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTTrainingLib.pages.html import html_page
from HER2ViTTrainingLib.pages.texts import estimate_text
from HER2ViTTrainingLib.stats.agreement import GRADES, HEADLINE, BlandAltman, grade
from HER2ViTTrainingLib.stats.estimates import Estimate

from .agreement import Agreement, Comparison
from .outlines import Outline
from .overlaps import Overlap

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


# Results as tables and sentences


def icc_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """Rows of `icc.csv`: comparison by comparison, feature by feature, the six forms."""
    rows = []
    for comparison in agreement.comparisons:
        for n, feature in enumerate(agreement.ratings.features):
            for form, found in comparison.icc.items():
                value, low = float(found.icc[n]), float(found.low[n])
                numbers = {
                    "icc": value,
                    "ci_low": low,
                    "ci_high": found.high[n],
                    "F": found.f[n],
                    "p": found.p[n],
                }
                sizes = {
                    "df1": _whole(found.df1[n]),
                    "df2": _whole(found.df2[n]),
                    "n": int(found.n[n]),
                    "k": found.k,
                }
                grades = {"grade": grade(value), "grade_low": grade(low)}
                rows.append(
                    {
                        "comparison": comparison.name,
                        "feature": feature,
                        "form": form,
                        **numbers,
                        **sizes,
                        **grades,
                    }
                )
    return rows


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)


def bland_altman_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """Rows of `bland_altman.csv`: first minus second rater, pair by pair, feature by feature."""
    return [
        {
            "comparison": ",".join(pair),
            "feature": feature,
            **{name: values[n] for name, values in vars(found).items()},
        }
        for pair, found in agreement.pairs.items()
        for n, feature in enumerate(agreement.ratings.features)
    ]


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


def feature_groups(features: Sequence[str]) -> dict[str, list[int]]:
    """Places of the features by group, in their order: the name up to its first underscore; "other" for a
    name that shares it with none.
    """
    groups: dict[str, list[int]] = {}
    for n, feature in enumerate(features):
        groups.setdefault(feature.partition("_")[0], []).append(n)
    lone = [members[0] for members in groups.values() if len(members) == 1]
    shared = {name: members for name, members in groups.items() if len(members) > 1}
    return {**shared, "other": sorted([*shared.get("other", []), *lone])} if lone else shared


def kind(raters: Sequence[str]) -> str:
    """What the labels say of the readers: A1, A2 one reader twice, A1, B1 different readers; other labels are
    not interpreted.
    """
    readers = [match[1] for match in (re.fullmatch(r"([A-Z])\d+", rater) for rater in raters) if match]
    if len(readers) == len(raters) and len(set(readers)) == 1:
        return "Intra-observer agreement"
    if len(readers) == len(raters) == len(set(readers)):
        return "Inter-observer agreement"
    return "Agreement"


def sentences(agreement: Agreement) -> list[str]:
    """What a paper says of each comparison, and of each pair's outlines."""
    about_features = [
        _icc_sentence(comparison, len(agreement.ratings.features)) for comparison in agreement.comparisons
    ]
    about_outlines = [
        _overlap_sentence(pair, agreement.overlaps_of(pair))
        for pair in agreement.pairs
        if agreement.overlaps_of(pair)
    ]
    return about_features + about_outlines


def _icc_sentence(comparison: Comparison, features: int) -> str:
    found = comparison.headline
    known = np.isfinite(found.icc)
    subject = f"{kind(comparison.raters)} ({', '.join(comparison.raters)})"
    if not known.any():
        return f"{subject} is undefined: no feature varies over two or more complete cases."
    values, low, cases = found.icc[known], found.low[known], found.n[known]
    of = f"{known.sum()} feature{'s' if known.sum() > 1 else ''}"
    good, excellent, sure_good, sure_excellent = (
        _share(numbers > GRADES[name]) for numbers in (values, low) for name in ("good", "excellent")
    )
    return (
        f"{subject} was {grade(float(np.median(values)))}: {HEADLINE} had a median of {np.median(values):.2f}"
        f" (range {values.min():.2f} to {values.max():.2f}) over {of} of {_span(cases)} cases; {good} were"
        f" above 0.75 and {excellent} above 0.90, by the lower bound of the 95 % interval {sure_good} and"
        f" {sure_excellent}."
        + (
            f" {features - known.sum()} of {features} features are constant or lack complete cases and have"
            " no ICC."
            if known.sum() < features
            else ""
        )
    )


def _share(chosen: np.ndarray) -> str:
    return f"{chosen.sum()} ({chosen.mean():.0%})".replace("%", " %")


def _span(numbers: np.ndarray) -> str:
    return f"{numbers.min()}" if numbers.min() == numbers.max() else f"{numbers.min()} to {numbers.max()}"


def _overlap_sentence(pair: Sequence[str], found: Sequence[Overlap]) -> str:
    overlap, distance = np.array([(each.dice, each.hausdorff95) for each in found]).T
    (low, middle, high), (near, far, farthest) = (
        np.percentile(overlap, (25, 50, 75)),
        np.percentile(distance, (25, 50, 75)),
    )
    return (
        f"The outlines of {' and '.join(pair)} overlapped with a median Dice coefficient of {middle:.2f}"
        f" (interquartile range {low:.2f} to {high:.2f}, lowest {overlap.min():.2f}); their 95 % Hausdorff"
        f" distance had a median of {far:.1f} mm ({near:.1f} to {farthest:.1f} mm; {len(found)} cases)."
    )


def agreement_text(agreement: Agreement) -> str:
    """The sentences and the research notice, for a terminal."""
    return "\n".join([*sentences(agreement), RESEARCH_NOTICE])


# Report


def summary_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """The headline ICC by comparison and group of features: how many have each grade, by the estimate and by
    the lower bound.
    """
    rows = []
    groups = feature_groups(agreement.ratings.features)
    if len(groups) > 1:
        groups["all features"] = list(range(len(agreement.ratings.features)))
    for comparison in agreement.comparisons:
        for name, members in groups.items():
            values, low = comparison.headline.icc[members], comparison.headline.low[members]
            known = values[np.isfinite(values)]
            spread = f"{np.median(known):.2f} ({known.min():.2f} to {known.max():.2f})" if known.size else ""
            by_value, by_low = Counter(map(grade, values)), Counter(map(grade, low))
            counts = {name: f"{by_value[name]} ({by_low[name]})" for name in GRADES}
            rows.append(
                {
                    "comparison": comparison.name,
                    "group": name,
                    "features": len(values),
                    f"{HEADLINE} median (range)": spread,
                    **counts,
                }
            )
    return rows


def detail_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """The headline ICC of every feature, and for two raters Bland-Altman's bias and limits, as texts."""
    rows = []
    for comparison in agreement.comparisons:
        found, difference = comparison.headline, agreement.pairs.get(comparison.raters)
        for n, feature in enumerate(agreement.ratings.features):
            row = {"comparison": comparison.name, "feature": feature, "cases": int(found.n[n])}
            row[f"{HEADLINE} (95 % interval)"] = estimate_text(
                Estimate(found.icc[n], found.low[n], found.high[n])
            )
            row |= {"grade": grade(found.icc[n]), "grade by lower bound": grade(found.low[n])}
            row["bias"] = _significant(difference.bias[n]) if difference else ""
            row["limits of agreement"] = (
                f"{_significant(difference.loa_lower[n])} to {_significant(difference.loa_upper[n])}"
                if difference
                else ""
            )
            rows.append(row)
    return rows


def _significant(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def report_html(agreement: Agreement, inputs: Mapping[str, str], pictures: Mapping[str, bytes]) -> bytes:
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
        inputs=inputs,
        versions={"her2vit": __version__, "numpy": np.__version__, "scipy": scipy.__version__},
    )


def input_hashes(ratings: Sequence[str | os.PathLike], outlines: Sequence[Outline]) -> dict[str, str]:
    """SHA-256 of the ratings files and outlines by their role."""
    hashes = {f"ratings {n}": file_sha256(path) for n, path in enumerate(ratings, start=1)}
    return {
        **hashes,
        **{
            f"outline {outline.rater}, case {outline.case_id}": image_sha256(outline.roi)
            for outline in outlines
        },
    }


def write_agreement(
    agreement: Agreement, inputs: Mapping[str, str], folder: str | os.PathLike, pictures: Mapping[str, bytes]
) -> list[str]:
    """Writes the results, with their pictures (name to PNG), into a folder of their own; those of a former
    run go. Returns the files' names.

    `inputs` are the hashes of the input files by role. Raises `InputError` when the folder holds anything
    else.
    """
    contents = {
        "icc.csv": csv_bytes(ICC_COLUMNS, icc_rows(agreement)),
        "bland_altman.csv": csv_bytes(BLAND_ALTMAN_COLUMNS, bland_altman_rows(agreement)),
        "overlap.csv": csv_bytes(OVERLAP_COLUMNS, overlap_rows(agreement)),
        "report.html": report_html(agreement, inputs, pictures),
        **pictures,
    }
    return write_results(folder, RESULT_FILES, contents)
