"""A repeatability study judged: ratings and outlines of several readers in; agreement tables, pictures and a report out (`her2vit agreement`).

A **rater** is one read: A1 and A2 are reader A's first and second, B1 is reader B's. An **outline column** of a manifest belongs to a rater:
`roi` to A1, `roi_b` to B1, any other `roi_x2` to X2. Without ratings, the features of the outlines are the ratings (`features`).
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, write_results
from HER2ViTLib.imaging.series import file_sha256, image_sha256
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.lesion.outlining import dice, surface_distances
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError, faults_of
from HER2ViTTrainingLib.cohort.manifest import Row, grouped, read_table
from HER2ViTTrainingLib.evaluation.judging import estimate_text, require_columns
from HER2ViTTrainingLib.pages.html import html_page
from HER2ViTTrainingLib.parallel.processes import Progress, in_order
from HER2ViTTrainingLib.stats.agreement import GRADES, HEADLINE, BlandAltman, Icc, bland_altman, grade, icc
from HER2ViTTrainingLib.stats.roc import Estimate

from .features import feature_table
from .outlines import Outline

PICTURES = ("icc_forest.png", "bland_altman.png", "overlap.png")
RESULT_FILES = ("icc.csv", "bland_altman.csv", "overlap.csv", "report.html", *PICTURES)
KEY_COLUMNS = ("case_id", "rater")
ICC_COLUMNS = ("comparison", "feature", "form", "icc", "ci_low", "ci_high", "F", "df1", "df2", "p", "n", "k", "grade", "grade_low")
BLAND_ALTMAN_COLUMNS = ("comparison", "feature", *(field.name for field in fields(BlandAltman)))
OVERLAP_COLUMNS = ("comparison", "case_id", "dice", "hausdorff95_mm", "mean_distance_mm")
_MISSING = ("", "na", "nan")


# Ratings


@dataclass(frozen=True)
class Ratings:
    """Values (cases, raters, features), NaN where one is missing, and which case a rater was to rate (cases, raters)."""

    cases: tuple[str, ...]
    raters: tuple[str, ...]
    features: tuple[str, ...]
    values: np.ndarray
    rated: np.ndarray

    def of(self, raters: Sequence[str]) -> np.ndarray:
        """The values of these raters (cases, raters, features), for the cases they have rated.

        Raises `InputError`, a line per rater, when one of them lacks cases that another has, and for fewer than two cases.
        """
        columns = [self.raters.index(rater) for rater in raters]
        rated = self.rated[:, columns]
        seen = rated.any(axis=1)
        lacking = {rater: [case for case, lacks in zip(self.cases, seen & ~own) if lacks] for rater, own in zip(raters, rated.T)}
        faults = [
            f"rater {rater!r}: has no row for {_listed(cases)}, which {_others(rater, raters)} rated; add rows (empty cells where not rated)"
            for rater, cases in lacking.items()
            if cases
        ]
        if not faults and seen.sum() < 2:
            faults = [f"raters {', '.join(raters)}: {seen.sum()} case in common; agreement needs two cases or more"]
        if faults:
            raise InputError(faults)
        return self.values[seen][:, columns]


def _others(rater: str, raters: Sequence[str]) -> str:
    return ", ".join(other for other in raters if other != rater)


def _listed(cases: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(cases) - shown} more" if len(cases) > shown else ""
    return f"{len(cases)} case{'s' if len(cases) > 1 else ''} ({', '.join(cases[:shown])}{more})"


def read_ratings(paths: Sequence[str | os.PathLike]) -> Ratings:
    """The ratings in one or several CSV files: `case_id, rater, FEATURE...`, a row a case and rater, the same features in each file.

    An empty cell, NA or NaN is a missing rating. Raises `InputError` with all faults: missing or differing columns, no feature, cells that are
    no number, a case rated twice by a rater, a single rater.
    """
    tables = [(Path(path), *read_table(path)) for path in paths]
    features = _common_features([(path, columns) for path, columns, _ in tables])
    faults = [fault for path, _, rows in tables for fault in _cell_faults(path, rows, features)]
    rows = [row for _, _, members in tables for row in members]
    keys = [(row["case_id"], row["rater"]) for row in rows]
    raters = list(dict.fromkeys(rater for _, rater in keys))
    files = ", ".join(str(path) for path, _, _ in tables)
    faults += _twice(files, keys)
    if not faults and len(raters) < 2:
        what = f"rater {raters[0]!r} only" if raters else "no row"
        faults.append(f"{files}: {what}; agreement needs two raters or more, name them in column rater")
    if faults:
        raise InputError(faults)
    return ratings_of(features, {key: [_number(row[feature]) for feature in features] for key, row in zip(keys, rows)})


def ratings_of(features: Sequence[str], values: Mapping[tuple[str, str], Sequence[float]]) -> Ratings:
    """Ratings from the values of the features by case and rater; cases and raters in the order they come in."""
    cases, raters = (tuple(dict.fromkeys(names)) for names in zip(*values))
    case_place, rater_place = ({name: n for n, name in enumerate(names)} for names in (cases, raters))
    table = np.full((len(cases), len(raters), len(features)), np.nan)
    rated = np.zeros(table.shape[:2], bool)
    for (case, rater), row in values.items():
        at = case_place[case], rater_place[rater]
        rated[at], table[at] = True, row
    return Ratings(cases, raters, tuple(features), table, rated)


def _common_features(tables: Sequence[tuple[Path, Sequence[str]]]) -> tuple[str, ...]:
    for path, columns in tables:
        require_columns(path, columns, KEY_COLUMNS)
    (first, columns), *others = tables
    features = tuple(name for name in columns if name not in KEY_COLUMNS)
    if not features:
        raise InputError(f"{first}: row 1: no feature column beside case_id and rater; add one column a feature")
    faults = []
    for path, theirs in others:
        differing = [name for name in (*features, *theirs) if name not in KEY_COLUMNS and (name in features) != (name in theirs)]
        if differing:
            faults.append(f"{path}: row 1, column {differing[0]}: is in one of this file and {first} only; rate the same features in both")
    if faults:
        raise InputError(faults)
    return features


def _cell_faults(path: Path, rows: Sequence[Row], features: Sequence[str]) -> list[str]:
    """A line per column that is at fault."""
    faults = []
    for column in KEY_COLUMNS:
        empty = [row for row in rows if not row[column]]
        faults += _column_fault(path, column, empty, "is missing; fill it in")
    faults += _column_fault(path, "rater", [row for row in rows if "," in row["rater"]], "holds a comma; use labels such as A1")
    for feature in features:
        wrong = [row for row in rows if math.isinf(_number(row[feature]))]
        faults += _column_fault(path, feature, wrong, "is not a finite number; correct it, leave it empty where not rated, or remove the column")
    return faults


def _column_fault(path: Path, column: str, rows: Sequence[Row], cure: str) -> list[str]:
    more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
    return [f"{path}: row {row.number}{more}, column {column}, value {row[column]!r}: {cure}" for row in rows[:1]]


def _number(text: str) -> float:
    """The number in a cell; NaN where it is empty, infinite where it is no number."""
    try:
        return math.nan if text.lower() in _MISSING else float(text)
    except ValueError:
        return math.inf


def _twice(files: str, keys: Sequence[tuple[str, str]]) -> list[str]:
    seen: set[tuple[str, str]] = set()
    repeated: dict[str, list[str]] = {}
    for key in keys:
        if key in seen:
            repeated.setdefault(key[1], []).append(key[0])
        seen.add(key)
    return [f"{files}: rater {rater!r} rates {_listed(cases)} twice; keep one row a case and rater" for rater, cases in repeated.items()]


# Outlines


@dataclass(frozen=True)
class Overlap:
    """How two raters' outlines of a case agree: Dice (0 to 1), 95 % Hausdorff and mean surface distance (mm)."""

    raters: tuple[str, str]
    case_id: str
    dice: float
    hausdorff95: float
    mean_distance: float


