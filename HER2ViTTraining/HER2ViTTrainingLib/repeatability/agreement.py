"""A repeatability study judged: ratings and outlines of several readers in; agreement tables, pictures and a
report out (`her2vit agreement`).

A **rater** is one read: A1 and A2 are reader A's first and second, B1 is reader B's. An **outline column** of
a manifest belongs to a rater: `roi` to A1, `roi_b` to B1, any other `roi_x2` to X2. Without ratings, the
features of the outlines are the ratings (`features`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.parallel.progress import Progress
from HER2ViTTrainingLib.stats.agreement import HEADLINE, BlandAltman, Icc, bland_altman, icc

from .outlines import Outline
from .overlaps import Overlap, outline_ratings, overlaps
from .ratings import Ratings

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
    """All that is found: the comparisons, every pair of raters in them with Bland-Altman's figures, and
    overlaps where there are outlines.
    """

    ratings: Ratings
    comparisons: tuple[Comparison, ...]
    pairs: Mapping[tuple[str, str], BlandAltman]
    overlaps: tuple[Overlap, ...]

    def overlaps_of(self, pair: tuple[str, str]) -> list[Overlap]:
        return [overlap for overlap in self.overlaps if overlap.raters == pair]


def parse_comparisons(texts: Sequence[str], raters: Sequence[str]) -> list[tuple[str, ...]]:
    """The comparisons asked for as `A1,A2`; without any, all raters. Raises `InputError`, a line per text
    that names no two known raters.
    """
    comparisons, faults = [], []
    for text in texts:
        named = tuple(name.strip() for name in text.split(","))
        unknown = [name for name in named if name not in raters]
        if unknown:
            faults.append(
                f"--compare {text}: {unknown[0]!r} is no rater here; the raters are {', '.join(raters)}"
            )
        elif len(set(named)) < max(2, len(named)):
            faults.append(
                f"--compare {text}: name two or more different raters, such as {','.join(raters[:2])}"
            )
        comparisons.append(named)
    if faults:
        raise InputError(faults)
    return list(dict.fromkeys(comparisons)) or [tuple(raters)]


def rater_pairs(comparisons: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Every pair of raters in the comparisons, once."""
    return list(dict.fromkeys(pair for raters in comparisons for pair in itertools.combinations(raters, 2)))


def agreement_of(
    ratings: Ratings | None,
    outlines: Sequence[Outline],
    compare_texts: Sequence[str],
    progress: Progress | None = None,
) -> Agreement:
    """The agreement of ratings, of outlines, or of both; `ratings` None: the outlines' features are the
    ratings.

    `compare_texts` as `parse_comparisons`. Raises `InputError` for neither, for outlines of a single rater,
    and as what it calls.
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


def compare(
    ratings: Ratings, comparisons: Sequence[tuple[str, ...]], overlap: Sequence[Overlap] = ()
) -> Agreement:
    """The agreement of the raters in each comparison, and of each pair. Raises `InputError` as `Ratings.of`."""
    found = tuple(Comparison(raters, icc(ratings.of(raters))) for raters in comparisons)
    pairs = {pair: bland_altman(*ratings.of(pair).swapaxes(0, 1)) for pair in rater_pairs(comparisons)}
    return Agreement(ratings, found, pairs, tuple(overlap))
