"""How raters' outlines overlap, and their features as ratings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from HER2ViTLib.lesion.measures import dice, surface_distances
from HER2ViTLib.messages import InputError, faults_of
from HER2ViTTrainingLib.parallel.processes import in_order
from HER2ViTTrainingLib.parallel.progress import Progress
from HER2ViTTrainingLib.tables.grouping import grouped

from .feature_table import feature_table
from .outlines import Outline
from .ratings import KEY_COLUMNS, Ratings, ratings_of


@dataclass(frozen=True)
class Overlap:
    """How two raters' outlines of a case agree: Dice (0 to 1), 95 % Hausdorff and mean surface distance
    (mm).
    """

    raters: tuple[str, str]
    case_id: str
    dice: float
    hausdorff95: float
    mean_distance: float


@dataclass(frozen=True)
class Overlaps:
    """The overlaps by case and pair of raters, and the SHA-256 of the outlines compared, by their role."""

    found: tuple[Overlap, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)


def overlaps(
    outlines: Sequence[Outline], pairs: Sequence[tuple[str, str]], progress: Progress | None = None
) -> Overlaps:
    """How the outlines of each pair of raters agree, for the cases that both have outlined; pairs without any
    are left out.

    `progress` is told (done, all) after each case. Raises `InputError` with a line per case that cannot be
    read, and when there is no case.
    """
    jobs = []
    for of_case in grouped(outlines, lambda one: one.case_id).values():
        by_rater = {outline.rater: outline for outline in of_case}
        both = [pair for pair in pairs if by_rater.keys() >= set(pair)]
        if both:
            jobs.append(_CaseOutlines(by_rater, both))
    if not jobs:
        raters = ", ".join(dict.fromkeys(one.rater for one in outlines))
        raise InputError(
            f"outlines of {raters}: no case has those of two raters compared; add the missing outlines"
        )
    cases = in_order(_case_overlaps, jobs, progress=progress)
    inputs: dict[str, str] = {}
    for case in cases:
        inputs |= case.inputs
    return Overlaps(tuple(itertools.chain.from_iterable(case.found for case in cases)), inputs)


@dataclass(frozen=True)
class _CaseOutlines:
    """The outlines of one case by rater, and the pairs of raters to compare."""

    outlines: Mapping[str, Outline]
    pairs: Sequence[tuple[str, str]]


def _case_overlaps(case: _CaseOutlines) -> Overlaps:
    first = next(iter(case.outlines.values()))
    masks = {}
    inputs = {}
    with faults_of(f"case {first.case_id}"):
        study = first.study()
        for rater in dict.fromkeys(itertools.chain.from_iterable(case.pairs)):
            outline = case.outlines[rater]
            roi = outline.read(study)
            masks[rater] = roi.mask
            inputs[outline.role] = roi.input.sha256
    found = []
    for pair in case.pairs:
        one = masks[pair[0]]
        other = masks[pair[1]]
        distances = surface_distances(one, other, study.geometry)
        found.append(Overlap(pair, first.case_id, dice(one, other), distances.hausdorff95, distances.mean))
    return Overlaps(tuple(found), inputs)


def outline_ratings(
    outlines: Sequence[Outline], raters: Sequence[str], progress: Progress | None = None
) -> Ratings:
    """The features of these raters' outlines as ratings, for the cases that two or more of them have
    outlined.

    A case that one of them has not outlined is a missing rating. Raises `InputError` as `feature_table`.
    """
    theirs = [outline for outline in outlines if outline.rater in raters]
    by_case = grouped(theirs, lambda outline: outline.case_id)
    compared = {case_id: of_case for case_id, of_case in by_case.items() if len(of_case) > 1}
    measured = list(itertools.chain.from_iterable(compared.values()))
    table = feature_table(measured, progress=progress)
    features = [name for name in table.columns if name not in KEY_COLUMNS]
    values = {key: [math.nan] * len(features) for key in itertools.product(compared, raters)}
    for row in table.rows:
        values[row["case_id"], row["rater"]] = [row.get(name, math.nan) for name in features]
    inputs = {}
    for outline, case in zip(measured, table.cases):
        inputs[outline.role] = next(one.sha256 for one in case.inputs if one.role == "roi")
    return replace(ratings_of(features, values), inputs=inputs)