def outline_ratings(outlines: Sequence[Outline], raters: Sequence[str], progress: Progress | None = None) -> Ratings:
    """The features of these raters' outlines as ratings, for the cases that two or more of them have outlined.

    A case that one of them has not outlined is a missing rating. Raises `InputError` as `feature_table`.
    """
    by_case = grouped((outline for outline in outlines if outline.rater in raters), lambda outline: outline.case_id)
    compared = {case: theirs for case, theirs in by_case.items() if len(theirs) > 1}
    table = feature_table([outline for theirs in compared.values() for outline in theirs], progress=progress)
    features = [name for name in table.columns if name not in KEY_COLUMNS]
    missing = {(case, rater): [math.nan] * len(features) for case in compared for rater in raters}
    found = {(row["case_id"], row["rater"]): [row.get(name, math.nan) for name in features] for row in table.rows}
    return ratings_of(features, {**missing, **found})


def overlaps(outlines: Sequence[Outline], pairs: Sequence[tuple[str, str]], progress: Progress | None = None) -> list[Overlap]:
    """How the outlines of each pair of raters agree, for the cases that both have outlined, by case; pairs without any are left out.

    `progress` is told (done, all) after each case. Raises `InputError` with a line per case that cannot be read, and when there is no case.
    """
    by_case = {case: {outline.rater: outline for outline in theirs} for case, theirs in grouped(outlines, lambda one: one.case_id).items()}
    jobs = [(theirs, [pair for pair in pairs if theirs.keys() >= set(pair)]) for theirs in by_case.values()]
    jobs = [(theirs, both) for theirs, both in jobs if both]
    if not jobs:
        raise InputError(f"outlines of {', '.join(dict.fromkeys(one.rater for one in outlines))}: no case has those of two raters compared; add them")
    return [overlap for case in in_order(_case_overlaps, jobs, progress=progress) for overlap in case]


