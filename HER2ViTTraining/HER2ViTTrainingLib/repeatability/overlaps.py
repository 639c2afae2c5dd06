"""How two raters' outlines overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.lesion.measures import dice, surface_distances
from HER2ViTLib.messages import InputError, faults_of
from HER2ViTTrainingLib.parallel.processes import Progress, in_order
from HER2ViTTrainingLib.tables.grouping import grouped

from .feature_table import feature_table
from .outlines import Outline
from .ratings import KEY_COLUMNS, Ratings, ratings_of

# Outlines


@dataclass(frozen=True)
class Overlap:
    """How two raters' outlines of a case agree: Dice (0 to 1), 95 % Hausdorff and mean surface distance (mm)."""

    raters: tuple[str, str]
    case_id: str
    dice: float
    hausdorff95: float
    mean_distance: float


def outline_ratings(
    outlines: Sequence[Outline], raters: Sequence[str], progress: Progress | None = None
) -> Ratings:
    """The features of these raters' outlines as ratings, for the cases that two or more of them have
    outlined.

    A case that one of them has not outlined is a missing rating. Raises `InputError` as `feature_table`.
    """
    by_case = grouped(
        (outline for outline in outlines if outline.rater in raters), lambda outline: outline.case_id
    )
    compared = {case: theirs for case, theirs in by_case.items() if len(theirs) > 1}
    table = feature_table([outline for theirs in compared.values() for outline in theirs], progress=progress)
    features = [name for name in table.columns if name not in KEY_COLUMNS]
    missing = {(case, rater): [math.nan] * len(features) for case in compared for rater in raters}
    found = {
        (row["case_id"], row["rater"]): [row.get(name, math.nan) for name in features] for row in table.rows
    }
    return ratings_of(features, {**missing, **found})


def overlaps(
    outlines: Sequence[Outline], pairs: Sequence[tuple[str, str]], progress: Progress | None = None
) -> list[Overlap]:
    """How the outlines of each pair of raters agree, for the cases that both have outlined, by case; pairs
    without any are left out.

    `progress` is told (done, all) after each case. Raises `InputError` with a line per case that cannot be
    read, and when there is no case.
    """
    by_case = {
        case: {outline.rater: outline for outline in theirs}
        for case, theirs in grouped(outlines, lambda one: one.case_id).items()
    }
    jobs = [(theirs, [pair for pair in pairs if theirs.keys() >= set(pair)]) for theirs in by_case.values()]
    jobs = [(theirs, both) for theirs, both in jobs if both]
    if not jobs:
        raise InputError(
            f"outlines of {', '.join(dict.fromkeys(one.rater for one in outlines))}: no case has those of two"
            " raters compared; add them"
        )
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
        found.append(
            Overlap((a, b), first.case_id, dice(masks[a], masks[b]), distances.hausdorff95, distances.mean)
        )
    return found
