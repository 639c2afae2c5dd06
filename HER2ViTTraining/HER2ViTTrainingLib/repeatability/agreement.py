"""Agreement of several readers' ratings and outlines (`her2vit agreement`); `results` writes it.

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
from .overlaps import Overlap, Overlaps, outline_ratings, overlaps
from .ratings import Ratings


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
    overlaps where there are outlines. `inputs` are the SHA-256 of the files that were read, by role.
    """

    ratings: Ratings
    comparisons: tuple[Comparison, ...]
    pairs: Mapping[tuple[str, str], BlandAltman]
    overlaps: tuple[Overlap, ...]
    inputs: Mapping[str, str]

    def pair(self, raters: Sequence[str]) -> BlandAltman | None:
        """Bland-Altman's figures where these are a pair of raters."""
        return self.pairs[raters[0], raters[1]] if len(raters) == 2 else None

    def overlaps_of(self, pair: tuple[str, str]) -> list[Overlap]:
        """Those of one pair of raters, by case."""
        return [overlap for overlap in self.overlaps if overlap.raters == pair]


def parse_comparisons(texts: Sequence[str], raters: Sequence[str]) -> list[tuple[str, ...]]:
    """The comparisons asked for as `A1,A2`; without any, all raters. Raises `InputError`, a line per text
    that names no two known raters.
    """
    comparisons = []
    faults = []
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
    and as `Ratings.of`, `overlaps` and `outline_ratings`.
    """
    if ratings is None and not outlines:
        raise InputError("nothing to compare: give ratings files, --manifest or --session")
    drawn_by = tuple(dict.fromkeys(outline.rater for outline in outlines))
    raters = ratings.raters if ratings else drawn_by
    if len(raters) < 2:
        raise InputError(f"outlines of {raters[0]} only; agreement needs those of two raters or more")
    comparisons = parse_comparisons(compare_texts, raters)
    pairs = rater_pairs(comparisons)
    overlapping = overlaps(outlines, pairs, progress) if outlines else Overlaps()
    if ratings is None:
        compared = list(dict.fromkeys(itertools.chain.from_iterable(comparisons)))
        ratings = outline_ratings(outlines, compared, progress)
    return Agreement(
        ratings,
        tuple(Comparison(raters, icc(ratings.of(raters))) for raters in comparisons),
        {pair: bland_altman(*ratings.of(pair).swapaxes(0, 1)) for pair in pairs},
        overlapping.found,
        _in_order_given({**ratings.inputs, **overlapping.inputs}, outlines),
    )


def _in_order_given(inputs: Mapping[str, str], outlines: Sequence[Outline]) -> dict[str, str]:
    """The ratings files first, then the outlines as they were given."""
    place = {outline.role: n for n, outline in enumerate(outlines)}
    return {role: inputs[role] for role in sorted(inputs, key=lambda role: place.get(role, -1))}