def _case_overlaps(job: tuple[Mapping[str, Outline], Sequence[tuple[str, str]]]) -> list[Overlap]:
    """Of one case, each pair's overlap."""
    outlines, pairs = job
    first = next(iter(outlines.values()))
    with faults_of(f"case {first.case_id}"):
        geometry = first.study().geometry
        needed = dict.fromkeys(rater for pair in pairs for rater in pair)
        masks = {
            rater: read_roi(outlines[rater].roi, geometry, outlines[rater].segment or None).mask
            for rater in needed
        }
    found = []
    for a, b in pairs:
        distances = surface_distances(masks[a], masks[b], geometry)
        found.append(Overlap((a, b), first.case_id, dice(masks[a], masks[b]), distances.hausdorff95, distances.mean))
    return found


# Comparing


@dataclass(frozen=True)
class Comparison:
    """Raters compared with one another, and the six intraclass correlations of all features by form."""

    raters: tuple[str, ...]
    icc: Mapping[str, Icc]

    @property
    def name(self) -> str:
        return ",".join(self.raters)

    @property
    def headline(self) -> Icc:
        return self.icc[HEADLINE]


@dataclass(frozen=True)
class Agreement:
    """All that is found: the comparisons, every pair of raters in them with Bland-Altman's figures, and overlaps where there are outlines."""

    ratings: Ratings
    comparisons: tuple[Comparison, ...]
    pairs: Mapping[tuple[str, str], BlandAltman]
    overlaps: tuple[Overlap, ...]

    def overlaps_of(self, pair: tuple[str, str]) -> list[Overlap]:
        return [overlap for overlap in self.overlaps if overlap.raters == pair]


def parse_comparisons(texts: Sequence[str], raters: Sequence[str]) -> list[tuple[str, ...]]:
    """The comparisons asked for as `A1,A2`; without any, all raters. Raises `InputError`, a line per text that names no two known raters."""
    comparisons, faults = [], []
    for text in texts:
        named = tuple(name.strip() for name in text.split(","))
        unknown = [name for name in named if name not in raters]
        if unknown:
            faults.append(f"--compare {text}: {unknown[0]!r} is no rater here; the raters are {', '.join(raters)}")
        elif len(set(named)) < max(2, len(named)):
            faults.append(f"--compare {text}: name two or more different raters, such as {','.join(raters[:2])}")
        comparisons.append(named)
    if faults:
        raise InputError(faults)
    return list(dict.fromkeys(comparisons)) or [tuple(raters)]


def rater_pairs(comparisons: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Every pair of raters in the comparisons, once."""
    return list(dict.fromkeys(pair for raters in comparisons for pair in itertools.combinations(raters, 2)))


def agreement_of(ratings: Ratings | None, outlines: Sequence[Outline], compare_texts: Sequence[str], progress: Progress | None = None) -> Agreement:
    """The agreement of ratings, of outlines, or of both; `ratings` None: the outlines' features are the ratings.

    `compare_texts` as `parse_comparisons`. Raises `InputError` for neither, for outlines of a single rater, and as what it calls.
    """
    if ratings is None and not outlines:
        raise InputError("nothing to compare: give ratings files, --manifest or --session")
    raters = ratings.raters if ratings else tuple(dict.fromkeys(outline.rater for outline in outlines))
    if len(raters) < 2:
        raise InputError(f"outlines of {raters[0]} only; agreement needs those of two raters or more")
    comparisons = parse_comparisons(compare_texts, raters)
    pairs = rater_pairs(comparisons)
    overlap = overlaps(outlines, pairs, progress) if outlines else []
    if ratings is None:
        ratings = outline_ratings(outlines, list(dict.fromkeys(itertools.chain(*comparisons))), progress)
    return compare(ratings, comparisons, overlap)


def compare(ratings: Ratings, comparisons: Sequence[tuple[str, ...]], overlap: Sequence[Overlap] = ()) -> Agreement:
    """The agreement of the raters in each comparison, and of each pair. Raises `InputError` as `Ratings.of`."""
    found = tuple(Comparison(raters, icc(ratings.of(raters))) for raters in comparisons)
    pairs = {pair: bland_altman(*ratings.of(pair).swapaxes(0, 1)) for pair in rater_pairs(comparisons)}
    return Agreement(ratings, found, pairs, tuple(overlap))


# Results as tables and sentences


def icc_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """Rows of `icc.csv`: comparison by comparison, feature by feature, the six forms."""
    rows = []
    for comparison in agreement.comparisons:
        for n, feature in enumerate(agreement.ratings.features):
            for form, found in comparison.icc.items():
                value, low = float(found.icc[n]), float(found.low[n])
                numbers = {"icc": value, "ci_low": low, "ci_high": found.high[n], "F": found.f[n], "p": found.p[n]}
                sizes = {"df1": _whole(found.df1[n]), "df2": _whole(found.df2[n]), "n": int(found.n[n]), "k": found.k}
                grades = {"grade": grade(value), "grade_low": grade(low)}
                rows.append({"comparison": comparison.name, "feature": feature, "form": form, **numbers, **sizes, **grades})
    return rows


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)


def bland_altman_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """Rows of `bland_altman.csv`: first minus second rater, pair by pair, feature by feature."""
    return [
        {"comparison": ",".join(pair), "feature": feature, **{name: values[n] for name, values in vars(found).items()}}
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
    """Places of the features by group, in their order: the name up to its first underscore; "other" for a name that shares it with none."""
    groups: dict[str, list[int]] = {}
    for n, feature in enumerate(features):
        groups.setdefault(feature.partition("_")[0], []).append(n)
    lone = [members[0] for members in groups.values() if len(members) == 1]
    shared = {name: members for name, members in groups.items() if len(members) > 1}
    return {**shared, "other": sorted([*shared.get("other", []), *lone])} if lone else shared


def kind(raters: Sequence[str]) -> str:
    """What the labels say of the readers: A1, A2 one reader twice, A1, B1 different readers; other labels are not interpreted."""
    readers = [match[1] for match in (re.fullmatch(r"([A-Z])\d+", rater) for rater in raters) if match]
    if len(readers) == len(raters) and len(set(readers)) == 1:
        return "Intra-observer agreement"
    if len(readers) == len(raters) == len(set(readers)):
        return "Inter-observer agreement"
    return "Agreement"


def sentences(agreement: Agreement) -> list[str]:
    """What a paper says of each comparison, and of each pair's outlines."""
    about_features = [_icc_sentence(comparison, len(agreement.ratings.features)) for comparison in agreement.comparisons]
    about_outlines = [_overlap_sentence(pair, agreement.overlaps_of(pair)) for pair in agreement.pairs if agreement.overlaps_of(pair)]
    return about_features + about_outlines


def _icc_sentence(comparison: Comparison, features: int) -> str:
    found = comparison.headline
    known = np.isfinite(found.icc)
    subject = f"{kind(comparison.raters)} ({', '.join(comparison.raters)})"
    if not known.any():
        return f"{subject} is undefined: no feature varies over two or more complete cases."
    values, low, cases = found.icc[known], found.low[known], found.n[known]
    of = f"{known.sum()} feature{'s' if known.sum() > 1 else ''}"
    good, excellent, sure_good, sure_excellent = (_share(numbers > GRADES[name]) for numbers in (values, low) for name in ("good", "excellent"))
    return (
        f"{subject} was {grade(float(np.median(values)))}: {HEADLINE} had a median of {np.median(values):.2f} "
        f"(range {values.min():.2f} to {values.max():.2f}) over {of} of {_span(cases)} cases; "
        f"{good} were above 0.75 and {excellent} above 0.90, by the lower bound of the 95 % interval {sure_good} and {sure_excellent}."
        + (f" {features - known.sum()} of {features} features are constant or lack complete cases and have no ICC." if known.sum() < features else "")
    )


def _share(chosen: np.ndarray) -> str:
    return f"{chosen.sum()} ({chosen.mean():.0%})".replace("%", " %")


def _span(numbers: np.ndarray) -> str:
    return f"{numbers.min()}" if numbers.min() == numbers.max() else f"{numbers.min()} to {numbers.max()}"


def _overlap_sentence(pair: Sequence[str], found: Sequence[Overlap]) -> str:
    overlap, distance = np.array([(each.dice, each.hausdorff95) for each in found]).T
    (low, middle, high), (near, far, farthest) = np.percentile(overlap, (25, 50, 75)), np.percentile(distance, (25, 50, 75))
    return (
        f"The outlines of {' and '.join(pair)} overlapped with a median Dice coefficient of {middle:.2f} "
        f"(interquartile range {low:.2f} to {high:.2f}, lowest {overlap.min():.2f}); their 95 % Hausdorff distance had a median of "
        f"{far:.1f} mm ({near:.1f} to {farthest:.1f} mm; {len(found)} cases)."
    )


def agreement_text(agreement: Agreement) -> str:
    """The sentences and the research notice, for a terminal."""
    return "\n".join([*sentences(agreement), RESEARCH_NOTICE])


# Report


def summary_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """The headline ICC by comparison and group of features: how many have each grade, by the estimate and by the lower bound."""
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
            rows.append({"comparison": comparison.name, "group": name, "features": len(values), f"{HEADLINE} median (range)": spread, **counts})
    return rows


def detail_rows(agreement: Agreement) -> list[dict[str, Any]]:
    """The headline ICC of every feature, and for two raters Bland-Altman's bias and limits, as texts."""
    rows = []
    for comparison in agreement.comparisons:
        found, difference = comparison.headline, agreement.pairs.get(comparison.raters)
        for n, feature in enumerate(agreement.ratings.features):
            row = {"comparison": comparison.name, "feature": feature, "cases": int(found.n[n])}
            row[f"{HEADLINE} (95 % interval)"] = estimate_text(Estimate(found.icc[n], found.low[n], found.high[n]))
            row |= {"grade": grade(found.icc[n]), "grade by lower bound": grade(found.low[n])}
            row["bias"] = _significant(difference.bias[n]) if difference else ""
            row["limits of agreement"] = f"{_significant(difference.loa_lower[n])} to {_significant(difference.loa_upper[n])}" if difference else ""
            rows.append(row)
    return rows


def _significant(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def report_html(agreement: Agreement, inputs: Mapping[str, str], pictures: Mapping[str, bytes]) -> bytes:
    """A self-contained page: sentences, pictures (name to PNG), tables, methods, inputs (role to SHA-256). All texts are escaped."""
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
    return {**hashes, **{f"outline {outline.rater}, case {outline.case_id}": image_sha256(outline.roi) for outline in outlines}}


def write_agreement(agreement: Agreement, inputs: Mapping[str, str], folder: str | os.PathLike, pictures: Mapping[str, bytes]) -> list[str]:
    """Writes the results, with their pictures (name to PNG), into a folder of their own; those of a former run go. Returns the files' names.

    `inputs` are the hashes of the input files by role. Raises `InputError` when the folder holds anything else.
    """
    contents = {
        "icc.csv": csv_bytes(ICC_COLUMNS, icc_rows(agreement)),
        "bland_altman.csv": csv_bytes(BLAND_ALTMAN_COLUMNS, bland_altman_rows(agreement)),
        "overlap.csv": csv_bytes(OVERLAP_COLUMNS, overlap_rows(agreement)),
        "report.html": report_html(agreement, inputs, pictures),
        **pictures,
    }
    return write_results(folder, RESULT_FILES, contents)
